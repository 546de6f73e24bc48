"""LangGraph graphs: how they are run on each loop, and that nothing of them is alive after the block."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import operator
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypedDict

import anyio
import pytest
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy, Command, interrupt

from anyiostream import CustomTransformer, RunAborted, StreamChannel, StreamTransformer, UpdatesTransformer, open_run
from anyiostream.errors import UnknownOption, WrongLane

from ..waiting import PATIENCE, blocked, impatience, turns, until

pytestmark = pytest.mark.anyio

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class State(TypedDict):
    """Names of the nodes that have run."""

    trail: Annotated[list[str], operator.add]


class Ticking:
    """A node that never ends by itself, and counts what it does."""

    def __init__(self) -> None:
        self.ticks = 0
        self.started = threading.Event()
        self.cleaned = 0

    async def __call__(self, state: State) -> dict[str, Any]:
        """Tick until cancelled; the clean-up takes a turn of the loop."""
        try:
            while True:
                self.ticks += 1
                self.started.set()
                await asyncio.sleep(0)
        finally:
            self.cleaned += 1
            await asyncio.sleep(0)


def chain(*names: str, **nodes: Any) -> Any:
    """A compiled graph of nodes in a row; those in `nodes` as given, others just leave their name."""

    def leave(name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            return {"trail": [name]}

        return node

    graph = StateGraph(State)
    previous = START
    for name in names:
        graph.add_node(name, nodes.get(name) or leave(name))
        graph.add_edge(previous, name)
        previous = name
    graph.add_edge(previous, END)
    return graph.compile()


def nested(node: Any, depth: int = 2) -> Any:
    """A graph with `node` in a graph in a graph ..., each time after an ordinary node."""
    graph = chain("first", "last", last=node)
    for _ in range(depth):
        graph = chain("first", "inner", inner=graph)
    return graph


def parallel(*nodes: Any) -> Any:
    """A graph that runs all nodes at once."""
    graph = StateGraph(State)
    for n, node in enumerate(nodes):
        graph.add_node(f"node{n}", node)
        graph.add_edge(START, f"node{n}")
        graph.add_edge(f"node{n}", END)
    return graph.compile()


START_STATE: State = {"trail": []}


async def test_a_graph_runs_on_every_loop(nothing_left: Any) -> None:
    """Snapshots, updates and the output, as LangGraph itself streams them."""
    graph = chain("a", "b", "c")
    async with nothing_left(), open_run(graph, START_STATE, transformers=[UpdatesTransformer]) as run:
        cursor = run.interleave("values", "updates")
        items = [item async for item in cursor]
        assert [data for name, data in items if name == "values"] == [
            {"trail": []},
            {"trail": ["a"]},
            {"trail": ["a", "b"]},
            {"trail": ["a", "b", "c"]},
        ]
        assert [data for name, data in items if name == "updates"] == [{n: {"trail": [n]}} for n in "abc"]
        assert await run.output() == {"trail": ["a", "b", "c"]}
        assert run.status == "completed"


def test_a_graph_of_plain_nodes_runs_on_the_sync_lane() -> None:
    """Without a thread of ours."""

    def node(state: State) -> dict[str, Any]:
        return {"trail": ["sync"]}

    with open_run(chain("a", a=node), START_STATE) as run:
        assert list(run.values) == [{"trail": []}, {"trail": ["sync"]}]
        assert run.output == {"trail": ["sync"]}


async def test_a_graph_of_async_nodes_is_refused_on_the_sync_lane(nothing_left: Any) -> None:
    """With an explanation, in place of LangGraph's."""

    def application() -> None:
        with open_run(chain("a"), START_STATE) as run:
            with pytest.raises(WrongLane, match="async with"):
                _ = run.output
            assert run.status == "failed"

    async with nothing_left():
        await anyio.to_thread.run_sync(application)


async def test_nested_graphs_have_handles() -> None:
    """With the projections of their own level, from their first task on."""
    graph = nested(None, depth=2)
    async with open_run(graph, START_STATE) as run:
        async for handle in run.subgraphs:
            assert handle.graph_name == "inner"
            async for deeper in handle.subgraphs:
                assert len(deeper.path) == 2
                values = [value async for value in deeper.values]
                assert [value["trail"] for value in values] == [["first"] * 3, ["first"] * 3 + ["last"]]
                assert (await deeper.output())["trail"] == ["first", "first", "first", "last"]
            assert handle.status == "completed"
        await run.output()


