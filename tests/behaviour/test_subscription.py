"""Subscriptions: lazy, exclusive, and gone without a trace however their reader leaves."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Any, Self

import anyio
import pytest
from anyio.abc import ObjectReceiveStream

from anyiostream import CustomTransformer, ItemsMissed, UpdatesTransformer, open_run, parts
from anyiostream.errors import AlreadySubscribed, CursorBusy, ItemsDroppedWarning

pytestmark = pytest.mark.anyio


def subgraph(name: str, *inner: Any, outer: tuple[str, ...] = ()) -> list[Any]:
    """The parts of a subgraph called `name`: its start, what is inside, its end. `inner` gets the namespace."""
    ns = (*outer, f"{name}:id-{name}")
    return [
        parts.task_start(f"id-{name}", name, ns=outer),
        parts.task_start(f"id-step-{name}", "step", ns=ns),
        *[{**part, "ns": ns} for part in inner],
        parts.task_result(f"id-step-{name}", "step", ns=ns),
        parts.task_result(f"id-{name}", name, ns=outer),
    ]


async def test_a_channel_keeps_nothing_before_its_subscriber_comes(lane: Any, script: Any) -> None:
    """A late subscriber sees what comes after it, exactly as in lock-step, although the graph has run ahead."""
    source = script(parts.custom("early"), parts.values(1), parts.custom("late"), parts.values(2))
    async with lane.open(lane.source(source), transformers=[CustomTransformer]) as run:
        values = lane.cursor(run.values)
        assert await lane.next(values) == 1
        await anyio.wait_all_tasks_blocked()
        assert run.statistics().channels["custom"].unread == 1
        assert await lane.collect(run.custom) == ["late"]
        assert await lane.collect(values) == [2]


async def test_making_a_run_runs_nothing(lane: Any, script: Any, nothing_left: Any) -> None:
    """Nothing of the graph runs before somebody wants something of it."""
    source = script(parts.values(1))
    async with nothing_left(), lane.open(lane.source(source)) as run:
        lane.cursor(run.values)
        await anyio.wait_all_tasks_blocked()
        assert source.produced == 0
        assert run.statistics().parts == 0


async def by_break(run: Any) -> None:
    async for _ in run.values:
        break


async def by_exception(run: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async for _ in run.values:
            _ = 1 / 0


async def by_cancellation(run: Any) -> None:
    with anyio.CancelScope() as scope:
        async for _ in run.values:
            scope.cancel()
            await anyio.sleep_forever()


async def by_garbage_collection(run: Any) -> None:
    cursor = aiter(run.values)
    await anext(cursor)
    cycle = [cursor]
    cycle.append(cycle)  # type: ignore[arg-type]
    del cursor, cycle
    gc.collect()


async def by_garbage_collection_in_a_thread(run: Any) -> None:
    cursors = [aiter(run.values)]
    await anext(cursors[0])
    thread = threading.Thread(target=cursors.clear)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)


async def by_aclose(run: Any) -> None:
    cursor = aiter(run.values)
    await anext(cursor)
    await cursor.aclose()
    await cursor.aclose()


async def by_async_with(run: Any) -> None:
    async with aiter(run.values) as cursor:
        await anext(cursor)


WAYS = [
    by_break,
    by_exception,
    by_cancellation,
    by_garbage_collection,
    by_garbage_collection_in_a_thread,
    by_aclose,
    by_async_with,
]


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
async def test_leaving_frees_the_buffer_and_no_longer_stalls_the_run(leave: Any, script: Any) -> None:
    """However a reader leaves, its channel keeps nothing any more and exerts no backpressure."""
    source = script(*[parts.values(n) for n in range(50)])
    async with open_run(source.agen(), buffer=1) as run:
        await leave(run)
        await anyio.wait_all_tasks_blocked()
        figures = run.statistics().channels["values"]
        assert (figures.readers, figures.depth, figures.waiting) == (0, 0, 0)
        assert await run.output() == 49


@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
async def test_leaving_wakes_whoever_waits_for_the_stalled_run(leave: Any, script: Any) -> None:
    """A run that stalls because of a full channel goes on when that channel's reader leaves."""
    source = script(*[parts.values(n) for n in range(50)])
    outputs: list[Any] = []
    async with open_run(source.agen(), buffer=1) as run, anyio.create_task_group() as tasks:

        async def wait_for_output() -> None:
            outputs.append(await run.output())

        async def stalled() -> None:
            tasks.start_soon(wait_for_output)
            await anyio.wait_all_tasks_blocked()
            assert run.statistics().outbox == 1
            assert outputs == []

        first = StallFirst(run, stalled)
        await leave(first)
        del first
    assert outputs == [49]


