"""The run as a state machine."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from anyiostream import (
    CustomTransformer,
    GraphInterrupt,
    MalformedPart,
    ProtocolEvent,
    RunAborted,
    RunDrained,
    SourceStopped,
    StreamTransformer,
    ValuesTransformer,
    parts,
)
from anyiostream.channels.buffer import EMPTY
from anyiostream.channels.latch import Latch
from anyiostream.ends import ENDS, Effect, End, Phase
from anyiostream.inline import run_inline
from anyiostream.lanes.figures import figures
from anyiostream.mux.mux import Mux
from anyiostream.pump import Pump
from anyiostream.source import END, NOTHING, readable
from anyiostream.step import Step


class Script:
    """A source that answers what it is told to: parts, markers, exceptions to raise, or functions that return one."""

    name = "the script"

    def __init__(self, answers: Iterable[Any], at_hand: Iterable[Any] = ()) -> None:
        self.answers = list(answers)
        self.at_hand = deque(at_hand)
        self.never_waits = NOTHING not in self.answers

    @property
    def has_part(self) -> bool:
        """Whether the next answer is something else than `NOTHING`."""
        return not self.answers or self.answers[0] is not NOTHING

    def pull(self) -> Any:
        """The next answer; the end after the last."""
        answer = self.answers.pop(0) if self.answers else END
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer


class Notes(StreamTransformer):
    """Notes how the run ended."""

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        """Nothing noted yet."""
        super().__init__(scope)
        self.notes: list[Any] = []

    def init(self) -> dict[str, Any]:
        """The notes."""
        return {"notes": self.notes}

    def process(self, event: ProtocolEvent) -> bool:
        """Note the payload."""
        self.notes.append(event["params"]["data"])
        return True

    def finalize(self) -> None:
        """Note the good end."""
        self.notes.append("finalize")

    def fail(self, err: BaseException) -> None:
        """Note the bad end."""
        self.notes.append(("fail", err))


class Rig:
    """A pump over a script, stepped in the run's context as the lanes do."""

    def __init__(
        self, port: Any, answers: Iterable[Any], factories: Iterable[Any], at_hand: Iterable[Any] = ()
    ) -> None:
        self.port = port
        self.source = Script(answers, at_hand)
        self.ends = 0
        mux = Mux(port, factories=list(factories), make_handle=port.make_handle)
        self.pump = Pump(mux, self.source, port.producer, self._note_end)
        self.extensions = self.pump.mux.extensions

    def step(self) -> Step:
        """Dispatch one part, for somebody who wants more than that."""
        return self.port.context.run(self.pump.advance, Latch("more"), self.pump.parts + 1)

    def _note_end(self) -> None:
        self.ends += 1

    def run(self) -> list[Step]:
        """Step until the run has ended; the steps."""
        steps = []
        while not self.pump.terminal.ready:
            steps.append(self.step())
            assert len(steps) < 100
        return steps

    @property
    def notes(self) -> list[Any]:
        """What the transformer `Notes` has noted."""
        notes: list[Any] = self.extensions["notes"]
        return notes


@pytest.fixture
def make(make_port: Any) -> Callable[..., Rig]:
    """Makes a pump over a script, on the sync lane unless told otherwise."""

    def rig(*answers: Any, factories: Iterable[Any] = (ValuesTransformer, CustomTransformer, Notes), **of: Any) -> Rig:
        return Rig(make_port(**of), answers, factories)

    return rig


def close(rig: Rig) -> None:
    """End the run by abort; nothing has to be awaited."""
    run_inline(rig.pump.abort(), "a test")


# --- parts at hand ---


def at_hand(make_port: Any, *parts_at_hand: Any, notes: bool = False) -> tuple[Rig, Any]:
    """A pump whose source has these parts at hand, and the buffer of a reader of `custom` who has read the first."""
    factories = (ValuesTransformer, CustomTransformer, *((Notes,) if notes else ()))
    rig = Rig(make_port(), (), factories, (parts.custom("first"), *parts_at_hand))
    (buffer,) = rig.extensions["custom"].subscribe(is_async=False)
    assert rig.pump.take_for(buffer) is EMPTY  # what it is dispatched to is not known yet
    assert rig.step() is Step.SPENT
    assert buffer.take() == "first"
    return rig, buffer


