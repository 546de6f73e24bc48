"""`run.subagents`: the subgraphs that are agents with a name."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import SubagentTransformer, open_run

from .scripts import ON_LOOPS

pytestmark = pytest.mark.anyio


async def graph(given: Any, writer: Any) -> str:
    """Two agents, a plain subgraph between them, and an agent inside."""
    async with writer.subgraph("tools", agent="first") as first:
        await first.values("first")
        async with first.subgraph("tools", agent="inner") as inner:
            await inner.values("inner")
    async with writer.subgraph("plain") as plain:
        await plain.values("plain")
        async with plain.subgraph("tools", agent="hidden") as hidden:
            await hidden.values("hidden")
    async with writer.subgraph("tools", agent="second") as second:
        await second.values("second")
    return "end"


async def test_named_agents_directly_below(lane: Any) -> None:
    """In order, and those inside are on their agent's handle, complete from their first event."""
    seen: list[Any] = []
    async with lane.open(graph, transformers=[SubagentTransformer]) as run:
        agents = lane.cursor(run.subagents)
        for _ in range(2):
            agent = await lane.next(agents)
            inside = [
                (inner.graph_name, await lane.collect(inner.values)) for inner in await lane.collect(agent.subagents)
            ]
            seen.append((agent.graph_name, inside, await lane.collect(agent.values)))
        with pytest.raises(StopAsyncIteration):
            await lane.next(agents)
        assert await lane.output(run) == "end"
    assert seen == [("first", [("inner", ["inner"])], ["first"]), ("second", [], ["second"])]


async def test_both_projections_show_the_same_handle(lane: Any) -> None:
    """`subgraphs` and `subagents` read side by side."""
    async with lane.open(graph, transformers=[SubagentTransformer]) as run:
        shown = await lane.collect(run.interleave("subgraphs", "subagents"))
    handles = [handle for name, handle in shown if name == "subgraphs"]
    agents = [handle for name, handle in shown if name == "subagents"]
    assert [each.graph_name for each in handles] == ["first", "plain", "second"]
    assert [each.graph_name for each in agents] == ["first", "second"]
    assert agents[0] is handles[0]
    assert agents[1] is handles[2]


@ON_LOOPS
async def test_subagents_lose_nothing_while_another_task_moves_the_run(lane: Any) -> None:
    """A handle that comes by way of `subagents` is complete too."""
    got: list[Any] = []

    async def read(run: Any) -> None:
        async for agent in run.subagents:
            got.append([value async for value in agent.values])

    async with open_run(graph, transformers=[SubagentTransformer]) as run:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, run)
            tasks.start_soon(run.output)
    assert got == [["first"], ["second"]]
