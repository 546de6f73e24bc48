"""Many subgraphs, and deep ones: no recursion, no cost that grows with their number, and nothing kept of them."""

from __future__ import annotations

import gc
import inspect
import math
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from anyiostream import StreamTransformer, open_run, parts

from ..thorough import THOROUGH

MANY = 10_000

FEW = 50 * min(THOROUGH, 4)
"""Against which four times as many are compared."""
DEEP = 50


class Watching(StreamTransformer):
    """A transformer of the user's, so that every subgraph has a mux."""

    own_scope = True

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def process(self, event: Any) -> bool:
        """Keep."""
        return True


def start(n: int) -> list[Any]:
    """Subgraph n starts and shows its state."""
    space = (f"sub:{n}",)
    return [parts.task_start("in", "inner", ns=space), parts.values(n, ns=space)]


def in_turn(count: int) -> Iterator[Any]:
    """Subgraphs one after the other."""
    for n in range(count):
        yield from start(n)
        yield parts.task_result(str(n), "sub")
    yield parts.values("end")


def at_once(count: int) -> Iterator[Any]:
    """Subgraphs that are all open together; the first ends first."""
    for n in range(count):
        yield from start(n)
    for n in range(count):
        yield parts.task_result(str(n), "sub")
    yield parts.values("end")


def nested(depth: int, *, inside: int = 1) -> Iterator[Any]:
    """Subgraphs one inside the other, and snapshots in the innermost."""
    spaces = [tuple(f"sub:{k}" for k in range(level)) for level in range(depth + 1)]
    for level in range(1, depth + 1):
        yield parts.task_start("in", "inner", ns=spaces[level])
    for n in range(inside):
        yield parts.values(n, ns=spaces[depth])
    for level in range(depth, 0, -1):
        yield parts.task_result(str(level - 1), "sub", ns=spaces[level - 1])
    yield parts.values("end")


SHAPES: dict[str, Callable[[int], Iterator[Any]]] = {"in turn": in_turn, "at once": at_once}


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_subgraphs_unread(shape: str) -> None:
    """All are followed, none is left open, and lifecycle has told of each start and end."""
    with open_run(SHAPES[shape](MANY)) as run:
        assert sum(1 for _ in run.lifecycle) == 2 * MANY
        assert run.output == "end"
        assert run.statistics().subgraphs == 0


