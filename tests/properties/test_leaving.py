"""Whoever leaves, or is cancelled, and comes back: nothing is lost, for them or for others."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from anyiostream import GraphWriter, ProtocolEvent, StreamTransformer, open_run

from ..thorough import THOROUGH

NAMES = ("values", "custom", "updates", "events")

KINDS = st.lists(st.sampled_from(["values", "custom", "updates"]), max_size=20)

GRAPHS = st.sampled_from(["iterable", "async generator", "function"])

PLANS = st.lists(st.integers(0, 3), max_size=4)

DELAYS = st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=8)
"""For each attempt to read: after how many turns it is cancelled, or not at all. Then no more."""

BOUNDS = st.fixed_dictionaries(
    {"buffer": st.integers(1, 4), "prefetch": st.integers(0, 4), "checkpoint_every": st.sampled_from([1, 2, 32])}
)

few = settings(max_examples=8 * THOROUGH)


class Whole(StreamTransformer):
    """Handles each event in two halves, with a wait between them."""

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        """No halves yet."""
        super().__init__(scope)
        self.halves: list[tuple[str, Any]] = []

    def init(self) -> dict[str, Any]:
        """The halves, in order."""
        return {"halves": self.halves}

    async def aprocess(self, event: ProtocolEvent) -> bool:
        """First half, wait, second half."""
        data = event["params"]["data"]
        self.halves.append(("first", data))
        await checkpoint()
        await checkpoint()
        self.halves.append(("second", data))
        return True


async def read_all(kit: Any, run: Any, name: str, cursor: Any, plan: Any, got: list[Any]) -> None:
    """Read to the end, at a pace."""
    pauses = kit.pauses(plan)
    async for item in cursor:
        got.append(kit.plain(name, item))
        await kit.pause(next(pauses))


@few
@given(
    kinds=KINDS,
    graph=GRAPHS,
    name=st.sampled_from(NAMES),
    stays=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    plan=PLANS,
    bounds=BOUNDS,
)
def test_a_kept_cursor_is_left_and_taken_up_again(
    kit: Any, backend: str, kinds: Any, graph: Any, name: str, stays: Any, plan: Any, bounds: Any
) -> None:
    """Leaving the loop over a kept cursor and coming back, in any rhythm, loses and repeats nothing."""
    script = kit.script(kinds)
    got: list[Any] = []
    beside: list[Any] = []

    async def program() -> None:
        async with open_run(kit.graph(graph, script), transformers=kit.transformers, **bounds) as run:
            cursor = aiter(kit.channel(run, name))
            other = "custom" if name != "custom" else "values"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_all, kit, run, other, aiter(kit.channel(run, other)), plan, beside)
                rhythm, pauses = kit.pauses(stays), kit.pauses(plan)
                ended = False
                while not ended:
                    left = next(rhythm)
                    ended = True
                    async for item in cursor:
                        got.append(kit.plain(name, item))
                        left -= 1
                        if not left:
                            ended = False
                            break
                    await kit.pause(next(pauses))
            assert beside == kit.expected(script, other)

    kit.run(program, backend)
    assert got == kit.expected(script, name)


@few
@given(
    kinds=KINDS,
    name=st.sampled_from(NAMES),
    stays=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    buffer=st.integers(1, 4),
)
def test_a_kept_cursor_on_the_sync_lane(kit: Any, kinds: Any, name: str, stays: Any, buffer: int) -> None:
    """The same without an event loop."""
    script = kit.script(kinds)
    got: list[Any] = []
    with open_run(script, transformers=kit.transformers, buffer=buffer) as run:
        cursor = iter(kit.channel(run, name))
        rhythm = kit.pauses(stays)
        ended = False
        while not ended:
            left = next(rhythm)
            ended = True
            for item in cursor:
                got.append(kit.plain(name, item))
                left -= 1
                if not left:
                    ended = False
                    break
    assert got == kit.expected(script, name)


@few
@given(
    kinds=KINDS,
    graph=GRAPHS,
    name=st.sampled_from(NAMES),
    delays=DELAYS,
    others=st.dictionaries(st.sampled_from(NAMES), PLANS),
    bounds=BOUNDS,
    waits=st.booleans(),
)
def test_a_cancelled_reader_loses_nothing(
    kit: Any, backend: str, kinds: Any, graph: Any, name: str, delays: Any, others: Any, bounds: Any, waits: bool
) -> None:
    """A reader cancelled in any turn finds every item when it reads on; the others get theirs; no event is torn."""
    script = kit.script(kinds)
    others = {other: plan for other, plan in others.items() if other != name}
    got: dict[str, list[Any]] = {each: [] for each in (name, *others)}
    halves: list[Any] = []

    async def cancel_after(turns: int, scope: anyio.CancelScope) -> None:
        await kit.pause(turns)
        scope.cancel()

    async def read_cancelled(cursor: Any) -> None:
        for delay in (*delays, None):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    if delay is not None:
                        tasks.start_soon(cancel_after, delay, scope)
                    if delay is None:
                        # Reads on in the same place, undisturbed.
                        for _ in range(2):
                            with contextlib.suppress(StopAsyncIteration):
                                got[name].append(kit.plain(name, await anext(cursor)))
                    else:
                        async for item in cursor:
                            got[name].append(kit.plain(name, item))
                    tasks.cancel_scope.cancel()
        async for item in cursor:
            got[name].append(kit.plain(name, item))

    async def program() -> None:
        transformers = (*kit.transformers, Whole) if waits else kit.transformers
        async with open_run(kit.graph(graph, script), transformers=transformers, **bounds) as run:
            cursors = {each: aiter(kit.channel(run, each)) for each in got}
            async with anyio.create_task_group() as tasks:
                for other, plan in others.items():
                    tasks.start_soon(read_all, kit, run, other, cursors[other], plan, got[other])
                await read_cancelled(cursors[name])
            await run.output()
            if waits:
                halves.extend(run.extensions["halves"])

    kit.run(program, backend)
    assert got == {each: kit.expected(script, each) for each in got}
    if waits:
        assert halves == [(half, part["data"]) for part in script for half in ("first", "second")]


@few
@given(
    kinds=KINDS,
    graph=GRAPHS,
    delays=st.lists(st.integers(0, 5), max_size=8),
    bounds=BOUNDS,
    plan=PLANS,
    waits=st.booleans(),
)
def test_readers_cancelled_natively_are_replaced(
    kit: Any, kinds: Any, graph: Any, delays: Any, bounds: Any, plan: Any, waits: bool
) -> None:
    """On asyncio, tasks that read one cursor and are cancelled natively in any turn leave every item to the next."""
    script = kit.script(kinds)
    got: list[Any] = []
    beside: list[Any] = []

    async def program() -> None:
        transformers = (*kit.transformers, Whole) if waits else kit.transformers
        async with open_run(kit.graph(graph, script), transformers=transformers, **bounds) as run:
            cursor, other = aiter(run.custom), aiter(run.values)
            neighbour = asyncio.create_task(read_all(kit, run, "values", other, plan, beside))
            for delay in delays:
                reader = asyncio.create_task(read_all(kit, run, "custom", cursor, plan, got))
                await kit.pause(delay)
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reader
            await asyncio.create_task(read_all(kit, run, "custom", cursor, (), got))
            await neighbour

    kit.run(program, "asyncio")
    assert got == kit.expected(script, "custom")
    assert beside == kit.expected(script, "values")


@few
@given(kinds=KINDS, graph=GRAPHS, delays=st.lists(st.integers(0, 5), max_size=8), bounds=BOUNDS, waits=st.booleans())
def test_waiting_for_the_output_may_be_cancelled(
    kit: Any, backend: str, kinds: Any, graph: Any, delays: Any, bounds: Any, waits: bool
) -> None:
    """Cancelling `output()` in any turn leaves the run as it was, for those who ask again and for other readers."""
    script = kit.script(kinds)
    got: list[Any] = []

    async def program() -> Any:
        transformers = (*kit.transformers, Whole) if waits else kit.transformers
        async with open_run(kit.graph(graph, script), transformers=transformers, **bounds) as run:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_all, kit, run, "custom", aiter(run.custom), (1,), got)
                for delay in delays:
                    async with anyio.create_task_group() as attempt:
                        attempt.start_soon(run.output)
                        await kit.pause(delay)
                        attempt.cancel_scope.cancel()
            return await run.output()

    output = kit.run(program, backend)
    assert output == (kit.expected(script, "values") or [None])[-1]
    assert got == kit.expected(script, "custom")


@few
@given(
    kinds=KINDS,
    graph=GRAPHS,
    delays=DELAYS,
    names=st.lists(st.sampled_from(NAMES[:3]), min_size=1, unique=True),
    bounds=BOUNDS,
)
def test_a_cancelled_interleaving_loses_nothing(
    kit: Any, backend: str, kinds: Any, graph: Any, delays: Any, names: Any, bounds: Any
) -> None:
    """A reader of several projections that is cancelled in any turn reads on in order of arrival."""
    script = kit.script(kinds)
    got: list[Any] = []

    async def read(together: Any) -> None:
        async for taken in together:
            got.append(taken)

    async def program() -> None:
        async with open_run(kit.graph(graph, script), transformers=kit.transformers, **bounds) as run:
            together = run.interleave(*names)
            for delay in delays:
                async with anyio.create_task_group() as attempt:
                    attempt.start_soon(read, together)
                    await kit.pause(delay or 0)
                    attempt.cancel_scope.cancel()
            await read(together)

    kit.run(program, backend)
    assert got == [(part["type"], part["data"]) for part in script if part["type"] in names]


@few
@given(
    kinds=KINDS,
    graph=GRAPHS,
    leave_after=st.integers(0, 10),
    plan=PLANS,
    bounds=BOUNDS,
    how=st.sampled_from(["break", "aclose", "drop", "cancel"]),
)
def test_a_branch_that_leaves_does_not_hold_up_the_others(
    kit: Any, backend: str, kinds: Any, graph: Any, leave_after: int, plan: Any, bounds: Any, how: str
) -> None:
    """A branch that is left for good, in whatever way, takes nothing from the other and stops nothing."""
    script = kit.script(kinds)
    got: list[Any] = []
    partly: list[Any] = []

    async def leave(branches: list[Any]) -> None:
        cursor = branches.pop()
        with anyio.CancelScope() as scope:
            async for item in cursor:
                partly.append(item)
                if len(partly) > leave_after:
                    if how == "cancel":
                        scope.cancel()
                        await checkpoint()
                    break
        if how == "aclose":
            await cursor.aclose()

    async def program() -> None:
        async with open_run(kit.graph(graph, script), transformers=kit.transformers, **bounds) as run:
            stays, leaves = run.custom.atee(2)
            branches = [leaves]
            del leaves
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(leave, branches)
                tasks.start_soon(read_all, kit, run, "custom", stays, plan, got)

    kit.run(program, backend)
    expected = kit.expected(script, "custom")
    assert got == expected
    assert partly == expected[: leave_after + 1]


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("how", ["reads", "waits for the output"])
def test_the_pump_is_handed_on(kit: Any, turns: int, how: str) -> None:
    """On asyncio, a task cancelled natively in the turn in which it was to move the run leaves that to another one."""
    got: list[Any] = []

    async def program() -> None:
        release = anyio.Event()

        async def graph(_: Any, writer: GraphWriter) -> None:
            await release.wait()
            await writer.custom("a")
            await writer.custom("b")

        async with open_run(graph, transformers=kit.transformers) as run:
            values, custom = aiter(run.values), aiter(run.custom)
            first = asyncio.create_task(anext(values) if how == "reads" else run.output())  # type: ignore[arg-type]
            await anyio.wait_all_tasks_blocked()
            second = asyncio.create_task(read_all(kit, run, "custom", custom, (), got))
            await anyio.wait_all_tasks_blocked()
            release.set()
            await kit.pause(turns)
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await first
            await second

    kit.run(program, "asyncio")
    assert got == ["a", "b"]


@pytest.mark.parametrize("graph", ["iterable", "async generator", "function"])
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("turns", range(10))
def test_a_reader_that_is_left_alone_goes_on(kit: Any, backend: str, turns: int, every: int, graph: str) -> None:
    """Whoever moved the run may be cancelled in any turn, also while it lets others run: those who wait move it on."""
    script = kit.script(["values"] * 4 + ["custom"])
    got: list[Any] = []
    blocked: list[str] = []

    async def program() -> None:
        options = {"prefetch": 1, "checkpoint_every": every}
        async with open_run(kit.graph(graph, script), transformers=kit.transformers, **options) as run:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_all, kit, run, "custom", aiter(run.custom), (), got)
                async with anyio.create_task_group() as attempt:
                    attempt.start_soon(run.output)
                    await kit.pause(turns)
                    attempt.cancel_scope.cancel()
                await anyio.wait_all_tasks_blocked()
                blocked.append(run.status)
                tasks.cancel_scope.cancel()

    kit.run(program, backend)
    assert blocked == ["completed"]
    assert got == kit.expected(script, "custom")
