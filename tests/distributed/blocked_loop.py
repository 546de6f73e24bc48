"""A node that blocks its server's event loop for several leases: nobody takes its run over, and it is run once."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import sniffio
from anyio import to_thread

from anyiostream import GraphWriter

from ..remote.said import ends, restarts
from ..remote.several.deployment import Deployment, events_of, start, state
from ..remote.store.valkey import valkey
from .promises import Promises

__all__ = ["block"]

LEASE = 1.0
"""Seconds; there is no shorter lease."""

LEASES = 5
"""For which the loop is blocked."""


class Blocking(Deployment):
    """Servers with a graph that blocks the event loop."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self.executed: Counter[str] = Counter()

    def assistants(self) -> dict[str, Any]:
        return {"block": self.block}

    async def block(self, given: str, writer: GraphWriter) -> str:
        """Let nothing else happen in this event loop."""
        del writer
        self.executed[given] += 1
        time.sleep(LEASE * LEASES)  # noqa: ASYNC251 -- that is what happens
        return given


async def block(folder: Path, seed: int, count: int) -> Promises:
    """Block the loop of one of two servers, each of which has an event loop of its own, so many times."""
    del seed  # nothing is drawn
    promises = Promises()
    with valkey(folder) as server:
        deployment = Blocking(server.url, folder)
        async with deployment.member(deployment.store(lease=LEASE)) as other:

            async def serve() -> None:
                async with deployment.member(deployment.store(lease=LEASE)) as one:
                    for n in range(count):
                        await start(one, "block", str(n), f"t{n}")
                        await state(one, f"t{n}")

            backend = sniffio.current_async_library()
            await to_thread.run_sync(lambda: anyio.run(serve, backend=backend))
            for n in range(count):
                events = await events_of(other, f"t{n}")
                promises.counts["times blocked"] += 1
                if deployment.executed[str(n)] != 1 or [each for each, _ in ends(events)] != ["running", "completed"]:
                    promises.broken(f"a run that blocked was run {deployment.executed[str(n)]} times: {ends(events)}")
                if restarts(events):
                    promises.broken(f"a run that blocked was taken over: {restarts(events)}")
            assert other.runner.fleet is not None
            promises.counts["takeovers"] += other.runner.fleet.takeovers
    return promises
