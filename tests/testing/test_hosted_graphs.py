"""LangGraph graphs on trio under virtual time: repeatable from a seed, and without waiting."""

from __future__ import annotations

import asyncio
import operator
import time
from typing import Annotated, Any, TypedDict

import anyio
import pytest
import trio
import trio.testing
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from anyiostream import CustomTransformer, StreamTransformer, open_run
from anyiostream.testing import Deadlock, run_seeded


class Trail(TypedDict):
    """Names of the nodes that have run."""

    trail: Annotated[list[str], operator.add]


def race(*seconds: float) -> Any:
    """Nodes side by side that sleep and tell of it."""

    def node(name: str, pause: float) -> Any:
        async def run(_: Trail) -> dict[str, Any]:
            for n in range(3):
                get_stream_writer()(f"{name}{n}")
                await asyncio.sleep(pause)
            return {"trail": [name]}

        return run

    graph = StateGraph(Trail)
    for number, pause in enumerate(seconds):
        name = chr(ord("a") + number)
        graph.add_node(name, node(name, pause)).add_edge(START, name).add_edge(name, END)
    return graph.compile()


class Watching(StreamTransformer):
    """A hook of the user's, which runs in a trio task."""

    inside: bool = True

    def init(self) -> dict[str, Any]:
        """Nothing to read."""
        return {}

    def process(self, event: Any) -> bool:
        """Look where this is."""
        Watching.inside = Watching.inside and trio.lowlevel.in_trio_task()
        return True


async def trace(graph: Any, *transformers: Any) -> list[Any]:
    """What readers of three runs at once see, in order, with the time."""
    seen: list[Any] = []

    async def read(run: Any, name: str) -> None:
        async for item in run.extensions[name]:
            seen.append((name, item, round(anyio.current_time() - start, 6)))

    async def application() -> None:
        async with (
            open_run(graph, {"trail": []}, transformers=[CustomTransformer, *transformers]) as run,
            anyio.create_task_group() as tasks,
        ):
            for name in ("values", "custom", "lifecycle"):
                tasks.start_soon(read, run, name)

    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(application)
    return seen


def test_a_graph_is_repeated_by_its_seed_on_trio() -> None:
    """To the order in which tasks of three runs see things; other seeds give other orders. No thread, no patience."""
    graph = race(0, 1, 2)
    traces = {seed: str(run_seeded(trace, graph, backend="trio", seed=seed)) for seed in range(6)}
    for seed, first in traces.items():
        assert str(run_seeded(trace, graph, backend="trio", seed=seed)) == first
    assert len(set(traces.values())) > 1


def test_nodes_sleep_in_virtual_time() -> None:
    """Under trio's own mock clock, and under a seed: hours, in order, in no time."""
    graph = race(1000, 3000)
    began = time.monotonic()
    clock = trio.testing.MockClock(autojump_threshold=0)
    mocked, seeded = trio.run(trace, graph, clock=clock), run_seeded(trace, graph, backend="trio")
    for seen in (mocked, seeded):
        assert [(item, when) for name, item, when in seen if name == "custom" and item[1] == "2"] == (
            [("a2", 2000)] * 3 + [("b2", 6000)] * 3
        )
        assert max(when for _, _, when in seen) == 9000
    assert time.monotonic() - began < 30


def test_hooks_of_the_users_run_in_trio_tasks() -> None:
    """Also where the graph stops, which is stepped in asyncio's slice otherwise."""
    Watching.inside = True
    assert len(run_seeded(trace, race(0, 1), Watching, backend="trio")) > 10
    assert Watching.inside


def test_a_graph_that_waits_for_ever_is_a_deadlock_that_names_its_node() -> None:
    """Nothing can ever run again, on either loop."""

    async def waits(_: Trail) -> dict[str, Any]:
        await asyncio.get_running_loop().create_future()
        return {}

    graph = StateGraph(Trail).add_node("waits", waits).add_edge(START, "waits").compile()

    async def main() -> None:
        async with open_run(graph, {"trail": []}) as run:
            await run.output()

    with pytest.raises(Deadlock) as caught:
        run_seeded(main, backend="trio")
    assert any(".waits" in each for each in caught.value.waiting)


def test_what_is_left_on_asyncio_may_take_virtual_time_to_end() -> None:
    """There is somebody to keep the time until it has."""
    steps: list[str] = []

    async def left() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(50)
            steps.append("cleaned up")

    async def leaves(_: Trail) -> dict[str, Any]:
        tasks.append(asyncio.get_running_loop().create_task(left()))
        await asyncio.sleep(0)
        return {}

    tasks: list[Any] = []
    graph = StateGraph(Trail).add_node("leaves", leaves).add_edge(START, "leaves").compile()

    async def main() -> None:
        async with open_run(graph, {"trail": []}) as run:
            await run.output()

    run_seeded(main, backend="trio")
    assert steps == ["cleaned up"]
