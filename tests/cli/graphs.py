"""Graphs that the command is given in these tests.

LangGraph takes longer to import than most of them to run, so it is imported by those that are built with it.
"""

from __future__ import annotations

import time
from typing import Any

import anyio

from anyiostream import GraphWriter, StreamTransformer, parts

HOSTILE = "[bold]no markup[/bold] \x1b]0;title\x07 \x9b31m end"
"""Text that would be acted upon, if it were let through."""


async def greet(given: Any, writer: GraphWriter) -> Any:
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


async def fails(given: Any, writer: GraphWriter) -> None:
    """Fails, with text that a terminal would act upon."""
    await writer.custom("before")
    raise ValueError(f"it broke \x1b[31m {given}")


async def asks(given: Any, writer: GraphWriter) -> None:
    """Waits for its user."""
    if hasattr(given, "answers"):
        await writer.values({"answered": given.answer})
        return
    await writer.values({"draft": given})
    await writer.interrupt("Shall I?")


async def endless(given: Any, writer: GraphWriter) -> None:
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


async def stubborn(given: Any, writer: GraphWriter) -> None:
    """Does not let itself be stopped."""
    try:
        await writer.custom("stubborn")  # who reads it may stop this before it goes on
        await anyio.sleep_forever()
    finally:
        print("no", flush=True)  # noqa: T201 -- tells the test that it has been asked to stop
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()


async def flood(given: Any, writer: GraphWriter) -> Any:
    """More custom data than any screen can show, and a long message."""
    for n in range(5000):
        await writer.custom(n)
    async with writer.message() as message:
        await message.text("long " * 20_000)
    return {"n": n}


async def talks(given: Any, writer: GraphWriter) -> None:
    """Prints while it runs."""
    print("printed by \x1b[31mthe graph")  # noqa: T201 -- a graph that does
    await writer.custom("and so on")


def build() -> Any:
    """Builds a LangGraph graph with a model that follows a script."""
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langgraph.graph import START, MessagesState, StateGraph

    model = GenericFakeChatModel(messages=iter([AIMessage("Good morning from LangGraph")]))

    def think(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node(think)
    graph.add_edge(START, "think")
    return graph.compile()


def agent() -> Any:
    """Builds an agent of LangChain's, whose tool calls are compiled in, with a model that follows a script."""
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    from anyiostream.testing import Reply
    from anyiostream.testing.langchain import FakeStreamingChatModel

    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    call = {"name": "weather", "args": {"city": "Bergen"}, "id": "call-1"}
    return create_agent(FakeStreamingChatModel(Reply(tool_calls=[call]), "Take a jacket."), [weather])


def build_for(config: Any) -> Any:
    """Builds a graph that is a list of parts, from the configuration."""
    return [parts.values({"config": config})]


def unready() -> Any:
    """Builds a graph that has not been compiled."""
    from langgraph.graph import MessagesState, StateGraph

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


def __getattr__(name: str) -> Any:
    if name == "compiled":
        return build()
    if name == "retried":
        return build().with_retry()
    raise AttributeError(name)


def fails_in_parts(given: Any) -> Any:
    """Fails, on every lane."""
    yield parts.values(1)
    raise ValueError("no")


class Lingering(StreamTransformer):
    """Does not come to its end, where it has a chance."""

    supports_sync = True

    def init(self) -> dict[str, Any]:
        """Nothing to read."""
        return {}

    def process(self, event: Any) -> bool:
        """Nothing to see."""
        return True

    async def afail(self, err: BaseException) -> None:
        """Wait for ever."""
        await anyio.sleep_forever()


def state_graph(node: Any) -> Any:
    """A LangGraph graph with messages and one node."""
    from langgraph.graph import START, MessagesState, StateGraph

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node")


def echo() -> Any:
    """Builds a graph that repeats what it is told."""
    return state_graph(lambda state: {"messages": [("ai", f"you said {state['messages'][-1].content}")]}).compile()


def careful() -> Any:
    """Builds a graph that asks first."""
    from langgraph.types import interrupt

    return state_graph(
        lambda _: {"messages": [("ai", f"the answer is {interrupt({'question': 'Shall I?'})}")]}
    ).compile()


def remembering() -> Any:
    """Builds a graph that has a checkpointer."""
    from langgraph.checkpoint.memory import InMemorySaver

    return state_graph(lambda _: {"messages": [("ai", "yes")]}).compile(checkpointer=InMemorySaver())


def supervised() -> Any:
    """Builds an agent that asks before it calls its tool."""
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langchain_core.tools import tool

    from anyiostream.testing import Reply
    from anyiostream.testing.langchain import FakeStreamingChatModel

    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    call = {"name": "weather", "args": {"city": "Bergen"}, "id": "call-1"}
    model = FakeStreamingChatModel(Reply(tool_calls=[call]), "Take a jacket.")
    return create_agent(model, [weather], middleware=[HumanInTheLoopMiddleware(interrupt_on={"weather": True})])


async def workers(given: Any, writer: GraphWriter) -> Any:
    """Five workers side by side, of which three end; then it waits."""
    async with anyio.create_task_group() as tasks:
        for n in range(5):

            async def work(n: int = n) -> None:
                async with writer.subgraph("worker", {"topic": n}) as worker, worker.message(node="think") as message:
                    await message.text("a sentence that is long enough to be broken between its words " * 2)
                    if n > 2:
                        await anyio.sleep_forever()

            tasks.start_soon(work)
