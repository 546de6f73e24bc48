"""What the soak does: programs of the async and the sync lane, each of which checks what it got.

A program takes a source of randomness and decides by it how long its graph is, what kind of graph it is, who reads, and
when somebody leaves.
"""

from __future__ import annotations

import asyncio
import operator
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any, Final, TypedDict

import anyio
import anyio.lowlevel
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from anyiostream import (
    BackpressureDeadlock,
    CustomTransformer,
    GraphWriter,
    RunAborted,
    StreamChannel,
    StreamTransformer,
    open_run,
    parts,
)

__all__ = ["ASYNC_PROGRAMS", "SYNC_PROGRAMS", "Wrong"]


class Wrong(AssertionError):
    """A program did not get what it had to."""


class Broken(Exception):
    """What graphs fail with."""


def expect(got: object, expected: object) -> None:
    """Raise `Wrong` unless they are equal."""
    if got != expected:
        raise Wrong(f"got {got!r}, not {expected!r}")


# --- graphs ---


def graph_of(  # noqa: C901 -- three graphs that give the same
    rng: random.Random, count: int, *, fails: bool = False
) -> Any:
    """A graph of the async lane that gives the states 0 to `count` - 1, and then may fail."""

    def iterable(_given: Any) -> Iterator[Any]:
        for n in range(count):
            yield parts.custom(n)
            yield parts.values(n)
        if fails:
            raise Broken

    async def generator(_given: Any) -> AsyncIterator[Any]:
        for n in range(count):
            if n % 7 == 3:
                await anyio.lowlevel.checkpoint()
            yield parts.custom(n)
            yield parts.values(n)
        if fails:
            raise Broken

    async def function(_given: Any, writer: GraphWriter) -> None:
        for n in range(count):
            await writer.custom(n)
            if n % 5 == 2:
                async with writer.message() as message:
                    await message.text(f"token {n}")
            await writer.values(n)
        if fails:
            raise Broken

    return rng.choice([iterable, generator, function])


class State(TypedDict):
    """The state of the compiled graphs."""

    n: int
    trail: Annotated[list[int], operator.add]


def compiled(steps: int, *, is_async: bool) -> Any:
    """A compiled graph: a loop of `steps` steps, and a subgraph after it."""

    def step(state: State) -> dict[str, Any]:
        get_stream_writer()(state["n"])
        return {"n": state["n"] + 1, "trail": [state["n"]]}

    async def step_async(state: State) -> dict[str, Any]:
        await asyncio.sleep(0)
        return step(state)

    node: Any = step_async if is_async else step
    inner = StateGraph(State)
    inner.add_node("step", node)
    inner.add_edge(START, "step")
    inner.add_edge("step", END)
    outer = StateGraph(State)
    outer.add_node("step", node)
    outer.add_node("child", inner.compile())
    outer.add_edge(START, "step")
    outer.add_conditional_edges("step", lambda state: "step" if state["n"] < steps else "child")
    outer.add_edge("child", END)
    return outer.compile()


class Echo(StreamTransformer):
    """Schedules work for each custom part, which pushes what it got."""

    requires_async = True
    methods = ("custom",)

    def init(self) -> dict[str, Any]:
        """One channel."""
        self.echoes: StreamChannel[Any] = StreamChannel(maxlen=8)
        return {"echoes": self.echoes}

    def process(self, event: Any) -> bool:
        """Schedule."""
        self.schedule(self._echo(event["params"]["data"]), on_error="raise")
        return True

    async def _echo(self, item: Any) -> None:
        await anyio.lowlevel.checkpoint()
        await self.echoes.send(item)


# --- the async lane ---


async def read_in_tasks(rng: random.Random) -> None:
    """Several readers, each in a task of its own, get everything."""
    count = rng.randrange(1, 120)
    got: dict[str, list[Any]] = {}

    async def read(name: str, cursor: Any) -> None:
        got[name] = [item async for item in cursor]

    buffer = rng.choice([1, 4, 64])
    async with open_run(graph_of(rng, count), transformers=[CustomTransformer], buffer=buffer) as run:
        cursors = {"values": aiter(run.values), "custom": aiter(run.custom)}
        async with anyio.create_task_group() as tasks:
            for name, cursor in cursors.items():
                tasks.start_soon(read, name, cursor)
        expect(await run.output(), count - 1)
    expect(got, {"values": list(range(count)), "custom": list(range(count))})


