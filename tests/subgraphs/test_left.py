"""LangGraph subgraphs that their nodes leave before they have ended: `aborted`, and no longer `completed`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt, GraphRecursionError, ParentCommand
from langgraph.func import entrypoint, task
from langgraph.pregel import _messages
from langgraph.types import Command, interrupt

from anyiostream import RunAborted, SubgraphFailed, TasksTransformer
from anyiostream.namespaces import checkpoint_path
from anyiostream.remote import app, connect
from anyiostream.sources.langgraph_nested import NestedGraphs, graph_of

from ..remote.servers.serving import SERVERS, serving
from ..waiting import PATIENCE
from .graphs import State, chain, fan
from .scripts import ON_LOOPS

pytestmark = pytest.mark.anyio

FRESH: State = {"trail": []}
LIMITED: Any = {"recursion_limit": 1}


def held(started: list[anyio.Event]) -> Callable[[State], Any]:
    """A node that does not end; it tells when it has begun."""

    async def hold(state: State) -> Any:
        started[0].set()
        await anyio.sleep_forever()

    return hold


async def broken(state: State) -> Any:
    """A node that fails."""
    raise ValueError("broken")


class Leaving:
    """Nodes that do not wait for the subgraph's end, by the way in which they leave it."""

    def __init__(self, lane: Any, *inside: Any) -> None:
        """The subgraph is one step and then `inside`, or a step that does not end."""
        self.started: list[anyio.Event] = []
        self.inner = chain(lane, "first", *(inside or [("held", held(self.started))]))
        self.broken = chain(lane, ("broken", broken))
        self.left_running: list[asyncio.Task[Any]] = []

    async def scope(self, state: State) -> Any:
        """A scope round the call is cancelled, as a timeout does."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.inner.ainvoke, FRESH)
            await self.begin()
            tasks.cancel_scope.cancel()
        return {"trail": ["went on"]}

    async def task(self, state: State) -> Any:
        """The task of the call is cancelled natively."""
        call = asyncio.create_task(self.inner.ainvoke(FRESH))
        await self.begin()
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        return {"trail": ["went on"]}

    async def sibling(self, state: State) -> Any:
        """Another call fails."""
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as calls:
                calls.create_task(self.inner.ainvoke(FRESH))
                await self.begin()
                calls.create_task(self.broken.ainvoke(FRESH))
        return {"trail": ["went on"]}

    async def stop_reading(self, state: State) -> Any:
        """Its stream is not read to the end."""
        self.started[:] = [anyio.Event()]
        async for _ in self.inner.astream(FRESH):
            break
        return {"trail": ["went on"]}

    async def background(self, state: State) -> Any:
        """The call goes on in the background."""
        self.left_running.append(asyncio.create_task(self.inner.ainvoke(FRESH)))
        await self.begin()
        return {"trail": ["went on"]}

    async def begin(self) -> None:
        """Wait until the step that does not end has begun."""
        self.started[:] = [anyio.Event()]
        with anyio.fail_after(PATIENCE):
            await self.started[0].wait()

    async def clean_up(self) -> None:
        """End what was left behind."""
        for call in self.left_running:
            call.cancel()


def stop_reading(lane: Any, inner: Any) -> Any:
    """A node that reads one item of a subgraph's stream, on either lane."""

    def reads(state: State) -> Any:
        for _ in inner.stream(FRESH):
            break
        return {"trail": ["went on"]}

    async def areads(state: State) -> Any:
        async for _ in inner.astream(FRESH):
            break
        return {"trail": ["went on"]}

    return areads if lane.is_async else reads


def call(lane: Any, inner: Any, given: Any = None, config: Any = None, ignore: Any = ()) -> Any:
    """A node that calls a subgraph, whatever becomes of it."""

    def calls(state: State) -> Any:
        with suppress(ignore):
            inner.invoke(given or FRESH, config)
        return {"trail": ["went on"]}

    async def acalls(state: State) -> Any:
        with suppress(ignore):
            await inner.ainvoke(given or FRESH, config)
        return {"trail": ["went on"]}

    return acalls if lane.is_async else calls


