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
from benchmarks.measuring import CLOCKS, LOOPS, Options, Spread, Timed, alternate, differences, ratios, timed_on
from benchmarks.readers import Reader, read_tokens, read_values
from benchmarks.tables import Section, Table, verdicts

__all__ = ["SECTION", "Graph", "Layers", "measure"]

SECTION: Final = "end to end"

REPEATED: Final = 3
"""How often a round is repeated: a layer's cost is a small difference of large figures."""

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
        added: Contender -> us per part that its layer adds.
        share: Contender of ours -> what it adds, as a share of what the original adds, round by round.
    """

    graph: str
    parts: int
    us: Mapping[str, Spread]
    added: Mapping[str, Spread]
    share: Mapping[str, Spread]


GRAPHS: Final = (
    Graph("tokens", graphs.chat, graphs.QUESTION, 2000, read_tokens),
    Graph("tokens of a subgraph", graphs.nested_chat, graphs.QUESTION, 2000, read_nested_tokens),
    # The first snapshot is that of the input.
    Graph("supersteps", graphs.steps, {"steps": 0}, 300, read_values, lambda size: size + 1),
)


def measure(graph: Graph, size: int, options: Options) -> Layers:
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
        {name: partial(checked, name, contend) for name, contend in every.items()}, REPEATED * options.rounds
    )
    us = {name: [seconds / parts * 1e6 for seconds in each] for name, each in times.items()}
    added = {name: differences(us[name], us["native"]) for name in us if name != "native"}
    return Layers(
        graph.name,
        parts,
        {name: Spread.of(each) for name, each in us.items()},
        {name: Spread.of(each) for name, each in added.items()},
        {name: ratios(added[name], added["theirs"]) for name in added if name != "theirs"},
    )


def section(options: Options) -> Section:
    """The table of all graphs that are wanted."""
    chosen = [graph for graph in GRAPHS if options.wants(SECTION, graph.name)]
    found = [measure(graph, graph.size // 20 if options.quick else graph.size, options) for graph in chosen]
    if not found:
        return Section(SECTION, (), [])
    table = Table(
        f"What a layer adds to a LangGraph graph, us per part; {options.clock} time",
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
                layers.share["asyncio"].show(),
                f"<= {TARGET:.2f}",
                verdicts([(layers.share["asyncio"].median, TARGET)]),
            )
            for layers in found
        ),
        note="On trio the graph runs on an asyncio loop in a thread, and the figure includes what that loop costs.",
    )
    return Section(SECTION, (table,), [attrs.asdict(layers) for layers in found])
