"""A stall that only the waiting task itself could end is an error; any other stall is none, or is logged."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest
import trio

from anyiostream import BackpressureDeadlock, CustomTransformer, StreamChannel, StreamTransformer, open_run, parts
from anyiostream.errors import RunWaitsForItself

from ..waiting import impatience

pytestmark = pytest.mark.anyio

SNAPSHOTS = [parts.values(n) for n in range(10)]


def ways_out(error: BackpressureDeadlock, full: str, waits_for: str) -> None:
    """The message names both parties, and what to do."""
    text = str(error)
    assert f"'{full}'" in text
    assert waits_for in text
    for remedy in ("two tasks", "tee", "buffer", "overflow"):
        assert remedy in text
    assert isinstance(error, RuntimeError)


async def test_waiting_for_one_channel_while_another_of_ones_own_is_full_raises(lane: Any, script: Any) -> None:
    """The error names the full channel and what the task waits for; run and cursors are as good as before."""
    source = script(*SNAPSHOTS, parts.custom("c"))
    async with lane.open(lane.source(source), buffer=4, transformers=[CustomTransformer]) as run:
        values, custom = lane.cursor(run.values), lane.cursor(run.custom)
        assert await lane.next(values) == 0
        for _ in range(2):
            with pytest.raises(BackpressureDeadlock) as caught:
                await lane.next(custom)
            ways_out(caught.value, "values", "'custom'")
        assert run.status == "running"
        assert await lane.take(values, 9) == list(range(1, 10))
        assert await lane.next(custom) == "c"
        assert await lane.output(run) == 9
    assert source.closed == 1


async def test_waiting_for_the_output_while_a_channel_of_ones_own_is_full_raises(lane: Any, script: Any) -> None:
    """`output()` is something that a task can wait for in vain, too."""
    source = script(*SNAPSHOTS)
    async with lane.open(lane.source(source), buffer=4) as run:
        values = lane.cursor(run.values)
        assert await lane.next(values) == 0
        with pytest.raises(BackpressureDeadlock) as caught:
            await lane.output(run)
        ways_out(caught.value, "values", "output()")
        assert await lane.take(values, 9) == list(range(1, 10))
        assert await lane.output(run) == 9


async def test_leaving_the_full_channel_is_a_way_out(lane: Any, script: Any) -> None:
    """After the error, ending the full subscription lets the run go on."""
    source = script(*SNAPSHOTS)
    async with lane.open(lane.source(source), buffer=4) as run:
        values = lane.cursor(run.values)
        await lane.next(values)
        with pytest.raises(BackpressureDeadlock):
            await lane.output(run)
        await lane.leave(values)
        assert await lane.output(run) == 9


async def test_the_sync_lane_raises_at_once_even_for_a_cursor_never_advanced(script: Any) -> None:
    """Nobody else could advance it there, so the deadlock is certain."""
    source = script(*SNAPSHOTS)
    with open_run(source.gen(), buffer=4) as run:
        values = iter(run.values)
        with pytest.raises(BackpressureDeadlock, match=r"channel 'values'"):
            _ = run.output
        assert run.statistics().parts == 5
        assert list(values) == list(range(10))
        assert run.output == 9


async def test_interleaved_channels_count_as_read_by_the_task_that_interleaves_them(lane: Any, script: Any) -> None:
    """The reader of an interleaved channel is the task that last advanced the interleaving."""
    source = script(*SNAPSHOTS)
    async with lane.open(lane.source(source), buffer=4, transformers=[CustomTransformer]) as run:
        cursor = run.interleave("values", "custom")
        assert await lane.next(cursor) == ("values", 0)
        with pytest.raises(BackpressureDeadlock, match="'values'"):
            await lane.output(run)
        assert await lane.take(cursor, 9) == [("values", n) for n in range(1, 10)]


async def test_a_tee_branch_that_its_reader_neglects_raises(lane: Any, script: Any) -> None:
    """One task that drains one branch only is told so."""
    source = script(*SNAPSHOTS)
    async with lane.open(lane.source(source), buffer=4) as run:
        first, second = lane.tee(run.values, 2)
        assert await lane.next(second) == 0
        with pytest.raises(BackpressureDeadlock, match="'values'"):
            await lane.collect(first)
        assert await lane.collect(second) == list(range(1, 10))


@pytest.mark.parametrize("branches", [1, 2])
async def test_a_cursor_that_is_handed_over_is_read_by_who_took_the_last_item(branches: int, script: Any) -> None:
    """That holds for items that were there already, too; whoever had the cursor before may wait for anything."""
    async with open_run(script(*SNAPSHOTS).agen(), buffer=4) as run, anyio.create_task_group() as tasks:
        cursor = run.values.atee(branches)[0]
        tasks.start_soon(run.output)
        await anyio.wait_all_tasks_blocked()
        taken, taken_over, told = anyio.Event(), anyio.Event(), anyio.Event()

        async def hand_over() -> None:
            assert await anext(cursor) == 0
            taken.set()
            await taken_over.wait()
            await run.output()

        async def take_over() -> None:
            assert await anext(cursor) == 1
            taken_over.set()
            with pytest.raises(BackpressureDeadlock) as caught:
                await run.output()
            ways_out(caught.value, "values", "output()")
            told.set()

        tasks.start_soon(hand_over)
        await taken.wait()
        tasks.start_soon(take_over)
        await told.wait()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_with_a_finite_deadline_a_stall_is_no_error(script: Any) -> None:
    """A task that will leave by itself is left in peace, and loses nothing."""
    source = script(*SNAPSHOTS, parts.custom("c"))
    async with open_run(source.agen(), buffer=4, transformers=[CustomTransformer]) as run:
        values, custom = aiter(run.values), aiter(run.custom)
        assert await anext(values) == 0
        async with impatience() as scope:
            await anext(custom)
        assert scope.cancelled_caught
        assert [await anext(values) for _ in range(9)] == list(range(1, 10))
        assert await anext(custom) == "c"


async def test_a_reader_in_another_task_that_is_busy_elsewhere_is_no_deadlock(script: Any) -> None:
    """If the full channel's reader waits for something outside the run, the run just waits for it."""
    source = script(*SNAPSHOTS)
    go_on = anyio.Event()
    seen: list[Any] = []

    async with open_run(source.agen(), buffer=2) as run:

        async def slow() -> None:
            async for value in run.values:
                seen.append(value)
                if value == 0:
                    await go_on.wait()

        async def release() -> None:
            await anyio.wait_all_tasks_blocked()
            assert seen == [0]
            assert run.statistics().channels["values"].depth == 2
            go_on.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slow)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(release)
            assert await run.output() == 9
    assert seen == list(range(10))