async def leave_early(rng: random.Random) -> None:
    """One reader leaves after a few items; another one gets everything all the same."""
    count, leave_at = rng.randrange(5, 80), rng.randrange(5)

    async def read_some(cursor: Any) -> None:
        for _ in range(leave_at):
            await anext(cursor)
        if rng.random() < 0.5:
            await cursor.aclose()

    async with open_run(graph_of(rng, count), transformers=[CustomTransformer]) as run:
        custom, values = aiter(run.custom), aiter(run.values)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_some, custom)
            del custom
            expect([value async for value in values], list(range(count)))


async def branches(rng: random.Random) -> None:
    """The branches of a tee, and an interleaving beside them, all get everything."""
    count = rng.randrange(1, 60)
    got: list[list[Any]] = [[], [], []]

    async def read(number: int, cursor: Any) -> None:
        async for item in cursor:
            got[number].append(item)
            if rng.random() < 0.1:
                await anyio.lowlevel.checkpoint()

    async with open_run(graph_of(rng, count), transformers=[CustomTransformer]) as run:
        first, second = run.values.atee(2)
        together = run.interleave("custom", "lifecycle")
        async with anyio.create_task_group() as tasks:
            for number, cursor in enumerate((first, second, together)):
                tasks.start_soon(read, number, cursor)
    expect(got, [list(range(count)), list(range(count)), [("custom", n) for n in range(count)]])


async def abort(rng: random.Random) -> None:
    """A run that is aborted, by its reader or by another task, ends as aborted."""
    async with open_run(graph_of(rng, 200), prefetch=rng.choice([0, 32])) as run:
        values = aiter(run.values)
        for n in range(rng.randrange(1, 20)):
            expect(await anext(values), n)
        if rng.random() < 0.5:
            await run.abort()
        else:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run.abort)
                async for _ in values:
                    pass
        try:
            await run.output()
        except RunAborted:
            pass
        else:
            raise Wrong("the output of an aborted run")
    expect(run.status, "aborted")


async def fail(rng: random.Random) -> None:
    """Every reader of a run that fails gets its items and then the same exception."""
    count = rng.randrange(30)
    errors: list[BaseException] = []

    async def read(cursor: Any) -> None:
        items = []
        try:
            async for item in cursor:
                items.append(item)  # noqa: PERF401 -- they are kept when it raises
        except Broken as exc:
            errors.append(exc)
        expect(items, list(range(count)))

    async with open_run(graph_of(rng, count, fails=True), transformers=[CustomTransformer]) as run:
        cursors = [aiter(run.values), aiter(run.custom)]
        async with anyio.create_task_group() as tasks:
            for cursor in cursors:
                tasks.start_soon(read, cursor)
        try:
            await run.output()
        except Broken as exc:
            errors.append(exc)
    expect([id(error) for error in errors], [id(errors[0])] * 3)


async def schedule(rng: random.Random) -> None:
    """What scheduled work sends is read to the end, or given up where the run is left."""
    count, leaves = rng.randrange(1, 40), rng.random() < 0.3
    async with open_run(graph_of(rng, count), transformers=[Echo]) as run:
        echoes = []
        async for echo in run.extensions["echoes"]:
            echoes.append(echo)
            if leaves and len(echoes) == 3:
                break
    if not leaves:
        expect(sorted(echoes), list(range(count)))


async def resume_after_timeouts(rng: random.Random) -> None:
    """A reader that gives up on each item for a while loses none."""
    count, got = rng.randrange(1, 20), []

    async def slow(_given: Any) -> AsyncIterator[Any]:
        for n in range(count):
            await anyio.sleep(rng.choice([0, 0.0002, 0.002]))
            yield parts.values(n)

    async with open_run(slow) as run:
        values = aiter(run.values)
        while True:
            with anyio.move_on_after(rng.choice([0, 0.0001, 0.001])):
                try:
                    got.append(await anext(values))
                except StopAsyncIteration:
                    break
    expect(got, list(range(count)))


async def subgraphs(rng: random.Random) -> None:
    """Handles that are read, aborted or ignored, one after the other."""
    count = rng.randrange(1, 12)

    async def graph(_given: Any, writer: GraphWriter) -> int:
        for n in range(count):
            async with writer.subgraph(f"child{n}") as inner:
                for value in range(5):
                    await inner.values(value)
        return count

    async with open_run(graph) as run:
        seen = 0
        async for handle in run.subgraphs:
            seen += 1
            what = rng.random()
            if what < 0.5:
                expect([value async for value in handle.values], list(range(5)))
            elif what < 0.7:
                await handle.abort()
        expect(seen, count)
        expect(await run.output(), count)


