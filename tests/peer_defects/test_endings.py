"""Runs that do not end: sources left open, work that outlives its block, hooks run twice or never, wrong states.

In `langgraph.stream` an early end is a good end (`abort()` finalises), and nothing owns the tasks of a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict

import anyio
import pytest
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from anyiostream import RunAborted, parts

from ..conformance.adapter import ASYNC, INTERLEAVING, SYNC, Lab, Script, on
from .defects import Victim, outcome_of, plain, prefix, snapshots, still, turns


class Tracked(Script):
    """A graph that tells whether it is still open, whoever holds its generator.

    Attributes:
        kept: Its generator, so that the garbage collector does not close it.
    """

    kept: Any = None

    def __iter__(self) -> Iterator[Any]:
        self.kept = super().__iter__()
        return self.kept

    def parts(self) -> AsyncIterator[Any]:
        """The parts."""
        self.kept = super().parts()
        return self.kept


async def test_a_transformers_error_leaves_the_graph_open(lab: Lab) -> None:
    """When a transformer fails the run, its graph is closed before the block is left; theirs stays open."""
    error = LookupError("transformer")

    def process(self: Any, event: Any) -> bool:
        raise error

    script = Tracked(snapshots(10))
    with pytest.raises(LookupError):
        async with lab.open(script, transformers=[plain(lab, process=process)]) as run:
            await lab.output(run)
    if lab.ours:
        assert script.closed == 1
    else:
        still(script.closed == 0, "a transformer's error leaves the graph open")
        await script.kept.aclose() if lab.is_async else script.kept.close()


class State(TypedDict):
    """A counter."""

    n: int


@on(ASYNC)
async def test_nodes_run_on_after_a_transformers_error(lab: Lab) -> None:
    """When the block has been left, no node of a real graph does anything more; theirs go on with their work."""
    cancelled: list[bool] = []
    nodes: list[asyncio.Task[Any] | None] = []

    async def node(state: State) -> State:
        nodes.append(asyncio.current_task())
        get_stream_writer()("hello")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return {"n": 1}

    def process(self: Any, event: Any) -> bool:
        if event["method"] == "custom":
            raise LookupError("transformer")
        return True

    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    transformer = plain(lab, process=process, required_stream_modes=("custom",))
    with pytest.raises(LookupError):
        async with lab.open_graph(builder.compile(), {"n": 0}, transformers=[transformer]) as run:
            await lab.output(run)
    if lab.ours:
        assert cancelled == [True]
        assert nodes[0] is not None
        assert nodes[0].done()
    else:
        still(cancelled == [] and not nodes[0].done(), "a node runs on after the block")
        nodes[0].cancel()
        await asyncio.wait(nodes)


@on(ASYNC)
async def test_abort_waits_for_scheduled_work(lab: Lab) -> None:
    """Aborting cancels scheduled work; theirs waits for it, for ever if need be."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("work")

    def process(self: Any, event: Any) -> bool:
        works.append(self.schedule(work()))
        return True

    works: list[Any] = []
    transformer = plain(lab, requires_async=True, process=process)
    async with lab.open(snapshots(5), transformers=[transformer]) as run, anyio.create_task_group() as tasks:
        await lab.reader(run).next()
        await turns(2)
        aborter = Victim(tasks, lambda: lab.abort(run))
        await anyio.wait_all_tasks_blocked()
        if lab.ours:
            assert await aborter.ended() == ("returned", None)
            assert ended == ["work"] * len(works)
        else:
            still(aborter.outcome is None and ended == [], "abort() waits for scheduled work")
            for each in works:
                each.cancel()
            await aborter.ended()


@on(ASYNC)
async def test_a_cancelled_abort_leaves_the_run_half_open(lab: Lab) -> None:
    """An abort that is cancelled ends the run all the same; after theirs, a second one does nothing."""
    hooks: list[str] = []
    release = anyio.Event()

    class Slow(Script):
        async def parts(self) -> AsyncIterator[Any]:
            try:
                yield parts.values(0)
            finally:
                with anyio.CancelScope(shield=lab.ours):
                    await release.wait()

    transformer = plain(
        lab, finalize=lambda self: hooks.append("finalize"), fail=lambda self, err: hooks.append("fail")
    )
    async with lab.open(Slow(()), transformers=[transformer]) as run, anyio.create_task_group() as tasks:
        values = lab.reader(run.values)
        await values.next()
        aborter = Victim(tasks, lambda: lab.abort(run))
        await anyio.wait_all_tasks_blocked()
        aborter.cancel()
        await turns(5)
        release.set()
        assert await aborter.ended() == "cancelled"
        await lab.abort(run)
        if lab.ours:
            assert hooks == ["fail"]
            assert await values.outcome() == ([], None)
            assert run.status == "aborted"
        else:
            closed = run.values._closed  # noqa: SLF001 -- theirs has no public name for it
            still(hooks == [] and not closed, "a cancelled abort leaves channels open and hooks uncalled")


