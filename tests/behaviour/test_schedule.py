"""`schedule()`: work beside the stream, bounded, drained at the end, and never lost together with its errors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream import RunAborted, StreamChannel, StreamTransformer, open_run, parts
from anyiostream.errors import HookStopped, ScheduleRefused

pytestmark = pytest.mark.anyio


class Boom(Exception):
    """What scheduled work fails with."""


def scheduling(*work: Any, at: Any = None, on_error: str = "log", hook: str = "process") -> Any:
    """A transformer class that schedules each of `work(channel)` when it sees the data `at` first (any, by default)."""

    class Scheduling(StreamTransformer):
        requires_async = True

        def __init__(self, scope: Any = ()) -> None:
            super().__init__(scope)
            self.channel: StreamChannel[Any] = StreamChannel(maxlen=1000)
            self.tasks: list[Any] = []

        def init(self) -> dict[str, Any]:
            return {"results": self.channel, "work": self.tasks, "transformer": self}

        def process(self, event: Any) -> bool:
            if hook == "process" and not self.tasks and at in {None, event["params"]["data"]}:
                self.start()
            return True

        def finalize(self) -> None:
            if hook == "finalize":
                self.start()

        def start(self) -> None:
            for each in work:
                self.tasks.append(self.schedule(each(self.channel), on_error=on_error))

    return Scheduling


async def test_at_most_a_hundred_run_at_a_time_and_the_rest_queue_in_order(script: Any) -> None:
    """Of 250 coroutines a hundred start; as these end, the others follow in the order of their scheduling."""
    running = peak = 0
    started: list[int] = []
    release = anyio.Event()

    def numbered(n: int) -> Any:
        async def work(channel: Any) -> None:
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            started.append(n)
            await release.wait()
            await checkpoint()
            channel.push(n)
            running -= 1

        return work

    transformer = scheduling(*[numbered(n) for n in range(250)])
    async with open_run(script(parts.values(1)).agen(), transformers=[transformer]) as run:
        results = aiter(run.extensions["results"])
        assert await anext(aiter(run.values)) == 1
        await anyio.wait_all_tasks_blocked()
        assert sorted(started) == list(range(100))
        assert run.statistics().scheduled == 250
        release.set()
        assert sorted([result async for result in results]) == list(range(250))
        assert run.statistics().scheduled == 0
    assert peak == 100
    assert len(started) == 250


async def test_the_run_ends_only_after_everything_scheduled_has(script: Any) -> None:
    """What scheduled work pushes after the graph's end still reaches its reader, before the end."""

    async def work(channel: Any) -> None:
        for n in range(5):
            await checkpoint()
            channel.push(n)

    async with open_run(script(parts.values(1)).agen(), transformers=[scheduling(work)]) as run:
        assert [result async for result in run.extensions["results"]] == [0, 1, 2, 3, 4]
        assert run.status == "completed"


async def test_what_scheduled_work_schedules_is_drained_too(script: Any) -> None:
    """A chain of work that schedules its successor is followed to its end."""

    async def link(channel: Any, n: int = 0) -> None:
        await checkpoint()
        channel.push(n)
        if n < 20:
            run.extensions["transformer"].schedule(link(channel, n + 1))

    async with open_run(script(parts.values(1)).agen(), transformers=[scheduling(link)]) as run:
        assert [result async for result in run.extensions["results"]] == list(range(21))


async def test_scheduled_work_that_fails_beside_a_waiting_reader_fails_the_run_at_once(script: Any) -> None:
    """Under `"raise"` nobody has to wait for the next part of the graph, which may never come."""

    async def work(channel: Any) -> None:
        await anyio.wait_all_tasks_blocked()
        raise boom

    boom = Boom()
    source = script(parts.values(1), anyio.sleep_forever)
    async with open_run(source.agen(), transformers=[scheduling(work, on_error="raise")]) as run:
        values = aiter(run.values)
        assert await anext(values) == 1
        with pytest.raises(Boom) as caught:
            await anext(values)
        assert caught.value is boom
        assert run.status == "failed"
        with pytest.raises(Boom):
            await run.output()
        assert any("schedul" in note for note in boom.__notes__)
    assert source.closed == 1


