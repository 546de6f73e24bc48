"""End to end: what a streaming layer adds to a real LangGraph graph, whose model streams a script.

A layer's cost is that of reading a projection through it, less that of a bare `astream` of the same graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import attrs

from anyiostream import open_run
from benchmarks import graphs
from benchmarks.measuring import CLOCKS, LOOPS, Options, Spread, Timed, alternate, differences, timed_on
from benchmarks.readers import Reader, read_tokens, read_values
from benchmarks.tables import Section, Table, verdicts

__all__ = ["SECTION", "Graph", "Layers", "measure"]

SECTION: Final = "end to end"

REPEATED: Final = 10
"""Runs of each contender in a round: a layer's cost is a small difference of large figures, so it takes many."""

TARGET: Final = 0.45
"""The greatest share of the original's layer that is good enough."""


async def read_nested_tokens(run: Any) -> int:
    """Every piece of every message of the subgraphs."""
    found = 0
    async for handle in run.subgraphs:
        found += await read_tokens(handle)
    return found


@attrs.frozen
class Graph:
    """One row of the table.

    Attributes:
        name: What the table calls it.
        make: The graph, of a size.
        given: Its input.
        size: Pieces of text, or supersteps.
        read: Reads a run.
        items: What is read, for a size.
    """

    name: str
    make: Callable[[int], Any]
    given: Any
    size: int
    read: Reader
    items: Callable[[int], int] = lambda size: size


@attrs.frozen
class Layers:
    """What a graph came to.

    Attributes:
        graph: Its name.
        parts: Parts that the graph produced.
        us: Contender -> us per part, all together.
        added: Contender -> us per part that its layer adds: its cost less that without a layer, run by run. Median and
            quartiles.
        share: Contender of ours -> the median of what it adds, as a share of that of the original.
    """

    graph: str
    parts: int
    us: Mapping[str, Spread]
    added: Mapping[str, Spread]
    share: Mapping[str, float]


GRAPHS: Final = (
    Graph("a single token", graphs.chat, graphs.QUESTION, 1, read_tokens),
    Graph("500 tokens", graphs.chat, graphs.QUESTION, 500, read_tokens),
    Graph("500 tokens of a subgraph", graphs.nested_chat, graphs.QUESTION, 500, read_nested_tokens),
    # The first snapshot is that of the input.
    Graph("80 supersteps", graphs.steps, {"steps": 0}, 80, read_values, lambda size: size + 1),
)


def measure(graph: Graph, size: int, repeated: int, options: Options) -> Layers:
    """Run a graph's rounds.

    Raises:
        ValueError: A contender did not read what there is.
    """
    clock = CLOCKS[options.clock]
    compiled = graph.make(size)

    async def bare() -> int:
        return sum([1 async for _ in graphs.native(compiled, graph.given)])

    async def original() -> int:
        async with await compiled.astream_events(graph.given, version="v3") as run:
            return await graph.read(run)

    async def mine() -> int:
        async with open_run(compiled, graph.given) as run:
            return await graph.read(run)

    def checked(name: str, contend: Callable[[], Timed]) -> float:
        taken = contend()
        if name != "native" and taken.items != graph.items(size):
            raise ValueError(f"{graph.name}: {name} read {taken.items} items, not {graph.items(size)}")
        return taken.seconds

    every: dict[str, Callable[[], Timed]] = {
        "native": lambda: timed_on("asyncio", bare, clock),
        "theirs": lambda: timed_on("asyncio", original, clock),
        **{loop: partial(timed_on, loop, mine, clock) for loop in LOOPS if loop != "uvloop"},
    }
    parts = every["native"]().items
    for name, contend in every.items():
        checked(name, contend)
    times = alternate(
        {name: partial(checked, name, contend) for name, contend in every.items()}, repeated * options.rounds
    )
    us = {name: [seconds / parts * 1e6 for seconds in each] for name, each in times.items()}
    added = {name: Spread.quartiles(differences(us[name], us["native"])) for name in us if name != "native"}
    return Layers(
        graph.name,
        parts,
        {name: Spread.quartiles(each) for name, each in us.items()},
        added,
        {name: added[name].median / added["theirs"].median for name in added if name != "theirs"},
    )


def section(options: Options) -> Section:
    """The table of all graphs that are wanted."""
    chosen = [graph for graph in GRAPHS if options.wants(SECTION, graph.name)]
    # As large as always, because the cost of opening a run is in it.
    found = [measure(graph, graph.size, 2 if options.quick else REPEATED, options) for graph in chosen]
    if not found:
        return Section(SECTION, (), [])
    table = Table(
        f"What a layer adds to a LangGraph graph, us per part, median (quartiles); {options.clock} time",
        (
            "graph",
            "parts",
            "bare `astream`",
            "`langgraph.stream` adds",
            "asyncio adds",
            "trio adds",
            "share, asyncio",
            "must be",
            "",
        ),
        tuple(
            (
                layers.graph,
                f"{layers.parts:,}",
                f"{layers.us['native'].median:.1f}",
                *(layers.added[name].show(1) for name in ("theirs", "asyncio", "trio")),
                f"{layers.share['asyncio']:.2f}",
                f"<= {TARGET:.2f}",
                verdicts([(layers.share["asyncio"], TARGET)]),
            )
            for layers in found
        ),
        note="On trio the graph runs on an asyncio loop beside it, and the figure includes what that loop costs.",
    )
    return Section(SECTION, (table,), [attrs.asdict(layers) for layers in found])