async def read(lane: Any, run: Any) -> tuple[dict[tuple[str, ...], str], list[tuple[str, ...]]]:
    """The statuses of handles, by path, and the ends that the lifecycle has below the root; the ids are left out."""
    statuses: dict[tuple[str, ...], str] = {}
    lifecycle = lane.cursor(run.lifecycle)

    async def below(stream: Any) -> None:
        for handle in await lane.collect(stream.subgraphs):
            with suppress(SubgraphFailed):
                await below(handle)
            statuses[names(handle.path)] = handle.status

    await below(run)
    told = []
    while True:
        try:
            item = await lane.next(lifecycle)
        except StopAsyncIteration:
            break
        if item["namespace"] and item["event"] != "started":
            told.append((*names(item["namespace"]), item["event"]))
    return statuses, told


def names(path: Any) -> tuple[str, ...]:
    """A namespace without ids."""
    return tuple(segment.partition(":")[0] for segment in path)


async def statuses(lane: Any, graph: Any) -> dict[tuple[str, ...], str]:
    """How a run's subgraphs ended, which its lifecycle and its handles agree on."""
    async with lane.open(graph, FRESH) as run:
        by_handle, told = await read(lane, run)
        assert run.status == "completed"
    assert {each[:-1]: each[-1] for each in told} == by_handle
    assert len(told) == len(by_handle)
    return by_handle


WAYS = ["scope", "task", "sibling", "stop_reading", "background"]


# --- left ---


@ON_LOOPS
@pytest.mark.parametrize("way", WAYS)
async def test_a_subgraph_that_its_node_leaves_is_aborted(lane: Any, way: str) -> None:
    """By whatever way it is left; the run and the node go on."""
    leaving = Leaving(lane)
    seen = await statuses(lane, chain(lane, ("node", getattr(leaving, way)), "next"))
    await leaving.clean_up()
    assert seen == {("node",): "aborted"} | ({("node", "1"): "failed"} if way == "sibling" else {})


async def test_a_stream_that_is_not_read_to_its_end_is_aborted(lane: Any) -> None:
    """Also between two steps, where no task of it is under way; on the sync lane, too."""
    graph = chain(lane, ("node", stop_reading(lane, chain(lane, "first", "second"))))
    assert await statuses(lane, graph) == {("node",): "aborted"}


async def test_of_several_calls_the_one_that_was_left_is_aborted(lane: Any) -> None:
    """Those before it and after it have completed."""
    inner = chain(lane, "first", "second")
    whole, part = call(lane, inner), stop_reading(lane, inner)

    async def anode(state: State) -> Any:
        for each in (whole, part, whole):
            await each(state)
        return {"trail": ["went on"]}

    def node(state: State) -> Any:
        for each in (whole, part, whole):
            each(state)
        return {"trail": ["went on"]}

    assert await statuses(lane, chain(lane, ("node", anode if lane.is_async else node))) == {
        ("node",): "completed",
        ("node", "1"): "aborted",
        ("node", "2"): "completed",
    }


@ON_LOOPS
async def test_what_is_inside_a_subgraph_that_was_left_is_aborted_with_it(lane: Any) -> None:
    """If it was under way; what had ended before has completed."""
    started: list[anyio.Event] = []
    deepest = chain(lane, ("held", held(started)))
    leaving = Leaving(lane, ("done", chain(lane, "x")), ("middle", chain(lane, ("deepest", deepest))))
    leaving.started = started
    assert await statuses(lane, chain(lane, ("node", leaving.scope))) == {
        ("node",): "aborted",
        ("node", "done"): "completed",
        ("node", "middle"): "aborted",
        ("node", "middle", "deepest"): "aborted",
    }


@ON_LOOPS
async def test_a_subgraph_of_a_called_task_may_be_left_too(lane: Any) -> None:
    """Its end is told with the result of that task."""
    leaving = Leaving(lane)

    @task
    async def work() -> None:
        await leaving.scope(FRESH)

    async def node(state: State) -> Any:
        await work()
        return {"trail": ["went on"]}

    assert list((await statuses(lane, chain(lane, ("node", node)))).values()) == ["aborted"]