async def test_scheduled_work_that_has_failed_before_anybody_looks_fails_the_run(script: Any) -> None:
    """An error that happens while nobody waits is not forgotten."""

    async def work(channel: Any) -> None:
        raise Boom

    source = script(*[parts.values(n) for n in range(5)])
    async with open_run(source.agen(), transformers=[scheduling(work, on_error="raise")]) as run:
        values = aiter(run.values)
        assert await anext(values) == 0
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Boom):
            async for _ in values:
                pass
        assert run.status == "failed"


async def test_scheduled_work_that_fails_at_the_very_end_fails_the_run(script: Any) -> None:
    """Also while the run is being drained."""

    async def work(channel: Any) -> None:
        await anyio.wait_all_tasks_blocked()
        raise Boom

    async with open_run(script(parts.values(1)).agen(), transformers=[scheduling(work, on_error="raise")]) as run:
        with pytest.raises(Boom):
            await run.output()
        assert run.status == "failed"


async def test_scheduled_work_that_cancels_itself_fails_the_run(script: Any) -> None:
    """asyncio's cancellation exception, raised by work that nobody has cancelled, is an error, not nothing."""

    async def work(channel: Any) -> None:
        raise asyncio.CancelledError

    async with open_run(script(parts.values(1)).agen(), transformers=[scheduling(work, on_error="raise")]) as run:
        with pytest.raises(HookStopped) as caught:
            await run.output()
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert run.status == "failed"


async def test_scheduled_work_that_fails_unobserved_leaves_the_block(script: Any) -> None:
    """If nobody read on after it had failed, the error is raised when the block is left."""

    async def work(channel: Any) -> None:
        raise Boom

    source = script(*[parts.values(n) for n in range(5)])
    with pytest.raises(Boom):
        async with open_run(source.agen(), transformers=[scheduling(work, on_error="raise")]) as run:
            assert await anext(aiter(run.values)) == 0
            await anyio.wait_all_tasks_blocked()
    assert source.closed == 1


async def test_several_failures_of_scheduled_work_are_all_reported(script: Any) -> None:
    """The first fails the run; further ones leave the block."""

    async def work(channel: Any) -> None:
        raise Boom

    source = script(*[parts.values(n) for n in range(5)])
    with pytest.raises(Boom) as caught:
        async with open_run(source.agen(), transformers=[scheduling(work, work, on_error="raise")]) as run:
            assert await anext(aiter(run.values)) == 0
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Boom) as first:
                await run.output()
    assert caught.value is not first.value


