"""Testing a transformer in a few lines: on the sync lane, on both loops, and with pytest-trio."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from anyiostream import Promise, StreamChannel, StreamTransformer, parts
from anyiostream.errors import AsyncTransformerRefused, InvalidHook
from anyiostream.testing import EventRecorder, HookReturnedNothing, Pause, afeed, arecord, feed, record

SCRIPT = (parts.custom("one"), parts.custom("two words"))


class Shout(StreamTransformer):
    """Shouts after a while, in scheduled work."""

    required_stream_modes = ("custom",)
    requires_async = True

    def init(self) -> dict[str, Any]:
        self.shouts: StreamChannel[str] = StreamChannel("shouts")
        return {"shouts": self.shouts}

    def process(self, event: Any) -> bool:
        if event["method"] == "custom":
            self.schedule(self.shout(event["params"]["data"]), on_error="raise")
        return True

    async def shout(self, text: str) -> None:
        await trio.sleep(60 * len(text))
        await self.shouts.send(text.upper())


def test_on_the_sync_lane(word_count: Any) -> None:
    """Without an event loop: channels, promises and constants, the raw log and the outcome."""
    recording = feed(word_count, *SCRIPT, parts.values({"done": True}))
    recording.check(counts=[1, 2])
    assert recording.values == {"total": 3, "unit": "words"}
    assert recording.methods == ["custom", "custom", "values"]
    assert [event["seq"] for event in recording.events] == [1, 2, 3]
    assert (recording.output, recording.status, recording.error) == ({"done": True}, "completed", None)


@pytest.mark.anyio
async def test_on_either_loop(word_count: Any) -> None:
    """The same, awaited."""
    recording = await afeed(word_count, *SCRIPT, parts.values({"done": True}))
    recording.check(counts=[1, 2])
    assert recording.values == {"total": 3, "unit": "words"}
    assert recording.methods == ["custom", "custom", "values"]
    assert (recording.output, recording.status, recording.error) == ({"done": True}, "completed", None)


@pytest.mark.trio
async def test_with_pytest_trio(autojump_clock: trio.testing.MockClock) -> None:
    """What is scheduled is waited for, on the virtual clock."""
    recording = await afeed(Shout, *SCRIPT)
    recording.check(shouts=["ONE", "TWO WORDS"])
    assert sorted(recording.methods) == ["custom", "custom", "custom:shouts", "custom:shouts"]


def test_the_scripts_own_error_is_a_result(word_count: Any) -> None:
    """What was read before it is there; a promise without a value is left out."""
    error = OSError("gone")
    recording = feed(word_count, *SCRIPT, error)
    recording.check(counts=[1, 2])
    assert recording.error is error
    assert recording.status == "failed"
    assert "total" not in recording.values


@pytest.mark.anyio
async def test_the_scripts_own_error_is_a_result_of_the_async_lane(word_count: Any) -> None:
    """As on the sync one."""
    error = OSError("gone")
    recording = await afeed(word_count, *SCRIPT, error)
    recording.check(counts=[1, 2])
    assert (recording.error, recording.status) == (error, "failed")


def test_a_transformers_error_is_raised() -> None:
    """With the note that names it."""

    class Broken(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            raise LookupError("broken")

    with pytest.raises(LookupError) as caught:
        feed(Broken, parts.values(1))
    assert "Broken" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("hook", ["process", "aprocess"])
def test_a_hook_that_forgets_to_answer_is_found(hook: str) -> None:
    """In a program its event would vanish from the raw log without a word."""

    class Forgetful(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

    async def afterwards(self: Any, event: Any) -> None:
        pass

    def at_once(self: Any, event: Any) -> None:
        pass

    setattr(Forgetful, hook, afterwards if hook == "aprocess" else at_once)
    with pytest.raises(HookReturnedNothing, match=rf"Forgetful.{hook}\(\) returned None"):
        if hook == "process":
            feed(Forgetful, parts.values(1))
        else:
            trio.run(afeed, Forgetful, parts.values(1))


def test_a_process_that_is_async_is_still_the_runs_to_refuse() -> None:
    """With the run's own message."""

    class Wrong(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def process(self, event: Any) -> bool:  # type: ignore[override]
            return True

    with pytest.raises(InvalidHook, match="aprocess"):
        feed(Wrong, parts.values(1))


def test_a_transformer_of_the_async_lane_is_refused_on_the_other() -> None:
    """As a run refuses it."""
    with pytest.raises(AsyncTransformerRefused, match="Shout"):
        feed(Shout, parts.custom("one"))


def test_a_promise_without_a_value_is_left_out() -> None:
    """It is no error of the test's."""

    class Silent(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {"never": Promise()}

        def process(self, event: Any) -> bool:
            return True

    assert feed(Silent, parts.values(1)).values == {}


def test_transformers_of_subgraphs_are_fed_too() -> None:
    """Only the projections of the run's own are recorded."""
    scopes: list[tuple[str, ...]] = []

    class Scopes(StreamTransformer):
        own_scope = True

        def init(self) -> dict[str, Any]:
            self.seen: StreamChannel[Any] = StreamChannel()
            return {"seen": self.seen}

        def process(self, event: Any) -> bool:
            scopes.append(self.scope)
            self.seen.push(event["method"])
            return True

    recording = feed(
        Scopes,
        parts.values(1),
        parts.task_start("t", "inner"),
        parts.task_start("u", "x", ns=("inner:t",)),
        parts.values(2, ns=("inner:t",)),
        Pause(1),
        parts.task_result("t", "inner"),
    )
    assert ("inner:t",) in scopes
    assert recording["seen"].count("values") == 1


def test_record_reads_every_channel_in_order_of_arrival(word_count: Any) -> None:
    """Or those that are named; a name that was not recorded is said to be none."""
    from anyiostream import CustomTransformer, open_run

    with open_run([parts.custom("a b"), parts.values(1)], transformers=[CustomTransformer, word_count]) as run:
        recording = record(run)
    assert recording.order == [("custom", "a b"), ("counts", 2), ("values", 1)]
    assert (recording["messages"], recording["values"]) == ([], [1])
    with open_run([parts.values(1)]) as run:
        recording = record(run, "values")
    with pytest.raises(KeyError, match="recorded: values"):
        recording["messages"]


@pytest.mark.anyio
async def test_record_keeps_what_came_before_an_error() -> None:
    """In the recording that the caller gave it."""
    from anyiostream import open_run
    from anyiostream.testing import Recording, ScriptedSource

    kept = Recording()
    with pytest.raises(OSError, match="gone"):
        async with open_run(ScriptedSource(parts.values(1), OSError("gone"))) as run:
            await arecord(run, "values", into=kept)
    assert kept.items == {"values": [1]}


def test_a_wrong_recording_says_where() -> None:
    """`check` names the projection, the index and the items."""
    from anyiostream.testing import Recording

    recording = Recording()
    recording.add("values", 1)
    with pytest.raises(AssertionError, match=r"values: .*index 0"):
        recording.check(values=[2])


def test_an_event_recorder_sees_all_levels_without_reading() -> None:
    """Also what no reader reads, and how the run ended."""
    from anyiostream import open_run

    recorder = EventRecorder()
    script = [
        parts.values(0),
        parts.task_start("t", "inner"),
        parts.values(1, ns=("inner:t",)),
        parts.task_result("t", "inner"),
    ]
    with open_run(script, transformers=[recorder]) as run:
        assert not recorder.ended
        assert run.output == 0
    assert recorder.payloads("values") == [0, 1]
    assert recorder.methods == ["values", "tasks", "values", "tasks"]
    assert (recorder.ended, recorder.error) == (True, None)


def test_an_event_recorder_sees_an_abort() -> None:
    """As the `RunAborted` that the run's `fail` hooks get."""
    from anyiostream import RunAborted, open_run

    recorder = EventRecorder()
    with open_run([parts.values(0)], transformers=[recorder]):
        pass
    assert isinstance(recorder.error, RunAborted)