def test_parts_at_hand_come_before_those_that_are_pulled(make_port: Any) -> None:
    """Each step takes one."""
    rig = Rig(make_port(), [parts.custom(3)], (CustomTransformer, Notes), [parts.custom(1), parts.custom(2)])
    assert [rig.step() for _ in range(4)] == [Step.SPENT, Step.SPENT, Step.SPENT, Step.ENDED]
    assert rig.notes == [1, 2, 3, "finalize"]


def test_a_part_for_one_reader_alone_goes_straight_to_it(make_port: Any) -> None:
    """It counts as a part; one for others is left where it is."""
    rig, buffer = at_hand(make_port, parts.custom(1), parts.custom(2), parts.values(3), parts.custom(4))
    assert [rig.pump.take_for(buffer) for _ in range(3)] == [1, 2, EMPTY]
    assert (rig.pump.parts, len(rig.source.at_hand), buffer.ready) == (3, 2, 0)
    assert rig.step() is Step.SPENT
    assert rig.pump.take_for(buffer) == 4
    assert not rig.pump.at_hand


def test_a_snapshot_for_one_reader_alone_is_noted(make_port: Any) -> None:
    """It is the state from then on; one that asks goes the usual way, which notes what it asks."""
    asks = parts.values("asks", interrupts=[{"id": "i1", "value": "well?"}])
    snapshots = [parts.values(n) for n in range(3)]
    rig = Rig(make_port(), (), (ValuesTransformer,), (*snapshots, asks))
    (buffer,) = rig.extensions["values"].subscribe(is_async=False)
    assert rig.step() is Step.SPENT
    assert buffer.take() == 0
    for n in (1, 2):
        assert (rig.pump.take_for(buffer), rig.pump.mux.state.latest) == (n, n)
    assert rig.pump.take_for(buffer) is EMPTY
    assert rig.step() is Step.SPENT
    assert (buffer.take(), rig.pump.mux.state.latest, rig.pump.mux.state.interrupted) == ("asks", "asks", True)


def test_a_part_that_a_hook_wants_too_is_dispatched(make_port: Any) -> None:
    """It does not go straight to the reader."""
    rig, buffer = at_hand(make_port, parts.custom(1), notes=True)
    assert rig.pump.take_for(buffer) is EMPTY
    assert rig.step() is Step.SPENT
    assert (buffer.take(), rig.notes) == (1, ["first", 1])


def test_a_reader_of_the_raw_log_sees_all_numbers(make_port: Any) -> None:
    """Parts that went straight to a reader are counted; from its subscription on the log gets each event."""
    rig, buffer = at_hand(make_port, parts.custom(1), parts.custom(2))
    assert rig.pump.take_for(buffer) == 1
    (log,) = rig.pump.mux.registry.log.channel.subscribe(is_async=False)
    assert rig.pump.take_for(buffer) is EMPTY
    assert rig.step() is Step.SPENT
    assert (buffer.take(), log.take()["seq"]) == (2, 3)


def test_what_is_not_a_part_is_left_to_a_step(make_port: Any) -> None:
    """The step fails the run with it."""
    rig, buffer = at_hand(make_port, "no part")
    assert rig.pump.take_for(buffer) is EMPTY
    assert rig.step() is Step.ENDED
    assert rig.pump.status == "failed"


def test_nothing_goes_straight_to_a_reader_before_what_is_to_be_done_first(make_port: Any) -> None:
    """An error that was interjected, a reservation, items that wait for room."""
    rig, buffer = at_hand(make_port, parts.custom(1))
    rig.pump.reserve()
    assert rig.pump.take_for(buffer) is EMPTY
    rig.pump.release()
    rig.pump.producer.pending = 1
    assert rig.pump.take_for(buffer) is EMPTY
    rig.pump.producer.pending = 0
    rig.pump.interject(ValueError("no"))
    assert rig.pump.take_for(buffer) is EMPTY


