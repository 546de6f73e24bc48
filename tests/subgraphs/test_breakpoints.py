"""Breakpoints of LangGraph graphs: a run that stops at one is interrupted, although nothing was asked."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.types import Command, interrupt

from .graphs import State, chain, fan

pytestmark = pytest.mark.anyio

FRESH: State = {"trail": []}
CONFIG: Any = {"configurable": {"thread_id": "1"}}


async def finish(lane: Any, graph: Any, given: Any = FRESH, **options: Any) -> Any:
    """Run a graph to its end: status, whether interrupted, interrupts, output, and the root's own lifecycle."""
    async with lane.open(graph, given, root_lifecycle=True, **options) as run:
        told = [item["event"] for item in await lane.collect(run.lifecycle) if not item["namespace"]]
        output = await lane.output(run)
        return run.status, await lane.interrupted(run), await lane.interrupts(run), output, told


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "not saved"])
@pytest.mark.parametrize(
    ("option", "trail"),
    [
        ({"interrupt_before": ["b"]}, ["a"]),
        ({"interrupt_after": ["a"]}, ["a"]),
        ({"interrupt_after": ["b"]}, ["a", "b"]),
        ({"interrupt_before": "*"}, []),
    ],
)
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "per run"])
async def test_a_run_that_stops_at_a_breakpoint_is_interrupted(
    lane: Any, option: Any, trail: list[str], compiled: bool, saved: bool
) -> None:
    """Before or after a node, compiled in or given for the run, with or without a checkpointer."""
    saver = {"checkpointer": InMemorySaver()} if saved else {}
    graph = chain(lane, "a", "b", "c", **saver, **(option if compiled else {}))
    status, interrupted, interrupts, output, told = await finish(
        lane, graph, config=CONFIG if saved else None, **({} if compiled else option)
    )
    assert (status, interrupted, interrupts) == ("interrupted", True, [])
    assert (output or FRESH)["trail"] == trail
    assert told == ["running", "interrupted"]


async def test_a_run_goes_on_from_a_breakpoint(lane: Any) -> None:
    """With no input; and completes when none is left."""
    graph = chain(lane, "a", "b", "c", checkpointer=InMemorySaver(), interrupt_before=["b", "c"])
    seen = []
    for given in (FRESH, None, None):
        status, interrupted, _, output, told = await finish(lane, graph, given, config=CONFIG)
        seen.append((status, interrupted, output["trail"], told[-1]))
    assert seen == [
        ("interrupted", True, ["a"], "interrupted"),
        ("interrupted", True, ["a", "b"], "interrupted"),
        ("completed", False, ["a", "b", "c"], "completed"),
    ]


@pytest.mark.parametrize("where", ["in a node", "as a node"])
async def test_a_subgraph_that_stops_at_a_breakpoint_is_interrupted(lane: Any, where: str) -> None:
    """So are its handle, what is round it, and the run; a sibling that has completed stays completed."""
    inner = chain(lane, "x", "y", interrupt_before=["y"], checkpointer=None)

    async def acall(state: State) -> Any:
        return await inner.ainvoke(state)

    def call(state: State) -> Any:
        return inner.invoke(state)

    action = inner if where == "as a node" else acall if lane.is_async else call
    outer = chain(lane, ("around", chain(lane, ("stops", action))), checkpointer=InMemorySaver())
    found: dict[str, Any] = {}
    async with lane.open(outer, FRESH, config=CONFIG) as run:
        ends = lane.cursor(run.lifecycle)
        handles = lane.cursor(run.subgraphs)
        around = await lane.next(handles)
        stops = await lane.next(lane.cursor(around.subgraphs))
        await lane.output(run)
        for name, each in (("run", run), ("around", around), ("stops", stops)):
            found[name] = (each.status, await lane.interrupted(each), await lane.interrupts(each))
        told = []
        while True:
            try:
                item = await lane.next(ends)
            except StopAsyncIteration:
                break
            told.append((item["event"], len(item["namespace"])))
    assert set(found) == {"run", "around", "stops"}
    assert list(found.values()) == [("interrupted", True, [])] * 3
    assert told == [("started", 1), ("started", 2), ("interrupted", 2), ("interrupted", 1)]


