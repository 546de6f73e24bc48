"""Aborting one subgraph, and what aborting the run does to those that are open."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import RunAborted, open_run, parts

from .scripts import ON_LOOPS, nest, side_by_side, subgraph

pytestmark = pytest.mark.anyio


async def test_aborting_a_handle_of_a_script_detaches_it(lane: Any) -> None:
    """The handle ends with what it had; parent and sibling see all of theirs."""
    async with lane.open(lane.source(side_by_side(2, 4))) as run:
        handles = lane.cursor(run.subgraphs)
        aborted = await lane.next(handles)
        values = lane.cursor(aborted.values)
        assert await lane.next(values) == (0, 0)
        await lane.abort(aborted)
        await lane.abort(aborted)
        assert aborted.status == "aborted"
        for _ in range(2):
            with pytest.raises(RunAborted) as caught:
                await lane.output(aborted)
        assert caught.value.partial == (0, 0)
        assert await lane.collect(values) == []
        sibling = await lane.next(handles)
        assert await lane.collect(sibling.values) == [(1, i) for i in range(4)]
        assert await lane.output(run) == "end"
        assert (run.status, sibling.status, aborted.status) == ("completed", "completed", "aborted")


async def test_aborting_a_handle_ends_those_inside_it(lane: Any) -> None:
    """At every depth, with `aborted` for their status, and their cursors end."""
    async with lane.open(lane.source(nest(3))) as run:
        outer = await lane.next(lane.cursor(run.subgraphs))
        middle = await lane.next(lane.cursor(outer.subgraphs))
        inner = await lane.next(lane.cursor(middle.subgraphs))
        values = lane.cursor(inner.values)
        await lane.abort(outer)
        assert [each.status for each in (outer, middle, inner)] == ["aborted"] * 3
        for each in (outer, middle, inner):
            with pytest.raises(RunAborted):
                await lane.output(each)
        assert await lane.collect(values) == []
        assert await lane.output(run) == "after 0"


async def test_aborting_a_handle_spares_the_level_above(lane: Any) -> None:
    """The handle it was read from goes on to its own end."""
    async with lane.open(lane.source(nest(3))) as run:
        outer = await lane.next(lane.cursor(run.subgraphs))
        middle = await lane.next(lane.cursor(outer.subgraphs))
        await lane.abort(middle)
        assert (outer.status, middle.status) == ("started", "aborted")
        assert await lane.output(outer) == "after 1"
        assert await lane.collect(outer.values) == ["before 1", "after 1"]
        assert outer.status == "completed"


def interruptible(notes: list[str]) -> Any:
    """A function graph with two subgraphs, the first of which has one inside."""

    async def graph(given: Any, writer: Any) -> str:
        async with writer.subgraph("first") as first:
            try:
                async with first.subgraph("inside") as inside:
                    for n in range(1000):
                        await inside.values(n)
                notes.append("inside ended well")
            finally:
                notes.append("first left")
        notes.append("first over")
        async with writer.subgraph("second") as second:
            await second.values("whole")
        return "end"

    return graph


async def test_aborting_a_handle_of_a_function_stops_its_block(lane: Any) -> None:
    """The block is left, its clean-up runs, and the graph goes on after it; lifecycle says aborted, inner first."""
    notes: list[str] = []
    async with lane.open(interruptible(notes)) as run:
        lifecycle = lane.cursor(run.lifecycle)
        handles = lane.cursor(run.subgraphs)
        first = await lane.next(handles)
        inside = await lane.next(lane.cursor(first.subgraphs))
        values = lane.cursor(inside.values)
        assert [await lane.next(values) for _ in range(3)] == [0, 1, 2]
        await lane.abort(first)
        assert (first.status, inside.status) == ("aborted", "aborted")
        with pytest.raises(RunAborted):
            await lane.output(first)
        second = await lane.next(handles)
        assert await lane.output(second) == "whole"
        assert await lane.output(run) == "end"
        assert notes == ["first left", "first over"]
        payloads = await lane.collect(lifecycle)
    assert [(each["event"], each["namespace"][-1].split(":")[0]) for each in payloads] == [
        ("started", "first"),
        ("started", "inside"),
        ("aborted", "inside"),
        ("aborted", "first"),
        ("started", "second"),
        ("completed", "second"),
    ]


async def test_aborting_a_handle_at_once_stops_its_block(lane: Any) -> None:
    """Also before the block has written anything: it is left at its first write at the latest."""
    notes: list[str] = []

    async def graph(given: Any, writer: Any) -> str:
        async with writer.subgraph("sub") as inner:
            await inner.values("first")
            await inner.values("second")
            notes.append("ran to its end")
        return "end"

    async with lane.open(graph) as run:
        lifecycle = lane.cursor(run.lifecycle)
        handle = await lane.next(lane.cursor(run.subgraphs))
        await lane.abort(handle)
        assert await lane.output(run) == "end"
        assert notes == []
        assert [each["event"] for each in await lane.collect(lifecycle)] == ["started", "aborted"]


async def test_aborting_an_inner_handle_of_a_function_leaves_the_outer_one(lane: Any) -> None:
    """Only the inner block is left."""
    notes: list[str] = []
    async with lane.open(interruptible(notes)) as run:
        first = await lane.next(lane.cursor(run.subgraphs))
        inside = await lane.next(lane.cursor(first.subgraphs))
        await lane.abort(inside)
        assert (first.status, inside.status) == ("started", "aborted")
        assert await lane.output(run) == "end"
        assert notes == ["inside ended well", "first left", "first over"]
        assert first.status == "completed"


@ON_LOOPS
async def test_aborting_a_handle_cancels_a_block_that_waits(lane: Any) -> None:
    """A subgraph that sleeps for ever is left at once, also while a sibling waits beside it."""
    notes: list[str] = []

    async def graph(given: Any, writer: Any) -> str:
        async def sibling() -> None:
            async with writer.subgraph("sibling") as inner:
                await go.wait()
                await inner.values("whole")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sibling)
            async with writer.subgraph("sleeper") as inner:
                try:
                    await inner.values("half")
                    await anyio.sleep_forever()
                finally:
                    notes.append("left")
        return "end"

    go = anyio.Event()
    async with open_run(graph) as run:
        by_name: dict[str, Any] = {}
        handles = aiter(run.subgraphs)
        while len(by_name) < 2:
            handle = await anext(handles)
            by_name[handle.graph_name] = handle
        values = aiter(by_name["sleeper"].values)
        assert await anext(values) == "half"
        await by_name["sleeper"].abort()
        await anyio.wait_all_tasks_blocked()
        assert notes == ["left"]
        go.set()
        assert await by_name["sibling"].output() == "whole"
        assert await run.output() == "end"
        with pytest.raises(RunAborted) as caught:
            await by_name["sleeper"].output()
        assert caught.value.partial == "half"


@ON_LOOPS
async def test_a_reader_in_another_task_ends_when_its_handle_is_aborted(lane: Any) -> None:
    """Parked readers of the handle's values, log and output are woken."""
    ends: list[Any] = []

    async def graph(given: Any, writer: Any) -> str:
        async with writer.subgraph("sleeper"):
            await anyio.sleep_forever()
        return "end"

    async def read(channel: Any) -> None:
        ends.append([item async for item in channel])

    async def wait(handle: Any) -> None:
        with pytest.raises(RunAborted):
            await handle.output()
        ends.append("output")

    async with open_run(graph) as run:
        handle = await anext(aiter(run.subgraphs))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, handle.values)
            tasks.start_soon(read, handle.messages)
            tasks.start_soon(wait, handle)
            await anyio.wait_all_tasks_blocked()
            await handle.abort()
        assert sorted(map(str, ends)) == ["[]", "[]", "output"]
        assert await run.output() == "end"


