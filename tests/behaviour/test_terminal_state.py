"""A run ends once, and everybody learns of it: present and late readers, `output()`, and whoever leaves the block."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

import anyio
import pytest
import trio

from anyiostream import CustomTransformer, GraphInterrupt, RunAborted, StreamChannel, StreamTransformer, open_run, parts
from anyiostream.errors import RunClosed

from ..waiting import impatience

pytestmark = pytest.mark.anyio


class Boom(Exception):
    """What the graphs of these tests fail with."""


def depth(traceback: TracebackType | None) -> int:
    """The number of frames."""
    frames = 0
    while traceback is not None:
        frames += 1
        traceback = traceback.tb_next
    return frames


def recording(**hooks: Any) -> Any:
    """A transformer class that records which hooks were called with what, and then calls `hooks`."""

    class Recording(StreamTransformer):
        def init(self) -> dict[str, Any]:
            self.calls: list[Any] = []
            return {"calls": self.calls}

        def process(self, event: Any) -> bool:
            self.calls.append((event["method"], event["params"]["data"]))
            if "process" in hooks:
                hooks["process"](event)
            return True

        def finalize(self) -> None:
            self.calls.append("finalize")
            if "finalize" in hooks:
                hooks["finalize"]()

        def fail(self, err: BaseException) -> None:
            self.calls.append(err)
            if "fail" in hooks:
                hooks["fail"](err)

    return Recording


class FailsAfterValues(StreamTransformer):
    """Fails on the same event that has just given the reader of `values` what it waited for."""

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def process(self, event: Any) -> bool:
        """Fail."""
        raise Boom


async def test_a_run_completes(lane: Any, script: Any) -> None:
    """The last snapshot is the output, as often as it is asked for."""
    source = script(parts.values(1), parts.values(2))
    async with lane.open(lane.source(source), transformers=[recording()]) as run:
        assert run.status == "running"
        assert await lane.output(run) == 2
        assert run.status == "completed"
        assert await lane.output(run) == 2
        assert await lane.interrupts(run) == []
        assert run.extensions["calls"] == [("values", 1), ("values", 2), "finalize"]


async def test_a_run_without_a_snapshot_has_no_output(lane: Any, script: Any) -> None:
    """It is `None` then."""
    async with lane.open(lane.source(script())) as run:
        assert await lane.output(run) is None
        assert run.status == "completed"


async def test_a_run_is_interrupted(lane: Any, script: Any) -> None:
    """Interrupts on a snapshot, or the graph's interrupt exception, end the run as interrupted, not as failed."""
    for last in (parts.values(2, interrupts=["ask", "ask"]), GraphInterrupt(["ask"])):
        async with lane.open(lane.source(script(parts.values(1), last))) as run:
            assert await lane.output(run) in {1, 2}
            assert run.status == "interrupted"
            assert await lane.interrupts(run) == ["ask"]


async def test_every_reader_gets_its_items_and_then_the_very_same_error(lane: Any, script: Any) -> None:
    """Present readers and late ones, `output()` each time: all get the object that the graph raised."""
    boom = Boom()
    source = script(parts.values(1), parts.custom("c"), parts.values(2), boom)
    async with lane.open(lane.source(source), transformers=[CustomTransformer]) as run:
        cursors = {name: lane.cursor(run.extensions[name]) for name in ("values", "custom")}
        log = lane.cursor(run)
        with pytest.raises(Boom) as caught:
            await lane.output(run)
        assert caught.value is boom
        assert run.status == "failed"
        assert await lane.take(cursors["values"], 2) == [1, 2]
        assert await lane.take(cursors["custom"], 1) == ["c"]
        assert [event["method"] for event in await lane.take(log, 3)] == ["values", "custom", "values"]
        for cursor in (*cursors.values(), log, lane.cursor(run.lifecycle)):
            with pytest.raises(Boom) as caught:
                await lane.next(cursor)
            assert caught.value is boom
            with pytest.raises(StopAsyncIteration):
                await lane.next(cursor)
    with pytest.raises(Boom) as caught:
        await lane.output(run)
    assert caught.value is boom