@on(ASYNC)
async def test_an_abort_during_a_hook_ends_the_run_twice(lab: Lab) -> None:
    """Exactly one of a transformer's ending hooks is called, after its last event; of theirs both, during it."""
    calls: list[str] = []
    entered, release = anyio.Event(), anyio.Event()

    def init(self: Any) -> dict[str, Any]:
        self.items = lab.api.StreamChannel()
        return {"items": self.items}

    async def aprocess(self: Any, event: Any) -> bool:
        calls.append("process begins")
        entered.set()
        try:
            await release.wait()
        finally:
            calls.append("process ends")
        return True

    async def afinalize(self: Any) -> None:
        calls.append("finalize")

    async def afail(self: Any, err: BaseException) -> None:
        calls.append("fail")

    transformer = plain(lab, init=init, aprocess=aprocess, afinalize=afinalize, afail=afail)
    async with lab.open(snapshots(3), transformers=[transformer]) as run, anyio.create_task_group() as tasks:
        reader = Victim(tasks, lambda: outcome_of(lab.reader(run).rest()))
        await entered.wait()
        aborter = Victim(tasks, lambda: lab.abort(run))
        await anyio.wait_all_tasks_blocked()
        release.set()
        await aborter.ended()
        await reader.ended()
    if lab.ours:
        assert calls == ["process begins", "process ends", "fail"]
    else:
        still(calls[1] == "finalize" and calls[-1] == "fail", "both ending hooks are called, one during an event")


@on(ASYNC)
async def test_leaving_returns_before_the_end_is_over(lab: Lab) -> None:
    """Leaving the block waits for an end that another task is at; theirs leaves scheduled work and hooks behind."""
    done: list[str] = []
    begun, release = anyio.Event(), anyio.Event()

    async def work() -> None:
        begun.set()
        try:
            await release.wait()
        finally:
            done.append("work")

    def process(self: Any, event: Any) -> bool:
        self.schedule(work())
        return True

    hooks = {name: lambda self, *args: done.append("hook") for name in ("finalize", "fail")}
    async with anyio.create_task_group() as tasks:
        transformer = plain(lab, requires_async=True, process=process, **hooks)
        async with lab.open(snapshots(1), transformers=[transformer]) as run:
            asking = Victim(tasks, lambda: outcome_of(lab.output(run)))
            await begun.wait()
            await anyio.wait_all_tasks_blocked()
        at_exit = list(done)
        release.set()
        await asking.ended()
    if lab.ours:
        assert at_exit == done == ["work", "hook"]
    else:
        still(at_exit == [] and done == ["work", "hook"], "the block is left while the run's end goes on")


@pytest.mark.parametrize("read", [0, 1])
async def test_output_of_an_aborted_run_looks_like_success(lab: Lab, read: int) -> None:
    """It raises, with what there is; theirs return it, or `None`."""
    async with lab.open(snapshots(10)) as run:
        if read:
            await lab.reader(run.values).next()
        await lab.abort(run)
        output, interrupted = await outcome_of(lab.output(run)), await outcome_of(lab.interrupted(run))
    state = {"v": 0} if read else None
    if lab.ours:
        assert isinstance(output, RunAborted)
        assert isinstance(interrupted, RunAborted)
        assert output.partial == state
    else:
        still(output == state and interrupted is False, "output() of an aborted run is a partial state")


CUT_OFF = [
    parts.task_start("t1", "child"),
    parts.task_start("x", "inner", ns=("child:t1",)),
    parts.values({"v": 0}, ns=("child:t1",)),
    parts.values({"v": 1}, ns=("child:t1",)),
    parts.task_result("t1", "child"),
    parts.values({"v": 2}),
]