class StallFirst:
    """A run whose `values` cursor, when it has been advanced once, lets the run stall."""

    def __init__(self, run: Any, stall: Any) -> None:
        self._run = run
        self._stall = stall

    @property
    def values(self) -> Any:
        """As the run's, with a cursor that stalls after its first item."""
        return self

    def __aiter__(self) -> StallCursor:
        return StallCursor(aiter(self._run.values), self._stall)


class StallCursor:
    """A cursor that stalls the run after its first item."""

    def __init__(self, cursor: Any, stall: Any) -> None:
        self._cursor = cursor
        self._stall = stall

    def __aiter__(self) -> StallCursor:
        return self

    async def __anext__(self) -> Any:
        item = await anext(self._cursor)
        await self._stall()
        return item

    async def aclose(self) -> None:
        """As the cursor's."""
        await self._cursor.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


async def test_leaving_on_the_sync_lane_frees_the_buffer(script: Any) -> None:
    """A `for` loop that is left by `break`, a closed cursor, and a dropped one no longer stall the run."""

    def by_break(run: Any) -> None:
        for _ in run.values:
            break

    def by_close(run: Any) -> None:
        cursor = iter(run.values)
        next(cursor)
        cursor.close()

    def by_drop(run: Any) -> None:
        next(iter(run.values))

    def by_with(run: Any) -> None:
        with iter(run.values) as cursor:
            next(cursor)

    for leave in (by_break, by_close, by_drop, by_with):
        with open_run(script(*[parts.values(n) for n in range(50)]).gen(), buffer=1) as run:
            leave(run)
            assert run.statistics().channels["values"].readers == 0
            assert run.output == 49


async def test_a_cursor_may_be_left_and_taken_up_again(lane: Any, script: Any) -> None:
    """A cursor kept in a variable survives `break`: its `__aiter__` is itself."""
    source = script(*[parts.values(n) for n in range(6)])
    async with lane.open(lane.source(source)) as run:
        cursor = lane.cursor(run.values)
        assert await lane.take(cursor, 2) == [0, 1]
        assert lane.cursor(cursor) is cursor
        assert await lane.collect(cursor) == [2, 3, 4, 5]


async def test_an_async_cursor_is_an_object_receive_stream(script: Any) -> None:
    """It can be given to whatever takes an AnyIO stream; its end is `EndOfStream`."""
    async with open_run(script(parts.values(1), parts.values(2)).agen()) as run:
        cursor = aiter(run.values)
        assert isinstance(cursor, ObjectReceiveStream)
        assert [await cursor.receive(), await cursor.receive()] == [1, 2]
        with pytest.raises(anyio.EndOfStream):
            await cursor.receive()


async def test_a_second_subscription_is_refused(lane: Any, script: Any) -> None:
    """While there is a reader, and after it has left: the message names the fan-out of the lane."""
    async with lane.open(lane.source(script(parts.values(1), parts.values(2)))) as run:
        cursor = lane.cursor(run.values)
        with pytest.raises(AlreadySubscribed, match=rf"\.{lane.fan_out}\(n\)"):
            lane.cursor(run.values)
        with pytest.raises(AlreadySubscribed):
            lane.tee(run.values, 2)
        assert await lane.next(cursor) == 1
        await lane.leave(cursor)
        with pytest.raises(AlreadySubscribed, match="left"):
            lane.cursor(run.values)


async def test_two_tasks_cannot_wait_on_one_cursor(script: Any) -> None:
    """The second one is told so, and the first is not harmed."""
    release = anyio.Event()
    source = script(release.wait, parts.values(1))
    got: list[Any] = []
    async with open_run(source.agen()) as run, anyio.create_task_group() as tasks:
        cursor = aiter(run.values)

        async def read() -> None:
            got.append(await anext(cursor))

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(CursorBusy):
            await anext(cursor)
        release.set()
    assert got == [1]


