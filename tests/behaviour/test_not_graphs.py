"""What wraps a LangGraph graph is not a graph; what is one all the same; what a graph brings along."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolCallTransformer as LangGraphToolCallTransformer

from anyiostream import CustomTransformer, ToolCallTransformer, parts
from anyiostream.errors import NotAGraph, ProjectionConflict

pytestmark = pytest.mark.anyio

FRESH: dict[str, Any] = {"messages": []}


def compiled() -> Any:
    """A compiled graph."""
    return StateGraph(MessagesState).add_node("n", lambda state: {}).add_edge(START, "n").compile(name="mine")


def same(given: Any) -> Any:
    """Any step before or after a graph."""
    return given


WRAPPED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "with_retry": (lambda graph: graph.with_retry(), "`bound`"),
    "bind": (lambda graph: graph.bind(x=1), "`bound`"),
    "with_types": (lambda graph: graph.with_types(input_type=dict), "`bound`"),
    "with_listeners": (lambda graph: graph.with_listeners(on_end=same), "`bound`"),
    "with_fallbacks": (lambda graph: graph.with_fallbacks([graph]), "`runnable`"),
    "graph | x": (lambda graph: graph | same, "`first`"),
    "x | graph": (lambda graph: RunnableLambda(same) | graph, "`last`"),
    "x | graph | x": (lambda graph: RunnableLambda(same) | graph | same, r"`middle\[0\]`"),
    "parallel": (lambda graph: RunnableParallel(a=graph), r"`steps__\['a'\]`"),
    "map": (lambda graph: graph.map(), "`bound`"),
    "pick": (lambda graph: graph.pick("messages"), "`first`"),
    "retried pipe": (lambda graph: (graph | same).with_retry(), "`bound.first`"),
    "lambda": (lambda graph: RunnableLambda(graph.invoke), "`func.__self__`"),
    "invoke": (lambda graph: graph.invoke, "method `invoke`"),
    "ainvoke": (lambda graph: graph.ainvoke, "method `ainvoke`"),
    "astream": (lambda graph: graph.astream, "method `astream`"),
}


@pytest.mark.parametrize("how", WRAPPED)
async def test_what_wraps_a_graph_is_refused_and_names_the_graph(lane: Any, how: str) -> None:
    """And says where in it the graph is."""
    wrap, where = WRAPPED[how]
    with pytest.raises(NotAGraph, match="pass th") as caught:
        async with lane.open(wrap(compiled()), input=FRESH):
            pytest.fail("entered")
    assert re.search(where, str(caught.value))
    assert "'mine'" in str(caught.value)


async def test_what_is_a_graph_all_the_same_is_run(lane: Any) -> None:
    """`with_config` gives a graph, and so do the values of a mapping that are parts."""
    async with lane.open(compiled().with_config(tags=["x"]), input=FRESH) as run:
        assert await lane.output(run) == FRESH
    async with lane.open({"a": parts.values(1)}.values()) as run:
        assert await lane.output(run) == 1


async def test_a_projection_that_the_graph_brings_may_be_asked_for(lane: Any) -> None:
    """As a class or from a factory: it is made once. Other transformers, and those given twice, conflict as ever."""
    builder = StateGraph(MessagesState).add_node("n", lambda state: {}).add_edge(START, "n")
    for brought in (LangGraphToolCallTransformer, partial(ToolCallTransformer)):
        graph = builder.compile(transformers=[brought])
        async with lane.open(graph, input=FRESH, transformers=[ToolCallTransformer]) as run:
            assert await lane.collect(run.tool_calls) == []
        with pytest.raises(ProjectionConflict):
            async with lane.open(graph, input=FRESH, transformers=[CustomTransformer, CustomTransformer]):
                pytest.fail("entered")
