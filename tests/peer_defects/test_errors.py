"""Errors that are lost, seen by one reader only, taken for the end of the graph, or changed by being read.

In `langgraph.stream` an error belongs to whoever advanced the graph at that moment, and some are nobody's: those of
scheduled work that ends early, of hooks at the end, and every control-flow exception.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from anyiostream import RunAborted, parts
from anyiostream.errors import RunWaitsForItself

from ..conformance.adapter import ASYNC, SYNC, Lab, Script, on
from .defects import Victim, outcome_of, plain, prefix, snapshots, still, without_trio


async def test_a_branch_of_a_tee_loses_the_error(lab: Lab) -> None:
    """Every branch gets the error that ended the run; of theirs, on the sync lane, the first one to come only."""
    error = LookupError("graph")
    async with lab.open(Script(snapshots(1), error)) as run:
        first, second = lab.tee(run.values, 2)
        assert await first.outcome() == (prefix(1), error)
        other = await second.outcome()
        if lab.ours or lab.is_async:
            assert other == (prefix(1), error)
        else:
            still(other == (prefix(1), None), "a branch ends well although the graph failed")


@on(ASYNC)
async def test_an_error_of_scheduled_work_that_ends_early_is_forgotten(lab: Lab) -> None:
    """`on_error="raise"` fails the run whenever it happens; theirs notice it at the very end only."""
    error = LookupError("moderation")

    async def work() -> None:
        raise error

    def process(self: Any, event: Any) -> bool:
        if event["params"]["data"] == {"v": 0}:
            self.tasks = [self.schedule(work(), on_error="raise")]
        return True

    async with lab.open(snapshots(5), transformers=[plain(lab, requires_async=True, process=process)]) as run:
        outcome = await outcome_of(lab.output(run))
    if lab.ours:
        assert outcome is error
    else:
        still(outcome == {"v": 4}, "an early error of scheduled work is forgotten")


@on(ASYNC)
async def test_a_late_error_of_scheduled_work_reaches_one_reader(lab: Lab) -> None:
    """It reaches every reader and `output()`, and the `fail` hook runs; theirs tell one reader and run no hook."""
    error, release = LookupError("late"), anyio.Event()
    hooks: list[Any] = []

    async def work() -> None:
        await release.wait()
        raise error

    def process(self: Any, event: Any) -> bool:
        self.schedule(work(), on_error="raise")
        return True

    transformer = plain(
        lab,
        requires_async=True,
        process=process,
        finalize=lambda self: hooks.append("finalize"),
        fail=lambda self, err: hooks.append(err),
    )
    async with lab.open(snapshots(1), transformers=[transformer]) as run:
        async with anyio.create_task_group() as tasks:
            readers = [Victim(tasks, lab.reader(each).rest) for each in (run, run.values)]
            await anyio.wait_all_tasks_blocked()
            release.set()
            outcomes = [await reader.ended() for reader in readers]
        late = await outcome_of(lab.output(run))
    if lab.ours:
        assert outcomes == [error, error]
        assert late is error
        assert hooks == [error]
    else:
        still(outcomes.count(error) == 1 and late == {"v": 0} and hooks == [], "one reader only sees a late error")


async def test_a_failing_finalize_fails_for_one_reader_and_is_called_again(lab: Lab) -> None:
    """Every reader gets the error of `finalize`, which is called once; theirs tell one, and call it again and again."""
    error, calls = LookupError("flush"), []

    def finalize(self: Any) -> None:
        calls.append(1)
        raise error

    async with lab.open(snapshots(2), transformers=[plain(lab, finalize=finalize)]) as run:
        log, values = lab.reader(run), lab.reader(run.values)
        first = (await log.outcome())[1]
        second = (await values.outcome())[1]
        outputs = [await outcome_of(lab.output(run)) for _ in range(3)]
    if lab.ours:
        assert [first, second, *outputs] == [error] * 5
        assert len(calls) == 1
    else:
        told = [each for each in (first, second, *outputs) if each is error]
        # On their async lane it is called once, and the later ones are told of success.
        still(second is None and (len(told) < 5 if lab.is_async else len(calls) > 1), "finalize fails for one reader")


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
async def test_stop_iteration_in_a_transformer_ends_the_run_as_success(lab: Lab, kind: type[Exception]) -> None:
    """A transformer's stray `StopIteration` fails the run; theirs take it for the end of the graph."""

    def process(self: Any, event: Any) -> bool:
        if event["params"]["data"] == {"v": 2}:
            raise kind
        return True

    async with lab.open(snapshots(10), transformers=[plain(lab, process=process)]) as run:
        outcome = await outcome_of(lab.output(run))
    if lab.ours:
        assert isinstance(outcome, RuntimeError)
        assert "Plain.process()" in str(outcome)
        assert isinstance(outcome.__cause__, kind)
        assert run.status == "failed"
    elif (kind is StopAsyncIteration) == lab.is_async:
        still(outcome == {"v": 2}, "a transformer's StopIteration makes output() a partial state")