async def test_subscribing_to_a_finished_channel_that_dropped_items_warns(lane: Any, script: Any) -> None:
    """The warning says how many items passed by unread, and points at the caller."""
    source = script(*[parts.values(n) for n in range(7)])
    async with lane.open(lane.source(source)) as run:
        assert await lane.output(run) == 6
        with pytest.warns(ItemsDroppedWarning, match=r"\b7 item") as caught:
            assert await lane.collect(run.values) == []
        assert issubclass(ItemsDroppedWarning, UserWarning)
        assert len(caught) == 1


async def test_subscribing_to_a_finished_channel_that_dropped_nothing_is_silent(lane: Any, script: Any) -> None:
    """An empty channel is just empty."""
    async with lane.open(lane.source(script(parts.values(1)))) as run:
        await lane.output(run)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert await lane.collect(run.lifecycle) == []


async def test_the_body_of_the_loop_over_subgraphs_sees_the_subgraph_from_its_first_event(
    lane: Any, script: Any
) -> None:
    """What a handle's body subscribes to has everything since the subgraph's birth."""
    one = [parts.values({"n": n}) for n in range(3)]
    source = script(*subgraph("a", *one), *subgraph("b", *one), parts.values("end"))
    seen: dict[Any, list[Any]] = {}
    async with lane.open(lane.source(source)) as run:
        for handle in [] if lane.is_async else run.subgraphs:
            seen[handle.path] = await lane.collect(handle.values)
        if lane.is_async:
            async for handle in run.subgraphs:
                seen[handle.path] = await lane.collect(handle.values)
        assert await lane.output(run) == "end"
    assert seen == {("a:id-a",): [part["data"] for part in one], ("b:id-b",): [part["data"] for part in one]}


async def test_a_handle_keeps_its_first_items_whoever_pumps(script: Any) -> None:
    """A handle taken long after its subgraph has ended still has what fits its bound, and its output."""
    source = script(*subgraph("a", *[parts.values(n) for n in range(4)]), parts.values("end"))
    async with open_run(source.agen(), buffer=4) as run:
        handles = aiter(run.subgraphs)
        assert await run.output() == "end"
        handle = await anext(handles)
        assert handle.status == "completed"
        assert [value async for value in handle.values] == [0, 1, 2, 3]
        assert await handle.output() == 3


async def test_a_handles_backlog_that_overflows_is_dropped_and_says_so(lane: Any, script: Any) -> None:
    """Beyond the bound nothing stalls: iterating that projection raises `ItemsMissed`, everything else is good."""
    inner = [*[parts.values(n) for n in range(5)], parts.custom("c")]
    source = script(*subgraph("a", *inner), parts.values("end"))
    async with lane.open(lane.source(source), buffer=4, transformers=[CustomTransformer]) as run:
        handles = lane.cursor(run.subgraphs)
        assert await lane.output(run) == "end"
        handle = await lane.next(handles)
        with pytest.raises(ItemsMissed) as caught:
            lane.cursor(handle.values)
        assert caught.value.count == 5
        assert await lane.output(handle) == 4
        assert await lane.collect(handle.custom) == ["c"]


async def test_a_handles_backlog_is_freed_by_overflow(script: Any) -> None:
    """What has been missed is not kept."""
    source = script(*subgraph("a", *[parts.values(n) for n in range(100)]), parts.values("end"))
    async with open_run(source.agen(), buffer=4) as run:
        handles = aiter(run.subgraphs)
        await run.output()
        handle = await anext(handles)
        figures = handle.statistics().channels["values"]
        assert (figures.depth, figures.dropped) == (0, 100)


async def test_a_handles_raw_log_is_not_kept(script: Any) -> None:
    """Only projections are: the raw log has what comes after the subscription, as the root's does."""
    source = script(*subgraph("a", *[parts.values(n) for n in range(3)]), parts.values("end"))
    async with open_run(source.agen()) as run:
        handles = aiter(run.subgraphs)
        await run.output()
        handle = await anext(handles)
        assert handle.statistics().channels["events"].depth == 0


async def test_a_nested_handle_keeps_its_first_items_as_well(lane: Any, script: Any) -> None:
    """Handles of handles see their subgraph from its first event."""
    ns = ("a:id-a",)
    inner = subgraph("b", parts.values("deep"), outer=ns)
    source = script(
        parts.task_start("id-a", "a"),
        parts.task_start("id-step", "step", ns=ns),
        *inner,
        parts.values("shallow", ns=ns),
        parts.task_result("id-a", "a"),
    )
    async with lane.open(lane.source(source)) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        nested = await lane.next(lane.cursor(handle.subgraphs))
        assert nested.path == ("a:id-a", "b:id-b")
        assert await lane.collect(nested.values) == ["deep"]
        assert await lane.output(nested) == "deep"
        assert await lane.output(handle) == "shallow"