async def test_two_tasks_that_read_two_channels_never_deadlock(script: Any) -> None:
    """The recommended way out works: each channel in a task of its own, whatever the bound."""
    source = script(*[part for n in range(200) for part in (parts.values(n), parts.custom(n))])
    collected: dict[str, list[Any]] = {"values": [], "custom": []}
    async with open_run(source.agen(), buffer=1, transformers=[CustomTransformer]) as run:
        cursors = {name: aiter(run.extensions[name]) for name in collected}

        async def read(name: str) -> None:
            async for item in cursors[name]:
                collected[name].append(item)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, "values")
            tasks.start_soon(read, "custom")
    assert collected == {"values": list(range(200)), "custom": list(range(200))}


async def test_only_the_task_whose_own_channel_is_full_gets_the_error(script: Any) -> None:
    """Another task that waits at the same time is not bothered, and goes on when the first has made room."""
    source = script(*SNAPSHOTS)
    outputs: list[Any] = []
    async with open_run(source.agen(), buffer=2) as run, anyio.create_task_group() as tasks:
        values = aiter(run.values)
        assert await anext(values) == 0

        async def bystander() -> None:
            outputs.append(await run.output())

        tasks.start_soon(bystander)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BackpressureDeadlock):
            await run.output()
        assert outputs == []
        assert [value async for value in values] == list(range(1, 10))
    assert outputs == [9]


async def stalls_are_logged(party: str, caplog: pytest.LogCaptureFixture, script: Any, pause: Any) -> None:
    """Stall a run for more than a second, and see it logged once with its parties."""
    source = script(*SNAPSHOTS)
    async with open_run(source.agen(), buffer=4) as run, anyio.create_task_group() as tasks:
        values = aiter(run.values)

        async def advance() -> None:
            await anext(values)

        if party == "reader ended":
            async with anyio.create_task_group() as brief:
                brief.start_soon(advance)
        tasks.start_soon(run.output)
        await anyio.wait_all_tasks_blocked()
        assert not caplog.records
        await pause()
        (record,) = caplog.records
        assert "'values'" in record.getMessage()
        assert "output()" in record.getMessage()
        assert record.levelno == logging.WARNING
        await values.aclose()


