"""`Unread`: what a client still sends of a request that has been answered.

Some requests are answered without their bodies: those that are refused, and those whose path says it all. Their clients
may send the body a moment later. hypercorn closes a connection if a request is not all there when its answer ends, and
does not say so: the client's next request is lost. So the end of the answer waits for the rest of the request, which is
thrown away. The answer itself, which has its length in front, waits for nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import final

import anyio
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from anyiostream.remote.limits import Limits

__all__ = ["Unread"]


@final
class Unread:
    """The rests of requests that one server waits for: within the limits of bodies, and no more than there may be.

    They are counted by themselves, so that nobody who is refused takes the place of a body that is read.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting = 0

    def watched(self, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """`receive` and `send` of a request. If it has no body, or shares its connection with others, as they are."""
        headers = Headers(scope=scope)
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if scope["type"] != "http" or not scope.get("http_version", "1.1").startswith("1") or not has_body:
            return receive, send
        request = _Request(self, receive, send)
        return request.receive, request.send

    async def skip(self, receive: Receive) -> None:
        """Throw away the rest of a request, if it is there within the limits."""
        if self._waiting >= self._limits.connections:
            return
        size = 0
        with self._one_more(), anyio.move_on_after(self._limits.receive):
            while size <= self._limits.body:
                message = await receive()
                if not message.get("more_body"):
                    return
                size += len(message.get("body", b""))

    @contextmanager
    def _one_more(self) -> Generator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


@final
class _Request:
    """One request, and its answer."""

    def __init__(self, unread: Unread, receive: Receive, send: Send) -> None:
        self._unread = unread
        self._receive = receive
        self._send = send
        self._over = False  # nothing more comes, or is waited for

    async def receive(self) -> Message:
        """Receive, as ASGI has it."""
        message = await self._receive()
        self._over = self._over or not message.get("more_body")
        return message

    async def send(self, message: Message) -> None:
        """Send, as ASGI has it."""
        if message["type"] == "http.response.start":
            self._over = self._over or Headers(raw=message["headers"]).get("connection") == "close"
        elif not self._over and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            await self._unread.skip(self._receive)
            message = {"type": "http.response.body"}
        await self._send(message)
