"""Small compiled LangGraph graphs, with nodes of the lab's lane."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

from .adapter import Lab

__all__ = ["State", "append", "chain", "node"]


class State(TypedDict, total=False):
    """What the graphs work on: the names of the nodes that have run."""

    trail: list[str]


def append(name: str) -> Callable[[State], State]:
    """A node's function that leaves its name in the trail."""
    return lambda state: {"trail": [*state["trail"], name]}


def node(lab: Lab, function: Callable[[State], Any]) -> Any:
    """`function` as a node of the lab's lane. An async function is one already."""
    if not lab.is_async or inspect.iscoroutinefunction(function):
        return function

    async def run(state: State) -> Any:
        return function(state)

    return run


def chain(lab: Lab, *nodes: str | tuple[str, Any], **options: Any) -> Any:
    """A graph that runs its nodes one after the other.

    Args:
        lab: Tells the lane of the nodes.
        nodes: Names of nodes that leave their name in the trail, or a name and a function or compiled graph.
        options: Arguments of `compile`.
    """
    builder = StateGraph(State)
    before = START
    for each in nodes:
        name, action = each if isinstance(each, tuple) else (each, append(each))
        builder.add_node(name, action if hasattr(action, "stream") else node(lab, action))
        builder.add_edge(before, name)
        before = name
    builder.add_edge(before, END)
    return builder.compile(**options)
