"""What a thread's state says is still to do, against what LangGraph says; and runs that stop at a breakpoint."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import anyio
import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy, interrupt
from langgraph_sdk import get_client

from anyiostream.remote import Assistant, Limits, MemoryLog, app, connect
from anyiostream.remote.commands import Answer, InputRespond, RunStart
from anyiostream.remote.performing import perform
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer

from ...waiting import PATIENCE
from .serving import SERVERS, serving

pytestmark = pytest.mark.anyio

CONFIG: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    """What the nodes have put in."""

    trail: Annotated[list[str], operator.add]


def asking(name: str, put: Any) -> Any:
    """A node that asks, and then returns `put`."""

    def node(state: State) -> Any:
        interrupt(name)
        return put

    return node


class Served:
    """A thread that runs one graph."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        limits = Limits()
        self.thread = Thread("t", "", MemoryLog("t", limits), limits, perform)

    async def start(self, given: Any) -> None:
        """Run it with an input."""
        await self.thread.start(RunStart("demo", given, {}, {}), Assistant(graph=self.graph))
        await self.thread.work()

    async def answer(self, question: str) -> None:
        """Answer one question."""
        pending = self.thread.snapshot.interrupts.values()
        answers = tuple(Answer(each.interrupt_id, (), "so") for each in pending if each.value == question)
        await self.thread.respond(InputRespond(answers, None, None, {}, {}))
        await self.thread.work()

    async def events(self) -> list[str]:
        """What a new viewer is shown of the run itself."""
        viewer = Viewer(self.thread)
        await viewer.add("s", Subscription(Selection(frozenset({"lifecycle"}))))
        return [entry.root_event or entry.method for entry in await viewer.batch()]

    @property
    def shown(self) -> list[str]:
        """What its state says is to do."""
        named: list[str] = self.thread.state()["next"]
        return named

    @property
    def true(self) -> list[str]:
        """What LangGraph says is to do."""
        return list(self.graph.get_state(CONFIG).next)


async def test_what_is_answered_is_done() -> None:
    """Parallel nodes are answered one after the other; whatever they return, also nothing."""
    builder = StateGraph(State)
    for name, put in (("a", {}), ("b", None), ("c", {"trail": ["c"]}), ("d", {"trail": ["d"]})):
        builder.add_node(name, asking(name, put)).add_edge(START, name)
    served = Served(builder.compile(checkpointer=InMemorySaver()))
    await served.start({"trail": []})
    for name, left in (("c", ["a", "b", "d"]), ("a", ["b", "d"]), ("b", ["d"]), ("d", [])):
        await served.answer(name)
        assert served.shown == served.true == left
    assert await served.events() == ["running", "running", "running", "running", "running", "completed"]


async def test_a_cached_node_is_done() -> None:
    """Also when a later one asks."""
    builder = StateGraph(State).add_node("kept", lambda state: {"trail": ["kept"]}, cache_policy=CachePolicy())
    builder.add_node("other", lambda state: {"trail": ["other"]}).add_edge(START, "other")
    builder.add_node("ask", asking("?", {})).add_edge(START, "kept").add_edge(["kept", "other"], "ask")
    served = Served(builder.compile(checkpointer=InMemorySaver(), cache=InMemoryCache()))
    for _ in range(2):
        await served.start({"trail": []})
        assert served.shown == served.true == ["ask"]
        await served.answer("?")


async def test_what_a_task_calls_is_part_of_it() -> None:
    """A function of the functional API that asks is not to do by itself."""

    @task
    def ask(what: str) -> Any:
        return interrupt(what)

    @entrypoint(checkpointer=InMemorySaver())
    def workflow(given: Any) -> Any:
        return [ask("one").result(), ask("two").result()]

    served = Served(workflow)
    await served.start("go")
    for name in ("one", "two"):
        assert served.shown == served.true == ["workflow"]
        await served.answer(name)
    assert served.shown == served.true == []


