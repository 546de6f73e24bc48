"""The coroutines that transformers schedule."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from anyiostream import StreamChannel, StreamTransformer
from anyiostream.errors import ScheduleRefused
from anyiostream.loops import current_loop
from anyiostream.mux.scheduled import MAX_RUNNING, ScheduledWork

NODE = ("node:1",)


@pytest.fixture
def port(make_port: Any) -> Any:
    """A run on the async lane."""
    return make_port(is_async=True)


@pytest.fixture
def scheduled(port: Any) -> ScheduledWork:
    """The run's scheduled work, with the usual limit."""
    return ScheduledWork(port)


@pytest.fixture
def wait(suspension: Any) -> Callable[..., Any]:
    """Makes a coroutine that suspends some times and notes what it does."""

    async def waiting(notes: list[str], name: str = "work", times: int = 1) -> None:
        notes.append(f"{name} starts")
        try:
            for _ in range(times):
                await suspension()
        finally:
            notes.append(f"{name} ends")

    return waiting


async def fail(error: BaseException) -> None:
    """Raise `error`."""
    raise error


def schedule(scheduled: ScheduledWork, coro: Any, scope: tuple[str, ...] = (), on_error: Any = "log") -> Any:
    """Schedule a coroutine for a transformer called Mine."""
    return scheduled.schedule("Mine", scope, coro, on_error)


def settle(port: Any) -> None:
    """Run every task until it has ended."""
    for _ in range(1000):
        pending = [task for task in port.tasks if not task.finished.ready]
        if not pending:
            return
        for task in pending:
            task.step()
    raise AssertionError("a task does not end")


def test_work_runs_in_a_task_that_names_it(scheduled: ScheduledWork, port: Any, wait: Any) -> None:
    """Scheduling starts a task called after the transformer and the coroutine; the work counts until it has ended."""
    notes: list[str] = []
    work = schedule(scheduled, wait(notes))
    assert notes == []
    assert len(scheduled) == 1
    assert "Mine.schedule(" in port.tasks[0].name
    assert "waiting" in port.tasks[0].name
    port.tasks[0].step()
    assert notes == ["work starts"]
    assert not work.done()
    port.tasks[0].step()
    assert work.done()
    assert len(scheduled) == 0


def test_the_sync_lane_refuses_work(make_port: Any, wait: Any) -> None:
    """On the sync lane `schedule` raises and closes the coroutine."""
    notes: list[str] = []
    with pytest.raises(ScheduleRefused, match="sync lane"):
        schedule(ScheduledWork(make_port()), wait(notes))
    assert notes == []


def test_a_run_that_has_ended_refuses_work(scheduled: ScheduledWork, wait: Any) -> None:
    """After `close` nothing is started."""
    scheduled.close()
    with pytest.raises(ScheduleRefused, match=r"the run (has ended|is ending)\. Open") as caught:
        schedule(scheduled, wait([]))
    assert ".. " not in str(caught.value)
    assert len(scheduled) == 0


