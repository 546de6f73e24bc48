"""A store that is killed, and one that fails over to a replica: what it has acknowledged is there, or it is said."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

import anyio
from anyio import to_thread

from ..faults.tcp_proxy import proxy
from ..ports import free_port
from ..remote.store.valkey import Valkey, valkey
from ..waiting import until
from .handles import handles
from .promises import Promises
from .workload import Workload

__all__ = ["fail_over", "kill_store"]

Kept = Literal["always", "everysec", "snapshots"]
"""What a store keeps when it is killed: all, all but the last second, what it had when it was told to save."""

OPTIONS: Final = {
    "always": ("--appendonly", "yes", "--appendfsync", "always"),
    "everysec": ("--appendonly", "yes", "--appendfsync", "everysec"),
    "snapshots": (),
}


UP: Final = b"master_link_status:up"


async def kill_store(folder: Path, seed: int, count: int, kept: Kept = "always") -> Promises:
    """Kill a store so many times, at random moments, and start it again."""
    draw = random.Random(seed)
    promises = Promises(lossy=kept != "always")
    with valkey(folder, *OPTIONS[kept]) as server:
        work = Workload(handles(server.url, server.url), promises, seed)
        async with work.running():
            for _ in range(count):
                await work.progress()
                if kept == "snapshots":
                    server.ask(b"SAVE")
                    await work.progress()
                await anyio.sleep(0.1 * draw.random())
                await to_thread.run_sync(server.kill)
                await to_thread.run_sync(server.start)
                promises.counts["kills of the store"] += 1
            await work.progress()
    return promises


async def fail_over(folder: Path, seed: int, count: int) -> Promises:
    """Kill the primary so many times, and let its replica, which may be behind, be the primary from then on."""
    draw = random.Random(seed)
    promises = Promises(lossy=True)
    server = _server(folder)
    server.start()
    try:
        async with proxy(("127.0.0.1", server.port)) as between:
            work = Workload(handles(*[f"redis://127.0.0.1:{between.port}"] * 2), promises, seed)
            async with work.running():
                for _ in range(count):
                    async with proxy(("127.0.0.1", server.port)) as link:
                        replica = _server(folder, "--replicaof", f"127.0.0.1 {link.port}")
                        await to_thread.run_sync(replica.start)
                        await until(lambda: UP in replica.ask(b"INFO replication"))  # noqa: B023
                        await work.progress()
                        if draw.random() < 0.7:
                            link.stall("back")  # the replica is behind from now on
                            await work.progress(draw.randint(1, 3))
                        await to_thread.run_sync(server.kill)
                    replica.ask(b"REPLICAOF NO ONE")
                    between.target(("127.0.0.1", replica.port))
                    server = replica
                    promises.counts["failovers"] += 1
                await work.progress()
    finally:
        server.kill()
    return promises


def _server(folder: Path, *options: str) -> Valkey:
    place = folder / uuid4().hex
    place.mkdir()
    return Valkey(place, free_port(), ("--repl-diskless-sync-delay", "0", *options))