async def test_aborting_a_finished_handle_changes_nothing(lane: Any) -> None:
    """It stays completed and keeps its output."""
    async with lane.open(lane.source([*nest(1), parts.values("end")])) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.output(handle) == "bottom 1"
        await lane.abort(handle)
        assert handle.status == "completed"
        assert await lane.output(handle) == "bottom 1"
        assert await lane.output(run) == "end"


async def test_aborting_the_run_aborts_what_is_open(lane: Any) -> None:
    """Handles and lifecycle say aborted, not completed, for the open ones; what ended before stays as it was."""
    script = [
        *subgraph("0", lambda ns: []),
        *nest(3)[:-4],
    ]
    async with lane.open(lane.source(script)) as run:
        lifecycle = lane.cursor(run.lifecycle)
        handles = lane.cursor(run.subgraphs)
        ended = await lane.next(handles)
        outer = await lane.next(handles)
        middle = await lane.next(lane.cursor(outer.subgraphs))
        assert await lane.next(lane.cursor(middle.subgraphs))
        await lane.abort(run)
        assert (ended.status, outer.status, middle.status) == ("completed", "aborted", "aborted")
        for each in (outer, middle):
            with pytest.raises(RunAborted):
                await lane.output(each)
        payloads = await lane.collect(lifecycle)
    assert [(each["event"], len(each["namespace"])) for each in payloads][-3:] == [
        ("aborted", 3),
        ("aborted", 2),
        ("aborted", 1),
    ]


async def test_leaving_the_block_aborts_what_is_open(lane: Any) -> None:
    """A handle whose run was left early is aborted."""
    async with lane.open(lane.source(nest(2))) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
    assert handle.status == "aborted"
    with pytest.raises(RunAborted):
        await lane.output(handle)


async def test_many_aborted_subgraphs_leave_nothing_behind(lane: Any) -> None:
    """No subgraph is counted as open once its aborted block has been left, however many were."""

    async def graph(given: Any, writer: Any) -> str:
        for n in range(50):
            async with writer.subgraph("sub") as inner:
                await inner.values(n)
                await inner.values("never")
        return "end"

    async with lane.open(graph) as run:
        handles = lane.cursor(run.subgraphs)
        for n in range(50):
            handle = await lane.next(handles)
            assert await lane.next(lane.cursor(handle.values)) == n
            await lane.abort(handle)
            assert run.statistics().subgraphs <= 1
        assert await lane.output(run) == "end"
        assert run.statistics().subgraphs == 0
