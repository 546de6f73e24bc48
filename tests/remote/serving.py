"""Servers of the tests: real sockets, in a thread, on asyncio and on trio."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import hypercorn.config
import hypercorn.trio
import trio
import uvicorn

from anyiostream.remote import close_streams

__all__ = ["SERVERS", "serving"]

SECONDS = 20
"""Longer than a server takes to start or to stop on a busy machine."""


@contextmanager
def uvicorn_server(application: Any) -> Iterator[str]:
    """The application under uvicorn on asyncio; its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(application, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=partial(server.run, sockets=[listener]), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(SECONDS)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def hypercorn_trio_server(application: Any) -> Iterator[str]:
    """The application under hypercorn on trio; its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.graceful_timeout = 1.0
    config.errorlog = logging.getLogger("hypercorn.tests")
    ready = threading.Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        stopping = trio.Event()
        token = trio.lowlevel.current_trio_token()
        stop.append(lambda: token.run_sync_soon(stopping.set))
        ready.set()

        async def stopped() -> None:
            await stopping.wait()
            close_streams(application)

        await hypercorn.trio.serve(application, config, shutdown_trigger=stopped)

    thread = threading.Thread(target=trio.run, args=(main,), daemon=True)
    thread.start()
    assert ready.wait(SECONDS)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop[0]()
        thread.join(SECONDS)
        assert not thread.is_alive()


SERVERS: dict[str, Callable[[Any], AbstractContextManager[str]]] = {
    "uvicorn": uvicorn_server,
    "hypercorn-trio": hypercorn_trio_server,
}


def serving(name: str, application: Any) -> AbstractContextManager[str]:
    """A block in which the application is served; its address."""
    return SERVERS[name](application)
