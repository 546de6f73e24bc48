"""Real graphs, without a layer and through each of them, and from trio."""

from __future__ import annotations

import pytest

from benchmarks.bridge import burst, latency
from benchmarks.end_to_end import GRAPHS, Graph, measure
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


def test_a_burst_is_read_completely_on_each_loop() -> None:
    """And compared with a bare stream by difference."""
    found = burst(150, 1)
    assert found.over["trio"].median == pytest.approx(found.us["trio"].median - found.us["native"].median)


def test_latency_is_taken_of_each_part_on_each_loop() -> None:
    """And compared with a bare stream by ratio."""
    found = latency(10, 1, pace=0)
    assert found.over["trio"].median == pytest.approx(found.us["trio"].median / found.us["native"].median)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.projection)
@pytest.mark.parametrize("contender", CONTENDERS)
def test_supersteps_ahead_of_a_reader_are_counted(contender: str, reader: Reader) -> None:
    """The graph has not run to its end while its reader pauses."""
    assert 0 <= run_ahead(contender, reader, pause=0) < STEPS // 10
