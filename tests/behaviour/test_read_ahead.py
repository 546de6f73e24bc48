"""How far a graph runs ahead of its readers, and where hooks and graphs run."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import AsyncIterator
from typing import Any, TypedDict

import anyio
import pytest
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph

from anyiostream import CustomTransformer, StreamTransformer, UpdatesTransformer, open_run, parts
from anyiostream.testing import run_seeded

pytestmark = pytest.mark.anyio

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

BARRIERS = {
    "values": parts.values(1),
    "updates": parts.updates({}),
    "tasks": parts.task_start("id", "node"),
    "checkpoints": parts.checkpoints({}),
    "debug": parts.debug({}),
}


class Counted(TypedDict):
    """The state of a graph of LangGraph's."""

    count: int


@pytest.mark.parametrize("prefetch", [1, 8, 32])
async def test_the_graph_runs_at_most_prefetch_parts_ahead(prefetch: int, script: Any) -> None:
    """Custom parts are read ahead up to `prefetch`, and counted as the inbox."""
    source = script(*[parts.custom(n) for n in range(200)])
    async with open_run(source.agen(), prefetch=prefetch, transformers=[CustomTransformer]) as run:
        custom = aiter(run.custom)
        for n in range(100):
            assert await anext(custom) == n
            await anyio.wait_all_tasks_blocked()
            figures = run.statistics()
            assert figures.inbox <= prefetch
            assert source.produced <= n + 1 + max(prefetch, 1)
        assert source.produced > 100 if prefetch > 1 else True


@pytest.mark.parametrize("prefetch", [0, 1, 8])
async def test_a_langgraph_graph_runs_at_most_prefetch_parts_ahead(prefetch: int) -> None:
    """Also where LangGraph has all of a node's custom data at once: the rest stays with LangGraph."""

    def write(_: Any) -> dict[str, Any]:
        writer = get_stream_writer()
        for n in range(100):
            writer(n)
        return {"count": 100}

    builder = StateGraph(Counted)
    builder.add_node("write", write)
    builder.add_edge(START, "write")
    async with open_run(builder.compile(), {"count": 0}, prefetch=prefetch, transformers=[CustomTransformer]) as run:
        custom = aiter(run.custom)
        for n in range(100):
            assert await anext(custom) == n
            await anyio.wait_all_tasks_blocked()
            assert run.statistics().inbox <= max(prefetch, 1)
        assert await run.output() == {"count": 100}


async def test_without_prefetch_the_graph_moves_only_while_a_reader_waits(script: Any) -> None:
    """`prefetch=0` is lock-step: after each item the graph stands where it produced it."""
    source = script(*[parts.custom(n) for n in range(20)])
    async with open_run(source.agen(), prefetch=0, transformers=[CustomTransformer]) as run:
        await anyio.wait_all_tasks_blocked()
        assert source.produced == 0
        custom = aiter(run.custom)
        for n in range(20):
            assert await anext(custom) == n
            await anyio.wait_all_tasks_blocked()
            assert source.produced == n + 1
            assert run.statistics().inbox == 0


@pytest.mark.parametrize("kind", BARRIERS)
async def test_the_graph_is_not_advanced_past_the_end_of_a_superstep(kind: str, script: Any) -> None:
    """After a part of these types nothing of the next superstep runs before somebody wants it."""
    source = script(parts.custom(0), BARRIERS[kind], parts.custom(1), parts.custom(2), BARRIERS[kind], parts.custom(3))
    async with open_run(source.agen(), transformers=[CustomTransformer]) as run:
        custom = aiter(run.custom)
        assert await anext(custom) == 0
        await anyio.wait_all_tasks_blocked()
        assert source.produced == 2
        assert await anext(custom) == 1
        await anyio.wait_all_tasks_blocked()
        assert source.produced == 5
        assert [item async for item in custom] == [2, 3]