def test_a_reader_that_has_left_is_given_nothing(make_port: Any) -> None:
    """Its buffer has no feeder any more."""
    rig, buffer = at_hand(make_port, parts.custom(1))
    rig.extensions["custom"].unsubscribe(buffer)
    assert buffer.feeder is None
    assert rig.pump.take_for(buffer) is EMPTY


def test_where_nothing_waits_a_part_is_pulled_for_its_reader(make_port: Any) -> None:
    """One that is for others too is left at hand for the next step."""
    rig, buffer = at_hand(make_port)
    rig.source.answers = [parts.custom(1), parts.values(2), parts.custom(3)]
    assert [rig.pump.take_for(buffer) for _ in range(2)] == [1, EMPTY]
    assert (rig.pump.parts, len(rig.source.at_hand), len(rig.source.answers)) == (2, 1, 1)
    assert (rig.step(), rig.pump.mux.state.latest) == (Step.SPENT, 2)
    assert rig.pump.take_for(buffer) == 3


def test_where_a_source_may_wait_nothing_is_pulled_for_one_reader(make_port: Any) -> None:
    """Asking it for a part is the driver's business, who knows what to do if there is none."""
    rig = Rig(make_port(), [NOTHING, parts.custom(2)], (CustomTransformer,), [parts.custom(1)])
    (buffer,) = rig.extensions["custom"].subscribe(is_async=False)
    rig.step()
    assert rig.pump.take_for(buffer) is EMPTY
    assert rig.source.answers[0] is NOTHING


@pytest.mark.parametrize(
    ("ends_with", "status"),
    [(END, "completed"), (GraphInterrupt("well?"), "interrupted"), (ValueError("no"), "failed")],
    ids=["a good end", "a question", "an error"],
)
def test_how_a_graph_ends_that_was_pulled_for_one_reader_is_left_to_a_step(
    make_port: Any, ends_with: Any, status: str
) -> None:
    """The source is not asked again."""
    rig, buffer = at_hand(make_port)
    rig.source.answers = [ends_with, parts.custom("after the end")]
    assert rig.pump.take_for(buffer) is EMPTY
    assert rig.pump.status == "running"
    assert (rig.step(), rig.pump.status, len(rig.source.answers)) == (Step.ENDED, status, 1)
    assert buffer.take() is EMPTY


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_control_flow_of_a_graph_that_was_pulled_for_one_reader_is_left_to_a_step(
    make_port: Any, kind: type[BaseException]
) -> None:
    """The step raises it, when the run has ended with it."""
    rig, buffer = at_hand(make_port)
    rig.source.answers = [kind("now")]
    assert rig.pump.take_for(buffer) is EMPTY
    with pytest.raises(kind, match="now"):
        rig.step()
    assert rig.pump.status == "failed"
    assert isinstance(rig.pump.failure.error, kind)


def test_a_part_that_was_pulled_for_one_reader_comes_before_what_the_graph_has_asked_for(make_port: Any) -> None:
    """A graph that aborts its own run is asked for one more part by then: its other readers get that as well."""
    rig, buffer = at_hand(make_port)
    (values,) = rig.extensions["values"].subscribe(is_async=False)

    def pull() -> Any:
        rig.pump.abort_after_event()
        return parts.values(2)

    rig.source.answers = [pull]
    assert rig.pump.take_for(buffer) is EMPTY
    assert (rig.step(), rig.pump.status) == (Step.ENDED, "aborted")
    assert (values.take(), values.take()) == (2, EMPTY)


