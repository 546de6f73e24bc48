"""Logs of real graphs: an agent of LangChain's, and a function that does all that a graph can do."""

from __future__ import annotations

from typing import Any

import anyio
from langgraph.types import Command

from anyiostream import GraphWriter, open_run
from anyiostream.wire import Draft, WireRun

from .test_agents import CONFIG, QUESTION, agent, events

__all__ = ["RECORDED"]


async def everything(_: Any, writer: GraphWriter) -> dict[str, Any]:
    """Reasoning, two messages at once, a call of a tool with output in pieces, a subgraph, state, and a question."""
    async with writer.message() as message:
        for word in ("Let ", "me ", "think."):
            await message.reasoning(word)
        for word in ("I ", "look ", "it ", "up."):
            await message.text(word)
        await message.tool_call("look", {"what": "the sea"}, tool_call_id="c1")
    await writer.values({"step": 1, "notes": []})
    async with writer.tool_call("look", {"what": "the sea"}, tool_call_id="c1") as call:
        for piece in ("bl", "ue", ", ", "wide"):
            await call.delta(piece)
        call.output = "blue, wide"
    async with writer.subgraph("poet") as poet, poet.message() as one, poet.message() as other:
        for word in ("The ", "sea ", "is ", "blue."):
            await one.text(word)
            await other.text(word.upper())
        await poet.custom({"verse": 1})
    await writer.values({"step": 2, "notes": ["blue"]})
    await writer.custom({"progress": 1.0})
    await writer.interrupt("Another one?", interrupt_id="i1")
    return {"step": 3}


def recorded(graph: Any) -> list[Draft]:
    """The log of a run."""

    async def main() -> list[Draft]:
        async with WireRun(open_run(graph, None), run_id="run") as run:
            return [event.draft async for event in run]

    return anyio.run(main)


def asking() -> list[Draft]:
    """An agent's turn that ends with a question."""
    return [event.draft for event in events(agent(), QUESTION, CONFIG)]


def answering() -> list[Draft]:
    """And the one that goes on after the answer."""
    graph = agent()
    events(graph, QUESTION, CONFIG)
    answer = Command(resume={"decisions": [{"type": "approve"}]})
    return [event.draft for event in events(graph, answer, CONFIG)]


RECORDED = {"agent asks": asking, "agent goes on": answering, "everything": lambda: recorded(everything)}
"""Name -> what makes the log."""