async def test_a_part_for_nobody_costs_no_turn_of_the_loop(script: Any) -> None:
    """While a reader waits, the graph goes on at once behind parts that it does not wait for."""
    steps = 20
    source = script(*[part for n in range(steps) for part in (*[parts.updates({})] * 10, parts.values(n))])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks, open_run(source.agen()) as run:
        tasks.start_soon(count)
        assert [value async for value in run.values] == list(range(steps))
        # Two for each snapshot, and some at the beginning, the end, and where readers let others run.
        assert turns < 4 * steps
        tasks.cancel_scope.cancel()


async def test_a_hook_that_fails_in_the_task_of_the_graph_fails_the_run_and_closes_the_graph(script: Any) -> None:
    """The graph itself sees nothing of it."""
    source = script(parts.updates({}), parts.values(1), parts.values(2))
    seen: list[BaseException] = []

    async def graph(given: Any) -> AsyncIterator[Any]:
        try:
            async with contextlib.aclosing(source.agen()) as produced:
                async for part in produced:
                    yield part
        except Exception as exc:
            seen.append(exc)
            raise

    class Fails(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if event["method"] == "values":
                raise KeyError("process")
            return True

    async with open_run(graph, transformers=[Fails]) as run:
        with pytest.raises(KeyError, match="process"):
            await run.output()
    assert run.status == "failed"
    assert source.produced == 2
    assert seen == []


async def test_parts_of_nested_graphs_are_no_barrier_but_for_function_graphs(script: Any) -> None:
    """A generator may run past a nested snapshot; a function graph, which is the application's own, may not."""
    steps = [parts.custom(0), parts.values(1, ns=("sub:1",)), parts.custom(1), parts.values(2), parts.custom(2)]
    for kind, produced in (("generator", 4), ("function", 2)):
        source = script(*steps)
        graph = source.agen() if kind == "generator" else source.function
        async with open_run(graph, transformers=[CustomTransformer]) as run:
            custom = aiter(run.custom)
            assert await anext(custom) == 0
            await anyio.wait_all_tasks_blocked()
            assert source.produced == produced


async def test_a_paused_reader_lets_no_second_superstep_run() -> None:
    """A graph whose steps cost something stands still after the step whose end has been shown."""
    steps: list[int] = []

    async def graph(given: Any, writer: Any) -> None:
        for n in range(50):
            steps.append(n)
            for token in range(5):
                await writer.custom((n, token))
            await writer.values(n)

    async with open_run(graph, transformers=[CustomTransformer]) as run:
        values = aiter(run.values)
        for n in range(5):
            assert await anext(values) == n
            await anyio.wait_all_tasks_blocked()
            assert steps == list(range(n + 1))


async def test_the_sync_lane_is_lock_step(script: Any) -> None:
    """Nothing is produced before it is asked for."""
    source = script(*[parts.custom(n) for n in range(5)])
    with open_run(source.gen(), transformers=[CustomTransformer]) as run:
        custom = iter(run.custom)
        assert source.produced == 0
        for n in range(5):
            assert next(custom) == n
            assert source.produced == n + 1


async def test_read_ahead_parts_are_dispatched_on_demand_only(script: Any) -> None:
    """Transformers do not see what has only been read ahead."""
    seen: list[Any] = []

    class Watching(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            seen.append(event["params"]["data"])
            return True

    source = script(*[parts.custom(n) for n in range(20)])
    async with open_run(source.agen(), transformers=[CustomTransformer, Watching]) as run:
        assert await anext(aiter(run.custom)) == 0
        await anyio.wait_all_tasks_blocked()
        assert source.produced > 1
        assert seen == [0]
        assert run.statistics().parts == 1


async def test_hooks_run_in_the_context_in_which_the_run_was_opened(lane: Any, script: Any) -> None:
    """Whoever pumps, and whatever the reader's own context says by then."""
    seen: list[str] = []

    class Watching(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            seen.append(variable.get())
            return True

        def finalize(self) -> None:
            seen.append(variable.get())

    token = variable.set("opened")
    try:
        async with lane.open(lane.source(script(parts.values(1), parts.values(2))), transformers=[Watching]) as run:
            variable.set("reading")
            assert await lane.collect(run.values) == [1, 2]
            assert variable.get() == "reading"
    finally:
        variable.reset(token)
    assert seen == ["opened"] * 3


async def test_async_hooks_and_scheduled_work_run_in_that_context_too(script: Any) -> None:
    """A hook that awaits, and what it schedules."""
    seen: list[str] = []

    class Watching(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def aprocess(self, event: Any) -> bool:
            await anyio.lowlevel.checkpoint()
            seen.append(variable.get())
            self.schedule(self.work())
            return True

        async def work(self) -> None:
            seen.append(variable.get())

    variable.set("opened")
    async with open_run(script(parts.values(1)).agen(), transformers=[Watching]) as run:
        variable.set("reading")
        await run.output()
    assert seen == ["opened"] * 2


async def test_the_graph_runs_in_one_context_of_its_own(lane: Any) -> None:
    """It sees the variables of the task that opened the run, keeps its own over its yields, and leaks none."""
    seen: list[str] = []

    async def agen(given: Any) -> AsyncIterator[Any]:
        seen.append(variable.get())
        variable.set("graph")
        for n in range(5):
            yield parts.values(n)
            seen.append(variable.get())

    async def graph(given: Any, writer: Any) -> None:
        seen.append(variable.get())
        variable.set("graph")
        for n in range(5):
            await writer.values(n)
            seen.append(variable.get())

    variable.set("opened")
    for each in [agen, graph] if lane.is_async else [graph]:
        seen.clear()
        async with lane.open(each) as run:
            cursor = lane.cursor(run.values)
            for n in range(5):
                variable.set("reading")
                assert await lane.next(cursor) == n
                assert variable.get() == "reading"
            await lane.output(run)
        assert seen == ["opened"] + ["graph"] * 5
        variable.set("opened")


async def test_an_iterable_on_the_async_lane_waits_for_nobody(script: Any) -> None:
    """A plain generator is advanced by demand only."""
    source = script(*[parts.custom(n) for n in range(5)], parts.updates({}))
    async with open_run(source.gen(), transformers=[CustomTransformer, UpdatesTransformer]) as run:
        custom = aiter(run.custom)
        for n in range(5):
            assert await anext(custom) == n
            await anyio.wait_all_tasks_blocked()
            assert source.produced == n + 1


async def test_an_iterator_need_not_be_an_iterable() -> None:
    """As for `async for`: what `__aiter__` returns is only asked for its next part, and closed if it can be."""

    class Parts:
        def __init__(self) -> None:
            self.left = 3
            self.closed = False

        async def __anext__(self) -> Any:
            await anyio.lowlevel.checkpoint()
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return parts.values(self.left)

        async def aclose(self) -> None:
            self.closed = True

    class Graph:
        def __init__(self) -> None:
            self.parts = Parts()

        def __aiter__(self) -> Any:
            return self.parts

    graph: Any = Graph()
    async with open_run(graph) as run:
        assert [state async for state in run.values] == [2, 1, 0]
    assert graph.parts.closed


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", range(10))
def test_who_begins_in_the_same_turn_as_the_first_reader_misses_nothing(backend: Any, seed: int) -> None:
    """Even where the graph never waits for anything, and its task has the first turn after that reader."""

    async def graph(given: Any, writer: Any) -> str:
        for n in range(5):
            await writer.values(n)
        return "end"

    async def main() -> list[Any]:
        seen: list[Any] = []

        async def read(run: Any) -> None:
            seen.extend([state async for state in run.values])

        async with open_run(graph) as run, anyio.create_task_group() as tasks:
            tasks.start_soon(run.output)
            tasks.start_soon(read, run)
        return seen

    assert run_seeded(main, backend=backend, seed=seed) == [0, 1, 2, 3, 4, "end"]
