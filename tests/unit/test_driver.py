"""The driver over a loop, a pump and a source that are stand-ins: who steps, who parks, and who is woken."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, final

import pytest

from anyiostream.channels.latch import Latch
from anyiostream.channels.producer import Producer, current_producer
from anyiostream.driver.driver import Driver
from anyiostream.driver.turn import FREE, Holder
from anyiostream.errors import RunWaitsForItself
from anyiostream.step import Step

CHECKPOINT_EVERY = 3


@final
class Waiter:
    """A wait that ends when it is woken."""

    def __init__(self, task: object, suspension: Any) -> None:
        self.task = task
        self.woken = False
        self._suspension = suspension

    def wake(self) -> None:
        self.woken = True

    async def wait(self) -> None:
        while not self.woken:
            await self._suspension()


@final
class Task:
    """A task of the run's, which the test takes forward."""

    def __init__(self, run: Callable[[], Any], name: str) -> None:
        self.name = name
        self.finished = Latch(name)
        self._coro = run()

    def step(self) -> None:
        try:
            self._coro.send(None)
        except StopIteration:
            self.finished.open()

    def close(self) -> None:
        self._coro.close()


@final
class Loop:
    """An event loop that does nothing by itself."""

    cancellation_is_real = True

    def __init__(self, suspension: Any) -> None:
        self._suspension = suspension
        self.checkpoints = 0
        self.tasks: list[Task] = []
        self.soon_calls: list[Callable[[], object]] = []

    def current_task(self) -> object:
        return "the reader"

    def waiter(self, task: object = None) -> Any:
        return Waiter(task, self._suspension)

    async def checkpoint(self) -> None:
        self.checkpoints += 1
        await self._suspension()

    def spawn(self, run: Callable[[], Any], name: str, context: Any) -> Any:
        self.tasks.append(Task(run, name))
        return self.tasks[-1]

    def soon(self, call: Callable[[], object]) -> None:
        self.soon_calls.append(call)

    def is_cancellation(self, error: BaseException) -> bool:
        return False


@final
class Pump:
    """A pump whose steps are given: a `Step`, an exception, or a latch that the step opens for its reader."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.at_hand = ()
        self.script: list[Any] = []
        self.stepped_for: list[str] = []
        self.parts = 1
        self.job: Any = None
        self.status = "running"
        self.interjected: BaseException | None = None
        self.reserved = 0
        self.errors: list[BaseException] = []
        self.mux = self
        self.is_draining = False
        self.has_scheduled = False

    def take_for(self, buffer: Any) -> Any:
        raise AssertionError("no cursor reads here")

    @property
    def blocked(self) -> bool:
        return bool(self.reserved)

    @property
    def lacks(self) -> Step | None:
        return Step.NEEDS_AWAIT if self.job is not None else None

    def advance(self, target: Any, until: int) -> Step:
        self.stepped_for.append(target.name)
        answer = self.script.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Latch):
            self.parts += 1
            answer.open()
            return Step.READY if answer is target else Step.NEEDS_PART
        step: Step = answer
        return step

    def interject(self, error: BaseException) -> None:
        self.interjected = error

    def keep(self, error: BaseException) -> None:
        self.errors.append(error)

    def stalled_by(self) -> list[Any]:
        return []

    def reserve(self) -> None:
        self.reserved += 1

    def release(self) -> None:
        self.reserved -= 1

    def job_done(self) -> None:
        self.job = None


@final
class Source:
    """Counts what it is asked for."""

    never_waits = False

    def __init__(self) -> None:
        self.demands = 0
        self.calls: list[str] = []

    def demand(self) -> None:
        self.demands += 1

    def stop(self) -> None:
        self.calls.append("stop")

    async def close(self) -> None:
        self.calls.append("close")
        raise OSError("while closing")


@final
class Rig:
    """A driver, and its surroundings."""

    def __init__(self, suspension: Any, drive: Any) -> None:
        self.loop = Loop(suspension)
        self.source = Source()
        self.readers: list[Any] = []
        self._drive = drive
        stand_in: Any = self.loop

        def make_pump(producer: Producer) -> Any:
            self.pump = Pump(producer)
            return self.pump, self.source

        self.driver = Driver(stand_in, CHECKPOINT_EVERY, make_pump)
        self.driver.pause_at += self.pump.parts  # the run has begun

    def steps(self, *script: Any) -> None:
        """What the next steps of the pump do."""
        self.pump.script += script

    def reader(self, target: Latch) -> Any:
        """A task that waits for `target`, up to where it suspends."""
        self.readers.append(self._drive(self.driver.until(target)))
        return self.readers[-1]

    def parked(self, target: Latch) -> Any:
        """The same, parked because the source had nothing for it."""
        self.steps(Step.NEEDS_PART)
        reader = self.reader(target)
        assert not reader.done
        return reader

    def woken(self) -> list[str]:
        """What the parked readers that have been woken wait for."""
        return [target.name for waiter, target in self.driver.turn.waiting.items() if waiter.woken]


@pytest.fixture
def rig(suspension: Any, drive: Any) -> Any:
    """A driver with nothing to do."""
    rig = Rig(suspension, drive)
    yield rig
    for task in rig.loop.tasks:
        task.close()


@pytest.fixture
def first() -> Latch:
    """What the first reader waits for."""
    return Latch("first")


@pytest.fixture
def second() -> Latch:
    """What the second reader waits for."""
    return Latch("second")


# --- a reader by itself ---


def test_a_reader_steps_the_pump_itself(rig: Rig, first: Latch) -> None:
    """Inline: it does not suspend, asks the source for nothing, and leaves the pump free."""
    rig.steps(first)
    assert rig.reader(first).done
    assert rig.pump.stepped_for == ["first"]
    assert rig.source.demands == 0
    assert rig.driver.turn.state is FREE


def test_what_is_there_already_takes_no_step(rig: Rig, first: Latch) -> None:
    """Waiting for it suspends nobody."""
    first.open()
    assert rig.reader(first).done
    assert rig.pump.stepped_for == []


def test_parts_are_paid_for(rig: Rig) -> None:
    """After as many parts as the run's option says, a reader lets others run once, and starts anew."""
    targets = [Latch(str(number)) for number in range(CHECKPOINT_EVERY + 1)]
    rig.steps(*targets)
    for target in targets[:-1]:
        assert rig.reader(target).done
    assert rig.driver.pause_at == rig.pump.parts
    last = rig.reader(targets[-1])
    assert not last.done
    assert rig.loop.checkpoints == 1
    assert last.step().done
    assert rig.driver.pause_at == rig.pump.parts + CHECKPOINT_EVERY - 1


