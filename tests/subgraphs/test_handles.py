"""Handles of subgraphs: run streams of their own, complete from their first event, whoever moves the run."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from anyiostream import (
    AsyncSubgraphRunStream,
    CustomTransformer,
    ItemsMissed,
    SubgraphFailed,
    SubgraphRunStream,
    UpdatesTransformer,
    open_run,
    parts,
)

from .scripts import ON_LOOPS, nest, side_by_side, subgraph

pytestmark = pytest.mark.anyio

DEPTH = 5


async def explore(lane: Any, stream: Any, level: int, seen: dict[int, Any]) -> None:
    """Read a stream's subgraphs, depth first, each in the body of the loop over its parent's."""
    handles = lane.cursor(stream.subgraphs)
    while True:
        try:
            handle = await lane.next(handles)
        except StopAsyncIteration:
            return
        await explore(lane, handle, level + 1, seen)
        seen[level + 1] = (handle, await lane.collect(handle.values), await lane.output(handle))


async def test_handles_are_run_streams_at_every_depth(lane: Any) -> None:
    """A handle has every projection of the run, and a subgraph's own handles, values, output and figures."""
    seen: dict[int, Any] = {}
    transformers = [UpdatesTransformer, CustomTransformer]
    async with lane.open(lane.source(nest(DEPTH)), transformers=transformers) as run:
        await explore(lane, run, 0, seen)
        assert await lane.output(run) == "after 0"
        for level, (handle, values, output) in seen.items():
            assert isinstance(handle, AsyncSubgraphRunStream if lane.is_async else SubgraphRunStream)
            assert set(handle.extensions) == set(run.extensions)
            assert handle.updates is handle.extensions["updates"]
            assert handle.path == tuple(f"sub:{n}" for n in range(1, level + 1))
            assert (handle.graph_name, handle.trigger_call_id, handle.cause) == ("sub", str(level), None)
            bottom = level == DEPTH
            assert values == ([f"bottom {level}"] if bottom else [f"before {level}", f"after {level}"])
            assert output == values[-1]
            assert (handle.status, handle.error) == ("completed", None)
            assert not await lane.interrupted(handle)
            assert await lane.interrupts(handle) == []
            assert set(handle.statistics().channels) == {"events", *run.extensions}
    assert set(seen) == set(range(1, DEPTH + 1))


async def test_a_subgraph_alone_shows_what_the_whole_run_shows(lane: Any) -> None:
    """The raw log of a handle that is read in the loop's body has all that happens below it, bar the first task."""
    script = subgraph("1", lambda ns: [parts.values(n, ns=ns) for n in range(5)])
    async with lane.open(lane.source(script)) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        log = await lane.collect(handle)
        assert [event["params"]["data"] for event in log if event["method"] == "values"] == list(range(5))
        assert all(tuple(event["params"]["namespace"]) == handle.path for event in log)


@ON_LOOPS
@pytest.mark.parametrize("suspends", [True, False], ids=["suspending", "ready"])
@pytest.mark.parametrize("who", ["output", "values", "log", "lifecycle"])
async def test_nothing_is_lost_whoever_moves_the_run(lane: Any, who: str, suspends: bool) -> None:
    """Another task that reads at the same time takes nothing from handles that are read in the loop's body."""
    got: list[Any] = []

    async def reader(handles: Any) -> None:
        async for handle in handles:
            got.append([value async for value in handle.values])

    await beside_another_reader(lane, who, suspends, reader)
    assert got == [[(f"sub:{n}", i) for i in range(3)] for n in range(40)]


@ON_LOOPS
@pytest.mark.parametrize("suspends", [True, False], ids=["suspending", "ready"])
@pytest.mark.parametrize("who", ["output", "values", "log", "lifecycle"])
async def test_raw_logs_are_complete_where_the_loop_subscribes_to_them(lane: Any, who: str, suspends: bool) -> None:
    """A loop that does nothing but subscribe to each handle's raw log gets all of them, whoever moves the run."""
    logs: dict[Any, Any] = {}
    begun = anyio.Event()

    async def drill(handle: Any, log: Any) -> None:
        logs[handle.path[0]] = [event["params"]["data"] async for event in log if event["method"] == "values"]

    async def reader(handles: Any) -> None:
        async with anyio.create_task_group() as tasks:
            async for handle in handles:
                tasks.start_soon(drill, handle, aiter(handle))
                begun.set()

    await beside_another_reader(lane, who, suspends, reader, begun)
    assert logs == {f"sub:{n}": [(f"sub:{n}", i) for i in range(3)] for n in range(40)}


