"""One WebSocket: commands in, answers and events out, any number of subscriptions.

Rules:

- An answer to `subscription.subscribe` is sent before the events that are replayed for it.
- One task sends events, the one that reads commands sends answers; a lock keeps frames whole and in order.
- The answer to a command that starts a run is sent before the first event of the run.
- A frame that is not a command is answered with an error without an id, and ends the socket with 4000 + HTTP status. A
  command that is refused is answered with its id; a subscription to what is no longer there ends the socket, too.
- Going away stops nothing: runs go on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Final, final
from uuid import uuid4

import anyio
from anyio.lowlevel import checkpoint
from starlette.websockets import WebSocket, WebSocketDisconnect

from anyiostream.remote.commands import (
    Command,
    InputRespond,
    RunStart,
    Subscribe,
    Unsubscribe,
    command_id,
    parse_command,
)
from anyiostream.remote.log import LogGap
from anyiostream.remote.refusals import GONE, Refusal, error_frame, gap_text, unstored
from anyiostream.remote.requests import caller_of, sent_once
from anyiostream.remote.service import Service
from anyiostream.remote.store import StoreFailed
from anyiostream.remote.subscriptions import Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer
from anyiostream.wire.drafts import Entry
from anyiostream.wire.jsonable import encode

__all__ = ["converse"]

logger = logging.getLogger(__name__)

STOPPING: Final = (1012, "the server is being stopped; connect again")
"""Close code and reason that ask a client to connect again."""

TRY_AGAIN: Final = 1013
"""Close code that asks a client to connect again later."""

REMEMBERED: Final = 1024
"""Ids of commands by which a repeated one is known."""


async def converse(service: Service, websocket: WebSocket) -> None:
    """Serve one socket until the client leaves or breaks the rules, or the server is being stopped."""
    try:
        try:
            identity = await service.admit(caller_of(websocket), "read", websocket.path_params["thread_id"])
            thread = await service.thread(websocket.path_params["thread_id"], identity)
        finally:
            # A browser cannot read the status of a refused upgrade, but it can read a close code.
            await websocket.accept()
        service.check_connection(thread)
    except (Refusal, StoreFailed) as exc:
        await websocket.close(*_verdict(exc))
        return
    conversation = Conversation(service, thread, websocket)
    with service.streams.to_viewer(thread, conversation.viewer):
        await conversation.hold()
    if not conversation.gone:
        await websocket.close(*(conversation.verdict or STOPPING))


@final
class Conversation:
    """A socket that has been accepted.

    Attributes:
        verdict: The code and the reason that it is to be closed with, if not the server's stopping.
        gone: Whether the client has left.
        viewer: What is to be sent.
    """

    def __init__(self, service: Service, thread: Thread, websocket: WebSocket) -> None:
        self.verdict: tuple[int, str] | None = None
        self.gone = False
        self._service = service
        self._thread = thread
        self._websocket = websocket
        self.viewer: Final = Viewer(thread)
        self._sending = anyio.Lock()
        self._waiting: anyio.CancelScope | None = None
        self._ids: deque[int] = deque(maxlen=REMEMBERED)

    async def hold(self) -> None:
        """Read commands and send events until the conversation is over."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._until_over, self._send_events, tasks.cancel_scope)
            await self._until_over(self._read_commands, tasks.cancel_scope)

    async def _until_over(self, work: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            await work()
        except WebSocketDisconnect:
            self.gone = True
        except (Refusal, StoreFailed) as exc:
            self.verdict = _verdict(exc)
        scope.cancel()

    async def _read_commands(self) -> None:
        while True:
            frame = await self._websocket.receive()
            if frame["type"] == "websocket.disconnect":
                raise WebSocketDisconnect
            raw = frame.get("text") or frame.get("bytes") or b""
            encoded = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
            try:
                message = await self._service.intake.frame(encoded, self._thread.owner)
                given = command_id(message)
            except Refusal as refusal:
                await self._send(encode(refusal.envelope(None)))
                raise
            await self._answer(given, message, sent_once(encoded))

    async def _answer(self, given: int, message: Mapping[str, Any], once: str) -> None:
        if given in self._ids:
            raise Refusal("invalid_argument", "a command's id can be used only once per socket.", status=400)
        self._ids.append(given)
        try:
            command = parse_command(message, self._service.limits)
            if isinstance(command, Subscribe):
                await self._subscribe(given, command.subscription)
                return
            if isinstance(command, Unsubscribe):
                result = self._unsubscribe(command.subscription_id)
                async with self._sending:
                    await self._succeed(given, result)
            elif isinstance(command, (RunStart, InputRespond)):
                async with self._sending:
                    await self._succeed(given, await self._execute(command, once))
            else:
                result = await self._execute(command, once)
                async with self._sending:
                    await self._succeed(given, result)
        except Refusal as refusal:
            await self._send(encode(refusal.envelope(given)))
            if refusal.status == GONE:
                # Clients would take the answer as leave to wait; they understand the socket's end.
                raise
        except StoreFailed:
            await self._send(encode(unstored().envelope(given)))

    async def _execute(self, command: Command, once: str) -> dict[str, Any]:
        return await self._service.execute(caller_of(self._websocket), self._thread.thread_id, command, once)

    async def _succeed(self, given: int, result: dict[str, Any]) -> None:
        await self._send_now(encode({"type": "success", "id": given, "result": result}))

    async def _subscribe(self, given: int, subscription: Subscription) -> None:
        if len(self.viewer) >= self._service.limits.subscriptions:
            most = self._service.limits.subscriptions
            raise Refusal("invalid_argument", f"a socket may have at most {most} subscriptions.")
        subscription_id = str(uuid4())
        async with self._sending:
            try:
                replay = await self.viewer.add(subscription_id, subscription)
                count = await self.viewer.count(subscription_id)
            except LogGap as gap:
                self._service.streams.gap()
                raise Refusal("invalid_argument", str(gap), status=GONE) from None
            result = {"subscription_id": subscription_id, "replayed_events": count}
            await self._succeed(given, result)
            if replay.gap is not None:
                self._service.streams.gap()
                await self._send_now(_gap_frame(replay.gap, self._thread.log.first))
        if self._waiting is not None:
            self._waiting.cancel()

    def _unsubscribe(self, subscription_id: str) -> dict[str, Any]:
        if not self.viewer.remove(subscription_id):
            raise Refusal("no_such_subscription", "there is no such subscription on this socket.")
        return {}

    async def _send_events(self) -> None:
        while True:
            try:
                await self._send_batch()
            except LogGap as gap:
                self._service.streams.gap()
                await self._send(_gap_frame(gap.after, gap.first))
                raise Refusal("unknown_error", str(gap), status=GONE) from None
            if self.viewer.cursor >= self._thread.log.last:
                await self._wait()

    async def _send_batch(self) -> None:
        async with self._sending:
            for text in (await self.viewer.batch()).written(_texts):
                await self._send_text(text)
        # Servers may take it all without a pause.
        await checkpoint()

    async def _wait(self) -> None:
        """Wait until the log has more, or there is a new subscription."""
        with anyio.CancelScope() as self._waiting:
            await self._thread.log.wait(self.viewer.cursor)
        self._waiting = None

    async def _send(self, frame: bytes) -> None:
        async with self._sending:
            await self._send_now(frame)

    async def _send_now(self, frame: bytes) -> None:
        await self._send_text(frame.decode())

    async def _send_text(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except (OSError, RuntimeError) as exc:
            # How servers say that the client has left, each in its own way.
            raise WebSocketDisconnect from exc


def _texts(entries: Iterable[Entry]) -> Iterator[str]:
    return (entry.body.decode() for entry in entries)


def _gap_frame(after: int, first: int) -> bytes:
    return encode(error_frame("unknown_error", gap_text(after, first)))


def _verdict(why: Refusal | StoreFailed) -> tuple[int, str]:
    """The code and the reason that a socket is closed with; a reason has at most 123 bytes."""
    if isinstance(why, Refusal):
        refusal = why
    else:
        logger.warning("a socket is closed: %s", why)
        refusal = unstored()
    code = TRY_AGAIN if refusal.status in {429, 503} else refusal.close_code
    return code, refusal.text.encode("ascii", "replace")[:120].decode("ascii")
