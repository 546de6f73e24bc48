"""Servers of the tests: real sockets, in a thread, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Final

import anyio
import hypercorn.asyncio
import hypercorn.config
import hypercorn.trio
import sniffio
import trio
import uvicorn

from .waiting import PATIENCE

__all__ = ["SERVERS", "hypercorn_server", "uvicorn_server"]

KEEP_ALIVE: Final = int(PATIENCE)
"""s that an idle connection is kept: longer than any client keeps one.

Both sides have 5 s by default. A server that closes a connection just as a client uses it again loses the request, and
hypercorn on trio closes it even if the request has come, but has not been read yet: the loop wakes both tasks.
"""


@contextmanager
def uvicorn_server(application: Any) -> Iterator[str]:
    """The application under uvicorn on asyncio; its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(
        application, log_level="critical", lifespan="on", timeout_graceful_shutdown=1, timeout_keep_alive=KEEP_ALIVE
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=partial(server.run, sockets=[listener]), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def hypercorn_server(
    backend: str, application: Any, told_to_stop: Callable[[], object] = lambda: None
) -> Iterator[str]:
    """The application under hypercorn on one of the event loops; its address. It may be told to stop."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = KEEP_ALIVE
    config.errorlog = logging.getLogger("hypercorn.tests")
    ready = threading.Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        stopping = anyio.Event()
        soon = run_soon()
        stop.append(lambda: soon(stopping.set))
        ready.set()

        async def stopped() -> None:
            await stopping.wait()
            told_to_stop()

        serve = hypercorn.trio.serve if backend == "trio" else hypercorn.asyncio.serve
        await serve(application, config, shutdown_trigger=stopped)

    thread = threading.Thread(target=partial(anyio.run, main, backend=backend), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop[0]()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def run_soon() -> Callable[[Callable[[], None]], object]:
    """What runs something in this event loop, called from anywhere."""
    if sniffio.current_async_library() == "trio":
        return trio.lowlevel.current_trio_token().run_sync_soon
    return asyncio.get_running_loop().call_soon_threadsafe


SERVERS: dict[str, Callable[[Any], AbstractContextManager[str]]] = {
    "uvicorn": uvicorn_server,
    "hypercorn-asyncio": partial(hypercorn_server, "asyncio"),
    "hypercorn-trio": partial(hypercorn_server, "trio"),
}
"""Every pair of a server and an event loop."""