async def test_parked_readers_all_get_the_error(script: Any) -> None:
    """Readers of several projections that wait when the graph fails are all woken with the same object."""
    boom = Boom()
    release = anyio.Event()
    source = script(release.wait, boom)
    caught: list[BaseException] = []
    async with open_run(source.agen(), transformers=[CustomTransformer]) as run, anyio.create_task_group() as tasks:

        async def read(channel: Any) -> None:
            with pytest.raises(Boom) as info:
                await anext(aiter(channel))
            caught.append(info.value)

        async def output() -> None:
            with pytest.raises(Boom) as info:
                await run.output()
            caught.append(info.value)

        for channel in (run.values, run.custom, run, run.subgraphs):
            tasks.start_soon(read, channel)
        tasks.start_soon(output)
        await anyio.wait_all_tasks_blocked()
        release.set()
    assert len(caught) == 5
    assert all(error is boom for error in caught)


async def test_an_error_given_to_two_hundred_readers_does_not_grow(lane: Any, script: Any) -> None:
    """Each raise starts from the traceback, cause and context that the error had when it ended the run."""
    cause = ValueError("the cause")
    boom = Boom()
    boom.__cause__ = cause
    depths: set[int] = set()
    async with lane.open(lane.source(script(boom))) as run:
        with pytest.raises(Boom):
            await lane.output(run)
        context = boom.__context__
        for n in range(200):
            try:
                raise KeyError(n)
            except KeyError:
                with pytest.raises(Boom) as caught:
                    await lane.output(run)
            depths.add(depth(caught.value.__traceback__))
            assert caught.value.__cause__ is cause
        with pytest.raises(Boom) as caught:
            await lane.output(run)
        assert caught.value.__context__ is context
    assert len(depths) == 1


