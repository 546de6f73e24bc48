"""The same agent as an async function. It awaits nothing but its writer, so it needs no event loop."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from anyiostream import GraphWriter
from examples.demo.script import WEATHER, next_reply, pack_clothes, pack_extras, tokens_of


async def agent(given: dict[str, Any], writer: GraphWriter) -> dict[str, Any]:
    """Plan what to pack. What it returns is its last snapshot."""
    state = dict(given)
    await writer.values(state)
    while True:
        reply = await think(state["messages"], writer)
        state = {**state, "messages": [*state["messages"], reply]}
        if not reply.tool_calls:
            return state
        await writer.values(state)
        results = [await forecast(call, writer) for call in reply.tool_calls]
        state = {**state, "messages": [*state["messages"], *results]}
        await writer.values(state)
        state = await pack(state, writer)
        await writer.values(state)


async def think(messages: list[BaseMessage], writer: GraphWriter) -> AIMessage:
    """Stream the model's next message."""
    reply = next_reply(messages)
    async with writer.message(node="think") as message:
        for token in tokens_of(reply.text):
            await message.text(token)
        for call in reply.tool_calls:
            await message.tool_call(call["name"], call["args"], tool_call_id=str(call["id"]))
    return reply


async def forecast(call: ToolCall, writer: GraphWriter) -> ToolMessage:
    """The weather in a city, at the weekend."""
    tool_call_id = str(call["id"])
    async with writer.tool_call("forecast", call["args"], tool_call_id=tool_call_id) as tool:
        for day, weather in WEATHER.items():
            await writer.custom({"city": call["args"]["city"], "day": day, "weather": weather})
        tool.output = ", ".join(WEATHER.values())
    return ToolMessage(tool.output, tool_call_id=tool_call_id)


async def pack(state: dict[str, Any], writer: GraphWriter) -> dict[str, Any]:
    """Fill the bag, in a subgraph with a handle of its own."""
    async with writer.subgraph("packing") as packing:
        state = {**state, "bag": pack_clothes()}
        await packing.values(state)
        await packing.custom({"note": "the umbrella goes on top"})
        state = {**state, "bag": pack_extras(state["bag"])}
        await packing.values(state)
    return state
