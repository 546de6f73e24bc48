"""When the block has been left, nothing of the run is alive, and its source has been closed exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import anyiostream
from anyiostream import AsyncGraphRunStream, CustomTransformer, StreamTransformer, open_run, parts
from anyiostream.errors import ForeignExit

from ..thorough import THOROUGH
from ..waiting import impatience, turns

pytestmark = pytest.mark.anyio


class Source:
    """A graph that has one task of its own, ends never, and takes note of how often it was closed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.closed = 0
        self.ticks = 0

    async def _tick(self) -> None:
        while True:
            self.ticks += 1
            await checkpoint()

    async def generator(self, given: Any) -> AsyncIterator[Any]:
        """A generator that holds a cancel scope across its yields."""
        try:
            with anyio.CancelScope():
                yield parts.values(1)
                yield parts.values(2)
                await self._tick()
        finally:
            self.closed += 1

    async def grouped(self, given: Any) -> AsyncIterator[Any]:
        """A generator that holds a task group across its yields."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tick)
                yield parts.values(1)
                yield parts.values(2)
                await anyio.sleep_forever()
        finally:
            self.closed += 1

    async def function(self, given: Any, writer: Any) -> None:
        """A function graph with a task of its own."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tick)
                await writer.values(1)
                await writer.values(2)
                await anyio.sleep_forever()
        finally:
            self.closed += 1

    def iterable(self, given: Any) -> Any:
        """A plain generator."""
        try:
            for n in range(1, 20_000):
                yield parts.values(n)
        finally:
            self.closed += 1

    @property
    def graph(self) -> Any:
        """What to open."""
        return getattr(self, self.kind)


class Busy(StreamTransformer):
    """Schedules work that never ends, and has an async hook."""

    requires_async = True

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    async def aprocess(self, event: Any) -> bool:
        """Schedule something."""
        await checkpoint()
        self.schedule(anyio.sleep_forever())
        return True


async def by_break(run: AsyncGraphRunStream) -> None:
    async for _ in run.values:
        break


async def by_exception(run: AsyncGraphRunStream) -> None:
    await anext(aiter(run.values))
    raise ZeroDivisionError


async def in_a_cancelled_scope(run: AsyncGraphRunStream) -> None:
    await anext(aiter(run.values))
    SCOPES[-1].cancel()


async def cancelled_while_waiting(run: AsyncGraphRunStream) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_soon)
        async for _ in run.values:
            pass
        if run.status == "running":
            await anyio.sleep_forever()


async def cancel_soon() -> None:
    for _ in range(20):
        await checkpoint()
    SCOPES[-1].cancel()


async def by_deadline(run: AsyncGraphRunStream) -> None:
    await anext(aiter(run.values))
    with anyio.fail_after(0):
        await anyio.sleep_forever()


async def with_parked_readers(run: AsyncGraphRunStream) -> None:
    await anext(aiter(run.values))

    async def output() -> None:
        with contextlib.suppress(Exception):
            await run.output()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output)
        tasks.start_soon(output)
        await checkpoint()
        await checkpoint()
        tasks.cancel_scope.cancel()


async def by_abort(run: AsyncGraphRunStream) -> None:
    await anext(aiter(run.values))
    await run.abort()


async def unread(run: AsyncGraphRunStream) -> None:
    pass


SCOPES: list[anyio.CancelScope] = []

WAYS = [
    by_break,
    by_exception,
    in_a_cancelled_scope,
    cancelled_while_waiting,
    by_deadline,
    with_parked_readers,
    by_abort,
    unread,
]


@pytest.mark.parametrize("busy", [False, True], ids=["plain", "busy"])
@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("kind", ["generator", "grouped", "function", "iterable"])
async def test_nothing_is_alive_after_the_block(kind: str, leave: Any, busy: bool, nothing_left: Any) -> None:
    """However it is left, whatever the graph is: no task, and the source closed once."""
    source = Source(kind)
    begun = leave is not unread
    async with nothing_left():
        with anyio.CancelScope() as scope, contextlib.suppress(ZeroDivisionError, TimeoutError):
            SCOPES.append(scope)
            try:
                async with open_run(source.graph, transformers=[Busy] if busy else []) as run:
                    await leave(run)
            finally:
                SCOPES.pop()
    assert run.status == "aborted"
    assert source.closed == (1 if begun else source.closed)
    ticks = source.ticks
    await turns()
    assert source.ticks == ticks
    assert source.closed <= 1


@pytest.mark.parametrize("kind", ["generator", "function", "iterable"])
async def test_a_run_that_ended_by_itself_closes_its_source_once(kind: str, script: Any, nothing_left: Any) -> None:
    """Normal end: nothing left, closed once."""
    source = script(parts.values(1), parts.values(2))
    graph = {"generator": source.agen, "function": lambda: source.function, "iterable": source.gen}[kind]()
    async with nothing_left(), open_run(graph) as run:
        assert [value async for value in run.values] == [1, 2]
    assert source.closed == 1


