"""A server on loopback that plays a script of model replies in three providers' formats.

It speaks HTTP/1.1 with connections that are kept alive, streamed replies in chunks, and whole ones. It runs on an event
loop in one thread of its own, which ends with the block that it was opened in; nothing waits for a clock. A reply can
break off (`Cut`), and it can wait (`Gate`) until the test opens the gate or the client has gone.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import anyio
import anyio.abc
import attrs
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream

from ...waiting import PATIENCE
from .anthropic_messages import AnthropicMessages
from .formats import Format, Place
from .openai_chat import OpenAIChat
from .openai_responses import OpenAIResponses
from .script import Cut, Gate, HttpError, Reply, Script

__all__ = ["ModelServer", "model_server"]

FORMATS: Final[Mapping[str, Format]] = {
    "/v1/chat/completions": OpenAIChat(),
    "/v1/responses": OpenAIResponses(),
    "/v1/messages": AnthropicMessages(),
}

HEAD_BYTES: Final = 64 * 1024
BODY_BYTES: Final = 4 * 1024 * 1024
CONNECTIONS: Final = 64

_numbers = itertools.count(1)


class Gone(Exception):
    """The client has closed the connection, or the reply breaks it off."""


@attrs.define(eq=False)
class _Door:
    """A gate: who has come to it, and whether it is open."""

    reached: threading.Event = attrs.Factory(threading.Event)
    opened: anyio.Event = attrs.Factory(anyio.Event)


@attrs.define(eq=False)
class ModelServer:
    """What a test sees of the server.

    Attributes:
        url: Where it is. No two servers of a process have the same, so that no client's connections outlive a server.
        requests: Paths and bodies of all requests, in order of arrival.
        connections: How many connections were made.
        gone: How many clients have left in the middle of a reply.
    """

    _script: Script
    _portal: BlockingPortal
    url: str = ""
    requests: list[tuple[str, dict[str, Any]]] = attrs.Factory(list)
    connections: int = 0
    gone: int = 0
    _calls: dict[str, int] = attrs.Factory(dict)
    _doors: dict[str, _Door] = attrs.Factory(dict)
    _left: threading.Event = attrs.Factory(threading.Event)

    @property
    def unplayed(self) -> dict[str, int]:
        """How many replies of each model nobody has asked for."""
        left = {model: len(replies) - self._calls.get(model, 0) for model, replies in self._script.items()}
        return {model: count for model, count in left.items() if count}

    def open(self, gate: str) -> None:
        """Let replies pass that gate, now and later."""
        self._portal.call(self._open, gate)

    def wait_for(self, gate: str) -> None:
        """Wait, in a thread, until a reply has come to that gate: all before it has been sent."""
        if not self._portal.call(self._door, gate).reached.wait(PATIENCE):
            raise TimeoutError(f"no reply has come to the gate {gate!r}")

    def wait_for_leaving(self) -> None:
        """Wait, in a thread, until a client has left in the middle of a reply."""
        if not self._left.wait(PATIENCE):
            raise TimeoutError("no client has left")

    async def serve(self, *, task_status: anyio.abc.TaskStatus[int]) -> None:
        """Serve until cancelled. Starts with the port."""
        limit = anyio.Semaphore(CONNECTIONS)

        async def handle(stream: anyio.abc.SocketStream) -> None:
            async with limit, stream:
                self.connections += 1
                with suppress(Gone, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead):
                    await self._converse(stream)

        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            task_status.started(listener.extra(anyio.abc.SocketAttribute.local_port))
            await listener.serve(handle)

    # --- HTTP ---

    async def _converse(self, stream: anyio.abc.SocketStream) -> None:
        """Answer the requests of a connection, one after the other."""
        buffered = BufferedByteReceiveStream(stream)
        while True:
            head = (await buffered.receive_until(b"\r\n\r\n", HEAD_BYTES)).decode("latin-1")
            line, *lines = head.split("\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)
            }
            length = int(headers.get("content-length", "0"))
            if length > BODY_BYTES:
                raise Gone
            body = json.loads(await buffered.receive_exactly(length) if length else b"{}")
            _, target, _ = line.split(" ")
            path = "/" + target.partition("?")[0].split("/", 2)[-1]
            self.requests.append((path, body))
            await self._answer(stream, path, body)

    async def _answer(self, stream: anyio.abc.SocketStream, path: str, body: dict[str, Any]) -> None:
        format_ = FORMATS.get(path)
        if format_ is None:
            await self._whole(stream, 404, {"error": {"message": f"there is no {path}"}})
            return
        model = body["model"]
        number = self._calls[model] = self._calls.get(model, 0) + 1
        replies = self._script.get(model, ())
        if number > len(replies):
            message = f"the script has {len(replies)} replies of {model!r}, and this is call {number}"
            await self._whole(stream, 400, format_.error(HttpError(400, message)))
            return
        answer = replies[number - 1]
        place = Place(model, number, body)
        if isinstance(answer, HttpError):
            await self._whole(stream, answer.status, format_.error(answer))
        elif body.get("stream"):
            await self._stream(stream, format_, answer, place)
        else:
            for gate in answer.of(Gate):
                await self._pass(stream, gate)
            if answer.of(Cut):
                raise Gone
            await self._whole(stream, 200, format_.whole(answer, place))

    async def _whole(self, stream: anyio.abc.SocketStream, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode()
        head = (
            f"HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            "retry-after-ms: 1\r\n\r\n"
        )
        await stream.send(head.encode() + body)

    async def _stream(self, stream: anyio.abc.SocketStream, format_: Format, reply: Reply, place: Place) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            for each in format_.stream(reply, place):
                if isinstance(each, Cut):
                    raise Gone
                if isinstance(each, Gate):
                    await self._pass(stream, each)
                else:
                    await stream.send(f"{len(each):x}\r\n".encode() + each + b"\r\n")
            await stream.send(b"0\r\n\r\n")
        except anyio.BrokenResourceError:
            self._leave()
            raise

    # --- gates ---

    async def _pass(self, stream: anyio.abc.SocketStream, gate: Gate) -> None:
        """Wait at a gate. A client sends nothing while it is waiting for a reply: what comes is its leaving."""
        door = await self._door(gate.name)
        door.reached.set()
        left = False
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                nonlocal left
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    left = True
                    tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await door.opened.wait()
            tasks.cancel_scope.cancel()
        if left:
            self._leave()
            raise Gone

    def _leave(self) -> None:
        self.gone += 1
        self._left.set()

    async def _door(self, name: str) -> _Door:
        return self._doors.setdefault(name, _Door())

    async def _open(self, name: str) -> None:
        (await self._door(name)).opened.set()


@contextmanager
def model_server(script: Script) -> Iterator[ModelServer]:
    """Play `script` while the block runs."""
    with start_blocking_portal("asyncio", name="model-server") as portal:
        server = ModelServer(script, portal)
        task, port = portal.start_task(server.serve)
        server.url = f"http://127.0.0.1:{port}/{next(_numbers)}"
        try:
            yield server
        finally:
            task.cancel()