async def beside_another_reader(
    lane: Any, who: str, suspends: bool, reader: Any, begun: anyio.Event | None = None
) -> None:
    """Run 40 subgraphs one after the other, with `reader` in one task and, once it has `begun`, another beside it."""
    script = [
        part
        for n in range(40)
        for part in subgraph(str(n), lambda ns: [parts.values((ns[0], i), ns=ns) for i in range(3)])
    ]

    async def other(run: Any) -> None:
        if begun is not None:
            await begun.wait()
        if who == "output":
            await run.output()
        else:
            async for _ in run if who == "log" else run.extensions[who]:
                pass

    async with open_run(lane.source(script) if suspends else script) as run:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader, aiter(run.subgraphs))
            tasks.start_soon(other, run)


@ON_LOOPS
async def test_nothing_is_lost_by_reading_a_handle_later_in_another_task(lane: Any) -> None:
    """Handles that are kept are complete after the run has ended, in whatever task they are read."""
    handles: list[Any] = []
    got: dict[Any, Any] = {}

    async def collect(run: Any) -> None:
        handles.extend([handle async for handle in run.subgraphs])

    async def drill(handle: Any) -> None:
        got[handle.path] = [value async for value in handle.values]

    async with open_run(lane.source(side_by_side(6, 5))) as run:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect, run)
            tasks.start_soon(run.output)
        assert all(handle.status == "completed" for handle in handles)
        async with anyio.create_task_group() as tasks:
            for handle in reversed(handles):
                tasks.start_soon(drill, handle)
    assert got == {(f"sub:{n}",): [(n, i) for i in range(5)] for n in range(6)}


async def test_a_list_of_handles_may_be_read_afterwards(lane: Any) -> None:
    """Each keeps the first items of each of its projections."""
    async with lane.open(lane.source(side_by_side(4, 8))) as run:
        handles = await lane.collect(run.subgraphs)
        for n, handle in enumerate(handles):
            assert await lane.collect(handle.values) == [(n, i) for i in range(8)]
            assert await lane.output(handle) == (n, 7)


async def test_one_backlog_too_many_spoils_one_projection_only(lane: Any) -> None:
    """Beyond the run's buffer a projection raises with the number missed; the rest of the handle is good."""
    script = [
        *subgraph(
            "1",
            lambda ns: [
                *(parts.values(n, ns=ns) for n in range(9)),
                *subgraph("2", lambda inner: [parts.values("deep", ns=inner)], ns=ns),
            ],
        ),
        parts.values("end"),
    ]
    async with lane.open(lane.source(script), buffer=8) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.output(run) == "end"
        with pytest.raises(ItemsMissed) as missed:
            await lane.collect(handle.values)
        assert "9" in str(missed.value)
        assert await lane.output(handle) == 8
        (inner,) = await lane.collect(handle.subgraphs)
        assert await lane.collect(inner.values) == ["deep"]
        assert [each["event"] for each in await lane.collect(handle.lifecycle)] == ["started", "completed"]


@pytest.mark.parametrize("asks", [False, True])
async def test_the_output_of_a_handle_is_what_was_read_last(lane: Any, asks: bool) -> None:
    """Also where its snapshots wait already, and its only reader takes them as they come: questions are noted."""
    interrupts = [{"id": "i1", "value": "well?"}] if asks else []
    snapshots = [parts.values(n) for n in range(10)]
    snapshots.insert(5, parts.values("asks", interrupts=interrupts))
    script = subgraph("0", lambda ns: [{**each, "ns": ns} for each in snapshots])
    async with lane.open(lane.source(script)) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.collect(handle.values) == [*range(5), "asks", *range(5, 10)]
        assert await lane.output(handle) == 9
        assert await lane.interrupts(handle) == interrupts


