"""LangGraph nodes that run a subgraph several times: in turn, at once, again after it broke, in a called task."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import task
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy

from anyiostream import RunAborted, SubgraphFailed

from .graphs import State, chain
from .scripts import ON_LOOPS

pytestmark = pytest.mark.anyio

FRESH: State = {"trail": []}
CONFIG: Any = {"configurable": {"thread_id": "1"}}
AGAIN = RetryPolicy(initial_interval=0, jitter=False, retry_on=lambda error: True)


async def rest(lane: Any, cursor: Any) -> list[Any]:
    """What a cursor still has."""
    items = []
    while True:
        try:
            items.append(await lane.next(cursor))
        except StopAsyncIteration:
            return items


def call(lane: Any, graph: Any, *, times: int, at_once: bool = False) -> Any:
    """A node that runs `graph` several times."""

    def in_turn(state: State) -> Any:
        for n in range(times):
            graph.invoke({"trail": [str(n)]})
        return {"trail": ["end"]}

    async def node(state: State) -> Any:
        async with anyio.create_task_group() as tasks:
            for n in range(times):
                if at_once:
                    tasks.start_soon(graph.ainvoke, {"trail": [str(n)]})
                else:
                    await graph.ainvoke({"trail": [str(n)]})
        return {"trail": ["end"]}

    return node if lane.is_async else in_turn


async def read(lane: Any, stream: Any, into: dict[tuple[str, ...], Any]) -> None:
    """Read the handles below `stream`, depth first: by path, with the ids left out."""
    handles = lane.cursor(stream.subgraphs)
    while True:
        try:
            handle = await lane.next(handles)
        except StopAsyncIteration:
            return
        await read_one(lane, handle, into)


async def read_one(lane: Any, handle: Any, into: dict[tuple[str, ...], Any]) -> None:
    """Read a handle, and those below it."""
    values: list[Any] = []
    with suppress(SubgraphFailed):
        await read(lane, handle, into)
        values = await lane.collect(handle.values)
    path = tuple(segment.partition(":")[0] for segment in handle.path)
    into[path] = (handle.graph_name, values[-1]["trail"] if values else None, handle.status, handle.error)


@pytest.mark.parametrize("checkpointer", [None, True], ids=["without", "with"])
async def test_each_call_in_turn_has_a_handle(lane: Any, checkpointer: Any) -> None:
    """All are siblings, named like the node, each with its own states; also where a subgraph does the same."""
    inner = chain(lane, ("call", call(lane, chain(lane, "x"), times=2)))
    graph = chain(lane, ("node", call(lane, inner, times=2)), checkpointer=InMemorySaver() if checkpointer else None)
    seen: dict[tuple[str, ...], Any] = {}
    async with lane.open(graph, FRESH, config=CONFIG) as run:
        lifecycle = lane.cursor(run.lifecycle)
        await read(lane, run, seen)
        told = await rest(lane, lifecycle)
    done = ("call", ["0", "x"], "completed", None), ("call", ["1", "x"], "completed", None)
    assert seen == {
        ("node",): ("node", ["end"], "completed", None),
        ("node", "call"): done[0],
        ("node", "call", "1"): done[1],
        ("node", "1"): ("node", ["end"], "completed", None),
        ("node", "1", "call"): done[0],
        ("node", "1", "call", "1"): done[1],
    }
    assert [(item["event"], item.get("graph_name")) for item in told].count(("started", "call")) == 4


@ON_LOOPS
async def test_each_call_at_once_has_a_handle(lane: Any) -> None:
    """None of them is a child of another."""
    graph = chain(lane, ("node", call(lane, chain(lane, "x"), times=3, at_once=True)))
    seen: dict[tuple[str, ...], Any] = {}
    async with lane.open(graph, FRESH) as run, anyio.create_task_group() as tasks:
        async for handle in run.subgraphs:
            tasks.start_soon(read_one, lane, handle, seen)
    assert {path: (name, status) for path, (name, _, status, _) in seen.items()} == {
        ("node",): ("node", "completed"),
        ("node", "1"): ("node", "completed"),
        ("node", "2"): ("node", "completed"),
    }
    assert sorted(trail for _, trail, _, _ in seen.values()) == [["0", "x"], ["1", "x"], ["2", "x"]]


async def test_an_abort_names_the_node_of_each_call(lane: Any) -> None:
    """Not the number of the call, which says nothing by itself."""
    graph = chain(lane, ("node", call(lane, chain(lane, "x", "y"), times=2)))
    async with lane.open(graph, FRESH) as run:
        handles = lane.cursor(run.subgraphs)
        for number in range(2):
            handle = await lane.next(handles)
            assert handle.path[-1].isdecimal() is (number == 1)
            aborted = handle.abort()
            if lane.is_async:
                await aborted
            with pytest.raises(RunAborted, match=r"^subgraph 'node:"):
                await lane.output(handle)


async def test_the_events_of_one_call_are_not_in_anothers_log(lane: Any) -> None:
    """A handle's raw log has what happens in its own subgraph."""
    graph = chain(lane, ("node", call(lane, chain(lane, "x"), times=2)))
    async with lane.open(graph, FRESH) as run:
        handles = lane.cursor(run.subgraphs)
        first = await lane.next(handles)
        events = await lane.collect(first)
        await lane.output(run)
    assert {tuple(event["params"]["namespace"]) for event in events} == {first.path}