@on(SYNC)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_after_a_keyboard_interrupt_output_is_a_partial_success(lab: Lab, kind: type[BaseException]) -> None:
    """A control-flow exception in the graph leaves at once and is the run's outcome; theirs report success after it."""
    script = Script(snapshots(1), kind())
    with pytest.raises(kind):
        async with lab.open(script) as run:
            with pytest.raises(kind):
                await lab.items(run.values)
            if lab.ours:
                assert run.status == "failed"
                with pytest.raises(kind):
                    await lab.output(run)
            else:
                still(await lab.output(run) == {"v": 0}, "after an interrupt output() is a partial state")
            raise kind
    assert script.closed == 1


async def test_reading_an_error_makes_its_traceback_grow(lab: Lab) -> None:
    """However often it is read, it is the same object with the traceback of one reader; theirs pin all of them."""
    async with lab.open(Script(snapshots(1), LookupError("graph"))) as run:

        async def depth() -> tuple[Exception, int]:
            error = await outcome_of(lab.output(run))
            return error, len(traceback.extract_tb(error.__traceback__))

        first, before = await depth()
        for _ in range(50):
            again, after = await depth()
            assert again is first
    if lab.ours:
        assert after <= before
    else:
        still(after > before + 50, "an error's traceback grows with each read")


@pytest.mark.parametrize("where", ["graph", "finalize"])
async def test_leaving_swallows_errors_of_clean_up(lab: Lab, where: str) -> None:
    """What closing the graph raises, or a hook at the end, leaves the block; theirs drop it."""
    error = OSError("checkpoint flush")

    class Failing(Script):
        def __iter__(self) -> Iterator[Any]:
            try:
                yield from self._parts
            finally:
                raise error

        async def parts(self) -> Any:
            try:
                for part in self._parts:
                    yield part
            finally:
                raise error

    def end(self: Any, *args: Any) -> None:
        if where == "finalize":
            raise error

    # Ours ends an aborted run by `fail`, theirs by `finalize`.
    transformers = [plain(lab, finalize=end, fail=end)]
    script = Failing(snapshots(3)) if where == "graph" else Script(snapshots(3))

    async def application() -> None:
        async with lab.open(script, transformers=transformers) as run:
            await lab.reader(run).next()

    outcome = await outcome_of(application())
    if lab.ours:
        assert outcome is error
    else:
        still(outcome is None, "an error of cleaning up is dropped")


@on(SYNC)
async def test_a_fail_hooks_keyboard_interrupt_is_swallowed(lab: Lab) -> None:
    """`KeyboardInterrupt` in a `fail` hook leaves, and the other hooks still run; theirs drop it."""
    seen: list[BaseException] = []

    def interrupt(self: Any, err: BaseException) -> None:
        raise KeyboardInterrupt

    transformers = [plain(lab, fail=interrupt), plain(lab, fail=lambda self, err: seen.append(err))]
    error = LookupError("graph")
    left: BaseException | None = None
    try:
        async with lab.open(Script(snapshots(1), error), transformers=transformers) as run:
            await lab.output(run)
    except BaseException as exc:
        left = exc
    assert seen == [error]
    if lab.ours:
        assert isinstance(left, KeyboardInterrupt)
    else:
        still(left is error, "an interrupt in a fail hook is dropped")


