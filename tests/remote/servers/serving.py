"""Servers of the tests: real sockets, in a thread, on asyncio and on trio; with `close_streams` when they stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from anyiostream.remote import close_streams

from ...serving import hypercorn_server, uvicorn_server
from ..doubled import behind_proxy, twin_of

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
    """A block in which the application is served, both of them if it is one of two; its address."""
    twin = twin_of(application)
    return ALL_SERVERS[name](application) if twin is None else _both(name, application, twin)


@contextmanager
def _both(name: str, one: Any, other: Any) -> Iterator[str]:
    with ExitStack() as servers:
        addresses = [servers.enter_context(ALL_SERVERS[name](each)) for each in (one, other)]
        with behind_proxy(*addresses) as address:
            try:
                yield address
            finally:
                servers.close()  # what they say when they are stopped goes through the proxy
