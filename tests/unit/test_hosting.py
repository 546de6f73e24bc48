"""What a source needs of a run: no more than `Host` names. Each kind is read to its end by a reader that has no run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from typing import Any, final

import anyio
import pytest

from anyiostream import parts
from anyiostream.channels.latch import Awaited, Latch
from anyiostream.driver.hosting import AsyncSource, Host
from anyiostream.loops import current_loop, on_trio
from anyiostream.loops.interface import Loop, LoopTask
from anyiostream.source import END, NOTHING
from anyiostream.sources.gate import Gate
from anyiostream.sources.hosted import Execution, HostedSource
from anyiostream.sources.hosts import asyncio_source
from anyiostream.sources.iterables import IterableSource, IteratorRoutine
from anyiostream.sources.portal import BridgedSource

from ..waiting import PATIENCE

pytestmark = pytest.mark.anyio

GIVEN = [parts.custom(1), parts.values(2), parts.custom(3), parts.values(4)]


@final
class BareHost:
    """A run with one reader, and nothing but what sources are promised."""

    __slots__ = ("_arrived", "loop", "source_context", "tasks")

    steps_anywhere = False

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.source_context: Context = copy_context()
        self.tasks: list[LoopTask] = []
        self._arrived = Latch("a part")

    def host(self, run: Callable[[], Any], name: str, on: Any = None) -> LoopTask:
        self.tasks.append((on or self.loop).spawn(run, name, self.source_context))
        return self.tasks[-1]

    def part_arrived(self) -> None:
        self._arrived.open()

    graph_stops = part_arrived

    async def wait(self, target: Awaited) -> None:
        while not target.ready:
            waiter = self.loop.waiter()
            target.park(waiter)
            try:
                await waiter.wait()
            finally:
                target.unpark(waiter)

    async def next(self, source: AsyncSource) -> Any:
        """The next part, or `END`."""
        while True:
            self._arrived = Latch("a part")
            part = source.pull()
            if part is not NOTHING:
                return part
            source.demand()
            if not source.has_part:
                await self.wait(self._arrived)


def iterable(produced: list[Any]) -> AsyncSource:
    """A list."""
    return IterableSource(noted(produced), "the graph")


def noted(produced: list[Any]) -> Any:
    """The parts, each noted as it is produced, and the end of it."""
    try:
        for part in GIVEN:
            produced.append(part)
            yield part
    finally:
        produced.append("closed")


def execution(produced: list[Any]) -> Execution:
    """An async generator that waits before each part."""

    async def generate() -> AsyncIterator[Any]:
        try:
            for part in GIVEN:
                await anyio.lowlevel.checkpoint()
                produced.append(part)
                yield part
        finally:
            produced.append("closed")

    return Execution(IteratorRoutine(generate), "the graph", Gate(1, root_depth=0, barriers_below=False))


def hosted(produced: list[Any]) -> AsyncSource:
    """In a task of the run's loop."""
    return HostedSource(execution(produced))


def for_asyncio(produced: list[Any]) -> AsyncSource:
    """On asyncio whatever the run's loop is; beside trio, in its thread."""
    return asyncio_source(execution(produced))


def bridged(produced: list[Any]) -> AsyncSource:
    """The same, but beside trio in another thread."""
    return BridgedSource(execution(produced)) if on_trio() else hosted(produced)


each_kind = pytest.mark.parametrize("make", [iterable, hosted, for_asyncio, bridged])


@asynccontextmanager
async def started(make: Callable[[list[Any]], AsyncSource], produced: list[Any]) -> AsyncIterator[Any]:
    """A source in a bare host; afterwards it has ended, with all of its tasks."""
    source, loop = make(produced), current_loop()
    await loop.enter()
    host = BareHost(loop)
    with anyio.fail_after(PATIENCE):
        source.start(host)
        yield host, source
        source.stop()
        await source.close()
        for task in host.tasks:
            await host.wait(task.finished)
    await loop.leave()


def test_a_source_is_promised_a_handful() -> None:
    """More would tie sources to a lane; the stand-in here has all of it, and nothing else."""
    promised = {name for name in vars(Host) if not name.startswith("_")}
    assert promised == {"loop", "source_context", "steps_anywhere", "host", "part_arrived", "graph_stops", "wait"}
    assert promised <= set(dir(BareHost))


@each_kind
async def test_it_is_read_to_its_end(make: Any) -> None:
    """All parts, in order, and then the end, as often as it is asked for."""
    async with started(make, []) as (host, source):
        assert [await host.next(source) for _ in GIVEN] == GIVEN
        assert [await host.next(source), await host.next(source)] == [END, END]


@each_kind
async def test_nothing_is_produced_before_it_is_asked_for(make: Any) -> None:
    """Not by opening it, nor once it has been stopped."""
    produced: list[Any] = []
    async with started(make, produced):
        await anyio.wait_all_tasks_blocked()
        assert produced == []
    assert produced in ([], ["closed"])


@each_kind
async def test_stopped_half_way_it_is_closed_once(make: Any) -> None:
    """It produces no more than it was allowed to run ahead; its own clean-up has run."""
    produced: list[Any] = []
    async with started(make, produced) as (host, source):
        assert await host.next(source) == GIVEN[0]
    assert produced[-1] == "closed"
    assert produced.count("closed") == 1
    assert len(produced) <= 4