async def test_the_output_of_a_handle_does_not_drain_its_siblings(lane: Any) -> None:
    """It moves the run to the end of that subgraph, counted in parts."""
    script = side_by_side(3, 4)
    async with lane.open(lane.source(script), prefetch=0) as run:
        handles = lane.cursor(run.subgraphs)
        first = await lane.next(handles)
        assert run.statistics().parts == 4
        assert await lane.output(first) == (0, 3)
        assert run.statistics().parts == 6 + 12 + 2
        second = await lane.next(handles)
        assert (first.status, second.status) == ("completed", "started")
        assert await lane.output(second) == (1, 3)
        assert run.statistics().parts == 6 + 12 + 4
        assert await lane.output(run) == "end"
        assert run.statistics().parts == len(script)


async def test_a_failed_subgraph_raises_the_text_of_its_error(lane: Any) -> None:
    """From its output and its cursors, as a RuntimeError; the run, which handled the failure, goes on."""
    script = [
        *subgraph("1", lambda ns: [parts.values("half", ns=ns)], error="ValueError('no luck')"),
        *subgraph("2", lambda ns: [parts.values("whole", ns=ns)]),
        parts.values("end"),
    ]
    async with lane.open(lane.source(script)) as run:
        handles = lane.cursor(run.subgraphs)
        failed = await lane.next(handles)
        values = lane.cursor(failed.values)
        assert await lane.next(values) == "half"
        for _ in range(2):
            with pytest.raises(SubgraphFailed, match=r"ValueError\('no luck'\)") as caught:
                await lane.output(failed)
            assert isinstance(caught.value, RuntimeError)
        with pytest.raises(SubgraphFailed):
            await lane.next(values)
        assert (failed.status, failed.error) == ("failed", "ValueError('no luck')")
        good = await lane.next(handles)
        assert await lane.output(good) == "whole"
        assert await lane.output(run) == "end"
        assert run.status == "completed"


async def test_a_failed_subgraph_that_nobody_reads_does_not_fail_the_block(lane: Any) -> None:
    """Its error was the graph's own to handle."""
    script = [*subgraph("1", lambda ns: [], error="broken"), parts.values("end")]
    async with lane.open(lane.source(script)) as run:
        (handle,) = await lane.collect(run.subgraphs)
        assert handle.status == "failed"


async def test_a_function_that_handles_its_subgraphs_error_goes_on(lane: Any) -> None:
    """The handle tells the error's text; the run completes."""

    async def graph(given: Any, writer: Any) -> str:
        try:
            async with writer.subgraph("risky") as inner:
                await inner.values("half")
                raise ValueError("no luck")
        except ValueError:
            return "recovered"

    async with lane.open(graph) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        with pytest.raises(SubgraphFailed, match="no luck"):
            await lane.output(handle)
        assert handle.error == "no luck"
        assert await lane.output(run) == "recovered"


async def test_the_projections_of_a_handle_can_be_teed(lane: Any) -> None:
    """Each branch has all items, from the subgraph's first on."""
    async with lane.open(lane.source(side_by_side(2, 5))) as run:
        handles = lane.cursor(run.subgraphs)
        for n in range(2):
            handle = await lane.next(handles)
            first, second, third = lane.tee(handle.values, 3)
            expected = [(n, i) for i in range(5)]
            assert await lane.collect(first) == expected
            assert await lane.collect(second) == expected
            assert await lane.collect(third) == expected


async def test_the_raw_log_of_a_handle_can_be_teed(lane: Any) -> None:
    """Both branches get the same event objects."""
    async with lane.open(lane.source(nest(2))) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        first, second = lane.tee(handle, 2)
        left, right = await lane.collect(first), await lane.collect(second)
        assert [event["method"] for event in left].count("values") == 3
        assert all(a is b for a, b in zip(left, right, strict=True))


async def test_the_subgraphs_can_be_teed(lane: Any) -> None:
    """Both branches show the same handles, whose projections have one reader."""
    async with lane.open(lane.source(side_by_side(3, 2))) as run:
        first, second = lane.tee(run.subgraphs, 2)
        left, right = await lane.collect(first), await lane.collect(second)
        assert len(left) == 3
        assert all(a is b for a, b in zip(left, right, strict=True))
        assert await lane.collect(left[1].values) == [(1, 0), (1, 1)]


