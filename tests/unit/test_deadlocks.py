"""Whose fault a stall is, decided over a loop and readers that are stand-ins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, final

import pytest

from anyiostream import BackpressureDeadlock
from anyiostream.channels.latch import Latch
from anyiostream.driver.deadlocks import STALL, Deadlocks


@final
class Full:
    """A full buffer of channel `values`, at which one item waits."""

    name = "channel 'values'"
    maxlen = 4

    def __init__(self, reader: object) -> None:
        self.reader = reader
        self.waiting = 1

    def deadlock(self, waits_for: str, fan_out: str) -> BackpressureDeadlock:
        return BackpressureDeadlock(full=self.name, maxlen=self.maxlen, waits_for=waits_for, fan_out=fan_out)


@final
class Waiter:
    """A parked reader's wait."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.woken = False

    def wake(self) -> None:
        self.woken = True


@final
class Rig:
    """A run's parked readers and full buffers, and its loop."""

    def __init__(self) -> None:
        self.parked: dict[Any, Any] = {}
        self.full: list[Any] = []
        self.calls: list[Callable[[], object]] = []
        self.timers: list[tuple[float, Callable[[], object]]] = []
        self.cancelled = 0
        self.deadline = False
        stand_in: Any = self
        self.deadlocks = Deadlocks(stand_in, self.parked, lambda: [each for each in self.full if each.waiting])

    # --- the loop ---

    def soon(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def later(self, seconds: float, call: Callable[[], object]) -> Rig:
        self.timers.append((seconds, call))
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def has_deadline(self) -> bool:
        return self.deadline

    # --- the test ---

    def park(self, task: str, target: str = "channel 'custom'") -> Any:
        """Park a reader that waits for something."""
        waiter = Waiter(task)
        self.parked[waiter] = Latch(target)
        return waiter

    def look(self) -> None:
        """Ask for a check, and let the loop take its next turn."""
        self.deadlocks.check()
        for call in self.calls:
            call()
        self.calls.clear()


@pytest.fixture
def rig() -> Rig:
    """A run with nobody parked and nothing full."""
    return Rig()


def test_the_reader_of_a_full_buffer_that_waits_for_something_else_gets_the_error(rig: Rig) -> None:
    """It is woken, and raises in its own task; the message names both channels."""
    rig.full.append(Full("task"))
    waiter = rig.park("task")
    rig.look()
    assert waiter.woken
    with pytest.raises(BackpressureDeadlock, match="'values'") as caught:
        rig.deadlocks.question(waiter, rig.parked[waiter])
    assert "channel 'custom'" in str(caught.value)
    assert rig.deadlocks.suspects == {}
    assert rig.timers == []


def test_nobody_is_blamed_in_the_turn_in_which_the_buffer_filled_up(rig: Rig) -> None:
    """Its reader may only have been about to run; however often a check is asked for, the loop is asked for one."""
    rig.full.append(Full("task"))
    waiter = rig.park("task")
    rig.deadlocks.check()
    rig.deadlocks.check()
    assert len(rig.calls) == 1
    assert not waiter.woken
    rig.full[0].waiting = 0
    rig.look()
    assert not waiter.woken
    assert rig.timers == []


@pytest.mark.parametrize("better", ["there is room", "its item is there"])
def test_a_suspect_whose_wait_is_over_raises_nothing(rig: Rig, better: str) -> None:
    """Between being woken and running, things may have changed."""
    rig.full.append(Full("task"))
    waiter = rig.park("task")
    rig.look()
    if better == "there is room":
        rig.full[0].waiting = 0
    else:
        rig.parked[waiter].open()
    rig.deadlocks.question(waiter, rig.parked[waiter])


def test_a_reader_under_a_deadline_is_left_to_it_until_there_has_been_room(rig: Rig) -> None:
    """It is not woken again for the same stall, which is logged instead; for the next one it is."""
    rig.full.append(Full("task"))
    rig.deadline = True
    first = rig.park("task")
    rig.look()
    rig.deadlocks.question(first, rig.parked.pop(first))
    second = rig.park("task")
    rig.look()
    assert not second.woken
    assert len(rig.timers) == 1
    rig.deadlocks.room_again()
    rig.look()
    assert second.woken


@pytest.mark.parametrize("reader", [None, "another task"])
def test_a_stall_that_is_nobodys_certain_fault_is_logged(
    rig: Rig, reader: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """After a while, once, if it is still there."""
    rig.full.append(Full(reader))
    waiter = rig.park("task")
    rig.look()
    rig.look()
    assert not waiter.woken
    ((seconds, log),) = rig.timers
    assert seconds == STALL
    with caplog.at_level(logging.WARNING, logger="anyiostream"):
        log()
    (record,) = caplog.records
    message = record.getMessage()
    assert "channel 'values' is full" in message
    assert "channel 'custom' is waited for" in message


def test_a_stall_that_is_over_is_not_logged(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Neither if there is room again, nor if nobody waits any more."""
    rig.full.append(Full(None))
    rig.park("task")
    rig.look()
    rig.full[0].waiting = 0
    rig.timers[0][1]()
    rig.full[0].waiting = 1
    rig.look()
    rig.parked.clear()
    rig.timers[1][1]()
    assert caplog.records == []


def test_a_run_without_parked_readers_sets_no_timer(rig: Rig) -> None:
    """Nobody waits for what is stalled."""
    rig.full.append(Full(None))
    rig.look()
    assert rig.timers == []


def test_the_end_of_the_run_cancels_the_timer(rig: Rig) -> None:
    """And needs none."""
    rig.deadlocks.close()
    assert rig.cancelled == 0
    rig.full.append(Full(None))
    rig.park("task")
    rig.look()
    rig.deadlocks.close()
    assert rig.cancelled == 1
