"""Scheduled work that outlasts its subgraph: it goes on beside the run, which waits for it at its own end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, TypedDict

import anyio
import pytest
from langgraph.graph import END, START, StateGraph

from anyiostream import (
    BackpressureDeadlock,
    RunAborted,
    StreamChannel,
    StreamTransformer,
    SubgraphFailed,
    open_run,
    parts,
)

from .scripts import ON_LOOPS, subgraph

pytestmark = [pytest.mark.anyio, ON_LOOPS]


class Boom(Exception):
    """What hooks, graphs and scheduled work fail with."""


class World:
    """What a run's transformers do, and what has happened to them.

    Attributes:
        let_go: Scope -> the event that the scheduled work of that scope waits for.
        notes: The hooks that were called, with the error of `fail`, and work that was cancelled; by scope.
    """

    def __init__(self, *, work: Callable[[Any], Any] | None = None, on_error: str = "log", **hooks: Any) -> None:
        self.let_go: dict[Any, anyio.Event] = {}
        self.notes: list[Any] = []
        self.transformer = self.make(work, on_error, hooks)

    def make(self, work: Any, on_error: Any, hooks: dict[str, Any]) -> type[StreamTransformer]:
        """The transformer: each snapshot of a subgraph schedules work, which pushes it once it is let go."""
        world = self

        class Late(StreamTransformer):
            methods = ("values",)
            own_scope = True
            requires_async = True

            def init(self) -> dict[str, Any]:
                self.late: StreamChannel[Any] = StreamChannel()
                return {"late": self.late}

            def process(self, event: Any) -> bool:
                if self.scope:
                    world.let_go.setdefault(self.scope, anyio.Event())
                    self.schedule(self.work(event["params"]["data"]), on_error=on_error)
                return True

            async def work(self, data: Any) -> None:
                try:
                    await world.let_go[self.scope].wait()
                    if work is not None:
                        await work(self)
                    await self.late.send(data)
                except anyio.get_cancelled_exc_class():
                    world.notes.append(("cancelled", self.scope))
                    raise

            async def afinalize(self) -> None:
                world.notes.append(("finalize", self.scope))
                if "finalize" in hooks and self.scope:
                    await hooks["finalize"]()

            async def afail(self, err: BaseException) -> None:
                world.notes.append(("fail", self.scope, type(err)))

        return Late


def one(*after: Any, **result: Any) -> list[Any]:
    """A script with a subgraph, and parts after it."""
    return [*subgraph("1", lambda ns: [parts.values("inside", ns=ns)], **result), *after]


def source(script: list[Any]) -> Any:
    """A graph that produces the parts of a script, and awaits the calls."""

    async def produce(given: object) -> AsyncIterator[Any]:
        for part in script:
            if callable(part):
                await part()
            else:
                yield part

    return produce


AFTER = [parts.values(n) for n in range(3)]
SUB = ("sub:1",)


async def test_the_run_goes_on_while_it_is_at_work(lane: Any) -> None:
    """The subgraph's projections end when it is done, before the run does."""
    world = World()
    async with open_run(source(one(*AFTER)), transformers=[world.transformer]) as run:
        handles, values = aiter(run.subgraphs), aiter(run.values)
        handle = await anext(handles)
        late, inside = aiter(handle.extensions["late"]), aiter(handle.values)
        assert [await anext(values) for _ in AFTER] == [0, 1, 2]
        assert await anext(inside) == "inside"
        assert world.notes == []
        assert run.statistics().scheduled == 1
        world.let_go[SUB].set()
        assert [item async for item in late] == ["inside"]
        assert [item async for item in inside] == []
        assert await run.output() == 2
        assert world.notes == [("finalize", SUB), ("finalize", ())]
    assert run.status == "completed"