def test_ten_thousand_handles_in_turn() -> None:
    """Each is read in the body of the loop, and complete."""
    with open_run(in_turn(MANY // 4)) as run:
        for n, handle in enumerate(run.subgraphs):
            assert next(iter(handle.values)) == n
        assert n == MANY // 4 - 1
        assert run.output == "end"


def test_thousands_of_handles_at_once() -> None:
    """Each has its own state, and all are completed."""
    with open_run(at_once(MANY // 8)) as run:
        handles = list(run.subgraphs)
        assert run.output == "end"
        assert [handle.output for handle in handles] == list(range(MANY // 8))
        assert {handle.status for handle in handles} == {"completed"}


@pytest.mark.anyio
@pytest.mark.parametrize("shape", SHAPES)
async def test_ten_thousand_subgraphs_on_the_async_lane(shape: str) -> None:
    """As on the sync lane."""
    async with open_run(SHAPES[shape](MANY // 4)) as run:
        assert sum([1 async for _ in run.lifecycle]) == MANY // 2
        assert await run.output() == "end"
        assert run.statistics().subgraphs == 0


@pytest.mark.parametrize("transformers", [[], [Watching]], ids=["built-in", "user's"])
def test_fifty_levels(transformers: list[Any]) -> None:
    """Handles, values and lifecycle at every level, without deep recursion."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(stack_depth() + 120)
    try:
        with open_run(nested(DEEP), transformers=transformers, buffer=math.inf) as run:
            lifecycle = iter(run.lifecycle)
            handles = []
            stream: Any = run
            for _ in range(DEEP):
                stream = next(iter(stream.subgraphs))
                handles.append(stream)
            assert list(stream.values) == [0]
            assert run.output == "end"
            assert [len(handle.path) for handle in handles] == list(range(1, DEEP + 1))
            assert {handle.status for handle in handles} == {"completed"}
            depths = [(payload["event"], len(payload["namespace"])) for payload in lifecycle]
    finally:
        sys.setrecursionlimit(limit)
    assert depths == [
        *(("started", n) for n in range(1, DEEP + 1)),
        *(("completed", n) for n in range(DEEP, 0, -1)),
    ]


@pytest.mark.anyio
async def test_fifty_levels_of_a_function_on_the_async_lane() -> None:
    """As many as a function nests."""

    async def descend(writer: Any, levels: int) -> None:
        if levels:
            async with writer.subgraph("sub") as inner:
                await descend(inner, levels - 1)
        else:
            await writer.values("bottom")

    async def graph(given: Any, writer: Any) -> str:
        await descend(writer, DEEP)
        return "end"

    async with open_run(graph) as run:
        stream: Any = run
        for _ in range(DEEP):
            stream = await anext(aiter(stream.subgraphs))
        assert [value async for value in stream.values] == ["bottom"]
        assert await run.output() == "end"


def stack_depth() -> int:
    """How deep the caller's stack is."""
    depth, frame = 0, inspect.currentframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def calls(work: Callable[[], Any]) -> int:
    """How many Python and built-in functions `work` calls, a measure of its cost that no other load disturbs."""
    count = 0

    def note(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        if event in {"call", "c_call"}:
            count += 1

    gc.disable()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.parametrize("transformers", [[], [Watching]], ids=["built-in", "user's"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("read", ["output", "lifecycle", "handles", "handles' values"])
def test_the_cost_of_a_subgraph_does_not_grow_with_their_number(shape: str, read: str, transformers: list[Any]) -> None:
    """Four times as many cost four times as much."""

    def cost(count: int) -> int:
        script = list(SHAPES[shape](count))

        def work() -> None:
            with open_run(script, transformers=transformers) as run:
                if read == "lifecycle":
                    for _ in run.lifecycle:
                        pass
                elif read == "handles":
                    for _ in run.subgraphs:
                        pass
                elif read == "handles' values":
                    kept = [(handle, iter(handle.values)) for handle in run.subgraphs]
                    assert len(kept) == count
                assert run.output == "end"

        return calls(work)

    cost(10)
    assert cost(4 * FEW) < 4.4 * cost(FEW)


def test_the_cost_of_reading_raw_logs_does_not_grow_with_their_number() -> None:
    """Subscribing to the logs of many open subgraphs does not disturb the others."""

    def cost(count: int) -> int:
        script = list(at_once(count))

        def work() -> None:
            with open_run(script) as run:
                kept = []
                for handle in run.subgraphs:
                    kept.append(iter(handle))
                assert run.output == "end"

        return calls(work)

    cost(10)
    assert cost(4 * FEW) < 4.6 * cost(FEW)


def test_the_cost_of_an_event_does_not_grow_with_those_that_were_aborted() -> None:
    """Aborted subgraphs of a function graph are forgotten when they have been left."""

    def cost(count: int) -> int:
        async def graph(given: Any, writer: Any) -> str:
            for n in range(count):
                async with writer.subgraph("sub") as inner:
                    await inner.values(n)
                    await inner.values("never")
            return "end"

        def work() -> None:
            with open_run(graph) as run:
                for handle in run.subgraphs:
                    next(iter(handle.values))
                    handle.abort()
                assert run.output == "end"

        return calls(work)

    cost(10)
    assert cost(4 * FEW) < 4.4 * cost(FEW)


@pytest.mark.parametrize("transformers", [[], [Watching]], ids=["built-in", "user's"])
def test_the_cost_of_an_event_does_not_grow_with_the_depth_of_what_nobody_reads(transformers: list[Any]) -> None:
    """A thousand more snapshots cost ten levels down what they cost two levels down."""

    def cost(depth: int, inside: int) -> int:
        script = list(nested(depth, inside=inside))

        def work() -> None:
            with open_run(script, transformers=transformers) as run:
                assert run.output == "end"

        return calls(work)

    cost(2, 10)
    deep, shallow = (cost(depth, 2000) - cost(depth, 1000) for depth in (10, 2))
    assert deep < 1.05 * shallow


@pytest.mark.parametrize("transformers", [[], [Watching]], ids=["built-in", "user's"])
@pytest.mark.parametrize("read", ["output", "handles", "aborted"])
def test_finished_subgraphs_leave_no_memory(read: str, transformers: list[Any]) -> None:
    """What is kept after nine hundred is what is kept after two hundred, during the run."""

    def script() -> Iterator[Any]:
        yield from list(in_turn(200))[:-1]
        sizes.append(traced())
        yield from in_turn(700)
        sizes.append(traced())

    def traced() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    sizes: list[int] = []
    tracemalloc.start()
    try:
        with open_run(script(), transformers=transformers) as run:
            if read != "output":
                for handle in run.subgraphs:
                    if read == "aborted":
                        handle.abort()
                    else:
                        assert handle.output is not None
            assert run.output == "end"
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 28_000  # 40 bytes each
