"""The type of a graph's state is that of `values` and of the output, wherever it can be known."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from anyio.abc import ObjectReceiveStream
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from anyiostream import (
    AsyncGraphRunStream,
    GraphRunStream,
    GraphWriter,
    PreparedRun,
    StreamPart,
    open_run,
    parts,
)


class Trip(TypedDict):
    """The state of a LangGraph graph."""

    city: str


@dataclass
class Bag:
    """The state of a function graph."""

    things: list[str]


def pack(state: Trip) -> Trip:
    """A node."""
    return state


def compile_trip() -> CompiledStateGraph[Trip]:
    """A LangGraph graph."""
    return StateGraph(Trip).add_node("pack", pack).add_edge(START, "pack").compile()


async def typed_writer(city: str, writer: GraphWriter[Bag]) -> None:
    """A function graph whose writer knows the state."""
    await writer.values(Bag([city]))
    await writer.values({"things": []})  # type: ignore[arg-type]


async def typed_both(city: str, writer: GraphWriter[Bag]) -> Bag:
    """A function graph that returns its state, too."""
    await writer.values(Bag([city]))
    return Bag([])


async def typed_return(city: str, writer: GraphWriter) -> Bag:
    """A function graph whose writer takes anything."""
    await writer.custom(city)
    return Bag([])


def produces(n: int) -> Iterator[StreamPart]:
    """A generator function: what its parts carry is not known."""
    yield parts.values({"n": n})


async def produces_async(n: int) -> AsyncIterator[StreamPart]:
    """An asynchronous one."""
    yield parts.values({"n": n})


async def langgraph_graphs() -> None:
    """`CompiledStateGraph[Trip]` makes it `Trip`."""
    graph = compile_trip()
    assert_type(open_run(graph, {"city": "Bergen"}), PreparedRun[Trip])
    async with open_run(graph, {"city": "Bergen"}, config={}, context=None) as run:
        assert_type(run, AsyncGraphRunStream[Trip])
        assert_type(aiter(run.values), ObjectReceiveStream[Trip])
        async for state in run.values:
            assert_type(state, Trip)
            assert_type(state["city"], str)
        assert_type(await run.output(), Trip)
    with open_run(graph, {"city": "Bergen"}) as plain:
        assert_type(plain, GraphRunStream[Trip])
        for state in plain.values:
            assert_type(state, Trip)
        assert_type(plain.output, Trip)


async def function_graphs() -> None:
    """The writer's type argument makes it, and the returned state must agree."""
    assert_type(open_run(typed_writer, "Bergen"), PreparedRun[Bag])
    assert_type(open_run(typed_both, "Bergen"), PreparedRun[Bag])
    async with open_run(typed_both, "Bergen", prefetch=0) as run:
        async for state in run.values:
            assert_type(state, Bag)
        assert_type((await run.output()).things, list[str])
    with open_run(typed_return, "Bergen") as plain:
        plain.output.things.append("map")  # `Bag` to pyright, `Any` to mypy: the writer's type argument wins there
    open_run(typed_both, 3)  # type: ignore[arg-type]


def graphs_of_parts() -> None:
    """What parts carry is not known, unless the program says so."""
    assert_type(open_run(produces, 3), PreparedRun[Any])
    assert_type(open_run(produces_async, 3), PreparedRun[Any])
    assert_type(open_run([parts.values(1)]), PreparedRun[Any])
    opened: PreparedRun[Bag] = open_run(produces, 3)
    with opened as run:
        assert_type(run.output, Bag)


def any_graph(graph: Any, run: AsyncGraphRunStream, plain: GraphRunStream) -> None:
    """Without a type argument it is `Any`."""
    assert_type(plain.output, Any)
    assert_type(aiter(run.values), ObjectReceiveStream[Any])
    with open_run(graph) as opened:
        assert_type(opened.output, Any)


def not_graphs() -> None:
    """What is no graph is an error."""
    open_run(3)  # type: ignore[call-overload]
    open_run(StateGraph(Trip))  # type: ignore[call-overload]