@on(ASYNC)
async def test_a_cancellation_during_a_fail_hook_is_swallowed(lab: Lab) -> None:
    """A reader that is cancelled while the run fails is cancelled, and the hook ends; theirs eat the cancellation."""
    entered, release = anyio.Event(), anyio.Event()
    ended: list[str] = []

    async def afail(self: Any, err: BaseException) -> None:
        entered.set()
        await release.wait()
        ended.append("afail")

    async with lab.open(Script(snapshots(1), LookupError("graph")), transformers=[plain(lab, afail=afail)]) as run:
        async with anyio.create_task_group() as tasks:
            reader = Victim(tasks, lambda: outcome_of(lab.output(run)))
            await entered.wait()
            reader.cancel()
            outcome = await reader.ended() if lab.ours else None
            release.set()
            outcome = await reader.ended()
        await outcome_of(lab.output(run))
    if lab.ours:
        assert outcome == "cancelled"
        assert ended == ["afail"]
    else:
        still(outcome != "cancelled" and ended == [], "a hook is cancelled, and its reader is not")


@on(without_trio)
async def test_scheduled_work_that_exits_is_logged(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """`SystemExit` in scheduled work fails the run under either policy; theirs log it and go on."""

    async def work() -> None:
        raise SystemExit(3)

    def process(self: Any, event: Any) -> bool:
        self.schedule(work())
        return True

    left: BaseException | None = None
    output: Any = None
    try:
        async with lab.open(snapshots(1), transformers=[plain(lab, requires_async=True, process=process)]) as run:
            output = await lab.output(run)
    except BaseException as exc:
        left = exc
    if lab.ours:
        assert isinstance(left, SystemExit)
        assert output is None
    else:
        still(left is None and output == {"v": 0}, "SystemExit in scheduled work is logged only")


@on(SYNC)
async def test_a_hook_that_reads_its_run_reorders_events(lab: Lab) -> None:
    """A hook that asks for its run's output is told so; theirs dispatch the rest of the run inside that hook."""
    last: list[Any] = []

    def ask(self: Any, event: Any) -> bool:
        if event["params"]["data"] == {"v": 1}:
            _ = runs[0].output
        return True

    def note(self: Any, event: Any) -> bool:
        last.append(event["params"]["data"])
        return True

    runs: list[Any] = []
    async with lab.open(snapshots(4), transformers=[plain(lab, process=ask), plain(lab, process=note)]) as run:
        runs.append(run)
        outcome = await outcome_of(lab.items(run))
    if lab.ours:
        assert isinstance(outcome, RunWaitsForItself)
        assert last == prefix(1)
        assert run.status == "failed"
    else:
        still(last != prefix(4), "a hook that reads its run makes later transformers see events out of order")


async def test_metadata_that_is_none_fails_without_a_word_on_why(lab: Lab) -> None:
    """A malformed part is refused by name, or understood; theirs raise an `AttributeError` of their own inside."""
    async with lab.open([{"type": "messages", "ns": (), "data": ({"event": "message-start"}, None)}]) as run:
        messages = lab.reader(run.messages)
        items, error = await messages.outcome()
    if lab.ours:
        assert error is None
        assert len(items) == 1
    else:
        still(isinstance(error, AttributeError), "metadata of None ends in an AttributeError")


@on(ASYNC)
async def test_a_message_that_was_cut_off_has_no_output_and_no_error(lab: Lab) -> None:
    """Waiting for a message that an abort cut off raises with the text so far; theirs return `None`."""
    call = {"run_id": "r"}
    script = [
        parts.messages({"event": "message-start", "message_id": "m", "role": "ai"}, call),
        parts.messages({"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}, call),
        parts.messages(
            {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "half"}}, call
        ),
        *snapshots(1),
    ]
    async with lab.open(script) as run:
        message = await lab.reader(run.messages).next()
        assert await lab.reader(message.text).next() == "half"
        await lab.abort(run)
        outcome = await outcome_of(message.output)
    if lab.ours:
        assert isinstance(outcome, RunAborted)
        assert outcome.partial.text == "half"
    else:
        still(outcome is None, "the output of a message that was cut off is None, without an error")