def breaking(lane: Any, times: int = 1) -> Any:
    """A graph whose node fails at first."""
    left = [times]

    def fail(state: State) -> Any:
        if left[0]:
            left[0] -= 1
            raise ValueError("broken")
        return {"trail": ["well"]}

    return chain(lane, ("x", fail))


@pytest.mark.parametrize("inside", [True, False], ids=["as the node", "called by it"])
async def test_a_retried_subgraph_is_a_new_handle(lane: Any, inside: bool) -> None:
    """The broken one has ended as failed, before the new one starts."""
    graph = breaking(lane) if inside else call(lane, breaking(lane), times=1)
    seen: dict[tuple[str, ...], Any] = {}
    async with lane.open(retrying(graph), FRESH) as run:
        lifecycle = lane.cursor(run.lifecycle)
        await read(lane, run, seen)
        told = await rest(lane, lifecycle)
    assert seen[("node",)][2:] == ("failed", "broken")
    assert seen[("node", "1")][2:] == ("completed", None)
    assert [(item["event"], item["namespace"][1:]) for item in told] == [
        ("started", []),
        ("failed", []),
        ("started", ["1"]),
        ("completed", ["1"]),
    ]


def retrying(action: Any) -> Any:
    """A graph whose node is tried again when it fails."""
    return StateGraph(State).add_node("node", action, retry_policy=AGAIN).add_edge(START, "node").compile()


async def test_a_subgraph_that_failed_is_failed_although_its_node_goes_on(lane: Any) -> None:
    """The node caught the error; the subgraph has no result all the same."""
    broken = breaking(lane)

    def caught(state: State) -> Any:
        with pytest.raises(ValueError, match="broken"):
            broken.invoke(FRESH)
        return {"trail": ["caught"]}

    async def acaught(state: State) -> Any:
        with pytest.raises(ValueError, match="broken"):
            await broken.ainvoke(FRESH)
        return {"trail": ["caught"]}

    async with lane.open(chain(lane, ("node", acaught if lane.is_async else caught)), FRESH) as run:
        (handle,) = await lane.collect(run.subgraphs)
        assert (await lane.output(run))["trail"] == ["caught"]
    assert (run.status, handle.status, handle.error) == ("completed", "failed", "broken")


async def test_what_a_called_task_runs_is_a_handle_that_ends_with_the_task(lane: Any) -> None:
    """Beside what the node runs itself, not inside it."""
    sub = chain(lane, "x")

    @task
    def delegate() -> Any:
        return [sub.invoke(FRESH), sub.invoke(FRESH)]

    @task
    async def adelegate() -> Any:
        return [await sub.ainvoke(FRESH), await sub.ainvoke(FRESH)]

    def node(state: State) -> Any:
        sub.invoke(FRESH)
        delegate().result()
        return {"trail": ["end"]}

    async def anode(state: State) -> Any:
        await sub.ainvoke(FRESH)
        await adelegate()
        return {"trail": ["end"]}

    name = "adelegate" if lane.is_async else "delegate"
    seen: dict[tuple[str, ...], Any] = {}
    async with lane.open(chain(lane, ("node", anode if lane.is_async else node)), FRESH) as run:
        await read(lane, run, seen)
    done = (["x"], "completed", None)
    assert seen == {("node",): ("node", *done), ("node", name): (name, *done), ("node", name, "1"): (name, *done)}


async def test_a_subgraph_with_its_own_history_is_a_handle_per_run(lane: Any) -> None:
    """Its namespace has no task's id; each run of its node is a subgraph that ends with the node."""
    kept = chain(lane, "x", checkpointer=True)
    inner = chain(lane, ("deep", kept))
    graph = chain(lane, ("one", kept), ("outer", inner), checkpointer=InMemorySaver())
    seen: dict[tuple[str, ...], Any] = {}
    async with lane.open(graph, FRESH, config=CONFIG) as run:
        await read(lane, run, seen)
    assert {path: status for path, (_, _, status, _) in seen.items()} == {
        ("one",): "completed",
        ("outer",): "completed",
        ("outer", "deep"): "completed",
    }
