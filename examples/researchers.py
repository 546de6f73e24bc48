"""Researchers that work side by side, each a subgraph; their findings are shown as they come, and then a summary.

`python -m examples.researchers`, with `--backend trio` on trio. The graph can be watched as well:
`python -m anyiostream run examples.researchers:research --input '["tides", "dunes"]'`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio

from anyiostream import AsyncSubgraphRunStream, GraphWriter, open_run

FACTS = {
    "tides": ("The moon pulls the sea.", "Twice a day it is high water."),
    "dunes": ("Wind piles up sand.", "Grass holds it in place.", "Without grass a dune wanders."),
    "gulls": ("Gulls drink salt water.",),
}
"""What the scripted model knows."""

PACE = 0.01
"""How long it takes for a word, in s."""


async def research(topics: Sequence[str], writer: GraphWriter) -> dict[str, Any]:
    """The graph: one researcher for each topic, all at once. What they find is the state."""
    findings: dict[str, list[str]] = {}
    async with anyio.create_task_group() as researchers:
        for topic in topics:
            researchers.start_soon(study, topic, writer, findings)
    async with writer.message(node="summary") as message:
        await message.text(f"{sum(map(len, findings.values()))} facts about {', '.join(topics)}.")
    return {"findings": {topic: findings[topic] for topic in topics}}


async def study(topic: str, writer: GraphWriter, findings: dict[str, list[str]]) -> None:
    """One researcher: a message for each fact."""
    findings[topic] = []
    async with writer.subgraph("researcher", topic, agent=f"researcher of {topic}") as researcher:
        for fact in FACTS.get(topic, ()):
            async with researcher.message() as message:
                for word in fact.split(" "):
                    await anyio.sleep(PACE)
                    await message.text(f"{word} ")
            findings[topic].append(fact)
        await researcher.values({"facts": findings[topic]})


async def show(topics: Sequence[str]) -> dict[str, Any]:
    """Run the graph, and show what each researcher says, side by side."""
    async with open_run(research, topics) as run:
        async with anyio.create_task_group() as readers:
            readers.start_soon(show_messages, "summary", aiter(run.messages))
            async for handle in run.subgraphs:
                readers.start_soon(show_researcher, handle)
        output: dict[str, Any] = await run.output()
    return output


async def show_researcher(handle: AsyncSubgraphRunStream) -> None:
    """Show one researcher's messages, and how many facts it found."""
    name = str(handle.graph_name)
    await show_messages(name, aiter(handle.messages))
    state = await handle.output()
    print(f"[{name}] {handle.status} with {len(state['facts'])} facts")


async def show_messages(name: str, messages: Any) -> None:
    """Show each message when it is complete."""
    async for message in messages:
        print(f"[{name}] {await message.text}")


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Researchers that work side by side.")
    parser.add_argument("topics", nargs="*", default=list(FACTS))
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    arguments = parser.parse_args()
    anyio.run(partial(show, arguments.topics), backend=arguments.backend)


if __name__ == "__main__":
    main()
