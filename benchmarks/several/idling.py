"""What idle threads and their viewers cost a server: memory, and its share of a core."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from benchmarks.remote import CHANNELS, COUNT, Server, started
from benchmarks.several.deployment import LIMITS, bounded, deployed, warm
from benchmarks.several.measurements import Figures, Measurement, Row, Sizes

__all__ = ["IDLING"]

AT_ONCE: Final = 50
"""Requests that are under way at a time."""

BATCH: Final = 1000
"""Threads that are made before it is asked whether time is up."""

QUIET_SHARE: Final = 0.1
"""A server that takes less of a core has done what there was to do."""

SETTLING: Final = 30
"""Seconds that it has for that."""

MEMORY: Final = Row("{threads:,} idle threads, {idle_viewers:,} viewers: memory of a server", "MiB", 200)
SHARE: Final = Row("{threads:,} idle threads, {idle_viewers:,} viewers: share of a core", "%", 3, digits=1)
EMPTY: Final = Row("memory of a server that has had nothing to do", "MiB")
RAN: Final = Row("memory of a server that has run {threads:,} threads, without viewers", "MiB")
THREAD_STORED: Final = Row("an idle thread with three events: in Valkey", "bytes")
VIEWER: Final = Row("a viewer of an idle thread: memory of a server", "KiB", digits=1)


def idle(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """One server, once: threads with a run that has ended, and viewers. Then viewers alone, at another server.

    What the first one takes for viewers it may have had for runs before.
    """
    with deployed(backend, 1, *LIMITS) as deployment:
        (server,) = deployment.servers
        warm(deployment.servers)
        empty, stored = server.memory("VmRSS"), deployment.stored()
        for first in range(0, sizes.threads, BATCH):
            bounded(made(server, range(first, min(first + BATCH, sizes.threads))))
        ran, stored = server.memory("VmRSS"), deployment.stored() - stored
        memory, share = bounded(watched(server, sizes.idle_viewers, sizes.seconds))
        with started(backend, deployment.url, COUNT, *LIMITS) as other:
            warm([other])
            before = other.memory("VmRSS")
            after, _ = bounded(watched(other, sizes.idle_viewers, 0))
        yield {
            MEMORY.name: memory,
            SHARE.name: share * 100,
            EMPTY.name: empty,
            RAN.name: ran,
            THREAD_STORED.name: stored / sizes.threads,
            VIEWER.name: (after - before) / sizes.idle_viewers * 1024,
        }


async def made(server: Server, numbers: range) -> None:
    """Make threads, each by a run of one event, and wait until all have ended."""
    await several(lambda n: server.start(f"idle-{n}", {"events": 1, "size": 100}), numbers)
    await settled(server)


async def watched(server: Server, viewers: int, seconds: float) -> tuple[float, float]:
    """MiB and share of a core of a server while viewers wait for what threads may say."""
    async with viewing(server, viewers):
        await settled(server)
        before, begun = server.processor(), time.perf_counter()
        await asyncio.sleep(seconds)
        share = (server.processor() - before) / (time.perf_counter() - begun)
        return server.memory("VmRSS"), share


@asynccontextmanager
async def viewing(server: Server, viewers: int) -> AsyncIterator[None]:
    """A block in which that many threads have a viewer each."""
    writers = []

    async def open_one(number: int) -> None:
        _, writer = await server.post(f"/threads/idle-{number}/stream/events", {"channels": CHANNELS})
        writers.append(writer)

    await several(open_one, range(viewers))
    try:
        yield
    finally:
        for writer in writers:
            writer.close()


async def several(work: Callable[[int], Awaitable[None]], numbers: range) -> None:
    """Do it for each number, for some at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with free:
            await work(number)

    async with asyncio.TaskGroup() as tasks:
        for number in numbers:
            tasks.create_task(one(number))


async def settled(server: Server) -> None:
    """Wait until a server has done what there was to do, or has been busy for long."""
    for _ in range(SETTLING):
        before = server.processor()
        await asyncio.sleep(1)
        if server.processor() - before < QUIET_SHARE:
            return


IDLING: Final = (Measurement("idle", (MEMORY, SHARE, EMPTY, RAN, THREAD_STORED, VIEWER), idle),)