async def test_on_the_sync_lane_the_source_is_closed_once(script: Any) -> None:
    """Normal end, early exit, exception and abort."""
    source = script(parts.values(1), parts.values(2))
    with open_run(source.gen()) as run:
        assert list(run.values) == [1, 2]
        assert source.closed == 1
    assert source.closed == 1

    source = script(parts.values(1), parts.values(2))
    with open_run(source.gen()) as run:
        next(iter(run.values))
        assert source.closed == 0
    assert source.closed == 1

    source = script(parts.values(1), parts.values(2))
    with pytest.raises(ZeroDivisionError), open_run(source.gen()) as run:
        next(iter(run.values))
        _ = 1 / 0
    assert source.closed == 1

    source = script(parts.values(1), parts.values(2))
    with open_run(source.gen()) as run:
        next(iter(run.values))
        run.abort()
        assert source.closed == 1
    assert source.closed == 1


@pytest.mark.parametrize("kind", ["generator", "grouped", "function"])
@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")])
async def test_native_cancellation_leaves_nothing_alive(kind: str, nothing_left: Any) -> None:
    """`Task.cancel()`, once or again and again while the block is being left, still waits for everything."""
    for again in (0, 3):
        source = Source(kind)
        ready = asyncio.Event()

        async def application(source: Source = source, ready: asyncio.Event = ready) -> None:
            async with open_run(source.graph, transformers=[Busy]) as run:
                async for _ in run.values:
                    ready.set()

        async with nothing_left():
            task = asyncio.create_task(application())
            await ready.wait()
            task.cancel()
            for _ in range(again):
                await asyncio.sleep(0)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
        assert source.closed == 1


async def test_a_cancelled_scope_stays_cancelled_after_the_block(script: Any) -> None:
    """Leaving the run neither swallows the cancellation nor invents one."""
    source = script(parts.values(1), anyio.sleep_forever)
    after = False
    with anyio.CancelScope() as scope:
        async with open_run(source.agen()) as run:
            await anext(aiter(run.values))
            scope.cancel()
        await checkpoint()
        after = True
    assert scope.cancelled_caught
    assert not after
    await checkpoint()


async def test_clean_up_of_the_graph_may_wait(nothing_left: Any) -> None:
    """A generator that awaits something in its `finally` is waited for, also inside a cancelled scope."""
    steps: list[str] = []

    async def graph(given: Any) -> AsyncIterator[Any]:
        try:
            yield parts.values(1)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await checkpoint()
                await checkpoint()
            steps.append("closed")

    async with nothing_left():
        with anyio.CancelScope() as scope:
            async with open_run(graph) as run:
                await anext(aiter(run.values))
                scope.cancel()
            steps.append("left")
    assert steps[0] == "closed"


async def test_a_generator_at_its_yield_is_closed_by_its_own_task() -> None:
    """It is advanced and closed by one task, so scopes may span its yields."""
    seen: set[Any] = set()

    async def graph(given: Any) -> AsyncIterator[Any]:
        try:
            with anyio.CancelScope():
                for n in range(5):
                    seen.add(anyio.get_current_task().id)
                    yield parts.values(n)
        finally:
            seen.add(anyio.get_current_task().id)

    async with open_run(graph, prefetch=0) as run:

        async def read_one(cursor: Any) -> None:
            await anext(cursor)

        cursor = aiter(run.values)
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_one, cursor)
    assert len(seen) == 1
    assert seen != {anyio.get_current_task().id}


async def test_a_generator_that_holds_a_task_group_at_its_yield_is_closed_without_an_error(nothing_left: Any) -> None:
    """The group wraps the `GeneratorExit` that closes it; that is no failure of the graph."""
    source = Source("grouped")
    async with nothing_left(), open_run(source.graph, prefetch=0) as run:
        assert await anext(aiter(run.values)) == 1
    assert source.closed == 1
    assert run.status == "aborted"


async def test_cancelling_the_reader_inside_the_generator_does_not_reach_it(script: Any) -> None:
    """A reader's scope that is cancelled while the generator waits leaves the generator as it is."""
    release = anyio.Event()
    source = script(parts.values(1), release.wait, parts.values(2))
    async with open_run(source.agen()) as run:
        cursor = aiter(run.values)
        assert await anext(cursor) == 1
        for _ in range(3):
            async with impatience() as scope:
                await anext(cursor)
            assert scope.cancelled_caught
        assert source.closed == 0
        release.set()
        assert await anext(cursor) == 2