async def test_a_sibling_of_a_subgraph_that_stops_is_completed(lane: Any) -> None:
    """It has its task's result."""
    stops = chain(lane, "x", "y", interrupt_before=["y"])
    graph = fan(lane, ("stops", stops), ("goes", chain(lane, "z")), checkpointer=InMemorySaver())
    async with lane.open(graph, {"answers": []}, config=CONFIG) as run:
        handles = {each.graph_name: each for each in await lane.collect(run.subgraphs)}
        await lane.output(run)
    assert {name: each.status for name, each in handles.items()} == {"stops": "interrupted", "goes": "completed"}
    assert run.status == "interrupted"


async def test_a_good_end_and_too_many_steps_are_no_breakpoints(lane: Any) -> None:
    """A breakpoint that is not reached again stops nothing; the recursion limit is an error."""
    graph = chain(lane, "a", "b", "c", checkpointer=InMemorySaver(), interrupt_before=["a"])
    await finish(lane, graph, config=CONFIG)
    assert (await finish(lane, graph, None, config=CONFIG))[0] == "completed"
    graph = chain(lane, "a", "b", "c", checkpointer=InMemorySaver())
    async with lane.open(graph, FRESH, config={**CONFIG, "recursion_limit": 1}) as run:
        with pytest.raises(GraphRecursionError):
            await lane.output(run)
    assert run.status == "failed"


async def test_a_question_beside_a_breakpoint_is_still_asked(lane: Any) -> None:
    """The interrupts are the questions."""

    def ask(state: State) -> Any:
        return {"trail": [interrupt("how?")]}

    async def aask(state: State) -> Any:
        return ask(state)

    graph = chain(lane, ("ask", ask), "b", checkpointer=InMemorySaver(), interrupt_before=["b"])
    status, interrupted, interrupts, _, told = await finish(lane, graph, config=CONFIG)
    assert (status, interrupted, [each.value for each in interrupts]) == ("interrupted", True, ["how?"])
    assert told == ["running", "interrupted"]
    status, interrupted, interrupts, output, _ = await finish(lane, graph, Command(resume="so"), config=CONFIG)
    assert (status, interrupted, interrupts, output["trail"]) == ("interrupted", True, [], ["so"])


async def test_a_graph_with_a_thread_of_its_own_stops_alone(lane: Any) -> None:
    """What a node runs beside the run is the node's affair: the node goes on, and so does the run."""
    other = chain(lane, "x", "y", checkpointer=InMemorySaver(), interrupt_before=["y"])
    apart: Any = {"configurable": {"thread_id": "2", "checkpoint_ns": ""}}

    def call(state: State) -> Any:
        return {"trail": other.invoke(FRESH, apart)["trail"]}

    async def acall(state: State) -> Any:
        return {"trail": (await other.ainvoke(FRESH, apart))["trail"]}

    graph = chain(lane, ("call", acall if lane.is_async else call), "end", checkpointer=InMemorySaver())
    status, interrupted, _, output, _ = await finish(lane, graph, config=CONFIG)
    assert output["trail"][-1] == "end"
    assert (status, interrupted) == ("completed", False)


@pytest.mark.parametrize("kind", [list, tuple, "manager"])
async def test_the_callers_callbacks_are_called_as_before(lane: Any, kind: Any) -> None:
    """Watching for a pause adds to them, for the graph itself; its nodes inherit what the caller gave."""
    names: list[str] = []

    class Names(BaseCallbackHandler):
        run_inline = True

        def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            names.append(kwargs["name"])

    handlers = [Names()]
    callbacks = CallbackManager(handlers, handlers) if kind == "manager" else kind(handlers)
    graph = chain(lane, "a", "b", interrupt_before=["b"])
    status, *_ = await finish(lane, graph, config={"callbacks": callbacks})
    assert status == "interrupted"
    assert names[:2] == ["LangGraph", "a"]
