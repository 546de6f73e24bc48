"""`Client`: the reader of a sink, over ASGI. It may leave at any time, and is sent nothing after that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, final

import anyio
from anyio.lowlevel import checkpoint

from anyiostream.sinks.sink import Sink
from anyiostream.wire import Placed

__all__ = ["FAILED", "HEADERS", "Client", "merged", "raw_headers"]

HEADERS: Final = {
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}
"""Keeps proxies from buffering or compressing the response, and browsers from guessing its type."""

FAILED: Final = 500

PARTS: Final = 4
"""Of the time between heartbeats: so often it is looked whether something has been sent."""

STOPPED: Final = frozenset({"aborted", "drained"})
"""Reasons for which a run has ended that somebody wanted; the wire has no event of its own for them."""

ENDS: Final = frozenset({"completed", "failed", "interrupted"})

Send = Callable[[Any], Awaitable[None]]
"""ASGI's."""

RawHeaders = list[tuple[bytes, bytes]]


@final
class Client:
    """Sends a response to one client, piece by piece.

    Attributes:
        left: Whether it has gone.
        begun: Whether it has been sent something.
        broken: Whether it has been sent half an answer, in a protocol that has no word for that: the connection has to
            break.
        status: The status that it has been sent, or will be.
    """

    def __init__(
        self, send: Send, sink: Sink, run_id: str, status: int = 200, headers: RawHeaders | None = None
    ) -> None:
        self.left = False
        self.begun = False
        self.broken = False
        self.status = status
        self._send = send
        self._sink = sink
        self._run_id = run_id
        self._headers = raw_headers(sink.media_type, sink.headers) if headers is None else headers
        self._sending = anyio.Lock(fast_acquire=True)
        self._silent = True
        self._over = False

    async def begin(self) -> None:
        """The response begins."""
        await self._start(self.status, self._headers)
        await self._body(self._sink.opening(f"{self._run_id}-0"))

    async def show(self, event: Placed) -> None:
        """Send what an event makes. If the run has failed before anything was sent, that is the response.

        A run that was stopped has not failed: its answer is whole, and empty.
        """
        draft = event.draft
        body = self._sink.encode(event)
        self._over = self._over or draft.root_event in ENDS
        if draft.root_event != "failed" or draft.data.get("reason") in STOPPED:
            await self._say(body)
            return
        await self._break_off(body, str(draft.data.get("error") or "the run has failed."))

    async def close(self, why: str = "") -> None:
        """Nothing comes after this: send what is still missing. `why` says why, if the run's end has not come."""
        if not self._over:
            await self._break_off(self._sink.end("cut", why), why or "the connection ended before the run.")
        elif not self.begun:
            await self.begin()

    async def end(self) -> None:
        """The response is over."""
        await self._deliver({"type": "http.response.body", "body": b"", "more_body": False})

    async def keep_alive(self, seconds: float) -> None:
        """Send something whenever nothing has been sent for so long, or for three quarters of that."""
        silent = 0
        while not self.left:
            await anyio.sleep(seconds / PARTS)
            silent = 0 if self.spoke() else silent + 1
            if silent >= PARTS - 1 and not self._sending.locked():
                await self.beat()

    def spoke(self) -> bool:
        """Whether anything has been sent since this was asked last."""
        spoke, self._silent = not self._silent, True
        return spoke

    async def beat(self) -> None:
        """Say that the stream is alive."""
        await self._say(self._sink.heartbeat())

    async def _break_off(self, body: bytes, error: str) -> None:
        """The answer goes no further: `body` says so, unless a status can."""
        if self.begun:
            self.broken = not self._sink.in_band
            await self._say(body)
            return
        media_type, body = self._sink.failure(error)
        self.status = FAILED
        # A program's own headers are for whatever its answer is: those for pages from elsewhere, cookies.
        own = [each for each in self._headers if each[0] != b"content-type"]
        await self._start(FAILED, [(b"content-type", _content_type(media_type).encode("latin-1")), *own])
        await self._body(body)

    async def _say(self, body: bytes) -> None:
        if body:
            if not self.begun:
                await self.begin()
            await self._body(body)

    async def _start(self, status: int, headers: RawHeaders) -> None:
        self.begun = True
        await self._deliver({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, body: bytes) -> None:
        if body:
            await self._deliver({"type": "http.response.body", "body": body, "more_body": True})
            # Servers may take it without a pause, and only in one can we learn that the client has left.
            await checkpoint()

    async def _deliver(self, message: dict[str, Any]) -> None:
        if self.left:
            return
        async with self._sending:
            self._silent = False
            try:
                await self._send(message)
            except OSError:
                self.left = True


def raw_headers(media_type: str, further: Mapping[str, str]) -> RawHeaders:
    """The headers of a response."""
    shown = merged({"content-type": _content_type(media_type)}, HEADERS, further)
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in shown.items()]


def _content_type(media_type: str) -> str:
    return media_type + ("; charset=utf-8" if media_type.startswith("text/") else "")


def merged(*headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of several origins, each once, in whatever case they are written: later ones stand."""
    return {name.lower(): value for each in headers for name, value in each.items()}