async def test_the_run_waits_for_it_at_its_own_end(lane: Any) -> None:
    """Whoever waits for the output waits for it too; inner ends come before outer ones."""
    world = World()
    script = [
        *subgraph("1", lambda ns: subgraph("2", lambda inner: [parts.values("deep", ns=inner)], ns=ns)),
        *AFTER,
    ]
    async with (
        open_run(source(script), transformers=[world.transformer]) as run,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(run.output)
        await anyio.wait_all_tasks_blocked()
        assert run.status == "running"
        assert world.notes == []
        world.let_go["sub:1", "sub:2"].set()
        await anyio.wait_all_tasks_blocked()
        assert run.status == "completed"
    assert world.notes == [("finalize", ("sub:1", "sub:2")), ("finalize", SUB), ("finalize", ())]


async def test_a_handle_has_its_status_at_once_and_its_output_at_its_end(lane: Any) -> None:
    """Its status agrees with `lifecycle`; `output()` is complete like that of a run."""
    world = World()
    async with (
        open_run(source(one(*AFTER)), transformers=[world.transformer]) as run,
        anyio.create_task_group() as tasks,
    ):
        values, lifecycle = aiter(run.values), aiter(run.lifecycle)
        handle = await anext(aiter(run.subgraphs))
        assert (await anext(lifecycle))["event"] == handle.status == "started"
        assert await anext(values) == 0
        assert (await anext(lifecycle))["event"] == handle.status == "completed"
        outputs: list[Any] = []

        async def ask() -> None:
            outputs.append(await handle.output())

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert outputs == []
        world.let_go[SUB].set()
        await anyio.wait_all_tasks_blocked()
        assert outputs == ["inside"]
        assert handle.status == "completed"


async def test_a_subgraph_of_the_same_name_may_come_meanwhile(lane: Any) -> None:
    """It has a handle and transformers of its own; neither gets what is the other's."""
    world = World()
    script = [*one(), *subgraph("1", lambda ns: [parts.values("again", ns=ns)]), *AFTER]
    async with open_run(source(script), transformers=[world.transformer]) as run:
        handles, values = aiter(run.subgraphs), aiter(run.values)
        first, second = await anext(handles), await anext(handles)
        assert first is not second
        assert await anext(values) == 0
        world.let_go[SUB].set()
        for handle, data in ((first, "inside"), (second, "again")):
            assert [item async for item in handle.extensions["late"]] == [data]
            assert [item async for item in handle.values] == [data]
            assert await handle.output() == data
        await run.output()
    assert world.notes == [("finalize", SUB), ("finalize", SUB), ("finalize", ())]


async def test_a_second_one_that_fails_leaves_the_first_ones_work_alone(lane: Any) -> None:
    """Work belongs to the transformer that scheduled it, not to the namespace."""
    world = World()
    script = [*one(), *subgraph("1", lambda ns: [parts.values("again", ns=ns)], error="broken"), *AFTER]
    async with open_run(source(script), transformers=[world.transformer]) as run:
        handles, values = aiter(run.subgraphs), aiter(run.values)
        first, second = await anext(handles), await anext(handles)
        assert await anext(values) == 0
        with pytest.raises(SubgraphFailed):
            await second.output()
        assert world.notes == [("cancelled", SUB), ("fail", SUB, SubgraphFailed)]
        world.let_go[SUB].set()
        assert [item async for item in first.extensions["late"]] == ["inside"]
        await run.output()


async def test_a_failed_subgraphs_work_is_cancelled_beside_the_run_too(lane: Any) -> None:
    """However long its clean-up takes."""
    cleaned = anyio.Event()
    world = World()

    class Tidy(world.transformer):  # type: ignore[name-defined,misc]
        async def work(self, data: Any) -> None:
            try:
                await super().work(data)
            finally:
                with anyio.CancelScope(shield=True):
                    await cleaned.wait()

    async with open_run(source(one(*AFTER, error="broken")), transformers=[Tidy]) as run:
        values = aiter(run.values)
        handle = await anext(aiter(run.subgraphs))
        await anyio.wait_all_tasks_blocked()
        assert [await anext(values) for _ in AFTER] == [0, 1, 2]
        assert (handle.status, handle.error) == ("failed", "broken")
        assert [note[0] for note in world.notes] == ["cancelled"]
        cleaned.set()
        with pytest.raises(SubgraphFailed, match="broken"):
            await handle.output()
        assert await run.output() == 2
    assert world.notes[1:] == [("fail", SUB, SubgraphFailed), ("finalize", ())]


@pytest.mark.parametrize("where", ["work", "finalize"])
async def test_its_failure_fails_the_run(lane: Any, where: str) -> None:
    """Under `on_error="raise"`, as does a hook's at the end; the readers of the handle get it as well."""
    error = Boom("late")

    async def fail(*_: Any) -> None:
        raise error

    world = World(on_error="raise", **{where: fail})
    after = [*AFTER, anyio.Event().wait]
    async with open_run(source(one(*after)), transformers=[world.transformer]) as run:
        values = aiter(run.values)
        handle = await anext(aiter(run.subgraphs))
        late = aiter(handle.extensions["late"])
        assert [await anext(values) for _ in AFTER] == [0, 1, 2]
        world.let_go[SUB].set()
        for wait in (lambda: anext(values), run.output, handle.output):
            with pytest.raises(Boom) as caught:
                await wait()
            assert caught.value is error
        with pytest.raises(Boom):
            while True:
                await anext(late)
        assert handle.status == "completed"
    assert run.status == "failed"
    told = ("fail", SUB, Boom) if where == "work" else ("finalize", SUB)
    assert world.notes == [told, ("fail", (), Boom)]


@pytest.mark.parametrize("by", ["abort", "leaving", "error", "cancellation"])
async def test_a_run_that_ends_badly_cuts_it_short(lane: Any, by: str) -> None:
    """It is cancelled, each transformer is told once, and nothing is left."""
    world, error = World(), Boom("of the graph")

    async def wait() -> None:
        if by == "error":
            raise error
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        async with open_run(source(one(*AFTER, wait)), transformers=[world.transformer]) as run:
            values = aiter(run.values)
            handle = await anext(aiter(run.subgraphs))
            late = aiter(handle.extensions["late"])
            assert [await anext(values) for _ in AFTER] == [0, 1, 2]
            await anyio.wait_all_tasks_blocked()
            if by == "abort":
                await run.abort()
                assert [item async for item in late] == []
            elif by == "error":
                with pytest.raises(Boom):
                    await run.output()
                with pytest.raises(Boom) as caught:
                    await anext(late)
                assert caught.value is error
            elif by == "cancellation":
                scope.cancel()
                await anyio.sleep_forever()
    kind = Boom if by == "error" else RunAborted
    assert world.notes == [("cancelled", SUB), ("fail", SUB, kind), ("fail", (), kind)]
    with pytest.raises(kind):
        await handle.output()
    assert handle.status == "completed"


async def test_a_hook_that_waits_at_the_end_is_cut_short_as_well(lane: Any) -> None:
    """It is not called a second time, and what comes after it is told of the abort."""
    world = World(finalize=anyio.sleep_forever)

    class Second(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

        def finalize(self) -> None:
            world.notes.append(("finalize second", self.scope))

        def fail(self, err: BaseException) -> None:
            world.notes.append(("fail second", self.scope, type(err)))

    async with open_run(source(one(*AFTER, anyio.sleep_forever)), transformers=[world.transformer, Second]) as run:
        values = aiter(run.values)
        await anext(aiter(run.subgraphs))
        assert [await anext(values) for _ in AFTER] == [0, 1, 2]
        world.let_go[SUB].set()
        await anyio.wait_all_tasks_blocked()
        await run.abort()
    assert world.notes == [
        ("finalize", SUB),
        ("fail second", SUB, RunAborted),
        ("fail", (), RunAborted),
        ("fail second", (), RunAborted),
    ]


async def test_a_handle_may_be_aborted_when_only_that_is_left(lane: Any) -> None:
    """Its work is cancelled and its projections end; the run goes on. The subgraph had completed."""
    world = World()
    async with open_run(source(one(*AFTER)), transformers=[world.transformer]) as run:
        values = aiter(run.values)
        handle = await anext(aiter(run.subgraphs))
        late = aiter(handle.extensions["late"])
        assert await anext(values) == 0
        await anyio.wait_all_tasks_blocked()
        await handle.abort()
        assert world.notes == [("cancelled", SUB), ("fail", SUB, RunAborted)]
        assert [item async for item in late] == []
        assert handle.status == "completed"
        with pytest.raises(RunAborted) as caught:
            await handle.output()
        assert caught.value.partial == "inside"
        assert [item async for item in values] == [1, 2]
    assert run.status == "completed"
    assert world.notes[2:] == [("finalize", ())]


async def test_a_reader_that_keeps_it_from_ending_is_told_so(lane: Any) -> None:
    """It waits for the run, which waits for the work, which waits for room in what it reads."""

    async def flood(transformer: Any) -> None:
        for n in range(5):
            await transformer.late.send(n)

    world = World(work=flood)
    async with open_run(source(one(*AFTER)), transformers=[world.transformer], buffer=2) as run:
        handle = await anext(aiter(run.subgraphs))
        late = aiter(handle.extensions["late"])
        assert await anext(aiter(handle.values)) == "inside"
        world.let_go[SUB].set()
        assert await anext(late) == 0
        with pytest.raises(BackpressureDeadlock, match="late"):
            await run.output()
        assert [item async for item in late] == [1, 2, 3, 4, "inside"]
        assert await run.output() == 2


async def test_a_stall_that_is_nobodys_fault_is_logged(
    lane: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the channel that is full, and what is waited for."""

    async def flood(transformer: Any) -> None:
        for n in range(5):
            await transformer.late.send(n)

    world = World(work=flood)
    caplog.set_level(logging.WARNING, "anyiostream")
    monkeypatch.setattr("anyiostream.driver.deadlocks.STALL", 0.0)
    async with (
        open_run(source(one(*AFTER)), transformers=[world.transformer], buffer=2) as run,
        anyio.create_task_group() as tasks,
    ):
        handle = await anext(aiter(run.subgraphs))
        late = aiter(handle.extensions["late"])
        assert await anext(aiter(handle.values)) == "inside"
        world.let_go[SUB].set()
        tasks.start_soon(run.output)
        while not caplog.records:
            await anyio.lowlevel.checkpoint()
        assert [item async for item in late] == [0, 1, 2, 3, 4, "inside"]
    (record,) = caplog.records
    assert "channel 'late' is full and not read, while output() is waited for" in record.getMessage()


class State(TypedDict):
    """The state of the compiled graph."""

    n: int


async def test_a_compiled_graph_goes_on_as_well(lane: Any) -> None:
    """Its next nodes run while the work of a nested graph waits."""
    ran = anyio.Event()

    async def node(state: State) -> State:
        return {"n": state["n"] + 1}

    async def last(state: State) -> State:
        ran.set()
        return {"n": state["n"] + 10}

    inner = StateGraph(State).add_node("node", node).add_edge(START, "node").add_edge("node", END)
    outer = StateGraph(State).add_node("child", inner.compile()).add_node("last", last)
    graph = outer.add_edge(START, "child").add_edge("child", "last").add_edge("last", END).compile()
    world = World()
    async with open_run(graph, {"n": 0}, transformers=[world.transformer]) as run:
        values = aiter(run.values)
        handle = await anext(aiter(run.subgraphs))
        assert [(await anext(values))["n"] for _ in range(3)] == [0, 1, 11]
        assert (handle.status, world.notes) == ("completed", [])
        for event in world.let_go.values():
            event.set()
        assert [item["n"] async for item in handle.extensions["late"]] == [1]
        assert (await run.output())["n"] == 11