async def test_the_graphs_error_is_the_original_object() -> None:
    """On every loop, across threads as well."""
    boom = ValueError("boom")

    async def node(state: State) -> dict[str, Any]:
        raise boom

    async with open_run(nested(node), START_STATE) as run:
        values = aiter(run.values)
        with pytest.raises(ValueError, match="boom") as caught:
            await run.output()
        assert caught.value is boom
        assert (await anext(values))["trail"] == []
        assert run.status == "failed"


async def test_a_graph_that_asks_its_user_is_interrupted() -> None:
    """And tells what it asks."""

    async def node(state: State) -> dict[str, Any]:
        interrupt("really?")
        return {}

    builder = StateGraph(State)
    builder.add_node("ask", node)
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=InMemorySaver())
    async with open_run(graph, START_STATE, config={"configurable": {"thread_id": "1"}}) as run:
        assert [each.value for each in await run.interrupts()] == ["really?"]
        assert await run.interrupted()
        assert run.status == "interrupted"


async def test_the_callers_context_variables_reach_the_nodes(nothing_left: Any) -> None:
    """On trio they cross into the other thread; what a node sets stays there."""
    seen: list[str] = []

    async def node(state: State) -> dict[str, Any]:
        seen.append(variable.get())
        variable.set("node")
        return {}

    variable.set("caller")
    async with nothing_left(), open_run(chain("a", "b", a=node, b=node), START_STATE) as run:
        await run.output()
    assert seen[0] == "caller"
    assert variable.get() == "caller"


async def test_custom_data_of_nodes_is_streamed() -> None:
    """In order, none lost, also in bursts far beyond the bounds."""

    async def node(state: State) -> dict[str, Any]:
        writer = get_stream_writer()
        for n in range(500):
            writer(n)
        return {"trail": ["node"]}

    async with open_run(chain("a", a=node), START_STATE, buffer=4, transformers=[CustomTransformer]) as run:
        assert [item async for item in run.custom] == list(range(500))
        assert run.statistics().channels["custom"].maxlen == 4


async def test_a_paused_reader_pauses_the_graph() -> None:
    """At most two supersteps run ahead of it."""
    ran: list[int] = []

    def counting(n: int) -> Any:
        async def node(state: State) -> dict[str, Any]:
            ran.append(n)
            return {"trail": [str(n)]}

        return node

    names = [f"n{n}" for n in range(30)]
    graph = chain(*names, **{name: counting(n) for n, name in enumerate(names)})
    async with open_run(graph, START_STATE) as run:
        values = aiter(run.values)
        for n in range(10):
            assert len((await anext(values))["trail"]) == n
            await blocked()
            assert len(ran) <= n + 2


async def leave_by_break(run: Any) -> None:
    async for _ in run.values:
        break


async def leave_by_exception(run: Any) -> None:
    await leave_by_break(run)
    raise ZeroDivisionError


async def leave_by_abort(run: Any) -> None:
    await leave_by_break(run)
    await run.abort()


@pytest.mark.parametrize("how", ["leave", "raise", "abort", "cancel a scope", "cancel a task", "deadline"])
@pytest.mark.parametrize("shape", ["nested", "parallel", "nested in parallel"])
async def test_no_node_of_a_nested_graph_runs_on_after_the_block(shape: str, how: str, nothing_left: Any) -> None:
    """However the block is left while nested nodes are at work: no more ticks, and each has cleaned up."""
    nodes = [Ticking(), Ticking()]
    graph = {
        "nested": lambda: nested(nodes[0]),
        "parallel": lambda: parallel(*nodes),
        "nested in parallel": lambda: parallel(*[nested(node, depth=1) for node in nodes]),
    }[shape]()
    at_work = nodes[:1] if shape == "nested" else nodes
    entered = anyio.Event()

    async def application() -> None:
        async with open_run(graph, START_STATE) as run:

            async def watch() -> None:
                await until(lambda: all(node.started.is_set() for node in at_work))
                entered.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                values = aiter(run.values)
                with anyio.CancelScope() as reading:

                    async def stop_reading() -> None:
                        await entered.wait()
                        if how in {"leave", "raise", "abort"}:
                            reading.cancel()

                    tasks.start_soon(stop_reading)
                    async for _ in values:
                        pass
            if how == "raise":
                raise ZeroDivisionError
            if how == "abort":
                await run.abort()
                ticks = [node.ticks for node in nodes]
                await turns()
                assert ticks == [node.ticks for node in nodes]

    async with nothing_left():
        if how == "raise":
            with pytest.raises(ZeroDivisionError):
                await application()
        elif how == "deadline":
            async with anyio.create_task_group() as tasks:
                with anyio.CancelScope() as scope:

                    async def expire() -> None:
                        await entered.wait()
                        scope.deadline = anyio.current_time()

                    tasks.start_soon(expire)
                    await application()
            assert scope.cancelled_caught
        elif how in {"cancel a scope", "cancel a task"}:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(application)
                await entered.wait()
                tasks.cancel_scope.cancel()
        else:
            await application()
    ticks = [node.ticks for node in nodes]
    await turns()
    assert ticks == [node.ticks for node in nodes]
    assert all(node.cleaned == 1 for node in at_work)