async def test_late_callers_wait_for_the_terminal_state(script: Any) -> None:
    """The state is published after every hook: while one still finalizes, the run is running and `output()` waits."""
    release = anyio.Event()
    finalizing = anyio.Event()

    class Slow(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            return True

        async def afinalize(self) -> None:
            finalizing.set()
            await release.wait()

    outputs: list[Any] = []
    async with open_run(script(parts.values(1)).agen(), transformers=[Slow]) as run:
        async with anyio.create_task_group() as tasks:

            async def output() -> None:
                outputs.append(await run.output())
                assert run.status == "completed"

            tasks.start_soon(output)
            await finalizing.wait()
            tasks.start_soon(output)
            await anyio.wait_all_tasks_blocked()
            assert run.status == "running"
            assert outputs == []
            release.set()
    assert outputs == [1, 1]


async def test_in_a_hook_at_the_end_the_run_still_runs(lane: Any, script: Any) -> None:
    """`finalize` and `fail` are called before the state is published."""
    seen: list[str] = []
    for last in ([], [Boom()]):

        def look(*_: Any) -> None:
            seen.append(run.status)

        transformer = recording(finalize=look, fail=look)
        async with lane.open(lane.source(script(parts.values(1), *last)), transformers=[transformer]) as run:
            try:
                await lane.output(run)
            except Boom:
                assert run.status == "failed"
    assert seen == ["running", "running"]


async def test_after_abort_cursors_end_and_output_raises_with_the_partial_value(lane: Any, script: Any) -> None:
    """What has been buffered is still read; then iterations just end, and `output()` says what there was."""
    source = script(*[parts.values(n) for n in range(5)], parts.custom("c"), parts.values("never"))
    async with lane.open(lane.source(source), transformers=[CustomTransformer, recording()]) as run:
        values = lane.cursor(run.values)
        assert await lane.next(lane.cursor(run.custom)) == "c"
        await lane.abort(run)
        assert run.status == "aborted"
        assert source.closed == 1
        assert await lane.collect(values) == [0, 1, 2, 3, 4]
        assert await lane.collect(run.subgraphs) == []
        for _ in range(2):
            with pytest.raises(RunAborted) as caught:
                await lane.output(run)
            assert caught.value.partial == 4
        await lane.abort(run)
        calls = run.extensions["calls"]
        assert isinstance(calls[-1], RunAborted)
        assert calls[-1].partial == 4
        assert "finalize" not in calls
    assert source.closed == 1


async def test_abort_wakes_parked_readers(script: Any) -> None:
    """Readers that wait just end; `output()` raises `RunAborted`."""
    source = script(parts.values(1), anyio.sleep_forever)
    ended: list[str] = []
    async with open_run(source.agen()) as run, anyio.create_task_group() as tasks:

        async def read() -> None:
            assert [value async for value in run.values] == [1]
            ended.append("values")

        async def output() -> None:
            with pytest.raises(RunAborted):
                await run.output()
            ended.append("output")

        tasks.start_soon(read)
        tasks.start_soon(output)
        await anyio.wait_all_tasks_blocked()
        await run.abort()
        assert source.closed == 1
    assert sorted(ended) == ["output", "values"]


async def test_abort_after_the_end_changes_nothing(lane: Any, script: Any) -> None:
    """There is one terminal state."""
    async with lane.open(lane.source(script(parts.values(1)))) as run:
        assert await lane.output(run) == 1
        await lane.abort(run)
        assert run.status == "completed"
        assert await lane.output(run) == 1


async def test_several_tasks_may_abort_at_once(script: Any, nothing_left: Any) -> None:
    """Each returns when nothing of the graph is alive."""
    source = script(parts.values(1), anyio.sleep_forever)
    async with nothing_left(), open_run(source.agen()) as run:
        await anext(aiter(run.values))

        async def abort() -> None:
            await run.abort()
            assert source.closed == 1

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(abort)


async def test_leaving_early_aborts(lane: Any, script: Any) -> None:
    """A block that is left before the graph has ended calls the `fail` hooks with `RunAborted`."""
    source = script(*[parts.values(n) for n in range(5)])
    async with lane.open(lane.source(source), transformers=[recording()]) as run:
        assert await lane.next(lane.cursor(run.values)) == 0
    assert run.status == "aborted"
    last = run.extensions["calls"][-1]
    assert isinstance(last, RunAborted)
    with pytest.raises(RunAborted) as caught:
        await lane.output(run)
    assert caught.value.partial == 0
    assert source.closed == 1


async def test_a_run_that_nobody_read_is_aborted(lane: Any, script: Any) -> None:
    """Opening and leaving a run is no error; its partial value is `None`."""
    async with lane.open(lane.source(script(parts.values(1)))) as run:
        pass
    assert run.status == "aborted"
    with pytest.raises(RunAborted) as caught:
        await lane.output(run)
    assert caught.value.partial is None


async def test_abort_in_a_hook_takes_effect_after_the_event(lane: Any, script: Any) -> None:
    """The event in question passes through every transformer and reaches its readers; the next one does not."""
    aborted: list[Any] = []

    class Aborting(StreamTransformer):
        before_builtins = True

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if event["params"]["data"] == 1:
                if lane.is_async:
                    coro = run.abort()
                    with pytest.raises(StopIteration):
                        coro.send(None)
                else:
                    run.abort()
                aborted.append(run.status)
            return True

    source = script(*[parts.values(n) for n in range(5)])
    async with lane.open(lane.source(source), transformers=[Aborting, recording()]) as run:
        assert await lane.collect(run.values) == [0, 1]
        assert run.status == "aborted"
        assert run.extensions["calls"][:2] == [("values", 0), ("values", 1)]
        assert isinstance(run.extensions["calls"][2], RunAborted)
        assert len(run.extensions["calls"]) == 3
    assert aborted == ["running"]
    assert source.closed == 1


async def test_abort_in_an_async_hook_takes_effect_after_the_event(script: Any) -> None:
    """It returns at once, and the hook goes on."""
    after: list[str] = []

    class Aborting(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            await run.abort()
            await anyio.lowlevel.checkpoint()
            after.append("went on")
            return True

    source = script(*[parts.values(n) for n in range(5)])
    async with open_run(source.agen(), transformers=[Aborting]) as run:
        assert [value async for value in run.values] == [0]
        assert run.status == "aborted"
    assert after == ["went on"]
    assert source.closed == 1


async def test_the_bodys_exception_leaves_as_itself(lane: Any, script: Any) -> None:
    """The very object, not a group, although the run was aborted because of it."""
    source = script(parts.values(1), parts.values(2))
    oops = KeyError("oops")
    with pytest.raises(KeyError) as caught:
        async with lane.open(lane.source(source)) as run:
            await lane.next(lane.cursor(run.values))
            raise oops
    assert caught.value is oops
    assert run.status == "aborted"
    assert source.closed == 1
    assert not getattr(oops, "__notes__", [])


async def test_errors_nobody_received_become_notes_of_the_bodys_exception(
    lane: Any, script: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """They are logged as well, with their tracebacks."""
    transformer = recording(fail=lambda _: (_ for _ in ()).throw(Boom("in fail")))
    with pytest.raises(KeyError) as caught:
        async with lane.open(lane.source(script(parts.values(1))), transformers=[transformer]):
            raise KeyError
    (note,) = caught.value.__notes__
    assert "Boom('in fail')" in note
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Boom)


async def test_a_body_that_raises_what_it_received_gets_no_note_about_it(lane: Any, script: Any) -> None:
    """An error that a reader has received is not reported again."""
    boom = Boom()
    with pytest.raises(Boom) as caught:
        async with lane.open(lane.source(script(boom))) as run:
            await lane.output(run)
    assert caught.value is boom
    assert not getattr(boom, "__notes__", [])


async def test_an_error_nobody_received_leaves_the_block_as_itself(lane: Any, script: Any) -> None:
    """A run that failed behind its readers' backs is not taken for a success."""
    with pytest.raises(Boom):
        async with lane.open(lane.source(script(parts.values(1))), transformers=[FailsAfterValues]) as run:
            assert await lane.next(lane.cursor(run.values)) == 1
    assert run.status == "failed"


async def test_an_error_somebody_received_does_not_leave_the_block(lane: Any, script: Any) -> None:
    """It has been handled."""
    async with lane.open(lane.source(script(Boom()))) as run:
        with pytest.raises(Boom):
            await lane.output(run)


async def test_an_error_of_closing_the_source_leaves_the_block_as_itself(lane: Any) -> None:
    """What the graph's own clean-up raises is not swallowed."""
    boom = Boom()

    async def agen() -> Any:
        try:
            yield parts.values(1)
            yield parts.values(2)
        finally:
            raise boom

    def gen() -> Any:
        try:
            yield parts.values(1)
            yield parts.values(2)
        finally:
            raise boom

    with pytest.raises(Boom) as caught:
        async with lane.open(agen() if lane.is_async else gen()) as run:
            await lane.next(lane.cursor(run.values))
    assert caught.value is boom
    assert run.status == "aborted"


async def test_several_errors_nobody_received_leave_the_block_as_a_group(lane: Any) -> None:
    """One of closing the source and one of a hook."""

    async def agen() -> Any:
        try:
            yield parts.values(1)
            yield parts.values(2)
        finally:
            raise Boom("closing")

    def gen() -> Any:
        try:
            yield parts.values(1)
            yield parts.values(2)
        finally:
            raise Boom("closing")

    transformer = recording(fail=lambda _: (_ for _ in ()).throw(Boom("in fail")))
    with pytest.raises(ExceptionGroup) as caught:
        async with lane.open(agen() if lane.is_async else gen(), transformers=[transformer]) as run:
            await lane.next(lane.cursor(run.values))
    assert sorted(str(error) for error in caught.value.exceptions) == ["closing", "in fail"]


async def test_an_error_that_only_a_cancelled_reader_could_have_received_leaves_the_block(script: Any) -> None:
    """A reader that has gone has received nothing."""
    release = anyio.Event()

    class Failing(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            await release.wait()
            raise Boom

    with pytest.raises(Boom):
        async with open_run(script(parts.values(1)).agen(), transformers=[Failing]) as run:
            async with impatience():
                await run.output()
            release.set()
            await anyio.wait_all_tasks_blocked()
            assert run.status == "failed"


async def test_results_stay_readable_after_the_block(lane: Any, script: Any) -> None:
    """`output()` and `status` do; a new cursor is refused; one that was open reads what it has."""
    async with lane.open(lane.source(script(parts.values(1), parts.custom("c")))) as run:
        values = lane.cursor(run.values)
        assert await lane.output(run) == 1
    assert run.status == "completed"
    assert await lane.output(run) == 1
    assert await lane.interrupts(run) == []
    assert await lane.collect(values) == [1]
    for channel in (run.lifecycle, run):
        with pytest.raises(RunClosed) as caught:
            lane.cursor(channel)
        assert isinstance(caught.value, RuntimeError)


@pytest.mark.trio
async def test_a_fail_hook_that_does_not_end_is_cancelled_and_named_after_its_grace_period(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture, script: Any
) -> None:
    """It is shielded for 5 s; after that the block is left all the same, and the log names the hook."""
    cancelled_at: list[float] = []

    class Endless(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            return True

        async def afail(self, err: BaseException) -> None:
            try:
                await trio.sleep_forever()
            finally:
                cancelled_at.append(trio.current_time())

    with trio.CancelScope() as scope:
        async with open_run(script(parts.values(1), parts.values(2)).agen(), transformers=[Endless]) as run:
            await anext(aiter(run.values))
            began = trio.current_time()
            scope.cancel()
    assert scope.cancelled_caught or scope.cancel_called
    assert cancelled_at == [pytest.approx(began + 5)]
    assert any("Endless.afail()" in record.getMessage() for record in caplog.records)
    assert run.status == "aborted"


@pytest.mark.trio
async def test_a_source_that_ignores_cancellation_is_named_after_the_grace_period(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The block waits for it nevertheless: nothing may run after the exit."""
    ended = False

    async def stubborn(given: Any) -> Any:
        nonlocal ended
        try:
            yield parts.values(1)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(7)
            ended = True

    async with open_run(stubborn) as run:
        values = aiter(run.values)
        assert await anext(values) == 1
        with trio.move_on_after(0.1):
            await anext(values)
    assert ended
    assert any("stubborn" in record.getMessage() for record in caplog.records)


async def test_after_abort_the_channels_of_users_transformers_end_quietly(lane: Any, script: Any) -> None:
    """Not only the built-in ones do."""

    class Named(StreamTransformer):
        def init(self) -> dict[str, Any]:
            self.channel: StreamChannel[Any] = StreamChannel("named")
            return {"named": self.channel}

        def process(self, event: Any) -> bool:
            self.channel.push(event["params"]["data"])
            return True

    async with lane.open(lane.source(script(parts.values(1), parts.values(2))), transformers=[Named]) as run:
        cursor = lane.cursor(run.extensions["named"])
        assert await lane.next(cursor) == 1
        await lane.abort(run)
        assert await lane.collect(cursor) == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_control_flow_from_an_iterable_is_received_once(lane: Any, kind: type[BaseException]) -> None:
    """With no hook at all, so that the reader takes its items straight from the graph; the block raises it no more."""

    def graph(_: Any) -> Any:
        yield parts.values(1)
        yield parts.values(2)
        raise kind("stop")

    async with lane.open(graph) as run:
        values = lane.cursor(run.values)
        assert await lane.take(values, 2) == [1, 2]
        with pytest.raises(kind, match="stop"):
            await lane.take(values, 1)
        assert run.status == "failed"
        with pytest.raises(kind, match="stop"):
            await lane.output(run)
