"""A Valkey server, and servers that share it, each a process on this machine."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import repeat
from math import ceil
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from valkey import Valkey as Client

from benchmarks.remote import COUNT, PATIENCE, Server, measured, started
from tests.remote.store.valkey import valkey

__all__ = ["LIMITS", "QUIET", "Deployment", "bounded", "deployed", "warm"]

T = TypeVar("T")

QUIET: Final = ("--log-level", "warning")
"""Options of a server: nobody reads what it says of requests."""

LIMITS: Final = (*QUIET, "--limit", "connections=5000", "--limit", "threads=50000", "--limit", "runs=50000")
"""Options of a server that takes on whatever is measured."""


class Deployment:
    """Servers, and what they share.

    Attributes:
        servers: Each a process.
        url: The address of the store.
    """

    def __init__(self, servers: list[Server], url: str, store: Client) -> None:
        self.servers = servers
        self.url = url
        self._store: Any = store  # its methods may be asynchronous, says its class

    def stored(self) -> int:
        """Bytes that the store has for data."""
        return int(self._store.info("memory")["used_memory_dataset"])

    def processor(self) -> float:
        """Seconds of processor time so far, of all servers and of the store."""
        used = self._store.info("cpu")
        own = float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
        return own + sum(server.processor() for server in self.servers)

    def connections(self) -> int:
        """Connections to the store that a server has at most, by the names that servers give them."""
        own = self._store.client_id()
        names = Counter(each["name"] for each in self._store.client_list() if int(each["id"]) != own)
        return sum(ceil(count / len(self.servers)) for count in names.values())


@contextmanager
def deployed(
    backend: str,
    servers: int,
    *options: str,
    fsync: str = "everysec",
    query: str = "",
    graph: str = COUNT,
    **environment: str,
) -> Iterator[Deployment]:
    """That many servers over a store of their own, whose log is written to the disk."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        running = stack.enter_context(valkey(Path(folder), "--appendonly", "yes", "--appendfsync", fsync))
        client = stack.enter_context(Client(port=running.port))
        url = f"{running.url}{query}"
        each = [started(backend, url, graph, *(options or QUIET), **environment) for _ in repeat(None, servers)]
        with ThreadPoolExecutor(servers) as pool:  # they take a second each, of a core
            found = list(pool.map(stack.enter_context, each))
        stack.callback(lambda: [server.send(SIGTERM) for server in found])
        yield Deployment(found, url, client)


def warm(servers: list[Server]) -> None:
    """Have each server run and show something: the first time takes longer."""
    for n, server in enumerate(servers):
        bounded(measured([server], f"warm-{n}", 2, 2, {"events": 20, "size": 100}))


def bounded(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns, on an event loop of its own.

    Raises:
        TimeoutError: It takes longer than `PATIENCE`.
    """
    return asyncio.run(asyncio.wait_for(work, PATIENCE))
