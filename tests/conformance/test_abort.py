"""Abort and early exit: what stops, and what readers see of it."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from langgraph.config import get_stream_writer

from anyiostream import RunAborted, parts

from .adapter import ASYNC, Lab, Script, on, theirs_since
from .graphs import State, chain


def snapshots(count: int) -> list[Any]:
    """That many parts."""
    return [parts.values(n) for n in range(count)]


@theirs_since("1.2.6")
async def test_idempotent(lab: Lab) -> None:
    """(73) Aborting twice is the same as aborting once, also after the run has finished."""
    script = Script(snapshots(5))
    async with lab.open(script) as run:
        assert await lab.reader(run.values).next() == 0
        await lab.abort(run)
        await lab.abort(run)
    assert script.closed == 1
    async with lab.open(snapshots(5)) as run:
        assert await lab.output(run) == 4
        await lab.abort(run)
        assert await lab.output(run) == 4


async def test_open_cursors_end(lab: Lab) -> None:
    """(74) Cursors that are open when the run is aborted end without an error, after what they hold."""
    async with lab.open(snapshots(5)) as run:
        values, log = lab.reader(run.values), lab.reader(run)
        assert await values.next() == 0
        await lab.abort(run)
        assert await values.outcome() == ([], None)
        events, error = await log.outcome()
        assert [each["params"]["data"] for each in events] == [0]
        assert error is None


async def test_output_after_abort(lab: Lab) -> None:
    """(74) As a deviation, an aborted run's output raises RunAborted in ours; in theirs it is the partial state."""
    async with lab.open(snapshots(5)) as run:
        assert await lab.reader(run.values).next() == 0
        await lab.abort(run)
        if lab.ours:
            # Deviation: success implies the final state.
            assert run.status == "aborted"
            for ask in (lab.output, lab.interrupted, lab.interrupts):
                with pytest.raises(RunAborted) as caught:
                    await ask(run)
                assert caught.value.partial == 0
        else:
            assert await lab.output(run) == 0


@theirs_since("1.2.6")
async def test_exit_aborts(lab: Lab) -> None:
    """(75) Leaving the context closes the graph's iterator, once, where it is."""
    script = Script(snapshots(100))
    async with lab.open(script) as run:
        assert await lab.reader(run.values).next() == 0
        assert script.closed == 0
    assert script.closed == 1
    assert script.pulled < 100


@theirs_since("1.2.6")
async def test_exit_by_exception_aborts(lab: Lab) -> None:
    """(75) Leaving the context by an exception closes the graph's iterator, and the exception leaves as itself."""
    script = Script(snapshots(100))
    error = LookupError("body")
    with pytest.raises(LookupError) as caught:
        async with lab.open(script) as run:
            await lab.reader(run.values).next()
            raise error
    assert caught.value is error
    assert script.closed == 1


def nested(lab: Lab, depth: int, trace: list[str]) -> Any:
    """A graph of three nodes, the middle one of which is such a graph until `depth` is 1; each notes that it starts.

    On the async lane the innermost one in the middle waits until it is cancelled. On the sync lane it cannot: what runs
    in a thread is not to be stopped, only waited for.
    """

    def noting(name: str) -> Any:
        def note(state: State) -> State:
            trace.append(name)
            return {"trail": [*state["trail"], name]}

        return name, note

    async def wait(state: State) -> State:
        trace.append("b1")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            trace.append("b1 cancelled")
            raise
        return state

    middle = ("sub", nested(lab, depth - 1, trace)) if depth > 1 else ("b1", wait) if lab.is_async else noting("b1")
    return chain(lab, noting(f"a{depth}"), middle, noting(f"c{depth}"))


@theirs_since("1.2.6")
@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("how", ["abort", "exit"])
async def test_abort_stops_a_subgraph(lab: Lab, depth: int, how: str) -> None:
    """(75, 76, 77) Aborting or leaving while a subgraph runs, two or three levels deep, starts no further node."""
    trace: list[str] = []
    async with lab.open_graph(nested(lab, depth, trace), {"trail": []}) as run:
        handle = run
        for _ in range(depth - 1):
            handle = await lab.reader(handle.subgraphs).next()
        await lab.reader(handle.values).next()
        if how == "abort":
            await lab.abort(run)
            after_abort = list(trace)
    assert how == "exit" or trace == after_abort
    entered = [f"a{level}" for level in range(depth, 0, -1)]
    if lab.is_async:
        assert trace == [*entered, "b1", "b1 cancelled"]
    else:
        assert trace[:depth] == entered
        assert f"c{depth}" not in trace


@theirs_since("1.2.6")
@on(ASYNC)
async def test_abort_while_another_task_pulls(lab: Lab) -> None:
    """(78) Aborting while another task is parked in the pull cancels the node, and that task is let go."""
    seen: list[str] = []

    async def patient(state: State) -> State:
        get_stream_writer()("waiting")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return state

    graph = chain(lab, ("patient", patient))
    outcome: list[Any] = []

    async def ask(run: Any) -> None:
        try:
            outcome.append(await lab.output(run))
        except RunAborted as exc:
            outcome.append(exc.partial)

    async with lab.open_graph(graph, {"trail": []}, transformers=[lab.api.CustomTransformer]) as run:
        custom = lab.reader(run.custom)
        assert await custom.next() == "waiting"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, run)
            await anyio.wait_all_tasks_blocked()
            await lab.abort(run)
            assert seen == ["cancelled"]
    # Deviation: ours let it go with RunAborted (74); the state it carries is what theirs return.
    assert outcome == [{"trail": []}]


async def test_finished_after_exit(lab: Lab) -> None:
    """(79) After the context has been left the run counts as finished, whether or not it was read to its end."""
    for read in (True, False):
        async with lab.open(snapshots(3)) as run:
            if read:
                await lab.output(run)
        if lab.ours:
            assert run.status == ("completed" if read else "aborted")
        else:
            assert run._exhausted is True  # noqa: SLF001 -- theirs has no public name for it


SIBLINGS = [
    parts.values(0),
    parts.task_start("1", "left"),
    parts.task_start("2", "right"),
    parts.task_start("3", "inner", ns=("left:1",)),
    parts.task_start("4", "inner", ns=("right:2",)),
    parts.values("l", ns=("left:1",)),
    parts.values("r", ns=("right:2",)),
    parts.task_result("1", "left"),
    parts.task_result("2", "right"),
    parts.values(1),
]
"""Two subgraphs side by side."""


async def test_abort_of_a_child(lab: Lab) -> None:
    """(80) Aborting a subgraph's handle fails neither its parent nor its siblings."""
    async with lab.open(SIBLINGS) as run:
        handles = lab.reader(run.subgraphs)
        left = await handles.next()
        await lab.abort(left)
        right = await handles.next()
        assert await lab.items(right.values) == ["r"]
        assert await lab.output(run) == 1
        assert await lab.items(left.values) == []
