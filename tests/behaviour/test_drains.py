"""A run is asked to stop at the end of its step: it does, and says so; whoever cannot be asked says that."""

from __future__ import annotations

import operator
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Annotated, Any, TypedDict

import anyio
import pytest
from langgraph import errors
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl

from anyiostream import (
    GraphInterrupt,
    GraphWriter,
    RunAborted,
    RunDrained,
    StreamTransformer,
    asyncio_host,
    open_run,
    parts,
)
from anyiostream.errors import CannotDrain
from anyiostream.sources.asyncio_graph import AsyncioGraph

from ..lanes import Lane
from ..waiting import turns

pytestmark = pytest.mark.anyio

CONFIG = {"configurable": {"thread_id": "t"}}


class State(TypedDict):
    """Names of the nodes that have run."""

    trail: Annotated[list[str], operator.add]


class Calls:
    """What is called in nodes: before each, whatever the test wants to happen there."""

    def __init__(self) -> None:
        self.then: dict[str, Callable[[], object]] = {}
        self.made: list[str] = []

    def node(self, name: str, lane: Lane) -> Any:
        """A node that leaves its name."""

        def call(state: State) -> dict[str, Any]:
            self.made.append(name)
            self.then.get(name, lambda: None)()
            return {"trail": [name]}

        async def acall(state: State) -> dict[str, Any]:
            return call(state)

        return acall if lane.is_async else call


def chain(*nodes: tuple[str, Any], saver: Any = None) -> Any:
    """A compiled graph of nodes in a row."""
    builder = StateGraph(State)
    before = START
    for name, node in nodes:
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder.compile(checkpointer=saver)


def steps(calls: Calls, lane: Lane, names: str, saver: Any = None) -> Any:
    """A compiled graph of such nodes."""
    return chain(*((name, calls.node(name, lane)) for name in names), saver=saver)


async def count(start: int, writer: GraphWriter) -> int:
    """A function of three steps."""
    for n in range(start, 4):
        await writer.values(n)
        writer.drain_if_requested()
    return 4


async def drained(lane: Lane, run: Any) -> RunDrained:
    """How a run says that it was drained, whatever it is asked for."""
    for ask in (lane.interrupted, lane.interrupts, lane.output):
        with pytest.raises(RunDrained) as caught:
            await ask(run)
    assert run.status == "drained"
    return caught.value


async def test_a_run_stops_at_the_end_of_its_step(lane: Lane, nothing_left: Any) -> None:
    """Readers get what there was, and their iterations end; what asks for a value is told."""
    async with nothing_left(), lane.open(count, 1, root_lifecycle=True) as run:
        (lifecycle,) = lane.tee(run.lifecycle, 1)
        values = lane.cursor(run.values)
        assert await lane.take(values, 2) == [1, 2]
        run.request_drain("lunch")
        assert run.status == "running"
        assert await lane.collect(values) == []
        error = await drained(lane, run)
        assert (error.reason, error.partial) == ("lunch", 2)
        assert "lunch" in str(error)
        assert [each["event"] for each in await lane.collect(lifecycle)] == ["running", "drained"]


async def test_it_may_be_asked_before_it_has_begun(lane: Lane) -> None:
    """A function then stops at the first place that it has chosen, a LangGraph graph before its first step."""
    async with lane.open(count, 1) as run:
        run.request_drain()
        assert await lane.collect(run.values) == [1]
        await drained(lane, run)
    calls = Calls()
    graph = steps(calls, lane, "ab", InMemorySaver())
    async with lane.open(graph, {"trail": ["x"]}, config=CONFIG) as run:
        run.request_drain()
        assert await lane.collect(run.values) == []
        assert (await drained(lane, run)).partial is None
    assert calls.made == []
    async with lane.open(graph, None, config=CONFIG) as run:
        assert await lane.output(run) == {"trail": ["x", "a", "b"]}


async def test_a_run_that_ends_with_its_step_has_completed(lane: Lane) -> None:
    """There is nothing to go on with."""

    async def graph(given: int, writer: GraphWriter) -> int:
        await writer.values(given)
        return given + 1

    async with lane.open(graph, 1) as run:
        run.request_drain()
        assert await lane.output(run) == 2
        assert run.status == "completed"
    calls = Calls()
    async with lane.open(steps(calls, lane, "ab"), {"trail": []}) as run:
        calls.then["b"] = run.request_drain
        assert await lane.output(run) == {"trail": ["a", "b"]}
        assert run.status == "completed"


