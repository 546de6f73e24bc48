"""Real graphs, without a layer and through each of them, and from trio."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.end_to_end import GRAPHS, Graph, measure
from benchmarks.hosting import Hosting, burst, lag, latency, superstep, token
from benchmarks.measuring import Options
from benchmarks.supersteps import CONTENDERS, READERS, STEPS, Reader, run_ahead


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_a_graph_is_read_completely(graph: Graph) -> None:
    """By each contender; `measure` raises otherwise."""
    layers = measure(graph, 12, 1, Options(rounds=1))
    assert layers.parts > graph.items(12)
    assert set(layers.us) == {"native", "theirs", "asyncio", "trio"}
    assert set(layers.added) == {"theirs", "asyncio", "trio"}
    assert set(layers.share) == {"asyncio", "trio"}
    # A layer costs less than a graph that is read through it.
    assert all(layers.added[name].greatest < layers.us[name].greatest for name in layers.added)


HOSTING: dict[str, Callable[[], Hosting]] = {
    "burst": lambda: burst(150, 1),
    "latency": lambda: latency(10, 1, pace=0),
    "superstep": lambda: superstep(5, 1, 2),
    "token": lambda: token(1, 2),
    "lag": lambda: lag(3, 5, 1),
}


@pytest.mark.parametrize("what", HOSTING)
def test_hosted_graphs_are_compared_by_ratio(what: str) -> None:
    """Each is read completely, on each loop, or it would be an error."""
    found = HOSTING[what]()
    assert {"asyncio", "trio", "thread"} <= set(found.figures)
    ratio = found.figures["trio"].median / found.figures[found.base].median
    assert found.times["trio"].median == pytest.approx(ratio)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.projection)
@pytest.mark.parametrize("contender", CONTENDERS)
def test_supersteps_ahead_of_a_reader_are_counted(contender: str, reader: Reader) -> None:
    """The graph has not run to its end while its reader pauses."""
    assert 0 <= run_ahead(contender, reader, pause=0) < STEPS // 10
