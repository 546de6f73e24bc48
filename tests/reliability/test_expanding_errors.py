"""Groups of errors that refer to the same ones many times, in nodes of LangGraph's graphs that keep checkpoints.

A checkpointer writes an error down as its `repr`, which goes through a group once for each way to its errors, without
letting anything else run. It does so before anybody outside has seen the error: only its serializer can shorten it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypedDict

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from anyiostream import open_run

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "errors.md"

CONFIG: Any = {"configurable": {"thread_id": "1"}}

LEVELS = 9


class Counted(Exception):
    """An error that counts how often it is written down."""

    count = 0

    def __repr__(self) -> str:
        Counted.count += 1
        return "Counted()"


class State(TypedDict, total=False):
    """Nothing."""

    given: int


def failing(checkpointer: Any) -> Any:
    """A graph whose node raises a group with two ways on each of its levels."""

    async def node(_: State) -> State:
        error: Exception = Counted()
        for _level in range(LEVELS):
            error = ExceptionGroup("twice", [error, error])
        raise error

    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(checkpointer=checkpointer)


async def alone(graph: Any) -> None:
    """LangGraph by itself."""
    with pytest.raises(ExceptionGroup, match="twice"):
        async for _ in graph.astream({}, CONFIG):
            pass


async def here(graph: Any) -> None:
    """A run."""
    with pytest.raises(ExceptionGroup, match="twice"):
        async with open_run(graph, {}, config=CONFIG) as run:
            await run.output()


def written(graph: Any, read: Callable[[Any], Awaitable[None]], backend: str) -> int:
    """How often the error was written down."""
    Counted.count = 0
    anyio.run(read, graph, backend=backend)  # which must not end with the error: asyncio would write it down, too
    return Counted.count


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_goes_through_a_group_once(backend: str) -> None:
    """Without a checkpointer nobody writes the errors down."""
    assert written(failing(None), here, backend) == 0


def test_checkpointers_take_each_way() -> None:
    """Also where there is no run of this package."""
    assert written(failing(InMemorySaver()), alone, "asyncio") >= 2**LEVELS


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_serializer_of_the_guide_takes_none(backend: str) -> None:
    """And the checkpoint has the error's class and text."""
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = (each for each in blocks if "ShortGroups" in each)
    names: dict[str, Any] = {}
    exec(block, names)
    graph = failing(names["checkpointer"])
    assert written(graph, here, backend) == 0
    (saved,) = names["checkpointer"].list(CONFIG, limit=1)
    errors = [value for _, channel, value in saved.pending_writes if channel == "__error__"]
    assert errors == ["ExceptionGroup('twice (2 sub-exceptions)')"]
