"""`Lines`: what is being sent to clients, and hanging up on a client that does not read.

A server waits for a client to take what it is sent. Some servers cannot be cancelled meanwhile, others keep the
connection until the client has taken the rest, long after the request is over. So the request of a client that takes
nothing for too long is cancelled, and its connection is closed beneath the server.

ASGI has no message for that. `connection_behind` finds the connection behind a `send` of uvicorn or hypercorn, through
the middleware of Starlette that may be wrapped around it. Behind an unknown server's `send` it finds none, and the
request is only cancelled.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from types import FunctionType
from typing import Any, Final, final

import anyio
from starlette.types import Message, Send

__all__ = ["Lines", "connection_behind"]

LAST_MOMENTS: Final = 1.0
"""Seconds that a client has for taking what it is sent when the server is being stopped."""

AT_ONCE: Final = struct.pack("ii", 1, 0)
"""`SO_LINGER`: what has not been sent is thrown away, and the client is told so."""

DEEPEST: Final = 32
"""Callables around a server's own `send`."""


@final
class Line:
    """A way to one client, for one request."""

    __slots__ = ("_ended", "_scope", "_send", "_sending")

    def __init__(self, sending: dict[Line, float], send: Send, scope: anyio.CancelScope) -> None:
        self._sending = sending
        self._send = send
        self._scope = scope
        self._ended = False

    async def send(self, message: Message) -> None:
        """Send, as ASGI has it."""
        self._sending[self] = anyio.current_time()
        try:
            await self._send(message)
        finally:
            self._sending.pop(self, None)

    def end(self) -> None:
        """The request is over. The client still has to take what the server has not passed on by now."""
        self._ended = True
        if _has_unsent(connection_behind(self._send)):
            self._sending[self] = anyio.current_time()

    def cut(self) -> None:
        """End the request, and take away the connection of a client that has not taken everything."""
        connection = connection_behind(self._send)
        if not self._ended or _has_unsent(connection):
            _cut(connection)
        self._scope.cancel()


@final
class Lines:
    """The clients that one server is sending something."""

    def __init__(self, patience: float) -> None:
        """Nothing is being sent yet.

        Args:
            patience: Seconds that a client has for taking what it is sent.
        """
        self._sending: dict[Line, float] = {}  # since when, in order
        self._patience = patience
        self._hurried = anyio.Event()

    @contextmanager
    def line(self, send: Send) -> Generator[Send]:
        """A block for one request: in it, send with what it is given. It is cancelled if the client does not read."""
        with anyio.CancelScope() as scope:
            line = Line(self._sending, send, scope)
            try:
                yield line.send
            finally:
                line.end()

    def hurry(self) -> None:
        """Be patient no longer: the server is being stopped."""
        self._patience = min(self._patience, LAST_MOMENTS)
        self._hurried.set()

    async def watch(self) -> None:
        """Hang up on clients that do not read, for as long as the server runs."""
        while True:
            now = anyio.current_time()
            for line, began in list(self._sending.items()):
                if began + self._patience > now:
                    break
                del self._sending[line]
                line.cut()
            # What is sent from now on cannot be late before what is being sent.
            pause = next(iter(self._sending.values()), now) + self._patience - now
            if self._hurried.is_set():
                await anyio.sleep(pause)
            else:
                with anyio.move_on_after(pause):
                    await self._hurried.wait()


def connection_behind(send: Callable[..., Any]) -> Any:
    """The connection behind an ASGI server's `send`, a transport of asyncio's or a socket of trio's; or `None`."""
    for _ in range(DEEPEST):
        owner: Any = getattr(send, "__self__", None)
        transport: Any = getattr(owner, "transport", None) or getattr(getattr(owner, "writer", None), "transport", None)
        if hasattr(transport, "abort"):  # uvicorn; hypercorn on asyncio
            return transport
        stream: Any = getattr(owner, "stream", None)
        stream = getattr(stream, "transport_stream", stream)
        if hasattr(stream, "socket"):  # hypercorn on trio
            return stream.socket
        inner = _wrapped(send, owner)
        if inner is None:
            break
        send = inner
    return None


def _wrapped(send: Callable[..., Any], owner: object) -> Callable[..., Any] | None:
    """What a `send` calls in its turn: its object's, or the one that it is a closure of."""
    if isinstance(send, partial):
        inner = send.keywords.get("send", send.func)
    elif isinstance(send, FunctionType):
        closure = dict(zip(send.__code__.co_freevars, send.__closure__ or (), strict=True))
        inner = closure["send"].cell_contents if "send" in closure else None
    else:
        inner = getattr(owner, "send", None)
    return inner if callable(inner) and inner is not send else None


def _has_unsent(connection: Any) -> bool:
    """Whether the server holds something back that the client has not taken. Trio's servers wait for that."""
    return hasattr(connection, "get_write_buffer_size") and connection.get_write_buffer_size() > 0


def _cut(connection: Any) -> None:
    if hasattr(connection, "abort"):
        connection.abort()
    elif connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        connection.close()