@pytest.mark.parametrize("kind", ["generator", "iterable"])
@pytest.mark.parametrize("ended", ["left", "aborted", "failed"])
async def test_an_error_of_closing_the_source_is_raised_where_the_block_is_left(kind: str, ended: str) -> None:
    """Whether the run was still going on then, had been aborted, or had failed with another error long before."""

    def iterable(given: Any) -> Any:
        try:
            yield parts.values(1)
            yield parts.values(2)
        finally:
            raise ValueError("closing")

    async def generator(given: Any) -> AsyncIterator[Any]:
        try:
            yield parts.values(1)
            yield parts.values(2)
        finally:
            raise ValueError("closing")

    class Fails(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            raise KeyError("process")

    graph = generator if kind == "generator" else iterable
    with pytest.raises(ValueError, match="closing"):
        async with open_run(graph, transformers=[Fails] if ended == "failed" else []) as run:
            if ended == "failed":
                with pytest.raises(KeyError):
                    await run.output()
                await anyio.wait_all_tasks_blocked()
            else:
                async for _ in run.values:
                    break
                if ended == "aborted":
                    await run.abort()


@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")])
@pytest.mark.parametrize("how", ["aclose in another task", "garbage"])
@pytest.mark.parametrize("kind", ["generator", "grouped", "function", "iterable"])
async def test_on_asyncio_an_abandoned_generator_that_holds_a_run_is_finalised(
    kind: str, how: str, caplog: pytest.LogCaptureFixture, nothing_left: Any
) -> None:
    """`async with open_run(...)` around a `yield`, left in another task: everything closes, no word about scopes."""
    source = Source(kind)

    async def endpoint() -> AsyncIterator[Any]:
        async with open_run(source.graph, transformers=[CustomTransformer]) as run:
            async for value in run.values:
                yield value

    gc.collect()  # nothing that other tests have left
    caplog.clear()
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    before = len(asyncio.all_tasks())
    async with nothing_left():
        generator = endpoint()
        assert await anext(generator) == 1
        if how == "garbage":
            del generator
            gc.collect()
            while not source.closed or len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0)
        else:
            await asyncio.create_task(generator.aclose())
    assert source.closed == 1
    assert problems == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


ABANDONED_ON_TRIO = """
import contextlib, trio
from anyiostream import open_run, parts
from anyiostream.errors import ForeignExit

async def graph(given):
    try:
        yield parts.values(1)
        await trio.sleep_forever()
    finally:
        print("closed")

async def endpoint():
    async with open_run(graph) as run:
        async for value in run.values:
            yield value

async def close(generator):
    try:
        await generator.aclose()
    except ForeignExit as exc:
        print(exc)

async def application():
    generator = endpoint()
    await anext(generator)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(close, generator)
    for _ in range(20):
        await trio.lowlevel.cancel_shielded_checkpoint()
    print("the application goes on")

# What trio makes of a task that ends inside a nursery it never left is its own affair.
with contextlib.suppress(RuntimeError, BaseExceptionGroup, trio.TrioInternalError, trio.Cancelled):
    trio.run(application)
"""


def test_on_trio_an_abandoned_generator_that_holds_a_run_is_refused_with_an_explanation() -> None:
    """A nursery belongs to one task: `ForeignExit` says so and names the ways out, and the graph is stopped."""
    path = str(Path(anyiostream.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", ABANDONED_ON_TRIO],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert issubclass(ForeignExit, RuntimeError)
    before, _, _ = done.stdout.partition("the application goes on")
    assert "aclosing" in before
    assert "as_safe_channel" in before
    assert before.splitlines().count("closed") == 1


async def test_a_generator_that_holds_a_run_may_be_closed_by_its_own_task(nothing_left: Any) -> None:
    """`contextlib.aclosing`, the recommended way, works on every loop."""
    source = Source("generator")

    async def endpoint() -> AsyncIterator[Any]:
        async with open_run(source.graph) as run:
            async for value in run.values:
                yield value

    async with nothing_left(), contextlib.aclosing(endpoint()) as values:
        async for value in values:
            assert value == 1
            break
    assert source.closed == 1


async def test_a_run_inside_a_run_leaves_nothing_either(nothing_left: Any) -> None:
    """A graph whose body reads another run: cancelling the outer one ends both."""
    inner = Source("function")

    async def outer(given: Any, writer: Any) -> None:
        async with open_run(inner.graph) as run:
            async for value in run.values:
                await writer.values(value)

    async with nothing_left(), open_run(outer) as run:
        assert await anext(aiter(run.values)) == 1
    assert inner.closed == 1


COUNT = 250 * THOROUGH
"""Of runs that are side by side."""


async def test_hundreds_of_runs_at_once(nothing_left: Any) -> None:
    """Hundreds of small runs in one loop: each gets its own values, nothing is left."""
    outputs: dict[int, Any] = {}

    async def graph(given: int, writer: Any) -> int:
        await writer.values(given)
        await checkpoint()
        await writer.custom(given)
        return given * 2

    async def application(n: int) -> None:
        async with open_run(graph, n, transformers=[CustomTransformer]) as run:
            values = [value async for value in run.values]
            assert values == [n, n * 2]
            outputs[n] = await run.output()

    async with nothing_left(), anyio.create_task_group() as tasks:
        for n in range(COUNT):
            tasks.start_soon(application, n)
    assert outputs == {n: n * 2 for n in range(COUNT)}
