"""What a graph raises and asks may be of any class: errors without a text, questions that cannot be compared."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt

from .graphs import State, chain, fan

pytestmark = pytest.mark.anyio

FRESH: State = {"trail": []}


class Mute(Exception):
    """Cannot say what is wrong."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


def breaking(lane: Any) -> Any:
    """A graph whose node fails."""

    def fail(state: State) -> NoReturn:
        raise Mute

    return chain(lane, ("x", fail))


async def test_a_subgraph_has_failed_whose_error_is_caught(lane: Any) -> None:
    """The node goes on without it."""
    broken = breaking(lane)

    def caught(state: State) -> Any:
        with suppress(Mute):
            broken.invoke(FRESH)
        return {"trail": ["caught"]}

    async def acaught(state: State) -> Any:
        with suppress(Mute):
            await broken.ainvoke(FRESH)
        return {"trail": ["caught"]}

    async with lane.open(chain(lane, ("node", acaught if lane.is_async else caught)), FRESH) as run:
        (handle,) = await lane.collect(run.subgraphs)
        assert (await lane.output(run))["trail"] == ["caught"]
    assert (run.status, handle.status) == ("completed", "failed")


async def test_the_run_fails_with_the_error_itself(lane: Any) -> None:
    """And not with one about it."""
    async with lane.open(chain(lane, ("node", breaking(lane))), FRESH) as run:
        handles = lane.cursor(run.subgraphs)
        handle = await lane.next(handles)
        with pytest.raises(Mute):
            await lane.output(run)
    assert (run.status, handle.status) == ("failed", "failed")


async def test_questions_may_have_values_that_cannot_be_compared(lane: Any) -> None:
    """Two nodes ask at once, each with an array."""

    def asking(*values: int) -> Any:
        return lambda state: {"answers": [str(interrupt(np.array(values)))]}

    graph = fan(lane, ("a", asking(1, 2)), ("b", asking(1, 3)), checkpointer=InMemorySaver())
    async with lane.open(graph, FRESH, config={"configurable": {"thread_id": "1"}}) as run:
        asked = await lane.interrupts(run)
        assert sorted(each.value.tolist() for each in asked) == [[1, 2], [1, 3]]
    assert run.status == "interrupted"
