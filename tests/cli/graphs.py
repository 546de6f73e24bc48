"""Graphs that the command is given in these tests."""

from __future__ import annotations

import time
from typing import Any

import anyio
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

from anyiostream import StreamTransformer, StreamWriter, parts

HOSTILE = "[bold]no markup[/bold] \x1b]0;title\x07 \x9b31m end"
"""Text that would be acted upon, if it were let through."""


async def greet(given: Any, writer: StreamWriter) -> Any:
    """A message, a tool call, custom data, and a subgraph."""
    async with writer.message(node="think") as message:
        await message.text("Hello ")
        await message.text(HOSTILE)
        await message.tool_call("search", {"q": "x"}, tool_call_id="call-1")
    async with writer.tool_call("search", {"q": "x"}, tool_call_id="call-1") as call:
        await call.delta("half")
        call.output = {1: {"a set"}}
    async with writer.subgraph("inner") as inner:
        await inner.custom({"by": "inner"})
        async with inner.message() as message:
            await message.text("from inside")
    return {"given": given}


async def fails(given: Any, writer: StreamWriter) -> None:
    """Fails, with text that a terminal would act upon."""
    await writer.custom("before")
    raise ValueError(f"it broke \x1b[31m {given}")


async def asks(given: Any, writer: StreamWriter) -> None:
    """Waits for its user."""
    await writer.values({"draft": given})
    await writer.interrupt("Shall I?")


async def endless(given: Any, writer: StreamWriter) -> None:
    """Never ends by itself."""
    while True:
        async with writer.subgraph("lap") as lap, lap.message() as message:
            for n in range(20):
                await message.text(f"word{n} ")
                await anyio.sleep(0.005)


def endless_parts(given: Any) -> Any:
    """Never ends by itself, on the sync lane."""
    while True:
        yield parts.custom("on and on")
        time.sleep(0.005)


async def stubborn(given: Any, writer: StreamWriter) -> None:
    """Does not let itself be stopped."""
    await writer.custom("stubborn")
    try:
        await anyio.sleep_forever()
    finally:
        print("no", flush=True)  # noqa: T201 -- tells the test that it has been asked to stop
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()


async def flood(given: Any, writer: StreamWriter) -> Any:
    """More custom data than any screen can show, and a long message."""
    for n in range(5000):
        await writer.custom(n)
    async with writer.message() as message:
        await message.text("long " * 20_000)
    return {"n": n}


async def talks(given: Any, writer: StreamWriter) -> None:
    """Prints while it runs."""
    print("printed by \x1b[31mthe graph")  # noqa: T201 -- a graph that does
    await writer.custom("and so on")


def build() -> Any:
    """Builds a LangGraph graph with a model that follows a script."""
    model = GenericFakeChatModel(messages=iter([AIMessage("Good morning from LangGraph")]))

    def think(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node(think)
    graph.add_edge(START, "think")
    return graph.compile()


def build_for(config: Any) -> Any:
    """Builds a graph that is a list of parts, from the configuration."""
    return [parts.values({"config": config})]


def unready() -> Any:
    """Builds a graph that has not been compiled."""
    return StateGraph(MessagesState)


def neither(one: Any, other: Any) -> Any:
    """No graph, and builds none."""


class Marking(StreamTransformer):
    """Marks the custom data of its own level."""

    own_scope = True

    def init(self) -> dict[str, Any]:
        return {}

    def process(self, event: Any) -> bool:
        if event["method"] == "custom":
            event["params"]["data"] = {"marked": event["params"]["data"]}
        return True


not_a_graph = 42
compiled = build()
