"""LangGraph's `GraphInterrupt` and `Interrupt` where this package's are meant, on every lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt, NodeInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.types import Interrupt, interrupt

import anyiostream
from anyiostream import GraphWriter, PendingInterrupt, TasksTransformer, open_run, parts
from anyiostream.testing import ScriptedSource

from ..conformance.adapter import Lab

THEIRS = Interrupt("sure?", id="i1")
OURS = PendingInterrupt("sure?", "i1")

RAISED = [
    pytest.param(lambda: GraphInterrupt((THEIRS,)), id="theirs"),
    pytest.param(lambda: type("Mine", (GraphInterrupt,), {})([THEIRS]), id="a subclass of theirs"),
    pytest.param(lambda: anyiostream.GraphInterrupt((THEIRS,)), id="ours with theirs"),
    pytest.param(lambda: GraphInterrupt((OURS,)), id="theirs with ours"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("raised", RAISED)
async def test_a_graph_that_raises_it_is_interrupted(lab: Lab, raised: Callable[[], Exception]) -> None:
    """A function, and an iterable of parts: the last state stays, and the interrupts are what it carries."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values({"n": 1})
        raise raised()

    for source in (graph, ScriptedSource(parts.values({"n": 1}), raised())):
        async with lab.open_graph(source) as run:
            assert await lab.items(run.values) == [{"n": 1}]
            assert await lab.output(run) == {"n": 1}
            assert await lab.interrupts(run) == [OURS] == [THEIRS]
        assert run.status == "interrupted"


@pytest.mark.filterwarnings("ignore:NodeInterrupt is deprecated")
@pytest.mark.parametrize("raised", [GraphInterrupt, lambda: NodeInterrupt("sure?")], ids=["bare", "of older nodes"])
async def test_it_need_not_carry_one_of_a_known_id(lab: Lab, raised: Callable[[], Exception]) -> None:
    """A breakpoint carries nothing; older nodes mint ids."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        raise raised()

    async with lab.open_graph(graph) as run:
        asked = [each.value for each in await lab.interrupts(run)]
        assert asked == ([] if raised is GraphInterrupt else ["sure?"])
        assert await lab.interrupted(run)
    assert run.status == "interrupted"


@pytest.mark.parametrize("raised", RAISED)
async def test_a_subgraph_that_raises_it_is_interrupted(lab: Lab, raised: Callable[[], Exception]) -> None:
    """Its handle, its lifecycle and its task say so; the graph may go on."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        try:
            async with writer.subgraph("inner") as inner:
                await inner.values("state")
                raise raised()
        except (GraphInterrupt, anyiostream.GraphInterrupt):
            await writer.values("went on")

    async with lab.open_graph(graph, transformers=[TasksTransformer]) as run:
        tasks = lab.reader(run.tasks)
        (handle,) = await lab.items(run.subgraphs)
        assert (handle.status, handle.error) == ("interrupted", None)
        assert [each["interrupts"] for each in await tasks.rest() if "interrupts" in each] == [[OURS]]
        assert await lab.output(run) == "went on"


async def test_interrupts_in_parts_are_equal_whosever_they_are(lab: Lab) -> None:
    """One question is asked once, and a snapshot may carry either."""
    source = ScriptedSource(
        parts.values(1, interrupts=[THEIRS]), parts.values(2, interrupts=[OURS]), anyiostream.GraphInterrupt([THEIRS])
    )
    async with lab.open_graph(source) as run:
        assert await lab.interrupts(run) == [OURS]
        assert await lab.output(run) == 2


@pytest.mark.parametrize("other", [Interrupt("sure?", id="i2"), Interrupt("no?", id="i1"), ("sure?", "i1"), None])
def test_different_interrupts_are_different(other: object) -> None:
    """By value and by id."""
    assert other != OURS
    assert other != OURS


def test_equal_interrupts_have_one_hash() -> None:
    """As far as both have one: LangGraph's has none."""
    assert {OURS, PendingInterrupt("sure?", "i1")} == {OURS}
    assert THEIRS == OURS
    assert OURS == THEIRS


class State(TypedDict):
    """The state of the graph round a run."""

    n: int


async def test_inside_a_node_it_belongs_to_the_graph_of_that_node(lab: Lab) -> None:
    """A function graph in a node asks by LangGraph's `interrupt()`, and the graph round it waits."""

    async def ask(given: Any, writer: GraphWriter) -> Any:
        return {"answer": interrupt("sure?")}

    async def node(state: State) -> State:
        async with open_run(ask) as run:
            await run.output()
        raise AssertionError("the interrupt has been swallowed")

    def plain_node(state: State) -> State:
        with open_run(ask) as run:
            _ = run.output
        raise AssertionError("the interrupt has been swallowed")

    builder = StateGraph(State)
    builder.add_node("node", node if lab.is_async else plain_node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    compiled = builder.compile(checkpointer=InMemorySaver())
    async with lab.open_graph(compiled, {"n": 1}, config={"configurable": {"thread_id": "1"}}) as run:
        assert [each.value for each in await lab.interrupts(run)] == ["sure?"]
    assert run.status == "interrupted"
