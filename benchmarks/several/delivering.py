"""What viewers get of runs, over several servers and over one: how much, how soon, and what it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, suppress
from typing import Any, Final

from benchmarks.remote import SENT, Seen, Server, measured
from benchmarks.several.deployment import Deployment, bounded, deployed, warm
from benchmarks.several.measurements import Figures, Measurement, Row, Sizes, late

__all__ = ["DELIVERING"]

SIZE: Final = 100
"""Bytes of text in an event."""

LOOK: Final = 0.1
"""Seconds after which connections are counted anew."""

RATE: Final = Row("delivered, runs as fast as they can", "/s", 20_000, least=True)
PROCESSOR: Final = Row("processor time of a delivery then, all servers and Valkey", "us")
AGE: Final = Row("age on arrival then, 99 %", "ms")
CONNECTIONS: Final = Row("connections to the store then, of a server", "", 4)
MEMORY: Final = Row("memory of a server then, at most", "MiB")
EVENT: Final = Row("in Valkey, an event", "bytes")
SENT_AS: Final = Row("on the wire, the same event", "bytes")
PACED: Final = Row("age on arrival at {deliveries:,} deliveries/s, 99 %", "ms")
ALONE: Final = Row(
    "one thread, {rate} events/s, {viewers} viewers at one server: age on arrival, 99 %",
    "ms",
    {"asyncio": 25, "trio": 50},
)
FIRST: Final = Row("`run.start` to the first event at another server, 99 %", "ms", 50)


def everysec(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """Runs as fast as they can, and their viewers, over all servers."""
    with deployed(backend, sizes.servers) as deployment:
        warm(deployment.servers)
        for n in range(sizes.rounds):
            before, used = deployment.stored(), deployment.processor()
            seconds, seen, connections = bounded(counted(deployment, f"run-{n}", sizes))
            events = sum(each.events for each in seen)
            stored = sizes.runs * (sizes.events + 2)
            yield {
                RATE.name: events / seconds,
                PROCESSOR.name: (deployment.processor() - used) / events * 1e6,
                AGE.name: ages(seen),
                CONNECTIONS.name: connections,
                MEMORY.name: max(server.memory() for server in deployment.servers),
                EVENT.name: (deployment.stored() - before) / stored,
                SENT_AS.name: sum(each.bytes for each in seen) / events,
            }


async def counted(deployment: Deployment, name: str, sizes: Sizes) -> tuple[float, list[Seen], int]:
    """What `measured` returns, and how many connections a server has had at most meanwhile."""
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, deployment.connections())
            await asyncio.sleep(LOOK)

    looking = asyncio.create_task(look())
    try:
        given = {"events": sizes.events, "size": SIZE}
        seconds, seen = await measured(deployment.servers, name, sizes.runs, sizes.viewers, given)
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
    check(seen, sizes.events)
    return seconds, seen, most


def paced(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """As many runs and viewers, at a pace."""
    with deployed(backend, sizes.servers) as deployment:
        warm(deployment.servers)
        for n in range(sizes.rounds):
            yield {PACED.name: at_a_pace(deployment.servers, f"run-{n}", sizes.runs, sizes)}


def alone(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """One thread, which all viewers follow at one server."""
    with deployed(backend, 1) as deployment:
        warm(deployment.servers)
        for n in range(sizes.rounds):
            yield {ALONE.name: at_a_pace(deployment.servers, f"run-{n}", 1, sizes)}


def at_a_pace(servers: list[Server], name: str, runs: int, sizes: Sizes) -> float:
    """How old events are when they arrive, in ms."""
    given = {"events": sizes.paced, "size": SIZE, "rate": sizes.rate}
    _, seen = bounded(measured(servers, name, runs, sizes.viewers, given))
    check(seen, sizes.paced)
    return ages(seen)


def first(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """Runs one after the other, each at the next server, and seen at the one after that."""
    with deployed(backend, sizes.servers) as deployment:
        warm(deployment.servers)
        yield {FIRST.name: late(bounded(starts(deployment.servers, sizes.starts))) * 1000}


async def starts(servers: list[Server], count: int) -> list[float]:
    """Seconds from before a run's start is sent until a viewer at another server has its graph's first event."""
    taken = []
    for n in range(count):
        opened, thread = asyncio.Semaphore(0), f"first-{n}"
        seen = asyncio.create_task(first_event(servers[(n + 1) % len(servers)], thread, opened))
        await opened.acquire()
        begun = time.perf_counter()
        await servers[n % len(servers)].start(thread, {"events": 1, "size": SIZE})
        taken.append(await seen - begun)
    return taken


async def first_event(server: Server, thread: str, opened: asyncio.Semaphore) -> float:
    """When it is there."""
    async with aclosing(server.events(thread, opened)) as lines:
        async for line in lines:
            if SENT.search(line):
                return time.perf_counter()
    raise AssertionError(thread)


def check(seen: list[Seen], events: int) -> None:
    """Every viewer has seen every event of its run, its beginning and its end."""
    found = {each.events for each in seen}
    assert found == {events + 2}, found


def ages(seen: list[Seen]) -> float:
    """Ms that 99 % of the events were old at most."""
    return late([age for each in seen for age in each.ages]) * 1000


DELIVERING: Final[tuple[Any, ...]] = (
    Measurement("everysec", (RATE, PROCESSOR, AGE, CONNECTIONS, MEMORY, EVENT, SENT_AS), everysec),
    Measurement("paced", (PACED,), paced),
    Measurement("one thread", (ALONE,), alone),
    Measurement("first event", (FIRST,), first),
)