def test_events_for_the_reader_of_the_raw_log_alone_go_straight_to_it(make_port: Any) -> None:
    """Whatever their method and namespace, numbered; not those that a projection's reader wants, too."""
    given = [parts.custom(1), parts.updates({"a": 2}, ns=("b:1",)), parts.custom(3), parts.values(4)]
    rig = Rig(make_port(), given, (ValuesTransformer,))
    (log,) = rig.pump.mux.registry.log.channel.subscribe(is_async=False)
    assert rig.pump.take_for(log) is EMPTY  # what the first of each method goes through is compiled by a step
    rig.step()
    assert log.take()["params"]["data"] == 1
    assert rig.pump.take_for(log) is EMPTY
    rig.step()
    second = log.take()
    assert (second["seq"], second["method"], second["params"]["namespace"]) == (2, "updates", ["b:1"])
    third = rig.pump.take_for(log)
    assert (third["seq"], third["method"], third["params"]["data"]) == (3, "custom", 3)
    assert rig.pump.take_for(log) is EMPTY
    rig.step()
    assert (log.take()["seq"], rig.pump.mux.state.latest) == (4, 4)
    rig.pump.mux.registry.log.channel.unsubscribe(log)
    assert (log.feeder, log.make) == (None, None)


# --- steps ---


def test_a_step_dispatches_one_part(make: Any) -> None:
    """A step of one part counts it, and reports that its limit is spent; the part after it is not touched."""
    rig = make(parts.custom(1), parts.custom(2))
    assert rig.step() is Step.SPENT
    assert rig.notes == [1]
    assert rig.pump.parts == 1
    assert len(rig.source.answers) == 1
    assert rig.pump.status == "running"


def test_a_source_without_a_part_needs_one(make: Any) -> None:
    """`NOTHING` is reported and changes nothing; the next step asks again."""
    rig = make(NOTHING, parts.custom(1))
    assert rig.pump.lacks is Step.NEEDS_PART
    assert rig.step() is Step.NEEDS_PART
    assert rig.pump.lacks is None
    assert rig.step() is Step.SPENT


def test_the_end_of_the_source_completes_the_run(make: Any) -> None:
    """The hooks are called, the channels ended, the status published; further steps do nothing."""
    rig = make(parts.values({"n": 1}))
    values: Any = iter(rig.extensions["values"])
    assert rig.run() == [Step.SPENT, Step.ENDED]
    assert rig.ends == 1
    assert rig.notes == [{"n": 1}, "finalize"]
    assert rig.pump.status == "completed"
    assert rig.pump.result() == {"n": 1}
    assert list(values) == [{"n": 1}]
    assert values.buffer.outcome.error is None
    assert rig.step() is Step.ENDED
    assert rig.notes == [{"n": 1}, "finalize"]


def test_no_part_is_pulled_while_items_wait_for_room(make: Any) -> None:
    """A full channel stops the run, not the event; it goes on when its reader has made room."""
    rig = make(parts.custom(1), parts.custom(2), parts.custom(3), maxlen=1)
    custom = iter(rig.extensions["custom"])
    assert rig.step() is Step.SPENT
    assert rig.step() is Step.SPENT
    assert rig.step() is Step.NEEDS_ROOM
    assert rig.pump.lacks is Step.NEEDS_ROOM
    assert rig.notes == [1, 2]
    assert next(custom) == 1
    assert rig.pump.lacks is None
    assert rig.step() is Step.SPENT
    assert list(custom) == [2, 3]


def test_channels_without_a_reader_stop_nothing(make: Any) -> None:
    """Only subscribed channels exert backpressure."""
    rig = make(*(parts.custom(n) for n in range(50)), maxlen=1)
    assert Step.NEEDS_ROOM not in rig.run()
    assert rig.pump.parts == 50


def test_the_status_is_published_last(make: Any) -> None:
    """While hooks run, and until the channels have ended, the run is running."""
    seen: list[Any] = []

    class Asks(Notes):
        def finalize(self) -> None:
            seen.append((rig.pump.status, rig.pump.terminal.ready, rig.extensions["values"].ended))

    rig = make(factories=[ValuesTransformer, Asks])
    rig.run()
    assert seen == [("running", 0, False)]
    assert rig.pump.status == "completed"


# --- how runs end ---


