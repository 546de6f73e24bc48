"""`FollowedRun`: a run of the official routes, and the response that shows it to its end: events, or one value."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, final
from urllib.parse import quote

import anyio
import attrs
from starlette.types import Receive, Scope, Send

from anyiostream.remote.access import Caller
from anyiostream.remote.answers import send_all
from anyiostream.remote.log import LogGap
from anyiostream.remote.official.modes import ModeReader
from anyiostream.remote.official.threads import forget
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import HEADERS as JSON_HEADERS
from anyiostream.remote.requests import refused
from anyiostream.remote.service import Service
from anyiostream.remote.sse import HEADERS, HEARTBEAT, send_piece, until_disconnected
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer
from anyiostream.wire.jsonable import encode
from anyiostream.wire.sse import frame

__all__ = ["FollowedRun", "Leaving", "whose"]

logger = logging.getLogger(__name__)

WHOLE_HEADERS: Final = [
    (b"content-type", b"application/json"),
    *((name.encode(), value.encode()) for name, value in JSON_HEADERS.items()),
]

BLANK: Final = b"\n"
"""What JSON may have before it: says that the response is alive."""


def whose(thread: Thread, run_id: str) -> str:
    """A run's path, by which clients know the run that a response is about."""
    return f"/threads/{thread.thread_id}/runs/{run_id}"


@final
@attrs.define
class Leaving:
    """A viewer that wants the run stopped when it leaves.

    Attributes:
        caller: Who it is.
        left: Whether it has left.
    """

    caller: Caller
    left: bool = False

    async def until_left(self, receive: Receive, scope: anyio.CancelScope) -> None:
        """Cancel `scope` when it has left."""
        await until_disconnected(receive, scope)
        self.left = True


@final
class FollowedRun:
    """A run that has been started, and the response that streams it: an ASGI response with an end.

    Args:
        service: The server.
        thread: The run's thread.
        viewer: Reads it.
        reader: Makes events of what it reads.
        run_id: The run.
        own: Whether the thread is the run's own, and ends with it.
        begun: Whether the request has begun it.
        until: The last place that is read of a run that has ended.
        leaving: Set if the run is to be stopped when the viewer leaves.
        again: What follows the run's path where the rest is had after a broken connection.
    """

    def __init__(
        self,
        service: Service,
        thread: Thread,
        viewer: Viewer,
        reader: ModeReader,
        run_id: str,
        *,
        own: bool = False,
        begun: bool = False,
        until: int | None = None,
        leaving: Leaving | None = None,
        again: str = "stream",
    ) -> None:
        self.thread = thread
        self.reader = reader
        self.run_id = run_id
        self._service = service
        self._viewer = viewer
        self._own = own
        self._begun = begun
        self._until = until
        self._leaving = leaving
        self._again = again
        self._told: Callable[[], Awaitable[bytes]] | None = None

    def as_value(self, told: Callable[[], Awaitable[bytes]]) -> FollowedRun:
        """The response that has one value, encoded, when the run has ended; its head is there at once."""
        self._again, self._told = "join", told
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the run has ended, or the viewer leaves, which the run does not notice unless it is to."""
        try:
            self._service.check_connection(self.thread, begun=self._begun)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        path, told = whose(self.thread, self.run_id), self._told
        headers = [
            *(HEADERS if told is None else WHOLE_HEADERS),
            (b"content-location", path.encode()),
            (b"location", f"{quote(path)}/{self._again}".encode()),
        ]
        with self._service.streams.to_viewer(self.thread, self._viewer):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as tasks:
                watch = until_disconnected if self._leaving is None else self._leaving.until_left
                tasks.start_soon(watch, receive, tasks.cancel_scope)
                if told is None:
                    await send_piece(send, frame("metadata", encode({"run_id": self.run_id, "attempt": 1})))
                async for event, data, event_id in self._events():
                    if told is None:
                        await send_piece(send, HEARTBEAT if event is None else frame(event, encode(data), event_id))
                        self._viewer.spoke()
                    elif event is None:
                        await send_piece(send, BLANK)
                        await self._look()
                tasks.cancel_scope.cancel()
        await self._left()
        if self.reader.ended or self._is_over:
            body = b"" if told is None else await told()
            await self._forget()  # ends the thread's readers, so this stream must not read it any more
            with self._service.streams.to_owner(self.thread.owner):
                await send_all(send, (body,))
                await send({"type": "http.response.body", "body": b""})

    async def _look(self) -> None:
        """A run may end, or be gone with its thread, without a word in the log."""
        thread = await self.thread.fresh()
        if thread.find(self.run_id) is None:
            self._until = thread.log.last

    async def _left(self) -> None:
        """Stop the run if its viewer has left, and wanted that: not if the server is being stopped."""
        if self._leaving is None or not self._leaving.left or self.reader.ended or self._service.closing:
            return
        try:
            await self._service.cancel(self._leaving.caller, self.thread.thread_id, self.run_id, wait=False)
        except Refusal as refusal:
            # It has ended meanwhile, or its viewer may not stop it.
            logger.debug("run %s is not stopped: %s", self.run_id, refusal)

    @property
    def _is_over(self) -> bool:
        return self._until is not None and self._viewer.cursor >= self._until

    async def _events(self) -> AsyncIterator[tuple[str | None, Any, str | None]]:
        """What the run says, to its end, with its places in the log; a heartbeat now and then while it says nothing."""
        while True:
            try:
                batch = await self._viewer.batch()
            except LogGap:
                self._service.streams.gap()
                yield "error", {"error": "gap", "message": "this run was faster than its viewer; read its state."}, None
                return
            for entry in batch:
                said = list(self.reader.read(entry))
                for n, (event, data) in enumerate(said, 1):
                    yield event, data, entry.event_id if n == len(said) else None
            if self.reader.ended or self._is_over:
                return
            if not await self._viewer.wait():
                yield None, None, None

    async def _forget(self) -> None:
        """A run without a thread leaves nothing."""
        if self._own and not self.thread.waits:
            await forget(self._service, self.thread)
