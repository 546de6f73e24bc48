"""Long runs: memory is bounded by the readers, not by the graph."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from anyiostream import CustomTransformer, open_run, parts

from ..thorough import THOROUGH

pytestmark = pytest.mark.anyio

MILLION = 1_000_000


class Long:
    """A graph of a million parts, that counts those that it was asked for."""

    def __init__(self) -> None:
        self.produced = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Produce parts."""
        for n in range(MILLION):
            self.produced += 1
            yield parts.custom(n)


async def test_a_subscriber_that_does_not_read_stalls_a_run_of_a_million_parts() -> None:
    """At its bound and what is read ahead: the graph has not been asked for more."""
    graph = Long()
    async with open_run(graph, transformers=[CustomTransformer], buffer=64, prefetch=32) as run:
        unread = aiter(run.custom)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.output)
            for _ in range(3):
                await anyio.wait_all_tasks_blocked()
            figures = run.statistics()
            assert figures.channels["custom"].depth == 64
            assert graph.produced <= 64 + 32 + 2
            assert await anext(unread) == 0
            tasks.cancel_scope.cancel()


async def test_an_unread_run_keeps_nothing() -> None:
    """Parts that pass by leave no memory: ten times as many cost no more."""

    async def kept(count: int) -> int:
        async with open_run({"type": "custom", "ns": (), "data": n} for n in range(count)) as run:
            tracemalloc.start()
            await run.output()
            size, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert run.statistics().parts == count
        return size

    await kept(100)
    few, many = await kept(300), await kept(3000)
    assert many - few < 20_000


RUNS = 250 * THOROUGH
"""That are side by side."""


async def test_hundreds_of_runs_in_one_loop() -> None:
    """Side by side, each with its own parts and output."""
    outputs: dict[int, Any] = {}

    async def graph(given: int, writer: Any) -> int:
        await writer.custom(given)
        await anyio.lowlevel.checkpoint()
        await writer.values(-given)
        return given

    async def application(n: int) -> None:
        async with open_run(graph, n, transformers=[CustomTransformer]) as run:
            outputs[n] = ([item async for item in run.custom], await run.output())

    async with anyio.create_task_group() as tasks:
        for n in range(RUNS):
            tasks.start_soon(application, n)
    assert outputs == {n: ([n], n) for n in range(RUNS)}