def test_an_error_of_the_source_fails_the_run(make: Any) -> None:
    """Each hook `fail` gets the very error, readers get their items and then the error, and so does `result`."""
    error = ValueError("no")
    rig = make(parts.custom(1), error)
    custom: Any = iter(rig.extensions["custom"])
    rig.run()
    assert rig.pump.status == "failed"
    assert rig.notes == [1, ("fail", error)]
    assert list(custom) == [1]
    assert custom.buffer.outcome.error is error
    for _ in range(2):
        with pytest.raises(ValueError, match="no") as caught:
            rig.pump.result()
        assert caught.value is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_control_flow_fails_the_run_and_goes_on_its_way(make: Any, kind: type[BaseException]) -> None:
    """`KeyboardInterrupt` and `SystemExit` of the graph end the run and are raised by the step, too."""
    rig = make(kind())
    with pytest.raises(kind):
        rig.run()
    assert rig.pump.status == "failed"
    assert isinstance(rig.notes[0][1], kind)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_stray_stop_is_no_end(make: Any, kind: type[Exception]) -> None:
    """What readers would take for the end of the stream is a failure, with the original as its cause."""
    rig = make(kind())
    rig.run()
    assert rig.pump.status == "failed"
    with pytest.raises(SourceStopped, match="the script") as caught:
        rig.pump.result()
    assert isinstance(caught.value.__cause__, kind)


def test_a_malformed_part_fails_the_run(make: Any) -> None:
    """What is no part is the graph's failure; the parts before it have been dispatched."""
    rig = make(parts.custom(1), "no part")
    rig.run()
    assert rig.pump.status == "failed"
    with pytest.raises(MalformedPart):
        rig.pump.result()


def test_an_error_of_a_hook_fails_the_run(make: Any) -> None:
    """The transformer is named, and the others' `fail` hooks get the error."""

    class Fails(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: ProtocolEvent) -> bool:
            raise ValueError("no")

    rig = make(parts.custom(1), parts.custom(2), factories=[Fails, Notes])
    rig.run()
    assert rig.pump.parts == 1
    assert len(rig.notes) == 1
    with pytest.raises(ValueError, match="no") as caught:
        rig.pump.result()
    assert "raised by Fails.process() while handling a 'custom' event" in caught.value.__notes__


def test_an_interrupt_is_no_failure(make: Any) -> None:
    """A graph that waits for its user ends well, as interrupted, with the payloads and the state so far."""
    rig = make(parts.values({"n": 1}), GraphInterrupt(["wait"]))
    rig.run()
    assert rig.pump.status == "interrupted"
    assert rig.notes == [{"n": 1}, "finalize"]
    assert rig.pump.result() == {"n": 1}
    assert rig.pump.mux.state.interrupts == ("wait",)


def test_a_snapshot_with_interrupts_makes_the_run_interrupted(make: Any) -> None:
    """Interrupts that came with a snapshot count at the end."""
    rig = make(parts.values({"n": 1}, interrupts=["wait"]))
    rig.run()
    assert rig.pump.status == "interrupted"


def test_an_error_of_finalize_fails_the_run_after_the_others(make: Any) -> None:
    """Each transformer is ended once; the first error is the run's, further ones are kept."""
    ended: list[str] = []

    def failing(name: str) -> type[StreamTransformer]:
        class Fails(Notes):
            def init(self) -> dict[str, Any]:
                return {}

            def finalize(self) -> None:
                ended.append(name)
                raise ValueError(name)

        return Fails

    rig = make(factories=[failing("first"), failing("second"), Notes])
    rig.run()
    assert ended == ["first", "second"]
    assert rig.notes == ["finalize"]
    assert rig.pump.status == "failed"
    assert [str(error) for error in rig.pump.undelivered()] == ["first", "second"]


