"""What a transformer or a graph raises fails the run, tells where it came from, and closes the source."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from anyiostream import AnyioStreamError, SourceStopped, StreamTransformer, open_run, parts
from anyiostream.errors import HookStopped, InvalidHook

pytestmark = pytest.mark.anyio


class Boom(Exception):
    """What the hooks of these tests raise."""


def failing(hook: str, error: Any) -> Any:
    """A transformer class whose `hook` raises `error`, on the event whose data is 2 if it handles events."""

    class Failing(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

    def on_event(self: Any, event: Any) -> bool:
        if event["params"]["data"] == 2:
            raise error() if isinstance(error, type) else error
        return True

    async def on_event_async(self: Any, event: Any) -> bool:
        await anyio.lowlevel.checkpoint()
        return on_event(self, event)

    def at_end(self: Any, *args: Any) -> None:
        raise error() if isinstance(error, type) else error

    async def at_end_async(self: Any, *args: Any) -> None:
        await anyio.lowlevel.checkpoint()
        at_end(self)

    methods = {"process": on_event, "aprocess": on_event_async, "finalize": at_end, "fail": at_end}
    methods |= {"afinalize": at_end_async, "afail": at_end_async}
    setattr(Failing, hook, methods[hook])
    return Failing


class Watching(StreamTransformer):
    """Records its calls in the projection `calls`."""

    def init(self) -> dict[str, Any]:
        """The record."""
        self.calls: list[Any] = []
        return {"calls": self.calls}

    def process(self, event: Any) -> bool:
        """Record the data."""
        self.calls.append(event["params"]["data"])
        return True

    def finalize(self) -> None:
        """Record the end."""
        self.calls.append("finalize")

    def fail(self, err: BaseException) -> None:
        """Record the error."""
        self.calls.append(err)


def three() -> list[Any]:
    """Three snapshots."""
    return [parts.values(n) for n in (1, 2, 3)]


async def test_a_hook_that_raises_fails_the_run_and_is_named(lane: Any, script: Any) -> None:
    """Every reader gets the very object, with a note that names the transformer, the hook and the event."""
    boom = Boom()
    source = script(*three())
    async with lane.open(lane.source(source), transformers=[failing("process", boom), Watching]) as run:
        log = lane.cursor(run)
        values = lane.cursor(run.values)
        with pytest.raises(Boom) as caught:
            await lane.output(run)
        assert caught.value is boom
        assert run.status == "failed"
        (note,) = boom.__notes__
        assert "Failing.process()" in note
        assert "'values'" in note
        assert run.extensions["calls"] == [1, boom]
        assert [event["params"]["data"] for event in await lane.take(log, 1)] == [1]
        for cursor in (log, lane.cursor(run.lifecycle)):
            with pytest.raises(Boom) as caught:
                await lane.next(cursor)
            assert caught.value is boom
        assert await lane.next(values) == 1
    assert source.closed == 1
    assert len(boom.__notes__) == 1


@pytest.mark.parametrize("hook", ["aprocess", "afinalize", "finalize"])
async def test_an_async_hook_that_raises_fails_the_run_and_is_named(hook: str, script: Any, nothing_left: Any) -> None:
    """As for plain hooks, and with nothing left running."""
    boom = Boom()
    source = script(*three())
    async with nothing_left(), open_run(source.agen(), transformers=[failing(hook, boom), Watching]) as run:
        with pytest.raises(Boom) as caught:
            await run.output()
        assert caught.value is boom
        assert any(f"Failing.{hook}()" in note for note in boom.__notes__)
        assert run.status == "failed"
    assert source.closed == 1


async def test_a_finalize_that_raises_fails_the_run(lane: Any, script: Any) -> None:
    """The graph's success is no success if a projection could not be finished."""
    boom = Boom()
    async with lane.open(lane.source(script(*three())), transformers=[failing("finalize", boom), Watching]) as run:
        values = lane.cursor(run.values)
        with pytest.raises(Boom) as caught:
            await lane.output(run)
        assert caught.value is boom
        assert run.status == "failed"
        assert await lane.take(values, 3) == [1, 2, 3]
        with pytest.raises(Boom):
            await lane.next(values)
        assert len([call for call in run.extensions["calls"] if call == "finalize" or isinstance(call, Boom)]) == 1