def test_a_reader_that_gets_nothing_demands_and_parks(rig: Rig, first: Latch) -> None:
    """When a part has arrived it is woken, looks again, and steps."""
    reader = rig.parked(first)
    assert rig.source.demands == 1
    rig.driver.part_arrived()
    assert rig.driver.turn.state[0] is Holder.WOKEN
    rig.steps(first)
    assert reader.step().done
    assert rig.driver.turn.state is FREE
    assert not rig.driver.turn.waiting


# --- several readers ---


def test_one_reader_is_woken_for_a_part(rig: Rig, first: Latch, second: Latch) -> None:
    """The one that has waited longest; a second part wakes no other while it has not run."""
    rig.parked(first)
    rig.parked(second)
    rig.driver.part_arrived()
    rig.driver.part_arrived()
    assert rig.woken() == ["first"]


def test_a_reader_that_is_satisfied_passes_the_pump_on(rig: Rig, first: Latch, second: Latch) -> None:
    """To the next, so that the run goes on for it."""
    reader = rig.parked(first)
    rig.parked(second)
    rig.driver.part_arrived()
    rig.steps(first)
    assert reader.step().done
    assert rig.woken() == ["second"]


def test_a_reader_that_is_cancelled_passes_the_pump_on(rig: Rig, first: Latch, second: Latch) -> None:
    """Also after it has been woken: the wake-up is not lost with it."""
    reader = rig.parked(first)
    rig.parked(second)
    rig.driver.part_arrived()
    reader.cancel()
    assert rig.woken() == ["second"]


def test_a_reader_that_is_woken_for_its_item_alone_passes_nothing_on(rig: Rig, first: Latch, second: Latch) -> None:
    """Nobody has asked it to step; with the item in hand, it goes its way."""
    rig.parked(first)
    reader = rig.parked(second)
    second.open()
    assert reader.step().done
    assert rig.woken() == []
    assert rig.pump.stepped_for == ["first", "second"]


