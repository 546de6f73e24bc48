"""What the documents say of `langgraph.stream` is so in the LangGraph that is installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from anyiostream import RunAborted, open_run

from ..waiting import blocked


class State(TypedDict):
    n: int


class Work:
    """A graph of one node, which waits to be released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.cancelled = False
        self.graph = StateGraph(State).add_node("node", self.node).add_edge(START, "node").compile()

    async def node(self, state: State) -> dict[str, int]:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {"n": 1}


@asynccontextmanager
async def theirs(graph: Any) -> AsyncIterator[Any]:
    async with await graph.astream_events({"n": 0}, version="v3") as run:
        yield run


def ours(graph: Any) -> Any:
    return open_run(graph, {"n": 0})


async def expire(running: asyncio.Timeout) -> None:
    """Let a timeout run out when every other task waits."""
    await blocked()
    running.reschedule(asyncio.get_running_loop().time())


async def read_impatiently(run: Any, work: Work) -> list[Any]:
    """The snapshots, with a timeout round the second one that runs out once."""
    states = aiter(run.values)
    read = [await anext(states)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as timeout:
            waiting = asyncio.create_task(expire(timeout))
            await anext(states)
    await waiting
    work.release.set()
    return [*read, *[state async for state in states]]


def test_a_timeout_round_one_item() -> None:
    """Theirs cancels the node and ends; ours takes nothing, and goes on."""

    async def main(opened: Any) -> tuple[list[Any], bool]:
        work = Work()
        async with opened(work.graph) as run:
            return await read_impatiently(run, work), work.cancelled

    assert asyncio.run(main(theirs)) == ([{"n": 0}], True)
    assert asyncio.run(main(ours)) == ([{"n": 0}, {"n": 1}], False)


def test_the_output_of_an_aborted_run() -> None:
    """Theirs is the state so far; ours is an exception that has it."""

    async def main(opened: Any) -> Any:
        work = Work()
        async with opened(work.graph) as run:
            await anext(aiter(run.values))
            await run.abort()
            return await run.output()

    assert asyncio.run(main(theirs)) == {"n": 0}
    with pytest.raises(RunAborted) as caught:
        asyncio.run(main(ours))
    assert caught.value.partial == {"n": 0}


def test_a_reader_that_does_not_keep_up() -> None:
    """Theirs keeps all that an open cursor has not read; ours lets the graph wait at the bound."""
    steps = 200

    def count(state: State) -> dict[str, int]:
        return {"n": state["n"] + 1}

    def onward(state: State) -> str:
        return "count" if state["n"] < steps else "__end__"

    graph = StateGraph(State).add_node("count", count).add_edge(START, "count")
    compiled = graph.add_conditional_edges("count", onward, ["count", "__end__"]).compile()
    options = {"config": {"recursion_limit": steps + 10}}
    run = compiled.stream_events({"n": 0}, version="v3", **options)
    late = iter(run.values)
    assert run.output == {"n": steps}
    assert len(list(late)) == steps + 1

    with open_run(compiled, {"n": 0}, buffer=8, **options) as ours_run:
        late = iter(ours_run.values)
        with pytest.raises(RuntimeError, match="channel 'values'"):
            _ = ours_run.output
        assert ours_run.statistics().channels["values"].peak == 8