@ON_LOOPS
async def test_a_subgraph_may_be_left_after_one_of_its_tasks_has_failed(lane: Any) -> None:
    """Whoever called that task has caught the error; LangGraph tells that the caller was cancelled."""
    leaving = Leaving(lane)

    @task
    async def fail() -> None:
        raise ValueError("broken")

    @entrypoint()
    async def inner(given: Any) -> None:
        with suppress(ValueError):
            await fail()
        await held(leaving.started)(FRESH)

    leaving.inner = inner
    assert await statuses(lane, chain(lane, ("node", leaving.scope))) == {("node",): "aborted"}


@ON_LOOPS
async def test_a_subgraph_that_was_left_ends_quietly(lane: Any) -> None:
    """Its readers get what there was; its output raises `RunAborted`, as that of one that its handle has aborted."""
    leaving = Leaving(lane)
    async with lane.open(chain(lane, ("node", leaving.scope)), FRESH) as run:
        (handle,) = await lane.collect(run.subgraphs)
        assert [state["trail"] for state in await lane.collect(handle.values)][-1] == ["first"]
        with pytest.raises(RunAborted) as caught:
            await lane.output(handle)
        assert caught.value.partial["trail"] == ["first"]
        assert (await lane.output(run))["trail"] == ["went on"]
        assert handle.error is None