def test_control_flow_goes_on_in_the_reader_that_meets_it(rig: Rig, first: Latch, second: Latch) -> None:
    """And the pump goes to another one."""
    rig.parked(second)
    rig.steps(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        rig.reader(first)
    assert rig.woken() == ["second"]


# --- hooks that are awaited ---


def test_a_hook_is_awaited_in_a_task_and_readers_keep_away(
    rig: Rig, first: Latch, second: Latch, suspension: Any
) -> None:
    """Until it is done, no reader steps; then the task steps for those that wait."""

    async def job() -> None:
        await suspension()

    rig.pump.job = job()
    rig.steps(Step.NEEDS_AWAIT)
    reader = rig.reader(first)
    other = rig.reader(second)
    assert (reader.done, other.done) == (False, False)
    assert rig.pump.stepped_for == ["first"]
    assert rig.driver.turn.state[0] is Holder.HOOKS
    (task,) = rig.loop.tasks
    assert task.name == "anyiostream hooks"
    task.step()
    rig.steps(first, Step.NEEDS_PART)
    task.step()
    assert rig.pump.stepped_for == ["first", "first", "second"]
    assert rig.woken() == ["first", "second"]
    assert reader.step().done


# --- the graph's task ---


def test_behind_the_first_part_the_graph_wakes_a_reader(rig: Rig, first: Latch) -> None:
    """It does not step: what begins in the same turn is still to subscribe."""
    rig.pump.parts = 0
    rig.parked(first)
    rig.driver.graph_stops()
    assert rig.woken() == ["first"]
    assert rig.pump.stepped_for == ["first"]


def test_later_the_graph_steps_for_whoever_has_waited_longest(rig: Rig, first: Latch, second: Latch) -> None:
    """Its own task dispatches; the reader finds its item when it runs."""
    reader = rig.parked(first)
    rig.parked(second)
    rig.steps(first)
    rig.driver.graph_stops()
    assert rig.pump.stepped_for[2:] == ["first"]
    assert reader.step().done


def test_without_a_reader_the_graph_does_not_step(rig: Rig) -> None:
    """Nothing is dispatched that nobody asked for."""
    rig.driver.graph_stops()
    assert rig.pump.stepped_for == []


def test_before_the_graph_goes_on_scheduled_work_has_its_turn(rig: Rig, first: Latch) -> None:
    """The reader is woken in place of a demand, which it makes when it runs."""
    rig.parked(first)
    rig.pump.has_scheduled = True
    demands = rig.source.demands
    rig.steps(Step.NEEDS_PART)
    rig.driver.graph_stops()
    assert rig.woken() == ["first"]
    assert rig.source.demands == demands


def test_control_flow_in_the_graphs_task_ends_the_run_and_not_the_graph(rig: Rig, first: Latch) -> None:
    """The graph must not take an interrupt of a hook for an error of its own."""
    rig.parked(first)
    interrupt = KeyboardInterrupt()
    rig.steps(interrupt)
    rig.driver.graph_stops()
    assert rig.pump.interjected is interrupt
    assert rig.woken() == ["first"]


# --- going first ---


def test_a_reader_that_must_go_first_holds_the_pump(rig: Rig, first: Latch, second: Latch) -> None:
    """Nobody steps before it has run; its running releases the pump, and wakes the next."""

    class Channel:
        buffers = (first,)

    channel: Any = Channel()
    reader = rig.parked(first)
    rig.driver.hold(channel)
    assert rig.pump.reserved == 1
    other = rig.reader(second)
    assert not other.done
    first.open()
    assert reader.step().done
    assert rig.pump.reserved == 0
    assert rig.woken() == ["second"]


# --- refusals, and the end ---


def test_a_hook_cannot_wait_for_its_own_run(rig: Rig, first: Latch) -> None:
    """Nor can the graph: the exception names both."""
    context = copy_context()
    context.run(current_producer.set, Producer("process()", rig.driver))
    assert not rig.driver.is_inside()
    assert context.run(rig.driver.is_inside)
    with pytest.raises(RunWaitsForItself, match=r"process\(\)"):
        context.run(rig.reader, first)


def test_after_the_shutdown_has_begun_nobody_steps(rig: Rig, first: Latch) -> None:
    """Those that wait are told by the run's end."""
    rig.driver.stop_stepping()
    assert not rig.reader(first).done
    rig.driver.part_arrived()
    rig.driver.pass_on()
    rig.driver.graph_stops()
    assert rig.pump.stepped_for == []
    assert rig.woken() == []


def test_what_closing_the_source_raises_is_kept_for_the_exit(rig: Rig, drive: Any) -> None:
    """It is stopped before it is waited for."""
    assert drive(rig.driver.close_source()).done
    assert rig.source.calls == ["stop", "close"]
    (error,) = rig.pump.errors
    assert isinstance(error, OSError)


def test_a_stall_is_looked_at_in_a_later_turn(rig: Rig, first: Latch) -> None:
    """The reader that meets it parks."""
    rig.steps(Step.NEEDS_ROOM)
    assert not rig.reader(first).done
    assert len(rig.loop.soon_calls) == 1


def test_room_wakes_a_reader(rig: Rig, first: Latch) -> None:
    """When the last waiting item of an event has found room, the run can go on."""
    rig.steps(Step.NEEDS_ROOM)
    rig.reader(first)
    rig.pump.producer.emptied()
    assert rig.woken() == ["first"]
