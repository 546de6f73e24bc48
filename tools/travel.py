"""The graph of the recorded terminal: two scouts side by side, a tool, and an answer, at a pace to be followed."""

from __future__ import annotations

from typing import Any

import anyio

from anyiostream import GraphWriter

FOUND = {
    "weather": "Rain on both days, wind from the west, eleven degrees.",
    "hotels": "Two rooms are left at the harbour, one of them quiet.",
}

ANSWER = "Take a jacket and the boots. The quiet room at the harbour is booked."

PACE = 0.11
"""How long it takes for a word, in s."""


async def travel(city: str, writer: GraphWriter) -> dict[str, Any]:
    """The graph."""
    async with anyio.create_task_group() as scouts:
        for name, words in FOUND.items():
            scouts.start_soon(scout, name, words, writer)
    async with writer.tool_call("book_room", {"city": city, "quiet": True}) as call:
        await anyio.sleep(8 * PACE)
        call.output = "room 12"
    await say(ANSWER, writer, "answer")
    return {"city": city, "room": 12}


async def scout(name: str, words: str, writer: GraphWriter) -> None:
    """One of the subgraphs."""
    async with writer.subgraph(name) as inner:
        await say(words, inner, "look")


async def say(words: str, writer: GraphWriter, node: str) -> None:
    """A message, word by word."""
    async with writer.message(node=node) as message:
        for word in words.split():
            await anyio.sleep(PACE)
            await message.text(f"{word} ")
        message.usage = {
            "input_tokens": 40,
            "output_tokens": len(words.split()),
            "total_tokens": 40 + len(words.split()),
        }
