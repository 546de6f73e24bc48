"""Graphs that do nothing but write, for ever: they stop when their run is left, and others have their turn."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import GraphWriter, open_run

pytestmark = pytest.mark.anyio


async def words(_: Any, writer: GraphWriter) -> None:
    """One message that does not end."""
    async with writer.message() as message:
        while True:
            await message.text("word ")


async def numbers(_: Any, writer: GraphWriter) -> None:
    """Data without an end, from a subgraph."""
    async with writer.subgraph("inner") as inner:
        while True:
            await inner.custom(1)


@pytest.mark.parametrize("graph", [words, numbers])
async def test_an_endless_graph_stops_when_it_is_left(graph: Any) -> None:
    """It waits for room by then; from then on nothing makes it wait."""
    async with open_run(graph) as run:
        async for _ in run:
            break


@pytest.mark.parametrize("graph", [words, numbers])
async def test_an_endless_graph_is_aborted(graph: Any) -> None:
    """Whose reader comes to the end."""
    async with open_run(graph) as run:
        async for _ in run:
            await run.abort()
        assert run.status == "aborted"