async def test_a_fail_hook_that_raises_does_not_hide_the_error(lane: Any, script: Any) -> None:
    """Readers get what failed the run; the hook's own error leaves the block, naming the hook."""
    boom = Boom("graph")
    mine = Boom("hook")
    with pytest.raises(Boom) as caught:
        async with lane.open(lane.source(script(boom)), transformers=[failing("fail", mine), Watching]) as run:
            with pytest.raises(Boom) as received:
                await lane.output(run)
            assert received.value is boom
            assert run.extensions["calls"] == [boom]
    assert caught.value is mine
    assert any("Failing.fail()" in note for note in mine.__notes__)


async def test_each_transformer_is_told_once_of_the_end(lane: Any, script: Any) -> None:
    """Exactly one of `finalize` and `fail`, also for the transformer that failed."""
    told: list[str] = []

    class Failing(Watching):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            raise Boom

        def finalize(self) -> None:
            told.append("finalize")

        def fail(self, err: BaseException) -> None:
            told.append("fail")

    async with lane.open(lane.source(script(*three())), transformers=[Failing]) as run:
        for _ in range(2):
            with pytest.raises(Boom):
                await lane.output(run)
    assert told == ["fail"]


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
@pytest.mark.parametrize("hook", ["process", "finalize"])
async def test_a_stray_end_of_iteration_in_a_hook_fails_the_run(
    lane: Any, script: Any, hook: str, kind: type[Exception]
) -> None:
    """It is not taken for the end of the stream."""
    async with lane.open(lane.source(script(*three())), transformers=[failing(hook, kind)]) as run:
        with pytest.raises(HookStopped) as caught:
            await lane.collect(run.values)
        assert run.status == "failed"
        assert f"Failing.{hook}()" in str(caught.value)
        assert isinstance(caught.value.__cause__, kind)
        with pytest.raises(HookStopped):
            await lane.output(run)


@pytest.mark.parametrize("hook", ["aprocess", "afinalize"])
async def test_a_stray_end_of_iteration_in_an_async_hook_fails_the_run(hook: str, script: Any) -> None:
    """`StopAsyncIteration` is not taken for the end of the stream either."""
    async with open_run(script(*three()).agen(), transformers=[failing(hook, StopAsyncIteration)]) as run:
        with pytest.raises((HookStopped, RuntimeError)):
            await run.output()
        assert run.status == "failed"


@pytest.mark.parametrize("hook", ["process", "aprocess", "finalize", "afinalize"])
async def test_a_cancelled_error_of_a_hook_is_no_cancellation(hook: str, script: Any) -> None:
    """An `asyncio.CancelledError` that nobody sent fails the run; the reader is not cancelled by it."""
    source = script(*three())
    transformer = failing(hook, asyncio.CancelledError)
    async with open_run(source.agen(), transformers=[transformer]) as run:
        with pytest.raises(AnyioStreamError) as caught:
            await run.output()
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert run.status == "failed"
    assert source.closed == 1


CANCELLATIONS = [
    asyncio.CancelledError(),
    BaseExceptionGroup("tasks", [asyncio.CancelledError(), BaseExceptionGroup("more", [asyncio.CancelledError()])]),
]
"""What a graph may raise without having been cancelled; a task group that cancelled tasks leave raises the second."""