@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")])
@pytest.mark.parametrize("again", [0, 1, 5])
async def test_native_cancellation_stops_nested_graphs(again: int, nothing_left: Any) -> None:
    """`Task.cancel()`, also when repeated while the clean-up of the nodes is under way."""
    node = Ticking()

    async def application() -> None:
        async with open_run(nested(node), START_STATE) as run:
            await run.output()

    async with nothing_left():
        task = asyncio.create_task(application())
        await until(node.started.is_set)
        task.cancel()
        for _ in range(again):
            await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    ticks = node.ticks
    await turns()
    assert (node.ticks, node.cleaned) == (ticks, 1)


async def test_a_node_that_takes_its_time_to_clean_up_is_waited_for(nothing_left: Any) -> None:
    """Also when the surrounding scope has been cancelled and stays so."""
    steps: list[str] = []
    started = threading.Event()

    async def node(state: State) -> dict[str, Any]:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            steps.append("cleaned")
        return {}

    async with nothing_left(), anyio.create_task_group() as tasks:

        async def application() -> None:
            try:
                async with open_run(nested(node), START_STATE) as run:
                    await run.output()
            finally:
                steps.append("left")

        tasks.start_soon(application)
        await until(started.is_set)
        tasks.cancel_scope.cancel()
    assert steps == ["cleaned", "left"]


