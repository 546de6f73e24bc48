"""A client of an ASGI application, without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio

__all__ = ["Browser"]


class Browser:
    """A client: what it is sent, and when it leaves."""

    def __init__(self, leaves: Callable[[Browser], bool] = lambda _: False, headers: dict[str, str] | None = None):
        self.messages: list[dict[str, Any]] = []
        self._leaves = leaves
        self._left = anyio.Event()
        self._headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    @property
    def scope(self) -> dict[str, Any]:
        """Its request."""
        return {"type": "http", "method": "GET", "path": "/", "headers": self._headers, "client": ("127.0.0.1", 1)}

    async def open(self, response: Any) -> Browser:
        """Be answered."""
        await response(self.scope, self.receive, self.send)
        return self

    async def receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if self._leaves(self):
            self._left.set()

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> str:
        return b"".join(each.get("body", b"") for each in self.messages).decode()

    @property
    def events(self) -> list[Any]:
        """The data of its events."""
        lines = [line.removeprefix("data: ") for line in self.body.split("\n") if line.startswith("data: {")]
        return [json.loads(line) for line in lines]

    @property
    def whole(self) -> bool:
        """Whether the response has ended as it should."""
        return self.messages[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
