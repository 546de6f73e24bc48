"""Servers of the tests: real sockets, in a thread, on asyncio and on trio; with `close_streams` when they stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from anyiostream.remote import close_streams

from ..serving import hypercorn_server, uvicorn_server

__all__ = ["ALL_SERVERS", "SERVERS", "serving"]


def closing(backend: str, application: Any) -> AbstractContextManager[str]:
    """The application under hypercorn, which closes its streams in time."""
    return hypercorn_server(backend, application, partial(close_streams, application))


SERVERS: dict[str, Callable[[Any], AbstractContextManager[str]]] = {
    "uvicorn": uvicorn_server,
    "hypercorn-trio": partial(closing, "trio"),
}
"""One of each kind and of each event loop, for most tests."""

ALL_SERVERS: dict[str, Callable[[Any], AbstractContextManager[str]]] = {
    **SERVERS,
    "hypercorn-asyncio": partial(closing, "asyncio"),
}
"""Every pair of a server and an event loop, for what depends on how one reads, writes and stops."""


def serving(name: str, application: Any) -> AbstractContextManager[str]:
    """A block in which the application is served; its address."""
    return ALL_SERVERS[name](application)
