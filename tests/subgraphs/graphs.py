"""Small LangGraph graphs, with nodes of the lane that they run on."""

from __future__ import annotations

import functools
import inspect
import operator
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph

__all__ = ["State", "chain", "fan"]


class State(TypedDict, total=False):
    """The names of the nodes that have run, and what users have answered."""

    trail: list[str]
    answers: Annotated[list[str], operator.add]


def node(lane: Any, action: Any) -> Any:
    """`action` as a node: a graph or an async function itself, another function in the lane's kind."""
    if hasattr(action, "stream") or not lane.is_async or inspect.iscoroutinefunction(action):
        return action

    @functools.wraps(action)
    async def run(state: State) -> Any:
        return action(state)

    return run


def append(name: str) -> Any:
    """A node's function that leaves its name in the trail."""
    return lambda state: {"trail": [*state.get("trail", []), name]}


def chain(lane: Any, *nodes: Any, **options: Any) -> Any:
    """Nodes one after the other: names, or a name with a function or a graph."""
    builder = StateGraph(State)
    before = START
    for each in nodes:
        name, action = each if isinstance(each, tuple) else (each, append(each))
        builder.add_node(name, node(lane, action))
        builder.add_edge(before, name)
        before = name
    builder.add_edge(before, END)
    return builder.compile(**options)


def fan(lane: Any, *nodes: tuple[str, Any], **options: Any) -> Any:
    """Nodes side by side."""
    builder = StateGraph(State)
    for name, action in nodes:
        builder.add_node(name, node(lane, action))
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile(**options)