@pytest.mark.trio
@pytest.mark.parametrize("party", ["never advanced", "reader ended"])
async def test_an_uncertain_stall_is_logged_after_a_second_on_trio(
    autojump_clock: trio.testing.MockClock, party: str, caplog: pytest.LogCaptureFixture, script: Any
) -> None:
    """A full channel whose cursor nobody advances is logged with its parties after 1 s, not before."""

    async def pause() -> None:
        await trio.sleep(0.9)
        assert not caplog.records
        await trio.sleep(0.2)

    await stalls_are_logged(party, caplog, script, pause)


@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {}), id="asyncio")])
@pytest.mark.parametrize("party", ["never advanced", "reader ended"])
async def test_an_uncertain_stall_is_logged_after_a_second_on_asyncio(
    party: str, caplog: pytest.LogCaptureFixture, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full channel whose cursor nobody advances is logged with its parties after 1 s."""
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def never(delay: float, call: Any, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        timer = call_later(delay + 3600 if delay == 1 else delay, call, *args, **kwargs)
        if delay == 1:
            calls.append(call)
        return timer

    calls: list[Any] = []
    monkeypatch.setattr(loop, "call_later", never)

    async def pause() -> None:
        (call,) = calls
        call()

    await stalls_are_logged(party, caplog, script, pause)


def waiting_hook(kind: str, wait: Any) -> Any:
    """A transformer class one of whose hooks waits for its own run."""

    class Plain(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {"channel": StreamChannel()}

        def process(self, event: Any) -> bool:
            wait()
            return True

    class Async(Plain):
        async def aprocess(self, event: Any) -> bool:
            await wait()
            return True

    class Scheduled(Plain):
        requires_async = True

        def process(self, event: Any) -> bool:
            self.schedule(wait(), on_error="raise")
            return True

    class Finalizing(Plain):
        def process(self, event: Any) -> bool:
            return True

        async def afinalize(self) -> None:
            await wait()

    return {"plain": Plain, "aprocess": Async, "schedule": Scheduled, "afinalize": Finalizing}[kind]


@pytest.mark.parametrize("kind", ["aprocess", "schedule", "afinalize"])
@pytest.mark.parametrize("what", ["output", "cursor"])
async def test_a_hook_or_scheduled_task_that_waits_for_its_own_run_raises(kind: str, what: str, script: Any) -> None:
    """The run fails with `RunWaitsForItself`, which names who waits."""
    source = script(parts.values(1), parts.custom("late"), parts.values(2))

    async def wait() -> None:
        await (run.output() if what == "output" else anext(aiter(run.lifecycle)))

    async with open_run(source.agen(), transformers=[waiting_hook(kind, wait)]) as run:
        with pytest.raises(RunWaitsForItself) as caught:
            await run.output()
        assert isinstance(caught.value, RuntimeError)
        assert ("output()" if what == "output" else "'lifecycle'") in str(caught.value)
    assert source.closed == 1


async def test_on_the_sync_lane_a_hook_that_waits_for_its_own_run_raises(script: Any) -> None:
    """`process` may not ask for the output of the run that it is a part of."""
    source = script(parts.values(1))
    with open_run(source.gen(), transformers=[waiting_hook("plain", lambda: run.output)]) as run:
        with pytest.raises(RunWaitsForItself, match=r"output\(\)"):
            _ = run.output


async def test_a_graph_that_waits_for_its_own_run_raises() -> None:
    """The graph gets the error where it waits, and may handle it."""
    caught: list[BaseException] = []

    async def graph(given: Any, writer: Any) -> str:
        try:
            await run.output()
        except RunWaitsForItself as exc:
            caught.append(exc)
        return "done"

    async with open_run(graph) as run:
        assert await run.output() == "done"
    assert len(caught) == 1


async def test_a_hook_may_wait_for_another_run(script: Any) -> None:
    """Only the own run is refused."""

    async def wait() -> None:
        async with open_run([parts.values("inner")]) as inner:
            assert await inner.output() == "inner"

    async with open_run(script(parts.values("outer")).agen(), transformers=[waiting_hook("aprocess", wait)]) as run:
        assert await run.output() == "outer"