def test_an_error_of_fail_does_not_replace_the_runs(make: Any) -> None:
    """It is kept for whoever leaves the block; the other hooks still get the original."""

    class Fails(Notes):
        def init(self) -> dict[str, Any]:
            return {}

        def fail(self, err: BaseException) -> None:
            raise OSError("of the hook")

    error = ValueError("the run's")
    rig = make(error, factories=[Fails, Notes])
    rig.run()
    assert rig.notes == [("fail", error)]
    assert [str(each) for each in rig.pump.undelivered()] == ["the run's", "of the hook"]


# --- interjections ---


def test_an_interjected_error_fails_the_run_at_the_next_step(make: Any) -> None:
    """No further part is pulled, and the error is the run's."""
    error = ValueError("of scheduled work")
    rig = make(parts.custom(1), parts.custom(2))
    rig.step()
    rig.pump.interject(error)
    assert rig.pump.lacks is None
    assert rig.pump.interjected is error
    assert rig.step() is Step.ENDED
    assert rig.pump.status == "failed"
    assert rig.notes == [1, ("fail", error)]


def test_further_interjected_errors_are_kept(make: Any) -> None:
    """The first counts; the others wait for the exit, also those that come when the run has ended."""
    rig = make()
    for text in ("first", "second"):
        rig.pump.interject(ValueError(text))
    rig.run()
    rig.pump.interject(ValueError("third"))
    assert [str(error) for error in rig.pump.undelivered()] == ["first", "second", "third"]


def test_a_stalled_run_can_be_failed(make: Any) -> None:
    """An interjected error does not wait for room."""
    rig = make(parts.custom(1), parts.custom(2), maxlen=1)
    _custom = iter(rig.extensions["custom"])
    rig.step()
    rig.step()
    assert rig.step() is Step.NEEDS_ROOM
    rig.pump.interject(ValueError("no"))
    rig.step()
    assert rig.pump.status == "failed"


# --- aborting ---


def test_an_abort_ends_the_run_quietly(make: Any) -> None:
    """Hooks get `RunAborted` with the state so far, readers just end, and `result` raises."""
    rig = make(parts.values({"n": 1}), parts.values({"n": 2}))
    values: Any = iter(rig.extensions["values"])
    rig.step()
    close(rig)
    assert rig.pump.status == "aborted"
    assert list(values) == [{"n": 1}]
    assert not values.buffer.outcome.raises
    assert isinstance(rig.notes[-1][1], RunAborted)
    with pytest.raises(RunAborted) as caught:
        rig.pump.result()
    assert caught.value.partial == {"n": 1}


def test_aborting_twice_is_aborting_once(make: Any) -> None:
    """The second abort finds the run ended."""
    rig = make()
    close(rig)
    close(rig)
    assert len(rig.notes) == 1


def test_a_run_that_has_ended_is_not_aborted(make: Any) -> None:
    """The outcome stays what it was."""
    rig = make(parts.values({"n": 1}))
    rig.run()
    close(rig)
    assert rig.pump.status == "completed"
    assert rig.pump.result() == {"n": 1}


def test_an_abort_inside_an_event_takes_effect_after_it(make: Any) -> None:
    """The event that is being dispatched is dispatched to its end; no further part is pulled."""

    class Aborts(StreamTransformer):
        before_builtins = True

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: ProtocolEvent) -> bool:
            rig.pump.abort_after_event()
            return True

    rig = make(parts.custom(1), parts.custom(2), factories=[Aborts, CustomTransformer, Notes])
    custom = iter(rig.extensions["custom"])
    rig.run()
    assert rig.pump.status == "aborted"
    assert rig.notes[0] == 1
    assert isinstance(rig.notes[1][1], RunAborted)
    assert len(rig.notes) == 2
    assert list(custom) == [1]


# --- what has to be awaited ---


class Awaiting(Notes):
    """Waits before it notes a payload."""

    async def aprocess(self, event: ProtocolEvent) -> bool:
        """Suspend once."""
        await type(self).suspend()  # type: ignore[attr-defined]
        return self.process(event)