def test_a_transformer_without_a_run_refuses_work(wait: Any) -> None:
    """Before registration `schedule` raises and closes the coroutine."""

    class Mine(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

    with pytest.raises(ScheduleRefused, match="not registered"):
        Mine().schedule(wait([]))


def test_more_than_the_limit_queues_in_order(port: Any, wait: Any) -> None:
    """At most `limit` coroutines run; each that ends lets the one that waits longest start."""
    scheduled, notes = ScheduledWork(port, limit=2), []  # type: ignore[var-annotated]
    for name in "abcd":
        schedule(scheduled, wait(notes, name))
    assert len(port.tasks) == 2
    assert len(scheduled) == 4
    settle(port)
    assert [note for note in notes if note.endswith("starts")] == [f"{name} starts" for name in "abcd"]
    assert len(scheduled) == 0


def test_the_usual_limit_is_100(scheduled: ScheduledWork, port: Any, wait: Any) -> None:
    """Without a limit of its own a run has at most 100 coroutines at work."""
    for _ in range(MAX_RUNNING + 5):
        schedule(scheduled, wait([]))
    assert MAX_RUNNING == 100
    assert len(port.tasks) == 100
    settle(port)
    assert len(port.tasks) == 105


def test_busy_is_by_scope(scheduled: ScheduledWork, port: Any, wait: Any) -> None:
    """Work of a scope keeps that scope busy, and those above it."""
    schedule(scheduled, wait([]), NODE)
    assert scheduled.busy(())
    assert scheduled.busy(NODE)
    assert not scheduled.busy(("other:2",))
    assert not scheduled.busy((*NODE, "deep:3"))
    settle(port)
    assert not scheduled.busy(())


# --- draining ---


def test_draining_waits_for_all(scheduled: ScheduledWork, port: Any, wait: Any, drive: Any) -> None:
    """`drain` returns when nothing is left."""
    for _ in range(3):
        schedule(scheduled, wait([], times=2))
    draining = drive(scheduled.drain(()))
    assert not draining.done
    settle(port)
    assert draining.step().done


def test_what_is_held_up_counts_although_no_work_is_left(scheduled: ScheduledWork) -> None:
    """The end of a subgraph that waited for work is one more thing to wait for."""
    scheduled.hold(())
    assert scheduled
    assert len(scheduled) == 0
    scheduled.release(())
    assert not scheduled


def test_draining_nothing_does_not_wait(scheduled: ScheduledWork, drive: Any) -> None:
    """Without work `drain` returns at once."""
    assert drive(scheduled.drain(())).done


def test_draining_includes_what_work_schedules(scheduled: ScheduledWork, port: Any, wait: Any, drive: Any) -> None:
    """Work scheduled by work is waited for, too."""
    notes: list[str] = []

    async def parent() -> None:
        schedule(scheduled, wait(notes, "child"))

    schedule(scheduled, parent())
    draining = drive(scheduled.drain(()))
    port.tasks[0].step()
    assert not draining.step().done
    settle(port)
    assert draining.step().done
    assert notes == ["child starts", "child ends"]


def test_draining_a_scope_leaves_the_others(scheduled: ScheduledWork, port: Any, wait: Any, drive: Any) -> None:
    """Only work of the scope and of those below is waited for."""
    schedule(scheduled, wait([]), ("other:2",))
    schedule(scheduled, wait([]), (*NODE, "deep:3"))
    draining = drive(scheduled.drain(NODE))
    assert not draining.done
    port.tasks[1].step()
    port.tasks[1].step()
    assert draining.step().done
    settle(port)


def test_work_is_done_only_when_what_it_pushed_has_found_its_place(
    scheduled: ScheduledWork, port: Any, drive: Any
) -> None:
    """A coroutine that has returned still counts while items of its wait for room."""
    channel: StreamChannel[str] = StreamChannel(maxlen=1)
    channel.bind(port, "mine")
    cursor: Any = aiter(channel)

    async def pushes() -> None:
        channel.push("a")
        channel.push("b")

    work = schedule(scheduled, pushes())
    draining = drive(scheduled.drain(()))
    port.tasks[0].step()
    assert not work.done()
    assert not draining.step().done
    assert next(cursor) == "a"
    assert work.done()
    assert draining.step().done


def test_draining_stops_when_the_run_has_to_fail(scheduled: ScheduledWork, port: Any, wait: Any, drive: Any) -> None:
    """Work that fails under `"raise"` ends the wait for the rest."""
    schedule(scheduled, wait([], times=9))
    schedule(scheduled, fail(ValueError("no")), on_error="raise")
    draining = drive(scheduled.drain(()))
    port.tasks[1].step()
    assert draining.step().done
    settle(port)


# --- errors ---


def test_an_error_under_raise_fails_the_run(scheduled: ScheduledWork, port: Any) -> None:
    """The run is failed with the very object, which gets a note that names the work."""
    error = ValueError("no")
    schedule(scheduled, fail(error), on_error="raise")
    settle(port)
    assert port.interjected is error
    assert "raised by Mine.schedule(fail)" in error.__notes__
    assert len(scheduled) == 0


def test_an_error_under_log_is_logged_once(
    scheduled: ScheduledWork, port: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on, and one record tells who failed, with the traceback."""
    with caplog.at_level(logging.ERROR, logger="anyiostream"):
        schedule(scheduled, fail(ValueError("no")))
        settle(port)
    assert port.interjected is None
    (record,) = caplog.records
    assert "Mine.schedule(fail)" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize("on_error", ["log", "raise"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_control_flow_fails_the_run_either_way(
    scheduled: ScheduledWork, port: Any, kind: type[BaseException], on_error: str
) -> None:
    """`KeyboardInterrupt` and `SystemExit` are never swallowed."""
    schedule(scheduled, fail(kind()), on_error=on_error)
    settle(port)
    assert isinstance(port.interjected, kind)


# --- cancelling ---


def test_cancelling_reaches_what_runs_and_what_queues(port: Any, wait: Any, drive: Any) -> None:
    """`cancel` cancels each task once, closes what has not started, and waits for what has."""
    scheduled, notes = ScheduledWork(port, limit=1), []  # type: ignore[var-annotated]
    for name in "abc":
        schedule(scheduled, wait(notes, name))
    port.tasks[0].step()
    cancelling = drive(scheduled.cancel(()))
    assert not cancelling.done
    assert port.tasks[0].cancelled
    port.tasks[0].step()
    settle(port)
    assert cancelling.step().done
    assert notes == ["a starts", "a ends"]
    assert len(scheduled) == 0


def test_cancelling_a_scope_leaves_the_others(scheduled: ScheduledWork, port: Any, wait: Any, drive: Any) -> None:
    """Work of other scopes goes on."""
    schedule(scheduled, wait([]), NODE)
    schedule(scheduled, wait([]), ())
    cancelling = drive(scheduled.cancel(NODE))
    assert [task.cancelled for task in port.tasks] == [True, False]
    port.tasks[0].step()
    assert cancelling.step().done
    assert scheduled.busy(())
    settle(port)


def test_one_piece_of_work_can_be_cancelled_by_its_owner(
    scheduled: ScheduledWork, port: Any, wait: Any, drive: Any
) -> None:
    """`ScheduledTask.cancel` cancels the task; the run still waits for it to end, and goes on."""
    notes: list[str] = []
    work = schedule(scheduled, wait(notes))
    port.tasks[0].step()
    work.cancel()
    draining = drive(scheduled.drain(()))
    assert not draining.done
    port.tasks[0].step()
    assert draining.step().done
    assert work.done()
    assert notes == ["work starts", "work ends"]


def test_work_cancelled_before_it_started_never_starts(port: Any, wait: Any) -> None:
    """Queued work that is cancelled by its owner is closed when its turn comes."""
    scheduled, notes = ScheduledWork(port, limit=1), []  # type: ignore[var-annotated]
    schedule(scheduled, wait(notes, "a"))
    queued = schedule(scheduled, wait(notes, "b"))
    queued.cancel()
    settle(port)
    assert queued.done()
    assert notes == ["a starts", "a ends"]


def test_what_cancelled_work_could_not_place_is_given_up(scheduled: ScheduledWork, port: Any, drive: Any) -> None:
    """Cancelling does not wait for readers of what was pushed."""
    channel: StreamChannel[str] = StreamChannel(maxlen=1)
    channel.bind(port, "mine")
    cursor: Any = aiter(channel)

    async def pushes() -> None:
        channel.push("a")
        channel.push("b")

    schedule(scheduled, pushes())
    port.tasks[0].step()
    assert len(scheduled) == 1
    assert drive(scheduled.cancel(())).done
    assert len(scheduled) == 0
    assert next(cursor) == "a"


def test_a_task_cancelled_before_its_first_step_closes_its_coroutine(
    scheduled: ScheduledWork, port: Any, wait: Any, drive: Any
) -> None:
    """A coroutine whose task was cancelled before it did anything does nothing, and is not left unawaited."""
    notes: list[str] = []
    schedule(scheduled, wait(notes))
    cancelling = drive(scheduled.cancel(()))
    settle(port)
    assert cancelling.step().done
    assert notes == []


@pytest.mark.anyio
async def test_work_cancelled_in_the_turn_it_was_scheduled_in_ends(make_port: Any) -> None:
    """On every loop, work that is cancelled before its task has run at all never starts, and is not waited for."""
    loop = current_loop()
    port, started = make_port(is_async=True), []  # type: ignore[var-annotated]
    port.spawn, port.is_cancellation = loop.spawn, loop.is_cancellation

    async def wait(target: Any) -> None:
        waiter = loop.waiter()
        target.park(waiter)
        await waiter.wait()

    async def work() -> None:
        started.append("work")

    port.wait = wait
    scheduled = ScheduledWork(port)
    coro = work()
    await loop.enter()
    try:
        task = schedule(scheduled, coro)
        task.cancel()
        await scheduled.drain(())
        assert task.done()
        assert started == []
    finally:
        coro.close()
        await loop.leave()