async def test_the_first_reason_counts(lane: Lane) -> None:
    """Asking again changes nothing, and neither does asking once it has ended, in the block or after it."""
    for graph, given in ((count, 1), (steps(Calls(), lane, "ab"), {"trail": []})):
        async with lane.open(graph, given) as run:
            run.request_drain("one")
            run.request_drain("two")
            assert (await drained(lane, run)).reason == "one"
            run.request_drain("three")
        run.request_drain("four")
        assert (await drained(lane, run)).reason == "one"


async def test_a_run_that_has_ended_stays_as_it_is(lane: Lane) -> None:
    """Nobody is asked then: a control that the caller will use again is not used up."""
    control = RunControl()
    async with lane.open(steps(Calls(), lane, "a"), {"trail": []}, control=control) as run:
        await lane.output(run)
        run.request_drain()
        assert run.status == "completed"
    assert not control.drain_requested


async def test_an_abort_is_not_put_off(lane: Lane) -> None:
    """Neither by `abort()` nor at the end of the block does a run go on to the end of its step."""
    for aborts in (True, False):
        async with lane.open(count, 1) as run:
            assert await lane.next(lane.cursor(run.values)) == 1
            run.request_drain()
            if aborts:
                await lane.abort(run)
        assert run.status == "aborted"
        with pytest.raises(RunAborted):
            await lane.output(run)


async def test_a_graph_that_is_being_stopped_may_come_to_its_end(lane: Lane) -> None:
    """To a drain or a question, in its clean-up or before it: the run has been aborted, and that is no error."""

    def ends(writer: GraphWriter, drains: bool) -> Any:
        if drains:
            writer.drain_if_requested()
        raise GraphInterrupt

    async def on_its_way(drains: bool, writer: GraphWriter) -> None:
        await writer.values(1)
        ends(writer, drains)

    async def cleaning_up(drains: bool, writer: GraphWriter) -> None:
        try:
            await writer.values(1)
            await writer.values(2)
        finally:
            ends(writer, drains)

    for graph in (on_its_way, cleaning_up):
        for drains in (True, False):
            async with lane.open(graph, drains) as run:
                assert await lane.next(lane.cursor(run.values)) == 1
                run.request_drain()
            assert run.status == "aborted"