@pytest.mark.parametrize("option", [{"interrupt_before": ["b", "c"]}, {"interrupt_after": ["a", "b"]}], ids=str)
async def test_a_thread_goes_on_from_a_breakpoint(option: Any) -> None:
    """With no input, in the same turn; its state names the node that has not run."""
    builder = StateGraph(State)
    for before, name in ((START, "a"), ("a", "b"), ("b", "c")):
        builder.add_node(name, lambda state, name=name: {"trail": [name]}).add_edge(before, name)
    served = Served(builder.compile(checkpointer=InMemorySaver(), **option))
    await served.start({"trail": []})
    for left in (["b"], ["c"]):
        assert served.thread.snapshot.status == "interrupted"
        assert served.thread.tree.shown()["status"] == "interrupted"
        assert served.shown == served.true == left
        assert (await served.events())[-1] == "interrupted"
        await served.start(None)
    assert served.shown == served.true == []
    assert served.thread.state()["values"] == {"trail": ["a", "b", "c"]}
    assert await served.events() == ["running", "running", "running", "completed"]


@pytest.mark.parametrize("server", SERVERS)
async def test_a_remote_run_that_stops_at_a_breakpoint_is_interrupted(server: str) -> None:
    """As a local one, with no interrupts; and goes on."""
    builder = StateGraph(State)
    for before, name in ((START, "a"), ("a", "b")):
        builder.add_node(name, lambda state, name=name: {"trail": [name]}).add_edge(before, name)
    graph = builder.compile(checkpointer=InMemorySaver(), interrupt_before=["b"])
    with serving(server, app({"demo": graph})) as url, anyio.fail_after(PATIENCE):
        async with connect(url) as client:
            thread = client.thread("demo")
            async with thread.run({"trail": []}) as run:
                assert await run.output() == {"trail": ["a"]}
                assert (run.status, await run.interrupted(), await run.interrupts()) == ("interrupted", True, [])
            assert (await thread.state())["next"] == ["b"]
            async with thread.run(None) as run:
                assert await run.output() == {"trail": ["a", "b"]}
            assert run.status == "completed"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_official_client_goes_on_from_a_breakpoint() -> None:
    """On the same stream, once the thread's state names the node that is next."""
    builder = StateGraph(State)
    for before, name in ((START, "a"), ("a", "b")):
        builder.add_node(name, lambda state, name=name: {"trail": [name]}).add_edge(before, name)
    graph = builder.compile(checkpointer=InMemorySaver(), interrupt_before=["b"])
    with serving("uvicorn", app({"demo": graph})) as url, anyio.fail_after(PATIENCE):
        async with (
            get_client(url=url, api_key=None) as client,
            client.threads.stream(assistant_id="demo", transport="sse") as thread,
        ):
            await thread.run.start(input={"trail": []})
            while (await client.http.get(f"/threads/{thread.thread_id}/state"))["next"] != ["b"]:
                await anyio.sleep(0.005)
            await thread.run.start(input=None)
            assert await thread.output == {"trail": ["a", "b"]}


@pytest.mark.parametrize("server", SERVERS)
async def test_repeated_calls_of_a_subgraph_are_siblings_for_a_remote_reader(server: str) -> None:
    """As for a local one."""
    inner = StateGraph(State).add_node("x", lambda state: {"trail": ["x"]}).add_edge(START, "x").compile()

    async def node(state: State) -> Any:
        for n in range(3):
            await inner.ainvoke({"trail": [str(n)]})
        return {"trail": ["end"]}

    graph = StateGraph(State).add_node(node).add_edge(START, "node").compile()
    with serving(server, app({"demo": graph})) as url, anyio.fail_after(PATIENCE):
        async with connect(url) as client, client.thread("demo").run({"trail": []}) as run:
            seen = [
                (handle.graph_name, handle.path[1:], [value["trail"] async for value in handle.values][-1])
                async for handle in run.subgraphs
            ]
            assert await run.output() == {"trail": ["end"]}
    assert seen == [("node", (), ["0", "x"]), ("node", ("1",), ["1", "x"]), ("node", ("2",), ["2", "x"])]