def test_an_async_hook_is_handed_out_as_a_job(make: Any, suspension: Any) -> None:
    """The step reports that somebody has to await `job`; then the run goes on."""
    Awaiting.suspend = suspension  # type: ignore[attr-defined]
    rig = make(parts.custom(1), factories=[Awaiting], is_async=True)
    assert rig.step() is Step.NEEDS_AWAIT
    job = rig.pump.job
    assert job is not None
    job.send(None)
    assert rig.notes == []
    with pytest.raises(StopIteration):
        job.send(None)
    rig.pump.job_done()
    assert rig.pump.job is None
    assert rig.notes == [1]


def test_a_job_that_raises_fails_the_run(make: Any, suspension: Any) -> None:
    """`job_failed` ends the run with its error."""
    Awaiting.suspend = suspension  # type: ignore[attr-defined]
    error = ValueError("no")
    rig = make(parts.custom(1), factories=[Awaiting], is_async=True)
    assert rig.step() is Step.NEEDS_AWAIT
    rig.pump.job.close()
    if rig.pump.job_failed(error) is Step.NEEDS_AWAIT:
        run_inline(rig.pump.job, "a test")
        rig.pump.job_done()
    assert rig.pump.status == "failed"
    assert rig.notes == [("fail", error)]


def test_an_abort_gives_up_the_job(make: Any, suspension: Any) -> None:
    """The coroutine that was being awaited is closed."""
    Awaiting.suspend = suspension  # type: ignore[attr-defined]
    rig = make(parts.custom(1), factories=[Awaiting], is_async=True)
    rig.step()
    rig.pump.job.send(None)
    close(rig)
    assert rig.pump.job is None
    assert rig.pump.status == "aborted"


# --- how a run ends ---


class Ending(Notes):
    """Waits when the run ends well."""

    async def afinalize(self) -> None:
        """Suspend once."""
        await type(self).suspend()  # type: ignore[attr-defined]
        self.finalize()


ERROR = ValueError("no")

BY_SOURCE = {End.COMPLETE: END, End.INTERRUPT: GraphInterrupt(()), End.DRAIN: RunDrained(), End.FAIL: ERROR}
"""An end -> what the source answers."""


def in_phase(make: Any, phase: Phase, suspension: Any) -> Rig:
    """A pump that is in a phase."""
    Awaiting.suspend = Ending.suspend = suspension  # type: ignore[attr-defined]
    waiting = {Phase.AWAITING: [Awaiting], Phase.ENDING: [Ending]}.get(phase, [Notes])
    rig: Rig = make(*([parts.custom(1)] if phase is Phase.AWAITING else []), factories=waiting, is_async=True)
    if phase is not Phase.RUNNING:
        rig.step()
    if phase is Phase.ENDED:
        settle(rig)
    assert rig.pump.phase is phase
    return rig


def settle(rig: Rig) -> None:
    """Await what has to be."""
    while (job := rig.pump.job) is not None:
        try:
            while True:
                job.send(None)
        except StopIteration:
            rig.pump.job_done()


def bring(rig: Rig, end: End) -> None:
    """Let an end come."""
    if end in BY_SOURCE:
        rig.source.answers.append(BY_SOURCE[end])
        rig.step()
    elif end is End.JOB_FAIL:
        if rig.pump.job is not None:
            rig.pump.job.close()
        rig.pump.job_failed(ERROR)
    elif end is End.INTERJECT:
        rig.pump.interject(ERROR)
    elif end is End.ABORT_INSIDE:
        rig.pump.abort_after_event()
    else:
        close(rig)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("end", End)
def test_each_end_in_each_phase_does_what_the_table_says(make: Any, suspension: Any, end: End, phase: Phase) -> None:
    """At once, at the next step, or not; what it cannot be any more is kept for those who leave the block."""
    status, effects = ENDS[end]
    effect = effects[phase]
    if effect is None or (end, phase) == (End.FAIL, Phase.ENDING):
        return
    rig = in_phase(make, phase, suspension)
    before, job = rig.pump.status, rig.pump.job
    bring(rig, end)
    if effect is Effect.NEXT:
        assert rig.pump.status == "running"
        assert rig.pump.job is job
        settle(rig)
        rig.step()
    if effect is Effect.CUT:
        assert rig.pump.job is None
        assert rig.pump.status == status
    settle(rig)
    if effect in {Effect.NOW, Effect.NEXT, Effect.CUT}:
        assert rig.pump.status == status
        assert rig.pump.undelivered() == ([ERROR] if status == "failed" else [])
    else:
        assert rig.pump.status == (before if phase is Phase.ENDED else "completed")
        assert rig.pump.undelivered() == ([ERROR] if effect is Effect.KEPT else [])
    assert rig.ends == 1