async def test_hooks_may_ask(lane: Lane) -> None:
    """They are called as at an abort: `fail`, with what the run ends with."""
    told: list[BaseException] = []

    class Enough(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if event["params"]["data"] == 2:
                runs[0].request_drain("enough")
            return True

        def fail(self, err: BaseException) -> None:
            told.append(err)

    runs: list[Any] = []
    async with lane.open(count, 1, transformers=[Enough]) as run:
        runs.append(run)
        assert (await drained(lane, run)).partial == 2
    (error,) = told
    assert isinstance(error, RunDrained)
    assert error.reason == "enough"


async def test_the_graph_may_ask_itself(lane: Lane) -> None:
    """And look, without stopping."""
    seen: list[bool] = []

    async def graph(given: Any, writer: GraphWriter) -> None:
        seen.append(writer.drain_requested)
        runs[0].request_drain()
        seen.append(writer.drain_requested)
        await writer.values("cleaned up")
        writer.drain_if_requested()

    runs: list[Any] = []
    async with lane.open(graph) as run:
        runs.append(run)
        assert (await drained(lane, run)).partial == "cleaned up"
    assert seen == [False, True]


async def test_a_drain_is_no_failure(lane: Lane, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has to ask: the block is left without an exception, and without a log."""
    async with lane.open(count, 1) as run:
        run.request_drain()
        await lane.collect(run.values)
    assert run.status == "drained"
    assert not caplog.records


async def test_open_subgraphs_are_drained_with_their_run(lane: Lane) -> None:
    """Each with its own state; those that had ended stay as they are. None can be asked alone."""

    async def graph(given: Any, writer: GraphWriter) -> None:
        async with writer.subgraph("first") as first:
            await first.values("whole")
        async with writer.subgraph("second") as second:
            await second.values("half")
            second.drain_if_requested()
            await second.values("never")

    async with lane.open(graph) as run:
        handles = lane.cursor(run.subgraphs)
        first = await lane.next(handles)
        with pytest.raises(CannotDrain, match=r"subgraph 'first:.*ask its run"):
            first.request_drain()
        assert await lane.output(first) == "whole"
        second = await lane.next(handles)
        run.request_drain("enough")
        assert await lane.collect(second.values) == ["half"]
        assert await lane.collect(handles) == []
        with pytest.raises(RunDrained, match="subgraph 'second:") as caught:
            await lane.output(second)
        assert (caught.value.reason, caught.value.partial) == ("enough", "half")
        await drained(lane, run)
        assert (first.status, second.status, second.error) == ("completed", "drained", None)


async def test_what_has_no_steps_says_so(lane: Lane, script: Any) -> None:
    """An iterable or a generator of parts; the run goes on as if it had not been asked."""

    def generator(given: Any) -> Iterator[Any]:
        yield parts.values(given)

    async def agenerator(given: Any) -> AsyncIterator[Any]:
        yield parts.values(given)

    for graph, given in (([parts.values(1)], ()), (generator, (1,)), *([(agenerator, (1,))] if lane.is_async else [])):
        async with lane.open(graph, *given) as run:
            with pytest.raises(CannotDrain, match=r"the graph .* cannot be asked .*run\.abort\(\)"):
                run.request_drain()
            assert await lane.output(run) == 1


async def test_a_task_beside_the_reader_may_ask(nothing_left: Any) -> None:
    """While the reader waits for the step that is under way."""
    working, let_go = anyio.Event(), anyio.Event()

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values("begun")
        working.set()
        await let_go.wait()
        await writer.values("done")
        writer.drain_if_requested()
        await writer.values("never")

    seen: list[Any] = []
    async with nothing_left(), anyio.create_task_group() as tasks, open_run(graph) as run:

        async def read() -> None:
            seen.extend([each async for each in run.values])

        tasks.start_soon(read)
        await working.wait()
        run.request_drain()
        await turns()
        assert run.status == "running"
        let_go.set()
        with pytest.raises(RunDrained):
            await run.output()
    assert seen == ["begun", "done"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_another_thread_may_ask() -> None:
    """On the sync lane, too, while the run's own thread is inside the graph."""
    working, let_go = threading.Event(), threading.Event()

    async def graph(given: Any, writer: GraphWriter) -> None:
        await writer.values("begun")
        working.set()
        assert let_go.wait(30)
        await writer.values("done")
        writer.drain_if_requested()

    with open_run(graph) as run:
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.extend(run.values))
        thread.start()
        assert working.wait(30)
        run.request_drain("from beside")
        let_go.set()
        thread.join()
        assert seen == ["begun", "done"]
        assert run.status == "drained"


class Frugal(AsyncioGraph):
    """A graph for asyncio that looks for a request to stop."""

    async def produce(self, given: Any, writer: GraphWriter) -> Any:
        """As a function."""
        return await count(given, writer)


class Wasteful(Frugal):
    """One that does not."""

    drains = False


@pytest.mark.parametrize("thread", [False, True], ids=["here", "thread"])
async def test_graphs_for_asyncio_are_asked_wherever_they_run(thread: bool, nothing_left: Any) -> None:
    """Beside trio, too, in its thread or in one of its own."""
    async with asyncio_host(thread=thread):
        calls = Calls()
        async with nothing_left(), open_run(Frugal(), 1) as run:
            async for n in run.values:
                if n == 2:
                    run.request_drain()
            assert run.status == "drained"
        async with nothing_left(), open_run(steps(calls, Lane("async"), "abc"), {"trail": []}) as run:
            calls.then["a"] = run.request_drain
            with pytest.raises(RunDrained) as caught:
                await run.output()
            assert caught.value.partial == {"trail": ["a"]}
    async with open_run(Wasteful(), 1) as run:
        with pytest.raises(CannotDrain):
            run.request_drain()


# --- LangGraph ---


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_thread_goes_on_without_repeating_anything(lane: Lane, durability: str, nothing_left: Any) -> None:
    """From the checkpoint that the last step has left, whenever checkpoints are saved."""
    calls = Calls()
    graph = steps(calls, lane, "abc", InMemorySaver())
    options = {"config": CONFIG, "durability": durability}
    async with nothing_left(), lane.open(graph, {"trail": []}, **options) as run:
        calls.then["b"] = lambda: run.request_drain("a deploy")
        seen = await lane.collect(run.values)
        assert seen == [{"trail": []}, {"trail": ["a"]}, {"trail": ["a", "b"]}]
        error = await drained(lane, run)
        assert (error.reason, error.partial) == ("a deploy", {"trail": ["a", "b"]})
    assert graph.get_state(CONFIG).next == ("c",)
    async with lane.open(graph, None, **options) as run:
        assert await lane.output(run) == {"trail": ["a", "b", "c"]}
    assert calls.made == ["a", "b", "c"]


async def test_branches_of_a_step_end_with_it(lane: Lane) -> None:
    """A step is over when all of its nodes are; none of them runs again."""
    calls = Calls()
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, calls.node(name, lane))
    for name in "ab":
        builder.add_edge(START, name)
        builder.add_edge(name, "c")
    graph = builder.compile(checkpointer=InMemorySaver())
    async with lane.open(graph, {"trail": []}, config=CONFIG) as run:
        calls.then["a"] = run.request_drain
        assert (await drained(lane, run)).partial == {"trail": ["a", "b"]}
    async with lane.open(graph, None, config=CONFIG) as run:
        assert await lane.output(run) == {"trail": ["a", "b", "c"]}
    assert sorted(calls.made) == ["a", "b", "c"]


