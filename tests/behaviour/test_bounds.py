"""Bounds: no channel holds more than it may, and what does not fit waits with its producer."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream import (
    BackpressureDeadlock,
    ChannelFull,
    CustomTransformer,
    StreamChannel,
    StreamTransformer,
    UpdatesTransformer,
    open_run,
    parts,
)

pytestmark = pytest.mark.anyio

MANY = 20_000


def fan_out(count: int, **options: Any) -> Any:
    """A transformer class that pushes `count` items for each custom event to its channel `fanned`."""

    class FanOut(StreamTransformer):
        def __init__(self, scope: Any = ()) -> None:
            super().__init__(scope)
            self.channel: StreamChannel[Any] = StreamChannel(**options)
            self.depths: list[int] = []

        required_stream_modes = ("custom",)

        def init(self) -> dict[str, Any]:
            return {"fanned": self.channel, "depths": self.depths}

        def process(self, event: Any) -> bool:
            if event["method"] == "custom":
                for n in range(count):
                    self.channel.push((event["params"]["data"], n))
                    self.depths.append(self.channel.statistics().depth)
            return True

    return FanOut


def scheduling(work: Any, **options: Any) -> Any:
    """A transformer class that schedules `work(channel)` at the first event, with a channel called `scheduled`."""

    class Scheduling(StreamTransformer):
        requires_async = True

        def __init__(self, scope: Any = ()) -> None:
            super().__init__(scope)
            self.channel: StreamChannel[Any] = StreamChannel(**options)
            self.tasks: list[Any] = []

        def init(self) -> dict[str, Any]:
            return {"scheduled": self.channel, "tasks_of_mine": self.tasks}

        def process(self, event: Any) -> bool:
            if not self.tasks:
                self.tasks.append(self.schedule(work(self.channel), on_error="raise"))
            return True

    return Scheduling


async def test_a_channel_never_holds_more_than_its_bound_at_any_push(lane: Any, script: Any) -> None:
    """What one event fans out beyond the bound waits, in order, and the buffer never exceeds `maxlen`."""
    source = script(*[parts.custom(n) for n in range(20)])
    async with lane.open(lane.source(source), transformers=[fan_out(10, maxlen=3)]) as run:
        items = await lane.collect(run.extensions["fanned"])
        assert items == [(part, n) for part in range(20) for n in range(10)]
        assert max(run.extensions["depths"]) == 3


async def test_what_was_dropped_and_the_peak_stay_counted_after_the_reader_has_left(lane: Any, script: Any) -> None:
    """`peak` and `dropped` tell of the whole run, also when the cursor is gone."""
    source = script(*[parts.custom(n) for n in range(10)])
    async with lane.open(lane.source(source), transformers=[fan_out(1, maxlen=3, overflow="drop_oldest")]) as run:
        cursor = lane.cursor(run.extensions["fanned"])
        await lane.output(run)
        await lane.leave(cursor)
        figures = run.statistics().channels["fanned"]
        assert (figures.peak, figures.dropped) == (3, 7)


async def test_the_runs_buffer_is_the_default_bound_of_every_channel(lane: Any, script: Any) -> None:
    """Channels that name no bound have the run's `buffer`, 64 unless given; a channel's own bound counts first."""
    for options, bound in (({}, 64), ({"buffer": 5}, 5)):
        transformers = [fan_out(1), UpdatesTransformer]
        async with lane.open(lane.source(script()), transformers=transformers, **options) as run:
            figures = run.statistics().channels
            assert {channel.maxlen for channel in figures.values()} == {bound}
    async with lane.open(lane.source(script()), transformers=[fan_out(1, maxlen=7)]) as run:
        assert run.statistics().channels["fanned"].maxlen == 7


async def test_no_further_part_is_dispatched_before_an_events_items_have_found_room(lane: Any, script: Any) -> None:
    """Ten items of one event in a buffer of three: seven wait, and no part is dispatched until all have been taken."""
    source = script(*[parts.custom(n) for n in range(3)])
    async with lane.open(lane.source(source), transformers=[fan_out(10, maxlen=3)]) as run:
        cursor = lane.cursor(run.extensions["fanned"])
        for taken in range(1, 11):
            assert await lane.next(cursor) == (0, taken - 1)
            figures = run.statistics()
            assert figures.parts == 1
            assert figures.outbox == max(0, 10 - 3 - taken)
        assert await lane.next(cursor) == (1, 0)
        assert run.statistics().parts == 2


async def test_a_push_to_a_full_channel_returns_at_once(lane: Any, script: Any) -> None:
    """`push` never waits: a hook that pushes far beyond the bound has returned before anybody reads."""
    source = script(parts.custom("only"), parts.values("after"))
    async with lane.open(lane.source(source), transformers=[fan_out(500, maxlen=1), CustomTransformer]) as run:
        fanned = lane.cursor(run.extensions["fanned"])
        assert await lane.next(lane.cursor(run.custom)) == "only"
        figures = run.statistics().channels["fanned"]
        assert (figures.depth, figures.waiting) == (1, 499)
        assert [n for _, n in await lane.take(fanned, 500)] == list(range(500))


async def test_a_scheduled_task_may_push_as_many_items_as_fit_twice() -> None:
    """A scheduled task may have `maxlen` items waiting; the push after that raises `ChannelFull`."""
    refused: list[ChannelFull] = []
    pushed: list[int] = []

    async def work(channel: StreamChannel[Any]) -> None:
        try:
            for n in range(10):
                channel.push(n)
                pushed.append(n)
        except ChannelFull as exc:
            refused.append(exc)

    async with open_run([parts.values(1)], transformers=[scheduling(work, maxlen=2)]) as run:
        cursor = aiter(run.extensions["scheduled"])
        assert await anext(aiter(run.values)) == 1
        await anyio.wait_all_tasks_blocked()
        assert pushed == [0, 1, 2, 3]
        assert len(refused) == 1
        assert "send" in str(refused[0])
        assert isinstance(refused[0], RuntimeError)
        figures = run.statistics().channels["scheduled"]
        assert (figures.depth, figures.waiting, figures.peak) == (2, 2, 2)
        assert [item async for item in cursor] == [0, 1, 2, 3]


async def test_send_waits_until_the_item_has_found_room() -> None:
    """`await send` returns when its item is in the buffer, so a scheduled task may produce any number of items."""
    sent: list[int] = []

    async def work(channel: StreamChannel[Any]) -> None:
        for n in range(50):
            await channel.send(n)
            sent.append(n)

    async with open_run([parts.values(1)], transformers=[scheduling(work, maxlen=2)]) as run:
        cursor = aiter(run.extensions["scheduled"])
        assert await anext(aiter(run.values)) == 1
        await anyio.wait_all_tasks_blocked()
        assert sent == [0, 1]
        assert await anext(cursor) == 0
        await anyio.wait_all_tasks_blocked()
        assert sent == [0, 1, 2]
        assert run.statistics().channels["scheduled"].peak == 2
        assert [item async for item in cursor] == list(range(1, 50))


async def test_a_cancelled_send_adds_nothing() -> None:
    """If `send` is cancelled while it waits for room, its item never appears, even if there is room in that turn."""
    scope = anyio.CancelScope()

    async def work(channel: StreamChannel[Any]) -> None:
        await channel.send("first")
        with scope:
            await channel.send("given up")
        assert scope.cancelled_caught
        await channel.send("last")

    for room_at_once in (False, True):
        scope = anyio.CancelScope()
        async with open_run([parts.values(1)], transformers=[scheduling(work, maxlen=1)]) as run:
            cursor = aiter(run.extensions["scheduled"])
            assert await anext(aiter(run.values)) == 1
            await anyio.wait_all_tasks_blocked()
            assert run.extensions["scheduled"].statistics().waiting == 1
            scope.cancel()
            if not room_at_once:
                await anyio.wait_all_tasks_blocked()
            assert [item async for item in cursor] == ["first", "last"]


async def test_a_scheduled_task_is_done_only_when_what_it_pushed_has_found_room() -> None:
    """A task that has returned still counts as scheduled while items of its wait, and the run does not end."""

    async def work(channel: StreamChannel[Any]) -> None:
        for n in range(4):
            channel.push(n)

    async with open_run([parts.values(1)], transformers=[scheduling(work, maxlen=2)]) as run:
        cursor = aiter(run.extensions["scheduled"])
        assert await anext(aiter(run.values)) == 1
        await anyio.wait_all_tasks_blocked()
        await checkpoint()  # it has returned by now; let the run take note
        (task,) = run.extensions["tasks_of_mine"]
        assert not task.done()
        assert run.statistics().scheduled == 1
        assert await anext(cursor) == 0
        assert not task.done()
        assert await anext(cursor) == 1
        assert task.done()
        assert run.statistics().scheduled == 0
        assert [item async for item in cursor] == [2, 3]
        assert await run.output() == 1


@pytest.mark.parametrize(
    ("overflow", "maxlen", "left", "dropped"),
    [("drop_oldest", 3, [7, 8, 9], 7), ("drop_oldest", 1, [9], 9), ("drop_newest", 3, [0, 1, 2], 7)],
)
async def test_overflow_policies_that_drop_never_stall_the_run(
    lane: Any, script: Any, overflow: str, maxlen: int, left: list[int], dropped: int
) -> None:
    """`drop_oldest` keeps the latest items, `drop_newest` the first ones; drops are counted."""
    source = script(*[parts.custom(n) for n in range(10)], parts.values("end"))
    transformer = fan_out(1, maxlen=maxlen, overflow=overflow)
    async with lane.open(lane.source(source), transformers=[transformer]) as run:
        cursor = lane.cursor(run.extensions["fanned"])
        assert await lane.output(run) == "end"
        figures = run.statistics().channels["fanned"]
        assert (figures.overflow, figures.dropped, figures.peak) == (overflow, dropped, maxlen)
        assert [data for data, _ in await lane.collect(cursor)] == left


async def test_overflow_fail_makes_the_push_raise(lane: Any, script: Any) -> None:
    """With `"fail"` a push to a full channel raises `ChannelFull`, which fails the run after its items."""
    source = script(*[parts.custom(n) for n in range(10)])
    async with lane.open(lane.source(source), transformers=[fan_out(1, maxlen=3, overflow="fail")]) as run:
        cursor = lane.cursor(run.extensions["fanned"])
        with pytest.raises(ChannelFull):
            await lane.output(run)
        assert run.status == "failed"
        assert await lane.take(cursor, 3) == [(0, 0), (1, 0), (2, 0)]
        with pytest.raises(ChannelFull):
            await lane.next(cursor)


async def test_overflow_wait_is_the_default(lane: Any, script: Any) -> None:
    """With `"wait"` nothing is dropped."""
    source = script(*[parts.custom(n) for n in range(100)])
    async with lane.open(lane.source(source), transformers=[fan_out(1, maxlen=1)]) as run:
        assert len(await lane.collect(run.extensions["fanned"])) == 100
        figures = run.statistics().channels["fanned"]
        assert (figures.overflow, figures.dropped) == ("wait", 0)


async def test_channels_that_nobody_reads_exert_no_backpressure(lane: Any, script: Any) -> None:
    """A great many parts pass by unsubscribed channels, which keep nothing and count what passed."""
    source = script(*[parts.custom(n) for n in range(MANY)], parts.values("end"))
    async with lane.open(lane.source(source), transformers=[CustomTransformer]) as run:
        assert await lane.output(run) == "end"
        figures = run.statistics().channels["custom"]
        assert (figures.depth, figures.peak, figures.unread) == (0, 0, MANY)


async def test_one_cursor_that_nobody_reads_stalls_a_great_run_at_the_bound(script: Any) -> None:
    """A subscribed cursor that is never advanced stops the graph within `buffer` and `prefetch`; leaving frees it."""
    source = script(*[parts.custom(n) for n in range(MANY)], parts.values("end"))
    outputs: list[Any] = []

    async with open_run(source.agen(), transformers=[CustomTransformer]) as run, anyio.create_task_group() as tasks:
        cursor = aiter(run.custom)

        async def wait_for_output() -> None:
            outputs.append(await run.output())

        tasks.start_soon(wait_for_output)
        await anyio.wait_all_tasks_blocked()
        figures = run.statistics()
        assert figures.channels["custom"].depth == figures.channels["custom"].peak == 64
        assert figures.channels["custom"].waiting == 1
        assert figures.parts == 65
        assert figures.inbox <= 32
        assert source.produced <= 65 + 33
        assert outputs == []
        await cursor.aclose()
    assert outputs == ["end"]


async def test_on_the_sync_lane_a_cursor_that_nobody_reads_stalls_a_great_run_at_the_bound(script: Any) -> None:
    """On the sync lane the stall is found at the bound, not when memory has run out."""
    source = script(*[parts.custom(n) for n in range(MANY)], parts.values("end"))
    with open_run(source.gen(), transformers=[CustomTransformer]) as run:
        cursor = iter(run.custom)
        with pytest.raises(BackpressureDeadlock):
            _ = run.output
        assert run.statistics().channels["custom"].depth == 64
        assert source.produced == 65
        cursor.close()
        assert run.output == "end"


async def test_an_infinite_bound_has_to_be_asked_for(lane: Any, script: Any) -> None:
    """`buffer=math.inf` buffers everything, and so does a channel whose own `maxlen` is `math.inf`."""
    source = script(*[parts.values(n) for n in range(500)])
    async with lane.open(lane.source(source), buffer=math.inf) as run:
        cursor = lane.cursor(run.values)
        assert await lane.output(run) == 499
        assert await lane.collect(cursor) == list(range(500))
    source = script(*[parts.custom(n) for n in range(500)])
    async with lane.open(lane.source(source), transformers=[fan_out(1, maxlen=math.inf)]) as run:
        cursor = lane.cursor(run.extensions["fanned"])
        await lane.output(run)
        assert len(await lane.collect(cursor)) == 500


async def test_the_fullest_branch_of_a_tee_paces_the_run(lane: Any, script: Any) -> None:
    """Each branch has a buffer of its own, bounded alike; a branch that leaves no longer counts."""
    source = script(*[parts.values(n) for n in range(100)])
    async with lane.open(lane.source(source), buffer=4) as run:
        first, second = lane.tee(run.values, 2, maxlen=8)
        assert await lane.take(first, 8) == list(range(8))
        assert run.statistics().channels["values"].depth == 8
        assert run.statistics().channels["values"].readers == 2
        await lane.leave(second)
        assert run.statistics().channels["values"].readers == 1
        assert await lane.collect(first) == list(range(8, 100))
        assert run.statistics().channels["values"].peak <= 8


async def test_the_raw_log_is_bounded_like_any_channel(script: Any) -> None:
    """A raw log that is subscribed and not read stalls the run at the bound."""
    source = script(*[parts.custom(n) for n in range(100)])
    async with open_run(source.agen(), buffer=4) as run, anyio.create_task_group() as tasks:
        log = aiter(run)
        tasks.start_soon(run.output)
        await anyio.wait_all_tasks_blocked()
        assert run.statistics().channels["events"].depth == 4
        assert run.statistics().parts == 5
        assert [event["params"]["data"] async for event in log] == list(range(100))
