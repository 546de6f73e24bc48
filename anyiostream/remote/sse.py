"""A thread's events as server-sent events. `resumed_from` is pure; `EventStream` sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, final

import anyio
from anyio.lowlevel import checkpoint
from starlette.types import Receive, Scope, Send

from anyiostream.remote.log import LogGap
from anyiostream.remote.refusals import GONE, Refusal, error_frame, gap_text
from anyiostream.remote.requests import refused
from anyiostream.remote.service import Service
from anyiostream.remote.subscriptions import Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer
from anyiostream.wire.drafts import Entry
from anyiostream.wire.jsonable import encode
from anyiostream.wire.sse import frame

__all__ = ["HEADERS", "HEARTBEAT", "EventStream", "resumed_from", "send_body", "send_piece", "until_disconnected"]

HEARTBEAT: Final = b": heartbeat\n\n"
"""A heartbeat: says that a stream is alive, and nothing else."""

CHUNK: Final = 64 * 1024
"""Bytes that are sent at a time, more or less."""

HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
"""Of a stream of server-sent events."""

LONGEST_SEQ: Final = 19
"""Digits of a place in a log."""


def resumed_from(last_event_id: str, log_id: str) -> int:
    """The `seq` that a browser's `Last-Event-ID` stands for.

    Raises:
        Refusal: It is not an event id at all, HTTP status 400; or it is not in this log, which has been restarted
            since, or does not reach so far yet, 410.
    """
    name, _, seq = last_event_id.rpartition("-")
    if not name or name.endswith("-") or not (seq.isascii() and seq.isdigit()) or len(seq) > LONGEST_SEQ:
        raise Refusal("invalid_argument", "`Last-Event-ID` is not the id of an event.", status=400)
    if name != log_id:
        raise Refusal("invalid_argument", "gap: this thread has no such event (any more).", status=GONE)
    return int(seq)


@final
class EventStream:
    """The response that streams a thread's events to one viewer.

    It does not end by itself: the viewer leaves, or the connection is aborted, and the viewer reconnects. It is aborted
    when the server is being stopped, when the log has left the viewer behind, and when the viewer accepts nothing for
    too long.
    """

    def __init__(self, service: Service, thread: Thread, viewer: Viewer, gap: int | None) -> None:
        self._service = service
        self._thread = thread
        self._viewer = viewer
        self._gap = gap

    @classmethod
    async def open(cls, service: Service, thread: Thread, subscription: Subscription) -> EventStream:
        """The stream of a subscription.

        Raises:
            Refusal: What it asks for is not there yet (400) or no longer (410).
        """
        viewer = Viewer(thread, service.pulse)
        try:
            replay = await viewer.add("", subscription)
        except LogGap as gap:
            service.streams.gap()
            raise Refusal("invalid_argument", str(gap), status=GONE) from None
        return cls(service, thread, viewer, replay.gap)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the viewer leaves or the connection is to be aborted: an ASGI response without its end."""
        try:
            self._service.check_connection(self._thread)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        with self._service.streams.to_viewer(self._thread, self._viewer):
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            async with anyio.create_task_group() as tasks:
                # This task's coroutines are nested deeply, in the server's, Starlette's and middleware's, and each time
                # that it goes on, all of them do: so another one sends.
                tasks.start_soon(self._stream, send, tasks.cancel_scope)
                await until_disconnected(receive, tasks.cancel_scope)

    async def _stream(self, send: Send, scope: anyio.CancelScope) -> None:
        """Send until the log has left the viewer behind, and cancel `scope` then."""
        # The first bytes tell the client that the stream is open, even if a proxy waits for some.
        opening = [HEARTBEAT]
        if self._gap is not None:
            self._service.streams.gap()
            opening.append(_gap_frame(self._gap, self._thread.log.first))
        await send_piece(send, b"".join(opening))
        while True:
            try:
                batch = await self._viewer.batch()
            except LogGap as gap:
                self._service.streams.gap()
                await send_piece(send, _gap_frame(gap.after, gap.first))
                scope.cancel()
                return
            for n, chunk in enumerate(batch.written(_chunks)):
                if n:
                    await checkpoint()  # servers may take it without a pause; what follows the last one waits
                await send_body(send, chunk)
            if batch:
                self._viewer.spoke()
            while not await self._viewer.wait():
                await send_body(send, HEARTBEAT)


async def send_body(send: Send, body: bytes) -> None:
    """Send a piece of a body that goes on."""
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def send_piece(send: Send, body: bytes) -> None:
    """Send a piece of a body that goes on. Checkpoints."""
    await send_body(send, body)
    # Servers may take it without a pause; let other tasks run all the same, among them the one that learns that the
    # viewer has left.
    await checkpoint()


async def until_disconnected(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel `scope` when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _gap_frame(after: int, first: int) -> bytes:
    return frame("error", encode(error_frame("unknown_error", gap_text(after, first))))


def _chunks(entries: Iterable[Entry]) -> Iterator[bytes]:
    pending: list[bytes] = []
    size = 0
    for entry in entries:
        shown = frame(entry.method, entry.body, entry.event_id)
        pending.append(shown)
        size += len(shown)
        if size >= CHUNK:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)