async def test_a_subgraph_stops_at_its_own_step(lane: Lane) -> None:
    """It goes on from its own checkpoint. Its handle is drained, with its own state."""
    calls = Calls()
    graph = chain(("sub", steps(calls, lane, "abc")), ("d", calls.node("d", lane)), saver=InMemorySaver())
    async with lane.open(graph, {"trail": []}, config=CONFIG) as run:
        calls.then["a"] = run.request_drain
        (handle,) = await lane.collect(run.subgraphs)
        await drained(lane, run)
        assert handle.status == "drained"
        with pytest.raises(RunDrained) as caught:
            await lane.output(handle)
        assert caught.value.partial == {"trail": ["a"]}
    async with lane.open(graph, None, config=CONFIG) as run:
        await lane.output(run)
    assert calls.made == ["a", "b", "c", "d"]


async def test_a_control_of_the_callers_is_asked(lane: Lane) -> None:
    """The run has one control. What is raised is LangGraph's exception, too."""
    calls, control = Calls(), RunControl()
    async with lane.open(steps(calls, lane, "ab"), {"trail": []}, control=control) as run:
        run.request_drain("enough")
        assert await lane.collect(run.values) == []
        error = await drained(lane, run)
    assert isinstance(error, errors.GraphDrained)
    assert error.reason == control.drain_reason == "enough"


async def test_what_asks_the_control_itself_gets_what_the_original_raises(lane: Lane) -> None:
    """`GraphDrained` from every projection: the run did not ask for it. That it is asked again changes nothing."""
    calls, control = Calls(), RunControl()
    async with lane.open(steps(calls, lane, "ab"), {"trail": []}, control=control) as run:
        control.request_drain("enough")
        run.request_drain("too late")
        with pytest.raises(errors.GraphDrained, match="enough") as caught:
            await lane.collect(run.values)
        assert not isinstance(caught.value, RunDrained)
        assert run.status == "failed"


def opening(lane: Lane, inner: Any, inside: Callable[[Any], object], caught: list[Any]) -> Any:
    """A node that opens a run of `inner` and reads it."""

    async def node(state: State) -> Mapping[str, Any]:
        async with open_run(inner, {"trail": []}) as run:
            inside(run)
            try:
                return {"trail": (await run.output())["trail"]}
            except RunDrained as exc:
                caught.append(exc)
                return {"trail": exc.partial["trail"]}

    def sync_node(state: State) -> Mapping[str, Any]:
        with open_run(inner, {"trail": []}) as run:
            inside(run)
            try:
                return {"trail": run.output["trail"]}
            except RunDrained as exc:
                caught.append(exc)
                return {"trail": exc.partial["trail"]}

    return node if lane.is_async else sync_node


async def test_a_run_inside_a_node_stops_with_the_graph_around_it(lane: Lane) -> None:
    """What it raises is on its way to that graph: it is not the node's, and the run of that graph is drained."""
    calls, caught = Calls(), []  # type: ignore[var-annotated]
    inner = steps(calls, lane, "abc")
    graph = chain(("out", opening(lane, inner, lambda _: None, caught)), ("d", calls.node("d", lane)))
    async with lane.open(graph, {"trail": []}) as run:
        calls.then["a"] = run.request_drain
        await drained(lane, run)
    assert (calls.made, caught) == (["a"], [])


async def test_a_run_inside_a_node_may_stop_alone(lane: Lane) -> None:
    """The graph around it goes on."""
    calls, caught = Calls(), []  # type: ignore[var-annotated]
    inner = steps(calls, lane, "abc")

    def ask_inner(run: Any) -> None:
        calls.then["b"] = lambda: run.request_drain("enough")

    graph = chain(("out", opening(lane, inner, ask_inner, caught)), ("d", calls.node("d", lane)))
    async with lane.open(graph, {"trail": []}) as run:
        assert await lane.output(run) == {"trail": ["a", "b", "d"]}
        assert run.status == "completed"
    assert [each.reason for each in caught] == ["enough"]