async def test_nothing_is_dispatched_between_a_handles_birth_and_its_reader(script: Any) -> None:
    """While a reader is parked on `subgraphs`, the pump halts at each handle until it has been taken."""
    first = subgraph("a", *[parts.values(n) for n in range(3)])
    source = script(*first, *subgraph("b", *[parts.values(n) for n in range(3)]), parts.values("end"))
    dispatched: list[int] = []
    async with open_run(source.agen(), buffer=2) as run, anyio.create_task_group() as tasks:

        async def read_subgraphs() -> None:
            async for _ in run.subgraphs:
                dispatched.append(run.statistics().parts)

        tasks.start_soon(read_subgraphs)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(run.output)
    assert dispatched == [2, len(first) + 2]


async def test_a_reader_of_subgraphs_that_is_cancelled_lifts_the_barrier(script: Any) -> None:
    """If the reader leaves instead of taking the handle, the run goes on."""
    source = script(*subgraph("a", parts.values(1)), parts.values("end"))
    async with open_run(source.agen(), prefetch=0) as run, anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def read_subgraphs() -> None:
            with scope:
                async for _ in run.subgraphs:
                    pass

        async def cancel_when_started() -> None:
            async for _ in lifecycle:
                scope.cancel()

        lifecycle = aiter(run.lifecycle)
        tasks.start_soon(read_subgraphs)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(cancel_when_started)
        assert await run.output() == "end"


@pytest.mark.parametrize("when", ["inside the block", "after the block", "after an error"])
async def test_a_forgotten_cursor_is_no_leak_to_warn_about(lane: Any, script: Any, when: str) -> None:
    """A cursor that is garbage together with its unread items, in whatever order, causes no `ResourceWarning`."""

    async def application() -> None:
        error = [ValueError()] if when == "after an error" else []
        async with lane.open(lane.source(script(*[parts.values(n) for n in range(3)], *error))) as run:
            cursor = lane.cursor(run.values)
            cycle = [cursor, run]
            cycle.append(cycle)
            try:
                await lane.output(run)
            except ValueError as exc:
                cycle.append(exc)
            if when == "inside the block":
                del cursor, cycle, run
                gc.collect()

    await application()
    gc.collect()
    await anyio.lowlevel.checkpoint()
    gc.collect()


CURSORS = {
    "cursor": lambda run: aiter(run.updates),
    "branch": lambda run: run.updates.atee(2)[0],
    "interleave": lambda run: aiter(run.interleave("updates", "values")),
    "raw log": aiter,
}


@pytest.mark.parametrize("kind", CURSORS)
async def test_closing_a_cursor_ends_the_wait_for_it(kind: str) -> None:
    """In another task, at once: an aborted run would never wake that one up."""

    async def graph(_: Any) -> AsyncIterator[Any]:
        await anyio.sleep_forever()
        yield

    ended = []

    async def wait(cursor: Any) -> None:
        ended.append([item async for item in cursor])

    async with open_run(graph, transformers=[UpdatesTransformer]) as run, anyio.create_task_group() as tasks:
        cursor = CURSORS[kind](run)
        tasks.start_soon(wait, cursor)
        await anyio.wait_all_tasks_blocked()
        await cursor.aclose()
        await anyio.wait_all_tasks_blocked()
        assert ended == [[]]
        await run.abort()


async def test_two_tasks_that_share_a_cursor_get_an_item_each(script: Any) -> None:
    """Both go for the first, and let others run before they take it: the one that comes too late waits for the next."""
    source = script(*[part for n in range(3) for part in (parts.updates({"n": n}), parts.custom(n))])
    taken: list[Any] = []

    async def take(cursor: Any) -> None:
        taken.append(await anext(cursor))

    transformers = [UpdatesTransformer, CustomTransformer]
    async with open_run(source.agen(), transformers=transformers, checkpoint_every=1) as run:
        updates, custom = aiter(run.updates), aiter(run.custom)
        assert await anext(custom) == 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, updates)
            tasks.start_soon(take, updates)
        assert taken == [{"n": 0}, {"n": 1}]