async def test_under_log_an_error_is_logged_once_and_the_run_goes_on(
    script: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the transformer, and has the traceback."""

    async def work(channel: Any) -> None:
        raise Boom

    async with open_run(script(parts.values(1)).agen(), transformers=[scheduling(work)]) as run:
        assert await run.output() == 1
        assert run.status == "completed"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "Scheduling" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Boom)


@pytest.mark.parametrize("way", ["abort", "leave", "failure"])
async def test_a_run_that_does_not_end_well_cancels_scheduled_work(way: str, script: Any, nothing_left: Any) -> None:
    """What runs is cancelled and waited for; what queues never starts."""
    started = ended = 0

    async def work(channel: Any) -> None:
        nonlocal started, ended
        started += 1
        try:
            await anyio.sleep_forever()
        finally:
            ended += 1

    source = script(parts.values(1), *([Boom()] if way == "failure" else [parts.values(2)]))
    async with nothing_left(), open_run(source.agen(), transformers=[scheduling(*[work] * 150)]) as run:
        values = aiter(run.values)
        assert await anext(values) == 1
        await anyio.wait_all_tasks_blocked()
        if way == "abort":
            await run.abort()
            assert (started, ended) == (100, 100)
        elif way == "failure":
            with pytest.raises(Boom):
                await anext(values)
    assert (started, ended) == (100, 100)
    assert run.statistics().scheduled == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("on_error", ["log", "raise"])
async def test_control_flow_exceptions_of_scheduled_work_are_never_swallowed(
    kind: type[BaseException], on_error: str, script: Any
) -> None:
    """`KeyboardInterrupt` and `SystemExit` fail the run, whatever `on_error` says."""

    async def work(channel: Any) -> None:
        raise kind

    source = script(parts.values(1), anyio.sleep_forever)
    async with open_run(source.agen(), transformers=[scheduling(work, on_error=on_error)]) as run:
        with pytest.raises(kind):
            await run.output()
        assert run.status == "failed"
    assert source.closed == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["source", "process", "finalize", "fail", "closing"])
async def test_control_flow_exceptions_are_never_swallowed(lane: Any, kind: type[BaseException], where: str) -> None:
    """Whoever of the graph and the hooks raises them, they reach the application."""
    closed = 0

    def raise_in(here: str) -> None:
        if here == where:
            raise kind

    class Raising(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            raise_in("process")
            return True

        def finalize(self) -> None:
            raise_in("finalize")

        def fail(self, err: BaseException) -> None:
            raise_in("fail")

    async def agen() -> Any:
        nonlocal closed
        try:
            yield parts.values(1)
            raise_in("source")
            if where in {"fail", "closing"}:
                yield parts.values(2)
        finally:
            closed += 1
            raise_in("closing")

    def gen() -> Any:
        nonlocal closed
        try:
            yield parts.values(1)
            raise_in("source")
            if where in {"fail", "closing"}:
                yield parts.values(2)
        finally:
            closed += 1
            raise_in("closing")

    with pytest.raises(kind):
        async with lane.open(agen() if lane.is_async else gen(), transformers=[Raising]) as run:
            if where in {"fail", "closing"}:
                await lane.next(lane.cursor(run.values))
            else:
                await lane.output(run)
    assert closed == 1


async def test_scheduling_is_refused_on_the_sync_lane(script: Any) -> None:
    """There is nothing that could run the coroutine; it is closed, and the run fails with `ScheduleRefused`."""

    async def work(channel: Any) -> None:
        raise AssertionError

    transformer = scheduling(work)
    transformer.requires_async = False
    with open_run(script(parts.values(1)).gen(), transformers=[transformer]) as run:
        with pytest.raises(ScheduleRefused, match="requires_async") as caught:
            _ = run.output
        assert isinstance(caught.value, RuntimeError)


async def test_scheduling_is_refused_before_registration_and_after_the_end(script: Any) -> None:
    """A transformer that belongs to no running run cannot schedule; the coroutine is closed."""

    async def work(channel: Any) -> None:
        raise AssertionError

    transformer = scheduling(work)
    with pytest.raises(ScheduleRefused):
        transformer().schedule(work(None))
    async with open_run(script(parts.values(1)).agen(), transformers=[scheduling()]) as run:
        await run.output()
        with pytest.raises(ScheduleRefused, match="ended"):
            run.extensions["transformer"].schedule(work(None))


async def test_a_scheduled_task_may_be_cancelled_by_itself(script: Any) -> None:
    """Cancelling one leaves the others and the run alone; a queued one never starts."""
    ran: list[str] = []

    async def endless(channel: Any) -> None:
        ran.append("endless")
        await anyio.sleep_forever()

    async def brief(channel: Any) -> None:
        channel.push("brief")

    async def never(channel: Any) -> None:
        ran.append("never")

    transformer = scheduling(*[endless] * 100, never, brief)
    async with open_run(script(parts.values(1)).agen(), transformers=[transformer]) as run:
        results = aiter(run.extensions["results"])
        assert await anext(aiter(run.values)) == 1
        await anyio.wait_all_tasks_blocked()
        tasks = run.extensions["work"]
        tasks[100].cancel()
        for task in tasks[:100]:
            task.cancel()
        assert [result async for result in results] == ["brief"]
        assert all(task.done() for task in tasks)
        assert run.status == "completed"
    assert ran == ["endless"] * 100


async def test_scheduled_results_are_read_by_demand(script: Any) -> None:
    """Waiting for a channel that only scheduled work fills gets its items as they come."""
    gates = [anyio.Event() for _ in range(3)]

    async def work(channel: Any) -> None:
        for n, gate in enumerate(gates):
            await gate.wait()
            channel.push(n)

    source = script(parts.values(1), anyio.sleep_forever)
    async with open_run(source.agen(), transformers=[scheduling(work)]) as run:
        results = aiter(run.extensions["results"])
        assert await anext(aiter(run.values)) == 1
        for n, gate in enumerate(gates):
            gate.set()
            assert await anext(results) == n
    with pytest.raises(RunAborted):
        await run.output()