async def test_subgraphs_cut_off_by_an_abort_are_reported_completed(lab: Lab) -> None:
    """They are reported aborted, by handle and life cycle; theirs completed."""
    async with lab.open(CUT_OFF) as run:
        lifecycle, subgraphs = lab.reader(run.lifecycle), lab.reader(run.subgraphs)
        handle = await subgraphs.next()
        await lab.abort(run)
        events = [payload["event"] for payload in await lifecycle.rest()]
    if lab.ours:
        assert (handle.status, events) == ("aborted", ["started", "aborted"])
    else:
        still((handle.status, events[-1]) == ("completed", "completed"), "a subgraph that was cut off is completed")


async def test_a_handle_that_was_aborted_says_it_runs_and_then_that_it_completed(lab: Lab) -> None:
    """A handle says that it was aborted, for good, and has no output; theirs say `started`, then `completed`."""
    async with lab.open(CUT_OFF) as run:
        handle = await lab.reader(run.subgraphs).next()
        await lab.reader(handle.values).next()
        await lab.abort(handle)
        states = [handle.status]
        output = await outcome_of(lab.output(handle))
        assert await lab.output(run) == {"v": 2}
        states.append(handle.status)
    if lab.ours:
        assert states == ["aborted", "aborted"]
        assert isinstance(output, RunAborted)
    else:
        still(states == ["started", "completed"] and output == {"v": 0}, "an aborted handle completes")


@on(SYNC)
async def test_an_abort_from_inside_the_graph_leaves_it_open(lab: Lab) -> None:
    """A graph that aborts its own run is closed after the part it is at; theirs is abandoned, open."""
    runs: list[Any] = []

    class Aborting(Tracked):
        def __iter__(self) -> Iterator[Any]:
            self.kept = self._aborting()
            return self.kept

        def _aborting(self) -> Iterator[Any]:
            try:
                yield parts.values({"v": 0})
                runs[0].abort()
                yield parts.values({"v": 1})
            finally:
                self.closed += 1

    script = Aborting(())
    async with lab.open(script) as run:
        runs.append(run)
        await outcome_of(lab.output(run))
    if lab.ours:
        assert script.closed == 1
        assert run.status == "aborted"
    else:
        still(script.closed == 0, "a graph that aborts its run is never closed")
        script.kept.close()


@on(ASYNC)
async def test_work_that_scheduled_work_schedules_is_not_waited_for(lab: Lab) -> None:
    """The end waits for it, so that its result is read; theirs close the channel before, and drop the result."""
    release = anyio.Event()
    inner: list[Any] = []

    def init(self: Any) -> dict[str, Any]:
        self.late = lab.api.StreamChannel()
        self.begun = False
        return {"late": self.late}

    async def innermost(self: Any) -> None:
        await release.wait()
        self.late.push("result")

    async def outer(self: Any) -> None:
        await turns(5)
        inner.append(self.schedule(innermost(self)))

    def process(self: Any, event: Any) -> bool:
        if not self.begun:
            self.begun = True
            self.schedule(outer(self))
        return True

    transformer = plain(lab, requires_async=True, init=init, process=process)
    async with lab.open(Script(snapshots(1), waits=False), transformers=[transformer]) as run:
        late = lab.reader(run.extensions["late"])
        async with anyio.create_task_group() as tasks:
            reader = Victim(tasks, late.rest)
            await anyio.wait_all_tasks_blocked()
            early = reader.outcome
            release.set()
            items = await reader.ended()
        assert await lab.output(run) == {"v": 0}
    if lab.ours:
        assert early is None
        assert items == ("returned", ["result"])
    else:
        still(early == ("returned", []), "what scheduled work schedules outlives the run")
        await asyncio.wait(inner)


@on(INTERLEAVING)
async def test_interleaving_misses_what_comes_before_its_first_item(lab: Lab) -> None:
    """Readers of several projections are subscribed when they ask; theirs when they first read."""
    async with lab.open(snapshots(3)) as run:
        together = lab.reader(run.interleave("values", "messages"))
        assert await lab.output(run) == {"v": 2}
        items = await together.rest()
    if lab.ours:
        assert items == [("values", value) for value in prefix(3)]
    else:
        still(items == [], "an interleaving that was asked for before the run gets nothing of it")
