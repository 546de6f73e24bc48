"""What the handler of a node's errors (`error_handler`) does is with the node's graph, which goes on."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from anyiostream import CustomTransformer, MessageFailed
from anyiostream.remote import app, connect
from anyiostream.testing import Reply
from anyiostream.testing.langchain import FakeStreamingChatModel

from ..remote.servers.serving import SERVERS, serving
from ..waiting import PATIENCE
from .graphs import node
from .scripts import ON_LOOPS

pytestmark = pytest.mark.anyio

STATE: dict[str, Any] = {"messages": []}
CUT = Reply("one two", error=ConnectionError("cut"))


def speaking(lane: Any, model: Any) -> Any:
    """A node that asks a model."""

    async def ask(state: Any) -> Any:
        return {"messages": [await model.ainvoke("x")]}

    return ask if lane.is_async else lambda state: {"messages": [model.invoke("x")]}


def chained(lane: Any, *nodes: tuple[str, Any, dict[str, Any]]) -> Any:
    """A graph of nodes one after the other."""
    builder = StateGraph(MessagesState)
    before = START
    for name, action, options in nodes:
        builder.add_node(name, node(lane, action), **options).add_edge(before, name)
        before = name
    return builder.compile()


def handling(lane: Any) -> Any:
    """A graph whose first node fails; its handler writes, runs a graph, and gives a message."""
    inner = chained(lane, ("inner", speaking(lane, FakeStreamingChatModel("looked up")), {}))

    def handler(state: Any) -> Any:
        get_stream_writer()("handling")
        inner.invoke(STATE)
        return Command(goto="after", update={"messages": [AIMessage("sorry", id="s")]})

    async def ahandler(state: Any) -> Any:
        get_stream_writer()("handling")
        await inner.ainvoke(STATE)
        return Command(goto="after", update={"messages": [AIMessage("sorry", id="s")]})

    handles = {"error_handler": ahandler if lane.is_async else handler}
    first = ("agent", speaking(lane, FakeStreamingChatModel(CUT)), handles)
    return chained(lane, first, ("after", speaking(lane, FakeStreamingChatModel("and on")), {}))


async def said(lane: Any, message: Any) -> str:
    """The text of a message, or how it failed."""
    try:
        return str(await lane.whole(message.text))
    except MessageFailed as exc:
        return f"failed: {exc}"


async def read(lane: Any, stream: Any) -> list[Any]:
    """What a graph shows, in order; the names and the messages of its subgraphs in lists."""
    seen: list[Any] = []
    cursor = stream.interleave("subgraphs", "messages", "custom")
    while True:
        try:
            kind, item = await lane.next(cursor)
        except StopAsyncIteration:
            return seen
        if kind == "subgraphs":
            seen.append([item.graph_name, *await read(lane, item)])
        else:
            seen.append(await said(lane, item) if kind == "messages" else item)


SEEN = ["failed: cut", "handling", ["__error_handler__agent", "looked up"], "sorry", "and on"]


@pytest.mark.parametrize("nested", [False, True], ids=["root", "subgraph"])
async def test_what_a_handler_does_is_in_the_nodes_graph(lane: Any, nested: bool) -> None:
    """Data, messages, and the graphs that it runs."""
    graph = handling(lane)
    if nested:
        graph = chained(lane, ("outer", graph, {}))
    async with lane.open(graph, STATE, transformers=[CustomTransformer]) as run:
        seen = await read(lane, run)
        state = await lane.output(run)
    assert sorted(map(str, seen[0] if nested else seen)) == sorted(map(str, ["outer", *SEEN] if nested else SEEN))
    assert [message.text for message in state["messages"]] == ["sorry", "and on"]


async def test_a_broken_call_has_failed_when_its_error_is_handled(lane: Any) -> None:
    """Its readers do not wait for what comes after."""
    async with lane.open(handling(lane), STATE) as run:
        kinds = [
            (event["params"]["data"][0]["event"], event["params"]["data"][1].get("langgraph_node"))
            for event in await lane.collect(run)
            if event["method"] == "messages" and isinstance(event["params"]["data"][0], dict)
        ]
    assert kinds.index(("error", "agent")) < kinds.index(("message-start", "after"))


@ON_LOOPS
@pytest.mark.parametrize("server", SERVERS)
async def test_served_it_is_in_the_remote_run(lane: Any, server: str) -> None:
    """As in a local one."""
    with serving(server, app({"demo": handling(lane)})) as url, anyio.fail_after(PATIENCE):
        async with connect(url) as client, client.thread("demo").run(STATE, transformers=[CustomTransformer]) as run:
            seen = await read(lane, run)
    assert sorted(map(str, seen)) == sorted(map(str, SEEN))