async def test_a_transformer_error_stops_the_nodes(nothing_left: Any) -> None:
    """The graph does not run on behind a run that has failed."""
    node = Ticking()

    class Failing(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if event["method"] == "custom":
                raise ValueError("boom")
            return True

    async def talking(state: State) -> dict[str, Any]:
        await until(node.started.is_set)
        get_stream_writer()("now")
        return {}

    async with nothing_left():
        graph = parallel(node, talking)
        async with open_run(graph, START_STATE, transformers=[CustomTransformer, Failing]) as run:
            with pytest.raises(ValueError, match="boom"):
                await run.output()
    ticks = node.ticks
    await turns()
    assert (node.ticks, node.cleaned) == (ticks, 1)


async def test_a_reader_with_timeouts_does_not_disturb_the_graph() -> None:
    """A step that is slower than the reader's patience is not cancelled by it."""
    released = {name: threading.Event() for name in "ab"}

    def slow(name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            await until(released[name].is_set)
            return {"trail": [name]}

        return node

    async with open_run(chain("a", "b", a=slow("a"), b=slow("b")), START_STATE) as run:
        values = aiter(run.values)
        seen = [(await anext(values))["trail"]]
        for release in released.values():
            for _ in range(2):
                async with impatience() as scope:
                    await anext(values)
                assert scope.cancelled_caught
            assert run.status == "running"
            release.set()
            seen.append((await anext(values))["trail"])
        assert await run.output() == {"trail": ["a", "b"]}
    assert seen == [[], ["a"], ["a", "b"]]


async def test_several_runs_at_once_share_what_they_need(nothing_left: Any) -> None:
    """On trio, one thread serves them all, and it ends with the last."""
    outputs: list[Any] = []
    async with nothing_left(), anyio.create_task_group() as tasks:

        async def application(n: int) -> None:
            async with open_run(chain("a", "b"), {"trail": [str(n)]}) as run:
                outputs.append(await run.output())
                portals = [thread for thread in threading.enumerate() if "portal" in thread.name]
                assert len(portals) <= 1

        for n in range(20):
            tasks.start_soon(application, n)
    assert sorted(int(output["trail"][0]) for output in outputs) == list(range(20))


async def test_a_run_opened_inside_a_node_sees_its_own_level() -> None:
    """Its scope is the node's checkpoint namespace, so that its values are its own, and not taken for a subgraph's."""
    inner_values: list[Any] = []
    statuses: list[str] = []

    async def node(state: State) -> dict[str, Any]:
        async with open_run(chain("x", "y"), START_STATE) as run:
            inner_values.extend([value["trail"] async for value in run.values])
            result = await run.output()
            statuses.append(run.status)
        return {"trail": result["trail"]}

    async with open_run(chain("a", "b", b=node), START_STATE) as run:
        assert await run.output() == {"trail": ["a", "x", "y"]}
    assert inner_values == [[], ["x"], ["x", "y"]]
    assert statuses == ["completed"]


async def test_exactly_the_modes_that_the_transformers_need_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With subgraphs, in the second version of LangGraph's parts."""
    asked: list[dict[str, Any]] = []
    graph = chain("a")
    astream = type(graph).astream

    def recording(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs)
        return astream(self, *args, **kwargs)

    monkeypatch.setattr(type(graph), "astream", recording)
    async with open_run(graph, START_STATE) as run:
        await run.output()
    async with open_run(graph, START_STATE, transformers=[UpdatesTransformer, CustomTransformer]) as run:
        await run.output()
    few, many = (set(kwargs["stream_mode"]) for kwargs in asked)
    assert {"values", "tasks"} <= few
    assert not few & {"updates", "custom", "debug", "checkpoints"}
    assert many == few | {"updates", "custom"}
    assert all(kwargs["subgraphs"] is True and kwargs["version"] == "v2" for kwargs in asked)


async def test_further_options_reach_langgraph() -> None:
    """`interrupt_before`, for one; `stream_mode` and `subgraphs` are refused."""
    builder = StateGraph(State)
    builder.add_node("a", lambda _: {"trail": ["a"]})
    builder.add_edge(START, "a")
    graph = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    async with open_run(graph, START_STATE, config=config, interrupt_before=["a"]) as run:
        assert await run.output() == {"trail": []}
    for option in ("stream_mode", "subgraphs", "version"):
        with pytest.raises(UnknownOption):
            open_run(graph, START_STATE, **{option: "values"})


async def test_a_graph_that_has_not_been_compiled_is_refused() -> None:
    """With the remedy."""
    with pytest.raises(TypeError, match="compile"):
        async with open_run(StateGraph(State)):
            pytest.fail("entered")


@contextmanager
def set_by_a_warning(event: threading.Event) -> Iterator[None]:
    """A block in which the package's first warning sets the event."""

    class Setting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            event.set()

    logger, handler = logging.getLogger("anyiostream"), Setting(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        event.set()


async def test_a_sync_node_in_its_thread_is_let_go_of(nothing_left: Any) -> None:
    """It cannot be stopped, but its graph is: nothing after it runs."""
    started = threading.Event()
    release = threading.Event()
    after: list[str] = []

    def blocking(state: State) -> dict[str, Any]:
        started.set()
        assert release.wait(PATIENCE)
        return {}

    async def never(state: State) -> dict[str, Any]:
        after.append("ran")
        return {}

    with set_by_a_warning(release):
        async with open_run(chain("a", "b", a=blocking, b=never), START_STATE) as run:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.output)
                await until(started.is_set)
                tasks.cancel_scope.cancel()
    await turns()
    assert after == []
    with pytest.raises(RunAborted):
        await run.output()


async def test_a_run_that_nobody_reads_starts_no_graph(nothing_left: Any) -> None:
    """Nor a thread."""
    ran: list[str] = []

    async def node(state: State) -> dict[str, Any]:
        ran.append("ran")
        return {}

    async with nothing_left(), open_run(chain("a", a=node), START_STATE):
        await blocked()
    assert ran == []


async def test_transformers_compiled_into_the_graph_count() -> None:
    """They come before those of the run."""

    class Compiled(StreamTransformer):
        def init(self) -> dict[str, Any]:
            self.channel: StreamChannel[Any] = StreamChannel()
            return {"compiled": self.channel}

        def process(self, event: Any) -> bool:
            self.channel.push(event["method"])
            return True

    graph = chain("a")
    graph.stream_transformers = (Compiled,)
    async with open_run(graph, START_STATE) as run:
        methods = [method async for method in run.extensions["compiled"]]
    assert methods.count("values") == 2


# --- synchronous nodes ---


async def test_a_synchronous_node_that_runs_on_in_its_thread_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """It cannot be stopped; the log says so when the block is left before it has returned."""
    started, released = threading.Event(), threading.Event()

    def blocking(state: State) -> dict[str, Any]:
        started.set()
        assert released.wait(PATIENCE)
        return {"trail": ["blocking"]}

    graph = StateGraph(State).add_node("blocking", blocking).add_edge(START, "blocking").add_edge("blocking", END)
    with set_by_a_warning(released):
        async with open_run(graph.compile(), START_STATE) as run:
            assert await anext(aiter(run.values)) == START_STATE
            cursor = aiter(run)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anext, cursor)
                await until(started.is_set)
                tasks.cancel_scope.cancel()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == (
        "node 'blocking' of the graph CompiledStateGraph is synchronous: it cannot be stopped, "
        "and runs on in its thread until it returns"
    )


async def test_a_synchronous_node_that_has_returned_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    """Nor is one of a run that has come to its end."""

    def plain(state: State) -> dict[str, Any]:
        return {"trail": ["plain"]}

    graph = StateGraph(State).add_node("plain", plain).add_edge(START, "plain").add_edge("plain", END).compile()
    async with open_run(graph, START_STATE) as run:
        assert await run.output() == {"trail": ["plain"]}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def asking(name: str) -> Any:
    """A synchronous node that asks its user."""
    return lambda state: {"trail": [f"{name}={interrupt(name)}"]}


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as a warning, or worse."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_node_that_was_answered_before_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    """It starts again with each further answer, and has no result: it has been done."""
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, asking(name)).add_edge(START, name)
    graph, config = builder.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    async with open_run(graph, START_STATE, config=config) as run:
        asked = await run.interrupts()
    for name in "abc":
        answers = {each.id: name for each in asked if each.value == name}
        async with open_run(graph, Command(resume=answers), config=config) as run:
            asked = await run.interrupts()
            output = await run.output()
    assert sorted(output["trail"]) == ["a=a", "b=b", "c=c"]
    assert warnings_of(caplog) == []


async def test_a_cached_node_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of it runs."""
    builder = StateGraph(State).add_node("kept", lambda state: {"trail": ["kept"]}, cache_policy=CachePolicy())
    graph = builder.add_edge(START, "kept").compile(cache=InMemoryCache())
    for _ in range(2):
        async with open_run(graph, START_STATE) as run:
            assert await run.output() == {"trail": ["kept"]}
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("how", ["ends", "fails again", "is left"])
async def test_a_node_that_was_done_before_its_sibling_failed_is_not_named(
    caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """When the step is tried again, however that ends."""
    started = threading.Event()

    async def flaky(state: State) -> dict[str, Any]:
        if how == "fails again":
            raise ValueError(how)
        if how == "is left":
            started.set()
            await asyncio.sleep(3600)
        return {"trail": ["flaky"]}

    def good(state: State) -> dict[str, Any]:
        return {"trail": ["good"]}

    builder = StateGraph(State).add_node(good).add_node(flaky).add_edge(START, "good").add_edge(START, "flaky")
    graph, config = builder.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    graph.update_state(config, {"trail": []}, as_node="__start__")
    task = next(each for each in graph.get_state(config).tasks if each.name == "good")
    graph.checkpointer.put_writes(graph.get_state(config).config, [("trail", ["good"])], task.id)
    async with open_run(graph, None, config=config) as run:
        if how == "is left":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.output)
                await until(started.is_set)
                tasks.cancel_scope.cancel()
        elif how == "fails again":
            with pytest.raises(ValueError, match=how):
                await run.output()
        else:
            assert sorted((await run.output())["trail"]) == ["flaky", "good"]
    assert warnings_of(caplog) == []