@pytest.mark.parametrize("error", CANCELLATIONS, ids=["alone", "in groups"])
@pytest.mark.parametrize("kind", ["generator", "function"])
async def test_a_cancelled_error_of_the_graph_is_no_cancellation(kind: str, error: BaseException, script: Any) -> None:
    """A graph that raises `asyncio.CancelledError`, or a group of them, without having been cancelled has failed."""
    source = script(parts.values(1), error)
    async with open_run(source.agen() if kind == "generator" else source.function) as run:
        values = aiter(run.values)
        assert await anext(values) == 1
        with pytest.raises(SourceStopped) as caught:
            await anext(values)
        assert caught.value.__cause__ is error
        assert "would be misread as a cancellation" in str(caught.value)
        assert run.status == "failed"
        with pytest.raises(SourceStopped):
            await run.output()
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("error", CANCELLATIONS, ids=["alone", "in groups"])
async def test_a_cancelled_error_of_an_iterable_is_no_cancellation(
    lane: Any, error: BaseException, script: Any
) -> None:
    """Not on the sync lane either, nor from an iterable on the async one."""
    source = script(parts.values(1), error)
    async with lane.open(source.gen()) as run:
        with pytest.raises(SourceStopped):
            await lane.output(run)
        assert run.status == "failed"


async def test_a_group_with_another_error_in_it_is_raised_as_it_is(lane: Any, script: Any) -> None:
    """The very object, for `except*`: it cannot be taken for a cancellation."""
    error = BaseExceptionGroup("tasks", [asyncio.CancelledError(), ValueError("broken")])
    source = script(parts.values(1), error)
    async with lane.open(source.gen()) as run:
        with pytest.raises(BaseExceptionGroup) as caught:
            await lane.output(run)
        assert caught.value is error
        assert run.status == "failed"


async def test_a_stray_end_of_iteration_in_the_graph_fails_the_run(lane: Any) -> None:
    """A bare `next()` on an empty iterator in a generator, or a stray `StopAsyncIteration`, is no good end."""

    def gen(given: Any) -> Any:
        yield parts.values(1)
        next(iter(()))
        yield parts.values(2)

    async def agen(given: Any) -> Any:
        yield parts.values(1)
        next(iter(()))
        yield parts.values(2)

    class Wrong:
        def __iter__(self) -> Wrong:
            return self

        def __next__(self) -> Any:
            raise StopAsyncIteration

    async with lane.open(agen if lane.is_async else gen) as run:
        with pytest.raises(RuntimeError):
            await lane.collect(run.values)
        assert run.status == "failed"
    async with lane.open(Wrong()) as run:
        with pytest.raises(SourceStopped):
            await lane.output(run)
        assert run.status == "failed"


async def test_a_coroutine_where_a_plain_hook_belongs_is_refused(lane: Any, script: Any) -> None:
    """`async def process` would be called and never awaited; the error says what to rename it to."""

    class Wrong(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def process(self, event: Any) -> bool:  # type: ignore[override]
            return True

    async with lane.open(lane.source(script(*three())), transformers=[Wrong]) as run:
        with pytest.raises(InvalidHook, match="aprocess") as caught:
            await lane.output(run)
        assert isinstance(caught.value, TypeError)


async def test_a_hook_that_suspends_on_the_sync_lane_is_named(script: Any) -> None:
    """`supports_sync` is a promise that the hooks do not wait; breaking it is an error that names the transformer."""

    class Waiting(StreamTransformer):
        supports_sync = True

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

        async def finalize(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)

    source = script(*three())
    with pytest.raises(AnyioStreamError) as caught, open_run(source.gen(), transformers=[Waiting]) as run:
        _ = run.output
    assert "Waiting" in str(caught.value) or any("Waiting" in note for note in caught.value.__notes__)
    assert source.closed == 1


async def test_no_event_is_half_seen_when_a_reader_is_cancelled_inside_an_async_hook(script: Any) -> None:
    """The hook runs on in the run's own task: each transformer sees each event once, the reader misses nothing."""
    release = anyio.Event()
    entered = anyio.Event()

    class Slow(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            entered.set()
            await release.wait()
            return True

    source = script(*three())
    async with open_run(source.agen(), transformers=[Slow, Watching]) as run:
        log = aiter(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anext, log)
            await entered.wait()
            tasks.cancel_scope.cancel()
        release.set()
        assert [event["params"]["data"] async for event in log] == [1, 2, 3]
        assert run.extensions["calls"] == [1, 2, 3, "finalize"]
