"""Runs inside runs: a graph's node, or a function graph, that opens a run of its own."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy

from anyiostream import RunAborted, open_run

from ..waiting import until
from .graphs import State, chain
from .scripts import ON_LOOPS

pytestmark = [pytest.mark.anyio, ON_LOOPS]

FRESH: State = {"trail": []}


async def spell(given: str, writer: Any) -> str:
    """A function graph that writes its input letter by letter, the last one in a subgraph."""
    for letter in given[:-1]:
        await writer.values(letter)
    async with writer.subgraph("last") as inner:
        await inner.values(given[-1])
    return given


async def test_a_graph_run_inside_a_node_sees_its_own_level(lane: Any) -> None:
    """Its scope is the node's namespace: its values and handles are those of its own graph, and of all below it."""
    observed: list[Any] = []
    inner = chain(lane, "x", ("deep", chain(lane, "y")))

    async def nested(state: State) -> Any:
        async with open_run(inner, state) as run:
            cursor = run.interleave("values", "subgraphs")
            async for name, item in cursor:
                if name == "values":
                    observed.append(item["trail"])
                else:
                    observed.append([segment.split(":")[0] for segment in item.path])
            return await run.output()

    graph = chain(lane, "a", ("nested", nested), "b")
    async with open_run(graph, FRESH) as run:
        values = [value["trail"] async for value in run.values]
        assert (await run.output())["trail"] == ["a", "x", "y", "b"]
    assert values == [[], ["a"], ["a", "x", "y"], ["a", "x", "y", "b"]]
    assert observed == [["a"], ["a", "x"], ["nested", "deep"], ["a", "x", "y"]]


async def test_the_outer_run_does_not_mistake_the_inner_one_for_its_own_level(lane: Any) -> None:
    """A function graph inside a node streams to its own run alone."""
    inside: list[Any] = []

    async def nested(state: State) -> Any:
        async with open_run(spell, "abc") as run:
            inside.extend([value async for value in run.values])
            return {"trail": [*state["trail"], await run.output()]}

    graph = chain(lane, "a", ("nested", nested), "b")
    async with open_run(graph, FRESH) as run:
        log = [event async for event in run]
        assert (await run.output())["trail"] == ["a", "abc", "b"]
    assert inside == ["a", "b", "abc"]
    assert [event["params"]["data"]["trail"] for event in log if event["method"] == "values"] == [
        [],
        ["a"],
        ["a", "abc"],
        ["a", "abc", "b"],
    ]


async def test_a_graph_inside_a_function_graph(lane: Any) -> None:
    """The inner run is one like any other, at its own root; the function writes on what it reads."""
    inner = chain(lane, "x", ("deep", chain(lane, "y")))

    async def outer(given: Any, writer: Any) -> Any:
        async with writer.subgraph("wrapped") as wrapped:
            async with open_run(inner, FRESH) as run:
                async for name, item in run.interleave("values", "subgraphs"):
                    if name == "values":
                        await wrapped.values(item["trail"])
                    else:
                        assert len(item.path) == 1
                return (await run.output())["trail"]

    async with open_run(outer) as run:
        handle = await anext(aiter(run.subgraphs))
        assert [value async for value in handle.values] == [[], ["x"], ["x", "y"]]
        assert await run.output() == ["x", "y"]


async def test_runs_nest_several_deep(lane: Any) -> None:
    """A function in a function in a function, each read by the one round it."""

    async def level(depth: int, writer: Any) -> int:
        if depth == 0:
            await writer.values(0)
            return 0
        async with open_run(level, depth - 1) as run:
            async for value in run.values:
                await writer.values(value)
            return await run.output() + 1

    async with open_run(level, 8) as run:
        assert await run.output() == 8


def sleeping(reached: list[str]) -> Any:
    """A node or graph that reports when it begins and how it ends, and never returns by itself."""

    async def sleep(*args: Any) -> Any:
        reached.append("begun")
        try:
            await anyio.sleep_forever()
        except BaseException:
            reached.append("cancelled")
            raise

    return sleep


