"""A store that is full: what cannot be written is said, nothing is half done, and all goes on when there is room."""

from __future__ import annotations

import random
from pathlib import Path

from ..remote.store.valkey import valkey
from ..waiting import until
from .handles import handles
from .promises import Promises
from .workload import Workload

__all__ = ["fill"]


async def fill(folder: Path, seed: int, count: int) -> Promises:
    """Let a store have no room, so many times, for a while."""
    draw = random.Random(seed)
    promises = Promises()
    with valkey(folder) as server:
        work = Workload(handles(server.url, server.url, patience=1.0), promises, seed)
        async with work.running():
            for _ in range(count):
                await work.progress(draw.randint(1, 5))
                failed = promises.counts["calls failed"]
                server.ask(b"CONFIG SET maxmemory 1")
                wanted = failed + draw.randint(1, 20)
                await until(lambda: promises.counts["calls failed"] > wanted)  # noqa: B023
                server.ask(b"CONFIG SET maxmemory 0")
                promises.counts["times full"] += 1
            await work.progress()
    return promises
