"""Promises: projections for one final value."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import BackpressureDeadlock, Promise, RunAborted, StreamTransformer, open_run, parts
from anyiostream.errors import ChannelUnbound, PromiseUnresolved, WrongLane

from ..waiting import impatience

pytestmark = pytest.mark.anyio


class Counting(StreamTransformer):
    """Resolves `first` with the first data, `count` with the number of events at the end, and `never` not at all."""

    def init(self) -> dict[str, Any]:
        """Three promises."""
        self.first: Promise[Any] = Promise()
        self.count: Promise[int] = Promise()
        self.never: Promise[Any] = Promise()
        self.events = 0
        return {"first": self.first, "count": self.count, "never": self.never}

    def process(self, event: Any) -> bool:
        """Count."""
        self.events += 1
        self.first.resolve(event["params"]["data"])
        return True

    def finalize(self) -> None:
        """Tell the number."""
        self.count.resolve(self.events)


async def test_waiting_for_a_promise_is_demand(lane: Any, script: Any) -> None:
    """It runs the graph as far as needed, and no further."""
    source = script(*[parts.values(n) for n in range(5)])
    async with lane.open(lane.source(source), transformers=[Counting]) as run:
        first, count = run.extensions["first"], run.extensions["count"]
        assert not first.done
        assert await lane.settle(first) == 0
        assert first.done
        assert run.statistics().parts == 1
        assert run.status == "running"
        assert await lane.settle(count) == 5
        assert await lane.settle(count) == 5
        assert await lane.output(run) == 4
    assert await lane.settle(first) == 0


async def test_any_number_of_tasks_may_wait_for_a_promise(script: Any) -> None:
    """All of them get the value."""
    release = anyio.Event()
    source = script(release.wait, parts.values("x"))
    values: list[Any] = []
    async with open_run(source.agen(), transformers=[Counting]) as run, anyio.create_task_group() as tasks:

        async def wait() -> None:
            values.append(await run.extensions["first"])

        for _ in range(5):
            tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        release.set()
    assert values == ["x"] * 5


async def test_a_promise_that_is_never_resolved_raises_at_the_runs_end(lane: Any, script: Any) -> None:
    """A good end without a value is the transformer's mistake, and named so."""
    async with lane.open(lane.source(script(parts.values(1))), transformers=[Counting]) as run:
        for _ in range(2):
            with pytest.raises(PromiseUnresolved, match="'never'") as caught:
                await lane.settle(run.extensions["never"])
            assert isinstance(caught.value, RuntimeError)
        assert run.status == "completed"


async def test_a_promise_is_rejected_with_the_runs_error(lane: Any, script: Any) -> None:
    """The very object, each time; receiving it there is receiving it."""
    boom = ValueError("boom")
    async with lane.open(lane.source(script(parts.values(1), boom)), transformers=[Counting]) as run:
        for _ in range(3):
            with pytest.raises(ValueError, match="boom") as caught:
                await lane.settle(run.extensions["count"])
            assert caught.value is boom
        assert await lane.settle(run.extensions["first"]) == 1


async def test_a_promise_of_an_aborted_run_raises_run_aborted(lane: Any, script: Any) -> None:
    """With the run's partial value."""
    source = script(parts.values(1), parts.values(2))
    async with lane.open(lane.source(source), transformers=[Counting]) as run:
        assert await lane.next(lane.cursor(run.values)) == 1
        await lane.abort(run)
        with pytest.raises(RunAborted) as caught:
            await lane.settle(run.extensions["count"])
        assert caught.value.partial == 1
        assert await lane.settle(run.extensions["first"]) == 1


async def test_a_transformer_may_reject_its_promise_itself(lane: Any, script: Any) -> None:
    """The first settlement counts; the run goes on."""

    class Rejecting(StreamTransformer):
        def init(self) -> dict[str, Any]:
            self.promise: Promise[Any] = Promise()
            return {"promise": self.promise}

        def process(self, event: Any) -> bool:
            self.promise.reject(KeyError("no"))
            self.promise.resolve("too late")
            return True

    async with lane.open(lane.source(script(parts.values(1))), transformers=[Rejecting]) as run:
        with pytest.raises(KeyError, match="no"):
            await lane.settle(run.extensions["promise"])
        assert await lane.output(run) == 1


async def test_cancelling_a_wait_for_a_promise_harms_nobody(script: Any) -> None:
    """It may be waited for again."""
    release = anyio.Event()
    source = script(release.wait, parts.values(1))
    async with open_run(source.agen(), transformers=[Counting]) as run:
        async with impatience() as scope:
            await run.extensions["first"]
        assert scope.cancelled_caught
        release.set()
        assert await run.extensions["first"] == 1


async def test_waiting_for_a_promise_while_ones_own_channel_is_full_raises(lane: Any, script: Any) -> None:
    """A promise is something one can wait for in vain."""
    source = script(*[parts.values(n) for n in range(10)])
    async with lane.open(lane.source(source), buffer=2, transformers=[Counting]) as run:
        values = lane.cursor(run.values)
        await lane.next(values)
        with pytest.raises(BackpressureDeadlock, match="'count'"):
            await lane.settle(run.extensions["count"])
        assert await lane.collect(values) == list(range(1, 10))
        assert await lane.settle(run.extensions["count"]) == 10


async def test_a_promise_is_read_on_its_own_lane(lane: Any, script: Any) -> None:
    """`await` on the sync lane and `result()` on the async one are refused, as is a promise of no run."""
    async with lane.open(lane.source(script(parts.values(1))), transformers=[Counting]) as run:
        first = run.extensions["first"]
        with pytest.raises(WrongLane):
            if lane.is_async:
                first.result()
            else:
                await first
    with pytest.raises(ChannelUnbound):
        await lane.settle(Promise())


async def test_each_subgraph_has_promises_of_its_own(lane: Any, script: Any) -> None:
    """Resolved when the subgraph ends."""
    ns = ("sub:1",)
    source = script(
        parts.task_start("1", "sub"),
        parts.task_start("2", "step", ns=ns),
        parts.values("inner", ns=ns),
        parts.task_result("2", "step", ns=ns),
        parts.task_result("1", "sub"),
        parts.values("end"),
    )

    class CountingValues(Counting):
        methods = ("values",)
        own_scope = True

    async with lane.open(lane.source(source), transformers=[CountingValues]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        assert await lane.settle(handle.extensions["count"]) == 1
        assert run.status == "running"
        assert await lane.settle(run.extensions["count"]) == 1