@pytest.mark.parametrize("inner", ["function", "graph"])
@pytest.mark.parametrize("outer", ["function", "graph"])
@pytest.mark.parametrize("how", ["abort", "leave", "cancel"])
async def test_ending_the_outer_run_stops_the_inner_one(lane: Any, outer: str, inner: str, how: str) -> None:
    """When the outer block has been left, the innermost node has been cancelled and has ended, however it was left."""
    reached: list[str] = []
    innermost = sleeping(reached) if inner == "function" else chain(lane, "x", ("sleep", sleeping(reached)))

    async def nested(*args: Any) -> Any:
        try:
            async with open_run(innermost, FRESH) as run:
                return await run.output()
        finally:
            reached.append("inner left")

    graph = nested if outer == "function" else chain(lane, "a", ("nested", nested))

    async def application() -> None:
        async with open_run(graph, FRESH) as run:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(swallow, run)
                await until(lambda: "begun" in reached)
                if how == "abort":
                    await run.abort()
                    assert reached == ["begun", "cancelled", "inner left"]
                elif how == "cancel":
                    scope.cancel()
                tasks.cancel_scope.cancel()

    async def swallow(run: Any) -> None:
        with pytest.raises(RunAborted):
            await run.output()

    with anyio.CancelScope() as scope:
        await application()
    assert reached == ["begun", "cancelled", "inner left"]


async def test_an_error_of_the_inner_run_reaches_the_outer_reader(lane: Any) -> None:
    """As the exception object itself."""
    error = LookupError("deep down")

    async def failing(*args: Any) -> Any:
        raise error

    async def nested(*args: Any) -> Any:
        async with open_run(chain(lane, ("fail", failing)), FRESH) as run:
            return await run.output()

    async with open_run(chain(lane, ("nested", nested)), FRESH) as run:
        with pytest.raises(LookupError) as caught:
            await run.output()
        assert caught.value is error


async def test_a_nested_run_of_the_same_graph(lane: Any) -> None:
    """Each run sees the next one as a subgraph of its own level, and not the one after that."""
    seen: list[Any] = []

    async def recurse(state: State) -> Any:
        if len(state["trail"]) > 2:
            return {"trail": [*state["trail"], "bottom"]}
        async with open_run(graph, state) as run:
            seen.extend([len(handle.path) async for handle in run.subgraphs])
            return await run.output()

    graph = chain(lane, "a", ("recurse", recurse))
    async with open_run(graph, FRESH) as run:
        assert (await run.output())["trail"] == ["a", "a", "a", "bottom"]
    assert seen == [2]


@pytest.mark.parametrize("before", ["a run", "a call", "a try"])
async def test_a_further_run_of_a_node_sees_its_own_level(lane: Any, before: str) -> None:
    """Whatever the node has run before it, itself or when it was tried the first time."""
    inner = chain(lane, "x", ("deep", chain(lane, "y")))
    observed: list[Any] = []

    async def nested(state: State) -> Any:
        if before == "a call":
            await inner.ainvoke(state)
        for _ in range(2 if before == "a run" else 1):
            async with open_run(inner, state) as run:
                async for handle in run.subgraphs:
                    observed.append([segment.split(":")[0] for segment in handle.path])
                output = await run.output()
        if before == "a try" and len(observed) == 1:
            raise ValueError(before)
        return output

    again = RetryPolicy(initial_interval=0, jitter=False, retry_on=ValueError)
    graph = StateGraph(State).add_node("nested", nested, retry_policy=again).add_edge(START, "nested").compile()
    async with open_run(graph, FRESH) as run:
        assert (await run.output())["trail"] == ["x", "y"]
    assert observed == [["nested", "deep"]] * (1 if before == "a call" else 2)
