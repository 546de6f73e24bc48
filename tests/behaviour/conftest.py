"""What the tests of behaviour share: the two lanes behind one interface, scripted sources, and what is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sniffio
import trio

from anyiostream import open_run


class AsyncLane:
    """The async lane."""

    is_async = True
    fan_out = "atee"

    def open(self, graph: Any, **options: Any) -> Any:
        """The run's block."""
        return open_run(graph, **options)

    def source(self, script: Script) -> Any:
        """The script as a graph of this lane."""
        return script.agen()

    def cursor(self, channel: Any) -> Any:
        """A new cursor."""
        return aiter(channel)

    async def next(self, cursor: Any) -> Any:
        """The cursor's next item."""
        return await anext(cursor)

    async def take(self, cursor: Any, count: int) -> list[Any]:
        """The cursor's next items."""
        return [await anext(cursor) for _ in range(count)]

    async def collect(self, channel: Any) -> list[Any]:
        """Everything from now on."""
        return [item async for item in channel]

    async def output(self, run: Any) -> Any:
        """The run's output."""
        return await run.output()

    async def interrupts(self, run: Any) -> Any:
        """The run's interrupts."""
        return await run.interrupts()

    async def abort(self, run: Any) -> None:
        """Abort the run."""
        await run.abort()

    async def settle(self, promise: Any) -> Any:
        """The value of a promise."""
        return await promise

    async def leave(self, cursor: Any) -> None:
        """End a subscription."""
        await cursor.aclose()


class SyncLane:
    """The sync lane, behind the interface of the async one; nothing here ever suspends."""

    is_async = False
    fan_out = "tee"

    @asynccontextmanager
    async def open(self, graph: Any, **options: Any) -> AsyncIterator[Any]:
        """The run's block."""
        with open_run(graph, **options) as run:
            yield run

    def source(self, script: Script) -> Any:
        """The script as a graph of this lane."""
        return script.gen()

    def cursor(self, channel: Any) -> Any:
        """A new cursor."""
        return iter(channel)

    async def next(self, cursor: Any) -> Any:
        """The cursor's next item; `StopAsyncIteration` at its end."""
        try:
            return next(cursor)
        except StopIteration:
            raise StopAsyncIteration from None

    async def take(self, cursor: Any, count: int) -> list[Any]:
        """The cursor's next items."""
        return [next(cursor) for _ in range(count)]

    async def collect(self, channel: Any) -> list[Any]:
        """Everything from now on."""
        return list(channel)

    async def output(self, run: Any) -> Any:
        """The run's output."""
        return run.output

    async def interrupts(self, run: Any) -> Any:
        """The run's interrupts."""
        return run.interrupts

    async def abort(self, run: Any) -> None:
        """Abort the run."""
        run.abort()

    async def settle(self, promise: Any) -> Any:
        """The value of a promise."""
        return promise.result()

    async def leave(self, cursor: Any) -> None:
        """End a subscription."""
        cursor.close()


class Script:
    """A graph that produces the given parts, and takes note of how far it came and how often it was closed.

    An exception among the parts is raised; a callable is called, and awaited on the async lane.
    """

    def __init__(self, *parts: Any) -> None:
        self.parts: Iterable[Any] = parts
        self.produced = 0
        self.closed = 0

    async def agen(self) -> AsyncIterator[Any]:
        """As an async generator."""
        try:
            for part in self.parts:
                if isinstance(part, BaseException):
                    raise part
                if callable(part):
                    await part()
                    continue
                self.produced += 1
                yield part
        finally:
            self.closed += 1

    def gen(self) -> Iterator[Any]:
        """As a generator."""
        try:
            for part in self.parts:
                if isinstance(part, BaseException):
                    raise part
                if callable(part):
                    part()
                    continue
                self.produced += 1
                yield part
        finally:
            self.closed += 1

    async def function(self, given: Any, writer: Any) -> None:
        """As an async function."""
        try:
            for part in self.parts:
                if isinstance(part, BaseException):
                    raise part
                if callable(part):
                    await part()
                    continue
                self.produced += 1
                await writer.part(part)
        finally:
            self.closed += 1


@pytest.fixture(params=[AsyncLane, SyncLane], ids=["async lane", "sync lane"])
def lane(request: pytest.FixtureRequest) -> AsyncLane | SyncLane:
    """Both lanes behind one interface."""
    return request.param()


@pytest.fixture
def script() -> type[Script]:
    """Makes scripted sources."""
    return Script


def alive() -> set[Any]:
    """What is alive: tasks, and threads other than the idle workers that the loops keep."""
    threads = {
        thread
        for thread in threading.enumerate()
        if not thread.name.startswith(("Trio thread", "AnyIO worker thread", "asyncio_"))
    }
    if sniffio.current_async_library() == "asyncio":
        return threads | {task for task in asyncio.all_tasks() if not task.done()}
    return threads | {f"trio task {n}" for n in range(trio.lowlevel.current_statistics().tasks_living)}


@pytest.fixture
def nothing_left() -> Callable[[], Any]:
    """A block after which nothing is alive that was not before it."""

    @asynccontextmanager
    async def block() -> AsyncIterator[None]:
        before = alive()
        try:
            yield
        finally:
            assert alive() - before == set()

    return block