def test_an_event_that_asks_for_an_abort_and_fails_fails_the_run(make: Any) -> None:
    """The error is what the run ends with; nobody would learn of it otherwise."""

    class AbortsAndRaises(Notes):
        def process(self, event: ProtocolEvent) -> bool:
            rig.pump.abort_after_event()
            assert rig.pump.phase is Phase.ENDING
            raise ERROR

    rig = make(parts.custom(1), factories=[AbortsAndRaises])
    rig.step()
    status, effects = ENDS[End.FAIL]
    assert effects[Phase.ENDING] is Effect.NOW
    assert rig.pump.status == status


@pytest.mark.parametrize("end", BY_SOURCE)
def test_a_run_that_ends_or_has_ended_pulls_nothing(make: Any, suspension: Any, end: End) -> None:
    """So what a source would say then cannot come."""
    assert ENDS[end][1][Phase.ENDED] is None
    rig = in_phase(make, Phase.ENDED, suspension)
    bring(rig, end)
    assert len(rig.source.answers) == 1


def test_a_run_that_fails_keeps_what_was_interjected_before(make: Any, suspension: Any) -> None:
    """The hook that is awaited raises before the next step can fail the run: both errors are to be seen."""
    rig = in_phase(make, Phase.AWAITING, suspension)
    late = ValueError("of scheduled work")
    rig.pump.interject(late)
    bring(rig, End.JOB_FAIL)
    settle(rig)
    assert rig.pump.undelivered() == [ERROR, late]


# --- errors nobody received ---


def test_a_failure_that_a_reader_received_is_not_undelivered(make: Any) -> None:
    """Whoever got the error by reading or by `result` has received it."""
    by_result, by_reading, not_at_all = (make(ValueError("no")) for _ in range(3))
    for rig in (by_result, by_reading, not_at_all):
        rig.run()
    with pytest.raises(ValueError, match="no"):
        by_result.pump.result()
    by_reading.pump.deliver(by_reading.pump.failure)
    assert by_result.pump.undelivered() == by_reading.pump.undelivered() == []
    assert [str(error) for error in not_at_all.pump.undelivered()] == ["no"]
    assert not_at_all.pump.undelivered() == []


def test_an_abort_is_no_undelivered_error(make: Any) -> None:
    """Leaving a run early is no failure."""
    rig = make(parts.custom(1))
    close(rig)
    assert rig.pump.undelivered() == []


# --- readable errors ---


def test_readable_leaves_other_errors_alone() -> None:
    """Only what would be misread is replaced."""
    error = ValueError("no")
    assert readable(error, "the graph g") is error


def test_a_cancellation_that_nobody_sent_is_replaced() -> None:
    """A source's own `CancelledError` would look like the reader's cancellation."""
    error = asyncio.CancelledError()
    replaced = readable(error, "the graph g")
    assert isinstance(replaced, SourceStopped)
    assert replaced.__cause__ is error


def test_figures(make: Any) -> None:
    """The figures name the status, the parts and the channels, the raw log among them."""
    rig = make(parts.custom(1), parts.custom(2), maxlen=1)
    _custom = iter(rig.extensions["custom"])
    rig.step()
    rig.step()
    found = figures(rig.pump, rig.pump.mux, inbox=3, parked=2)
    assert (found.status, found.parts, found.inbox, found.outbox, found.parked) == ("running", 2, 3, 1, 2)
    assert set(found.channels) == {"events", "values", "custom"}
