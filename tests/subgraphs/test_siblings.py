"""Function graphs whose subgraphs run side by side in tasks of their own."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import open_run

from .scripts import ON_LOOPS

pytestmark = pytest.mark.anyio


@ON_LOOPS
@pytest.mark.parametrize("prefetch", [0, 1, 32])
async def test_a_writer_that_has_written_its_last_does_not_keep_others_waiting(lane: Any, prefetch: int) -> None:
    """Demand reaches every task that waits to write, not only one that then does something else."""

    async def graph(given: Any, writer: Any) -> str:
        met = anyio.Event()

        async def patient() -> None:
            await writer.values("patient")
            await met.wait()

        async def busy() -> None:
            for n in range(3):
                await writer.values(n)
            met.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(patient)
            tasks.start_soon(busy)
        return "end"

    async with open_run(graph, prefetch=prefetch) as run:
        assert sorted([str(value) async for value in run.values]) == ["0", "1", "2", "end", "patient"]


@ON_LOOPS
@pytest.mark.parametrize("prefetch", [0, 32])
async def test_side_by_side_subgraphs_each_write_their_own(lane: Any, prefetch: int) -> None:
    """Every handle has its subgraph's values in order, although the tasks write in turn."""

    async def graph(given: Any, writer: Any) -> str:
        async def branch(n: int) -> None:
            async with writer.subgraph(f"branch{n}") as inner:
                for i in range(20):
                    await inner.values((n, i))
                    await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            for n in range(5):
                tasks.start_soon(branch, n)
        return "end"

    got: dict[str, Any] = {}

    async def drill(handle: Any) -> None:
        got[handle.graph_name] = [value async for value in handle.values]

    async with open_run(graph, prefetch=prefetch) as run:
        async with anyio.create_task_group() as tasks:
            async for handle in run.subgraphs:
                tasks.start_soon(drill, handle)
        assert await run.output() == "end"
    assert got == {f"branch{n}": [(n, i) for i in range(20)] for n in range(5)}