async def test_the_projections_of_a_handle_can_be_interleaved(lane: Any) -> None:
    """In order of arrival, at any level."""
    script = subgraph(
        "1",
        lambda ns: [
            parts.values(1, ns=ns),
            parts.custom("a", ns=ns),
            *subgraph("2", lambda inner: [parts.values("deep", ns=inner), parts.custom("deep", ns=inner)], ns=ns),
            parts.custom("b", ns=ns),
            parts.values(2, ns=ns),
        ],
    )
    async with lane.open(lane.source(script), transformers=[CustomTransformer]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        items = await lane.collect(handle.interleave("values", "custom", "lifecycle", "subgraphs"))
        shown = [
            (name, item.graph_name if name == "subgraphs" else item["event"] if name == "lifecycle" else item)
            for name, item in items
        ]
        inner = next(item for name, item in items if name == "subgraphs")
        assert await lane.collect(inner.interleave("custom", "values")) == [("values", "deep"), ("custom", "deep")]
    assert [each for each in shown if each[0] in {"values", "custom"}] == [
        ("values", 1),
        ("custom", "a"),
        ("custom", "b"),
        ("values", 2),
    ]
    assert sorted(shown[2:5]) == [("lifecycle", "completed"), ("lifecycle", "started"), ("subgraphs", "sub")]


async def test_four_projections_interleave_in_order_of_arrival(lane: Any) -> None:
    """Values, messages, lifecycle and subgraphs of a run, on every lane."""

    async def graph(given: Any, writer: Any) -> None:
        await writer.values(1)
        async with writer.message() as message:
            await message.text("hello")
        async with writer.subgraph("left") as inner:
            await inner.values("inside")
        await writer.values(2)
        async with writer.message() as message:
            await message.text("bye")
        async with writer.subgraph("right"):
            pass
        await writer.values(3)

    shown: list[Any] = []
    async with lane.open(graph) as run:
        cursor = run.interleave("subgraphs", "messages", "values", "lifecycle")
        while True:
            try:
                name, item = await lane.next(cursor)
            except StopAsyncIteration:
                break
            if name == "messages":
                item = await lane.whole(item.text)
            elif name == "subgraphs":
                item = (item.graph_name, await lane.collect(item.values))
            elif name == "lifecycle":
                item = item["event"]
            shown.append((name, item))
        assert run.status == "completed"
    assert shown == [
        ("values", 1),
        ("messages", "hello"),
        ("lifecycle", "started"),
        ("subgraphs", ("left", ["inside"])),
        ("lifecycle", "completed"),
        ("values", 2),
        ("messages", "bye"),
        ("lifecycle", "started"),
        ("subgraphs", ("right", [])),
        ("lifecycle", "completed"),
        ("values", 3),
    ]


@ON_LOOPS
async def test_siblings_can_be_read_in_a_task_each(lane: Any) -> None:
    """A task per handle, started from the loop over the subgraphs, sees all of its subgraph."""
    got: dict[Any, Any] = {}

    async def drill(handle: Any) -> None:
        got[handle.path[0]] = ([value async for value in handle.values], await handle.output())

    async with open_run(lane.source(side_by_side(10, 100)), buffer=4) as run:
        async with anyio.create_task_group() as tasks:
            async for handle in run.subgraphs:
                tasks.start_soon(drill, handle)
        assert await run.output() == "end"
    assert got == {f"sub:{n}": ([(n, i) for i in range(100)], (n, 99)) for n in range(10)}


async def test_handles_stay_readable_after_the_block(lane: Any) -> None:
    """Output, status and error; only a new cursor is refused."""
    async with lane.open(lane.source(nest(2)), buffer=math.inf) as run:
        (handle,) = await lane.collect(run.subgraphs)
    assert await lane.output(handle) == "after 1"
    assert handle.status == "completed"
    with pytest.raises(RuntimeError):
        lane.cursor(handle.values)
