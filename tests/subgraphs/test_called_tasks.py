"""What functions of LangGraph's functional API (`@task`) do is with the graph in which they were called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task

from anyiostream import CustomTransformer, ToolCallTransformer
from anyiostream.remote import app, connect
from anyiostream.testing.langchain import FakeStreamingChatModel

from ..remote.servers.serving import SERVERS, serving
from ..waiting import PATIENCE
from .graphs import State, chain
from .scripts import ON_LOOPS

pytestmark = pytest.mark.anyio

FRESH: State = {"trail": []}
TRANSFORMERS = [CustomTransformer, ToolCallTransformer]
CALL: Any = {"name": "look", "args": {"what": "up"}, "id": "c1", "type": "tool_call"}


@tool
def look(what: str) -> str:
    """Look."""
    get_stream_writer()(f"looks {what}")
    return what


@task
def inner(n: int) -> None:
    """Called by what is called."""
    get_stream_writer()(f"inner {n}")


@task
def work(n: int) -> str:
    """Writes, calls, has a model speak, and uses a tool."""
    get_stream_writer()(f"before {n}")
    inner(n).result()
    get_stream_writer()(f"after {n}")
    FakeStreamingChatModel(f"said {n}").invoke("x")
    look.invoke(CALL)
    return f"done {n}"


@task
async def ainner(n: int) -> None:
    """The same, for an event loop."""
    get_stream_writer()(f"inner {n}")


@task
async def awork(n: int) -> str:
    """The same, for an event loop."""
    get_stream_writer()(f"before {n}")
    await ainner(n)
    get_stream_writer()(f"after {n}")
    await FakeStreamingChatModel(f"said {n}").ainvoke("x")
    await look.ainvoke(CALL)
    return f"done {n}"


def workflow(lane: Any) -> Any:
    """An entrypoint that calls twice."""

    @entrypoint()
    def plain(given: Any) -> Any:
        get_stream_writer()("begin")
        return [work(n).result() for n in (1, 2)]

    @entrypoint()
    async def awaiting(given: Any) -> Any:
        get_stream_writer()("begin")
        return [await awork(n) for n in (1, 2)]

    return awaiting if lane.is_async else plain


def calling(lane: Any) -> Callable[[Any], Any]:
    """A node that runs a subgraph, and then calls."""
    sub = chain(lane, ("s", lambda state: get_stream_writer()("in the subgraph")))

    def node(state: State) -> Any:
        get_stream_writer()("begin")
        sub.invoke(FRESH)
        return {"trail": [work(1).result()]}

    async def anode(state: State) -> Any:
        get_stream_writer()("begin")
        await sub.ainvoke(FRESH)
        return {"trail": [await awork(1)]}

    return anode if lane.is_async else node


async def read(lane: Any, stream: Any, into: dict[str, Any], name: str = "") -> None:
    """What a stream and the handles below it show, by the graph's name."""
    into[name] = seen = {"custom": [], "messages": [], "tool_calls": []}
    cursor = stream.interleave("subgraphs", *seen)
    while True:
        try:
            kind, item = await lane.next(cursor)
        except StopAsyncIteration:
            return
        if kind == "subgraphs":
            await read(lane, item, into, item.graph_name)
        elif kind == "messages":
            seen[kind].append(await lane.whole(item.text))
        else:
            seen[kind].append(item if kind == "custom" else item.tool_name)


def done(n: int) -> list[str]:
    """What is written in the `n`th call."""
    return [f"before {n}", f"inner {n}", f"after {n}", "looks up"]


async def test_what_an_entrypoints_tasks_do_is_in_its_run(lane: Any) -> None:
    """Data, messages and tool calls, to whatever depth one calls the other."""
    seen: dict[str, Any] = {}
    async with lane.open(workflow(lane), 1, transformers=TRANSFORMERS) as run:
        await read(lane, run, seen)
        assert await lane.output(run) == ["done 1", "done 2"]
    assert seen == {
        "": {
            "custom": ["begin", *done(1), *done(2)],
            "messages": ["said 1", "said 2"],
            "tool_calls": ["look", "look"],
        }
    }


@pytest.mark.parametrize("nested", [False, True], ids=["root", "subgraph"])
async def test_what_a_nodes_tasks_do_is_in_the_nodes_graph(lane: Any, nested: bool) -> None:
    """Also after the node has run a subgraph of its own, whose namespace is the node's."""
    graph = chain(lane, ("node", calling(lane)))
    seen: dict[str, Any] = {}
    async with lane.open(chain(lane, ("outer", graph)) if nested else graph, FRESH, transformers=TRANSFORMERS) as run:
        await read(lane, run, seen)
    own = {"custom": ["begin", *done(1)], "messages": ["said 1"], "tool_calls": ["look"]}
    nothing: dict[str, list[Any]] = {"custom": [], "messages": [], "tool_calls": []}
    sub = {**nothing, "custom": ["in the subgraph"]}
    assert seen == ({"": nothing, "outer": own, "node": sub} if nested else {"": own, "node": sub})


async def test_the_raw_log_has_it_at_the_graphs_namespace(lane: Any) -> None:
    """So that other processes find it there."""
    async with lane.open(workflow(lane), 1, transformers=TRANSFORMERS) as run:
        events = await lane.collect(run)
    namespaces = {method: [] for method in ("custom", "messages", "tools")}
    for event in events:
        if event["method"] in namespaces:
            namespaces[event["method"]].append(event["params"]["namespace"])
    assert all(found and not any(found) for found in namespaces.values())


@ON_LOOPS
@pytest.mark.parametrize("server", SERVERS)
async def test_served_it_is_in_the_remote_run(lane: Any, server: str) -> None:
    """As in a local one."""
    seen: dict[str, Any] = {}
    with serving(server, app({"demo": workflow(lane)})) as url, anyio.fail_after(PATIENCE):
        async with connect(url) as client, client.thread("demo").run(1, transformers=TRANSFORMERS) as run:
            await read(lane, run, seen)
    assert seen[""]["custom"] == ["begin", *done(1), *done(2)]
    assert seen[""]["messages"] == ["said 1", "said 2"]
    assert seen[""]["tool_calls"] == ["look", "look"]