async def nest(rng: random.Random) -> None:
    """A run inside the graph of another one, which may be left before its end."""
    count, leaves = rng.randrange(1, 20), rng.random() < 0.4
    inner_graph = graph_of(rng, count)

    async def outer(_given: Any, writer: GraphWriter) -> None:
        async with open_run(inner_graph) as run:
            async for value in run.values:
                await writer.values(value)

    got = []
    async with open_run(outer) as run:
        async for value in run.values:
            got.append(value)
            if leaves:
                break
    expect(got, [0] if leaves else list(range(count)))


async def cancel(rng: random.Random) -> None:
    """A program that is cancelled at any moment leaves nothing behind."""
    with anyio.move_on_after(rng.choice([0, 0.0002, 0.001, 0.003])):
        await rng.choice([read_in_tasks, branches, schedule, subgraphs, nest, langgraph])(rng)


async def deadlock(rng: random.Random) -> None:
    """A task that reads two projections in turn is told where that cannot go on, and the run goes on after it."""
    async with open_run(graph_of(rng, 50), transformers=[CustomTransformer], buffer=4) as run:
        custom, messages = aiter(run.custom), aiter(run.lifecycle)
        expect(await anext(custom), 0)
        try:
            await anext(messages)
        except BackpressureDeadlock:
            expect(await anext(custom), 1)
        else:
            raise Wrong("no deadlock")


async def langgraph(rng: random.Random) -> None:
    """A compiled graph is read, aborted, or left."""
    steps, way = rng.randrange(1, 8), rng.random()
    async with open_run(compiled(steps, is_async=True), {"n": 0, "trail": []}, transformers=[CustomTransformer]) as run:
        custom = [item async for item in run.custom] if way < 0.6 else [await anext(aiter(run.custom))]
        if way < 0.6:
            expect(custom, list(range(steps)))
            expect((await run.output())["n"], steps + 1)
        elif way < 0.8:
            await run.abort()


AsyncProgram = Callable[[random.Random], Awaitable[None]]

ASYNC_PROGRAMS: Final[tuple[AsyncProgram, ...]] = (
    read_in_tasks,
    leave_early,
    branches,
    abort,
    fail,
    schedule,
    resume_after_timeouts,
    subgraphs,
    nest,
    cancel,
    deadlock,
    langgraph,
)


# --- the sync lane ---


def sync_graph_of(rng: random.Random, count: int, *, fails: bool = False) -> Any:
    """A graph of the sync lane."""
    while True:
        graph = graph_of(rng, count, fails=fails)
        if graph.__name__ != "generator":
            return graph


def read_sync(rng: random.Random) -> None:
    """One reader, or several that are interleaved."""
    count = rng.randrange(1, 120)
    with open_run(sync_graph_of(rng, count), transformers=[CustomTransformer]) as run:
        if rng.random() < 0.5:
            expect(list(run.values), list(range(count)))
        else:
            items = list(run.interleave("custom", "values"))
            expect([item for name, item in items if name == "custom"], list(range(count)))
        expect(run.output, count - 1)


def leave_sync(rng: random.Random) -> None:
    """Leave by break, by abort, or by an exception."""
    way = rng.randrange(3)
    try:
        with open_run(sync_graph_of(rng, 50)) as run:
            for value in run.values:
                if value == 3:
                    break
            if way == 1:
                run.abort()
            elif way == 2:
                raise Broken  # noqa: TRY301 -- through the run's block
    except Broken:
        expect(way, 2)
    expect(run.status, "aborted")


def fail_sync(rng: random.Random) -> None:
    """Both branches of a tee get the error."""
    count, errors = rng.randrange(30), []
    with open_run(sync_graph_of(rng, count, fails=True)) as run:
        for branch in run.values.tee(2):
            try:
                list(branch)
            except Broken as exc:
                errors.append(id(exc))
    expect(errors, [errors[0]] * 2)


def langgraph_sync(rng: random.Random) -> None:
    """A compiled graph, read or left."""
    steps = rng.randrange(1, 6)
    with open_run(compiled(steps, is_async=False), {"n": 0, "trail": []}) as run:
        if rng.random() < 0.3:
            next(iter(run.values))
        else:
            expect(run.output["n"], steps + 1)


SYNC_PROGRAMS: Final = (read_sync, leave_sync, fail_sync, langgraph_sync)