@ON_LOOPS
async def test_the_readers_of_tasks_are_told(lane: Any) -> None:
    """By one more result, in the subgraph: the graph itself, which was cut off."""
    leaving = Leaving(lane)
    async with lane.open(chain(lane, ("node", leaving.scope)), FRESH, transformers=[TasksTransformer]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        *_, last = await lane.collect(handle.tasks)
    assert last["aborted"]
    assert (last["name"], last["result"], last["error"]) == ("node", None, "it was cancelled before it ended")


# --- failed, although no task of it did ---


async def test_a_subgraph_that_takes_too_many_steps_has_failed(lane: Any) -> None:
    """Although its node handles that."""
    inner = chain(lane, "first", "second")
    graph = chain(lane, ("node", call(lane, inner, config=LIMITED, ignore=GraphRecursionError)))
    async with lane.open(graph, FRESH) as run:
        (handle,) = await lane.collect(run.subgraphs)
        assert handle.status == "failed"
        assert handle.error.startswith("Recursion limit of 1 reached")
        assert (await lane.output(run))["trail"] == ["went on"]


async def test_a_subgraph_that_has_caught_an_error_may_fail_by_itself(lane: Any) -> None:
    """That error was of a task that one of its nodes called, and is not what it failed with."""

    @task
    def fail() -> None:
        raise ValueError("broken")

    def catching(state: State) -> Any:
        with suppress(ValueError):
            fail().result()
        return {"trail": ["caught"]}

    async def acatching(state: State) -> Any:
        with suppress(ValueError):
            await fail()
        return {"trail": ["caught"]}

    inner = chain(lane, ("first", acatching if lane.is_async else catching), "second")
    graph = chain(lane, ("node", call(lane, inner, config=LIMITED, ignore=GraphRecursionError)))
    assert await statuses(lane, graph) == {("node",): "failed"}


def test_called_tasks_are_forgotten() -> None:
    """Also those that end well, of which a long run has many."""
    graphs = NestedGraphs()
    for number in range(3):
        task_id, triggers = f"t{number}", ("__pregel_push",)
        started: dict[str, Any] = {"id": task_id, "name": "t", "input": ((), {}), "triggers": triggers}
        assert not list(graphs.before((), started))
        assert graphs._called == {task_id}  # noqa: SLF001 -- nothing else shows what is kept
        assert not list(graphs.before((), {"id": task_id, "name": "t", "result": {}}))
    assert not graphs._called  # noqa: SLF001 -- likewise


async def test_a_subgraph_whose_nodes_write_the_same_key_has_failed(lane: Any) -> None:
    """All of its tasks have a result."""
    inner = fan(lane, ("one", lambda state: {"trail": ["1"]}), ("two", lambda state: {"trail": ["2"]}))
    assert await statuses(lane, chain(lane, ("node", call(lane, inner, ignore=Exception)))) == {("node",): "failed"}


async def test_a_failure_that_the_stream_tells_of_is_told_once(lane: Any) -> None:
    """By the task that failed."""

    def fail(state: State) -> Any:
        raise ValueError("broken")

    graph = chain(lane, ("node", call(lane, chain(lane, ("x", fail)), ignore=ValueError)))
    async with lane.open(graph, FRESH, transformers=[TasksTransformer]) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        tasks = await lane.collect(handle.tasks)
    assert {item["name"] for item in tasks} == {"x"}


# --- not left ---


async def test_a_subgraph_that_was_read_to_its_end_has_completed(lane: Any) -> None:
    """By a loop over its stream."""
    inner = chain(lane, "first", "second")

    async def anode(state: State) -> Any:
        return {"trail": [str(len([part async for part in inner.astream(FRESH)]))]}

    def node(state: State) -> Any:
        return {"trail": [str(len(list(inner.stream(FRESH))))]}

    assert await statuses(lane, chain(lane, ("node", anode if lane.is_async else node))) == {("node",): "completed"}


@pytest.mark.parametrize("inside", [True, False], ids=["the node itself", "called by it"])
async def test_a_subgraph_that_hands_over_has_completed(lane: Any, inside: bool) -> None:
    """Its last task has no result, as one that was cancelled."""
    inner = chain(lane, ("first", lambda state: Command(graph=Command.PARENT, update={"trail": ["handed over"]})))
    graph = chain(lane, ("node", inner if inside else call(lane, inner)), "next")
    async with lane.open(graph, FRESH) as run:
        seen, _ = await read(lane, run)
        assert (await lane.output(run))["trail"] == ["handed over", "next"]
    assert seen == {("node",): "completed"}


async def test_a_subgraph_that_asks_its_user_is_interrupted(lane: Any) -> None:
    """As before."""
    inner = chain(lane, ("first", lambda state: {"trail": [interrupt("well?")]}))
    async with lane.open(chain(lane, ("node", inner)), FRESH) as run:
        seen, _ = await read(lane, run)
        assert run.status == "interrupted"
    assert seen == {("node",): "interrupted"}


@ON_LOOPS
async def test_the_error_of_the_node_says_more(lane: Any) -> None:
    """Where the node fails because it was cut off, its subgraph has failed with it."""
    leaving = Leaving(lane)

    async def node(state: State) -> Any:
        await leaving.scope(state)
        raise ValueError("too late")

    async with lane.open(chain(lane, ("node", node)), FRESH) as run:
        handle = await lane.next(lane.cursor(run.subgraphs))
        with pytest.raises(ValueError, match="too late"):
            await lane.output(run)
    assert (handle.status, handle.error) == ("failed", "too late")


# --- served ---


@ON_LOOPS
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("way", ["scope", "sibling", "stop_reading"])
async def test_served_it_is_the_same(lane: Any, server: str, way: str) -> None:
    """A remote run's lifecycle and handles say what a local one's do."""
    graph = chain(lane, ("node", getattr(Leaving(lane), way)), ("whole", chain(lane, "x")))
    local = await statuses(lane, graph)
    with serving(server, app({"demo": graph})) as url, anyio.fail_after(PATIENCE):
        async with connect(url) as client, client.thread("demo").run(FRESH) as run:
            by_handle, told = await read(lane, run)
    assert by_handle == local
    assert {each[:-1]: each[-1] for each in told} == local


# --- what is relied on ---


class Recorder(BaseCallbackHandler):
    """Notes what chains tell, in order."""

    run_inline = True

    def __init__(self) -> None:
        self.runs: dict[Any, tuple[str, Any, list[str], dict[str, Any]]] = {}
        self.told: list[str] = []

    def on_chain_start(self, *args: Any, run_id: Any, parent_run_id: Any = None, **about: Any) -> None:
        """A chain starts."""
        self.runs[run_id] = (about["name"], parent_run_id, about["tags"], about["metadata"])

    def on_chain_end(self, *args: Any, run_id: Any, **about: Any) -> None:
        """A chain ends."""
        self.told.append(self.runs[run_id][0])

    def on_chain_error(self, *args: Any, run_id: Any, **about: Any) -> None:
        """A chain fails."""
        self.told.append(self.runs[run_id][0])


async def recorded(lane: Any, graph: Any) -> Recorder:
    """What a run of `graph` tells callbacks, and, in between, the tasks that have a result."""
    recorder = Recorder()
    config: Any = {"callbacks": [recorder]}
    if lane.is_async:
        async for part in graph.astream(FRESH, config, stream_mode="tasks"):
            recorder.told += [f"result of {part['name']}"] if "result" in part else []
    else:
        for part in graph.stream(FRESH, config, stream_mode="tasks"):
            recorder.told += [f"result of {part['name']}"] if "result" in part else []
    return recorder


@pytest.fixture
def on_asyncio(lane: Any) -> None:
    """LangGraph by itself is for asyncio."""
    if lane.backend[0] == "trio":
        pytest.skip("LangGraph by itself is for asyncio")


@pytest.mark.usefixtures("on_asyncio")
async def test_langgraph_tags_the_runs_of_tasks_and_they_alone(lane: Any) -> None:
    """Their parent is the run of their graph, whatever else runs in between."""
    inner = chain(lane, "first", "second").with_config(run_name="inner")
    graph = chain(lane, ("node", call(lane, inner)), ("whole", inner)).with_config(run_name="outer")
    recorder = await recorded(lane, graph)
    tagged = {
        (name, recorder.runs[parent][0])
        for name, parent, tags, _ in recorder.runs.values()
        if any(tag.startswith("graph:step:") for tag in tags)
    }
    assert tagged == {("node", "outer"), ("whole", "outer"), ("first", "inner"), ("second", "inner")}


@pytest.mark.usefixtures("on_asyncio")
async def test_langgraph_tells_of_tasks_inside_a_node_and_outside(lane: Any) -> None:
    """What is told of a graph's own tasks is told outside of nodes; of a graph in a node, in the node's context."""
    inside: dict[str, set[bool]] = {}

    class Place(Recorder):
        @property
        def ignore_chain(self) -> bool:
            """Asked before each call."""
            self.inside = var_child_runnable_config.get() is not None
            return False

        def on_chain_start(self, *args: Any, **about: Any) -> None:
            """Note where."""
            super().on_chain_start(*args, **about)
            inside.setdefault(about["name"], set()).add(self.inside)

    inner = chain(lane, "first").with_config(run_name="inner")
    graph = chain(lane, ("node", call(lane, inner)), ("whole", inner)).with_config(run_name="outer")
    config: Any = {"callbacks": [Place()]}
    await graph.ainvoke(FRESH, config) if lane.is_async else graph.invoke(FRESH, config)
    expected = {"outer": {False}, "node": {False}, "whole": {False}, "inner": {True}, "first": {True}}
    assert {name: inside[name] for name in expected} == expected


@pytest.mark.usefixtures("on_asyncio")
async def test_langgraph_tells_of_the_end_of_a_graph_before_its_tasks_result(lane: Any) -> None:
    """So that what has not ended by then was left."""
    inner = chain(lane, "first").with_config(run_name="inner")
    recorder = await recorded(lane, chain(lane, ("node", call(lane, inner))))
    assert recorder.told.index("inner") < recorder.told.index("result of node")


@pytest.mark.usefixtures("on_asyncio")
async def test_langgraph_finds_a_tasks_graph_as_we_do(lane: Any) -> None:
    """For tasks of nodes, of subgraphs, sent ones, and tasks that tasks have called."""

    @task
    def deeper() -> None:
        return None

    @task
    def work() -> None:
        deeper().result()

    @task
    async def adeeper() -> None:
        return None

    @task
    async def awork() -> None:
        await adeeper()

    async def anode(state: State) -> Any:
        await awork()
        return {"trail": []}

    def node(state: State) -> Any:
        work().result()
        return {"trail": []}

    calling = ("calls", anode if lane.is_async else node)
    recorder = await recorded(lane, chain(lane, calling, ("sub", chain(lane, calling))))
    about = [metadata for *_, metadata in recorder.runs.values() if checkpoint_path(metadata)]
    assert any(len(metadata["langgraph_path"]) == 4 for metadata in about)
    for metadata in about:
        assert graph_of(checkpoint_path(metadata), metadata) == _messages.graph_namespace(metadata)


def test_langgraphs_own_signals_are_of_one_class() -> None:
    """A hand-over, an interrupt, a drain."""
    assert {ParentCommand, GraphInterrupt, GraphDrained} <= set(GraphBubbleUp.__subclasses__())
