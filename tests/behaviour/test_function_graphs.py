"""Graphs that are async functions with a writer, on both lanes."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import anyio
import pytest

from anyiostream import (
    CheckpointsTransformer,
    CustomTransformer,
    DebugTransformer,
    GraphWriter,
    RunAborted,
    UpdatesTransformer,
    open_run,
    parts,
)
from anyiostream.errors import ForeignAwait

pytestmark = pytest.mark.anyio

ALL = [UpdatesTransformer, CustomTransformer, CheckpointsTransformer, DebugTransformer]


async def test_a_function_writes_what_its_readers_see(lane: Any) -> None:
    """Each method of the writer is a projection; what the function returns is the last snapshot."""

    async def graph(given: Any, writer: GraphWriter) -> Any:
        assert writer.namespace == ()
        await writer.values({"given": given})
        await writer.updates({"node": 1})
        await writer.custom("c")
        await writer.checkpoints({"id": 1})
        await writer.debug("d")
        await writer.part(parts.custom("deep", ns=("sub:1",)))
        return {"done": given}

    async with lane.open(graph, input="in", transformers=ALL) as run:
        names = ("values", "updates", "custom", "checkpoints", "debug")
        assert await lane.collect(run.interleave(*names)) == [
            ("values", {"given": "in"}),
            ("updates", {"node": 1}),
            ("custom", "c"),
            ("checkpoints", {"id": 1}),
            ("debug", "d"),
            ("values", {"done": "in"}),
        ]
        assert await lane.output(run) == {"done": "in"}


async def test_a_function_that_returns_nothing_keeps_its_last_snapshot(lane: Any) -> None:
    """`None` is no snapshot."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values(1)

    async with lane.open(graph) as run:
        assert await lane.collect(run.values) == [1]
        assert await lane.output(run) == 1


async def test_interrupts_written_with_a_snapshot_interrupt_the_run(lane: Any) -> None:
    """The run's status says so."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values("state", interrupts=["ask"])

    async with lane.open(graph) as run:
        assert await lane.interrupts(run) == ["ask"]
        assert run.status == "interrupted"
        assert await lane.output(run) == "state"


async def test_a_functions_error_reaches_its_readers(lane: Any) -> None:
    """After what it had written."""
    boom = ValueError("boom")

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values(1)
        raise boom

    async with lane.open(graph) as run:
        values = lane.cursor(run.values)
        assert await lane.next(values) == 1
        with pytest.raises(ValueError, match="boom") as caught:
            await lane.next(values)
        assert caught.value is boom


async def test_callable_objects_methods_and_partials_are_graphs(lane: Any) -> None:
    """Whatever is an async function when called."""

    class Graph:
        async def __call__(self, given: Any, writer: GraphWriter) -> Any:
            return given

        async def method(self, given: Any, writer: GraphWriter) -> Any:
            return given

    async def with_option(option: str, given: Any, writer: GraphWriter) -> Any:
        return given, option

    for graph in (Graph(), Graph().method):
        async with lane.open(graph, input=3) as run:
            assert await lane.output(run) == 3
    async with lane.open(functools.partial(with_option, "o"), input=3) as run:
        assert await lane.output(run) == (3, "o")


async def test_on_the_sync_lane_the_function_is_driven_inline() -> None:
    """Without an event loop or a thread: each step of the reader's loop is one step of the function."""
    steps: list[str] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        for n in range(3):
            steps.append(f"write {n}")
            await writer.custom(n)
        steps.append("end")

    with open_run(graph, transformers=[CustomTransformer]) as run:
        assert steps == []
        for n in run.custom:
            steps.append(f"read {n}")
    assert steps == ["write 0", "read 0", "write 1", "read 1", "write 2", "read 2", "end"]


@pytest.mark.parametrize("foreign", ["sleep", "event", "anyio"])
async def test_on_the_sync_lane_a_foreign_await_raises(foreign: str) -> None:
    """There is no loop that could serve it; the function is closed where it stands."""
    closed: list[bool] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        try:
            await writer.values(1)
            if foreign == "sleep":
                await asyncio.sleep(0)
            elif foreign == "event":
                await Bare()
            else:
                await anyio.lowlevel.checkpoint()
        finally:
            closed.append(True)

    class Bare:
        def __await__(self) -> Any:
            yield "something"

    def application() -> None:
        with open_run(graph) as run:
            values = iter(run.values)
            assert next(values) == 1
            with pytest.raises(RuntimeError) as caught:
                next(values)
            if foreign != "anyio":
                assert isinstance(caught.value, ForeignAwait)
                assert "async with" in str(caught.value)
            assert run.status == "failed"

    await anyio.to_thread.run_sync(application)
    assert closed == [True]


async def test_the_writer_waits_for_room(lane: Any) -> None:
    """Backpressure reaches into the function itself."""
    written: list[int] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        for n in range(100):
            await writer.custom(n)
            written.append(n)

    async with lane.open(graph, transformers=[CustomTransformer], **({"prefetch": 4} if lane.is_async else {})) as run:
        custom = lane.cursor(run.custom)
        for n in range(10):
            assert await lane.next(custom) == n
            await anyio.wait_all_tasks_blocked()
            assert len(written) <= n + 6


async def test_a_write_at_a_superstep_returns_when_somebody_wants_what_follows() -> None:
    """The function does not begin the next step before that."""
    log: list[str] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values(1)
        log.append("second step")
        await writer.values(2)

    async with open_run(graph) as run:
        values = aiter(run.values)
        assert await anext(values) == 1
        await anyio.wait_all_tasks_blocked()
        assert log == []
        assert await anext(values) == 2
        assert log == ["second step"]


async def test_several_tasks_of_the_function_may_write() -> None:
    """Each part arrives once, each task's in its order."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async def write(name: str) -> None:
            for n in range(20):
                await writer.custom((name, n))
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(write, name)

    async with open_run(graph, prefetch=2, transformers=[CustomTransformer]) as run:
        items = [item async for item in run.custom]
    assert len(items) == 60
    for name in "abc":
        assert [n for who, n in items if who == name] == list(range(20))


async def test_once_the_run_is_closing_the_writer_writes_nothing(lane: Any) -> None:
    """Clean-up code may use it blindly."""
    cleaned: list[str] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        try:
            await writer.values(1)
            await writer.values(2)
        finally:
            await writer.values("in clean-up")
            await writer.custom("in clean-up")
            cleaned.append("cleaned")

    async with lane.open(graph) as run:
        values = lane.cursor(run.values)
        assert await lane.next(values) == 1
    assert cleaned == ["cleaned"]
    assert run.status == "aborted"
    with pytest.raises(RunAborted) as caught:
        await lane.output(run)
    assert caught.value.partial == 1


async def test_a_function_that_was_never_wanted_is_never_called(nothing_left: Any) -> None:
    """Opening and leaving a run runs nothing."""
    called: list[bool] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        called.append(True)

    async with nothing_left(), open_run(graph):
        pass
    with open_run(graph):
        pass
    assert called == []
