"""Whoever reads, and in whatever order: everybody gets what the graph gave."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyiostream import BackpressureDeadlock, open_run

from ..thorough import THOROUGH

NAMES = ("values", "custom", "updates", "events")

KINDS = st.lists(st.sampled_from(["values", "custom", "updates"]), max_size=25)
"""The types of a graph's parts, in order."""

GRAPHS = st.sampled_from(["iterable", "async generator", "function"])

PLANS = st.lists(st.integers(0, 3), max_size=4)
"""How often a reader lets the others run before each of its items, over and over."""

BOUNDS = st.fixed_dictionaries(
    {"buffer": st.integers(1, 5), "prefetch": st.integers(0, 5), "checkpoint_every": st.sampled_from([1, 2, 32])}
)

few = settings(max_examples=8 * THOROUGH)


def failure() -> ValueError:
    """What a graph raises that fails."""
    return ValueError("the graph's own")


# --- readers in tasks of their own ---


@few
@given(
    kinds=KINDS,
    graph=GRAPHS,
    readers=st.dictionaries(st.sampled_from(NAMES), st.lists(PLANS, min_size=1, max_size=3), min_size=1),
    bounds=BOUNDS,
    fails=st.booleans(),
)
def test_all_readers_get_what_the_graph_gave(
    kit: Any, backend: str, kinds: Any, graph: Any, readers: Any, bounds: Any, fails: bool
) -> None:
    """Each reader, and each branch of a tee, gets the source's items in order and its end; no bound is exceeded."""
    script = kit.script(kinds)
    error = failure() if fails else None
    # The raw log has no fan-out.
    readers = {name: plans[:1] if name == "events" else plans for name, plans in readers.items()}
    got: dict[tuple[str, int], list[Any]] = {}
    ends: list[BaseException | None] = []

    async def read(run: Any, name: str, branch: int, cursor: Any, plan: Any) -> None:
        items = got[name, branch] = []
        pauses = kit.pauses(plan)
        try:
            async for item in cursor:
                items.append(kit.plain(name, item))
                figures = run.statistics()
                for channel in figures.channels.values():
                    assert channel.depth <= channel.peak <= channel.maxlen == bounds["buffer"]
                assert figures.inbox <= max(1, bounds["prefetch"])
                await kit.pause(next(pauses))
        except ValueError as exc:
            ends.append(exc)
        else:
            ends.append(None)

    async def program() -> None:
        async with open_run(kit.graph(graph, script, error=error), transformers=kit.transformers, **bounds) as run:
            branches = {name: kit.branches(run, name, len(plans)) for name, plans in readers.items()}
            async with anyio.create_task_group() as tasks:
                for name, plans in readers.items():
                    for number, plan in enumerate(plans):
                        tasks.start_soon(read, run, name, number, branches[name][number], plan)

    kit.run(program, backend)
    assert got == {
        (name, number): kit.expected(script, name) for name, plans in readers.items() for number in range(len(plans))
    }
    assert all(end is error for end in ends)


@few
@given(
    kinds=KINDS,
    graph=GRAPHS,
    names=st.lists(st.sampled_from(NAMES[:3]), min_size=1, unique=True),
    plan=PLANS,
    beside=PLANS,
    bounds=BOUNDS,
)
def test_interleaving_is_order_of_arrival(
    kit: Any, backend: str, kinds: Any, graph: Any, names: Any, plan: Any, beside: Any, bounds: Any
) -> None:
    """Reading several projections at once gives their items as the graph gave them, whoever reads beside it."""
    script = kit.script(kinds)
    got: list[Any] = []
    log: list[Any] = []

    async def read_log(run: Any) -> None:
        pauses = kit.pauses(beside)
        async for item in run:
            log.append(kit.plain("events", item))
            await kit.pause(next(pauses))

    async def program() -> None:
        async with open_run(kit.graph(graph, script), transformers=kit.transformers, **bounds) as run:
            together = run.interleave(*names)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read_log, run)
                await anyio.wait_all_tasks_blocked()
                pauses = kit.pauses(plan)
                async for taken in together:
                    got.append(taken)
                    await kit.pause(next(pauses))

    kit.run(program, backend)
    assert got == [(part["type"], part["data"]) for part in script if part["type"] in names]
    assert log == kit.expected(script, "events")


@few
@given(kinds=KINDS, names=st.lists(st.sampled_from(NAMES[:3]), min_size=1, unique=True), buffer=st.integers(1, 5))
def test_interleaving_on_the_sync_lane(kit: Any, kinds: Any, names: Any, buffer: int) -> None:
    """The same without an event loop."""
    script = kit.script(kinds)
    with open_run(script, transformers=kit.transformers, buffer=buffer) as run:
        got = list(run.interleave(*names))
    assert got == [(part["type"], part["data"]) for part in script if part["type"] in names]


@few
@given(kinds=KINDS, order=st.lists(st.integers(0, 2), max_size=60), branches=st.integers(1, 3))
def test_branches_on_the_sync_lane(kit: Any, kinds: Any, order: Any, branches: int) -> None:
    """Each branch of a tee gets the source's items, in whatever order the branches are advanced."""
    script = kit.script(kinds)
    with open_run(script, transformers=kit.transformers, buffer=1000) as run:
        cursors = run.custom.tee(branches)
        got: list[list[Any]] = [[] for _ in cursors]
        for number in order:
            got[number % branches] += [item for item in [next(cursors[number % branches], None)] if item is not None]
        for cursor, items in zip(cursors, got, strict=True):
            items.extend(cursor)
    assert got == [kit.expected(script, "custom")] * branches


# --- one task that reads several ---

STEPS = st.lists(st.sampled_from(NAMES), max_size=40)
"""Whose next item is asked for, in order. A projection is subscribed when it is first asked."""


def outcome(exc: BaseException) -> str:
    """How a step ended that gave no item."""
    return type(exc).__name__


def sync_outcomes(kit: Any, graph: Any, steps: Any, buffer: int) -> list[Any]:
    """What each step gives on the sync lane, and the output."""
    outcomes: list[Any] = []
    cursors: dict[str, Any] = {}
    with open_run(graph, transformers=kit.transformers, buffer=buffer) as run:
        for name in steps:
            if name not in cursors:
                cursors[name] = iter(kit.channel(run, name))
            try:
                outcomes.append(kit.plain(name, next(cursors[name])))
            except StopIteration:
                outcomes.append("end")
            except (ValueError, BackpressureDeadlock) as exc:
                outcomes.append(outcome(exc))
        cursors.clear()
        try:
            outcomes.append(run.output)
        except ValueError as exc:
            outcomes.append(outcome(exc))
        outcomes.append(run.status)
    return outcomes


async def async_outcomes(kit: Any, graph: Any, steps: Any, bounds: Any) -> list[Any]:
    """What each step gives on the async lane, and the output."""
    outcomes: list[Any] = []
    cursors: dict[str, Any] = {}
    async with open_run(graph, transformers=kit.transformers, **bounds) as run:
        for name in steps:
            if name not in cursors:
                cursors[name] = aiter(kit.channel(run, name))
            try:
                outcomes.append(kit.plain(name, await anext(cursors[name])))
            except StopAsyncIteration:
                outcomes.append("end")
            except (ValueError, BackpressureDeadlock) as exc:
                outcomes.append(outcome(exc))
        cursors.clear()
        try:
            outcomes.append(await run.output())
        except ValueError as exc:
            outcomes.append(outcome(exc))
        outcomes.append(run.status)
    return outcomes


@pytest.mark.filterwarnings("ignore::anyiostream.errors.ItemsDroppedWarning")
@few
@given(kinds=KINDS, graph=GRAPHS, steps=STEPS, bounds=BOUNDS, fails=st.booleans())
def test_both_lanes_agree(kit: Any, backend: str, kinds: Any, graph: Any, steps: Any, bounds: Any, fails: bool) -> None:
    """One task that reads several projections in some order gets the same on either lane.

    The same items, the same ends and errors, and a deadlock at the same step, after which it goes on; whatever the
    graph and its read-ahead.
    """
    script = kit.script(kinds)
    error = failure() if fails else None
    here = sync_outcomes(kit, kit.graph("iterable", script, error=error), steps, bounds["buffer"])
    there = kit.run(
        lambda: async_outcomes(kit, kit.graph(graph, script, error=error), steps, bounds),
        backend,
    )
    assert here == there


@pytest.mark.filterwarnings("ignore::anyiostream.errors.ItemsDroppedWarning")
@few
@given(kinds=KINDS, steps=STEPS, buffer=st.integers(1, 5), fails=st.booleans())
def test_graphs_agree_on_the_sync_lane(kit: Any, kinds: Any, steps: Any, buffer: int, fails: bool) -> None:
    """An iterable, a generator function and an async function that awaits its writer only are the same graph."""
    script = kit.script(kinds)
    error = failure() if fails else None
    first, *others = (
        sync_outcomes(kit, kit.graph(graph, script, error=error), steps, buffer)
        for graph in ("iterable", "generator", "function")
    )
    assert all(other == first for other in others)


@pytest.mark.filterwarnings("ignore::anyiostream.errors.ItemsDroppedWarning")
@few
@given(kinds=KINDS, steps=STEPS, buffer=st.integers(1, 5))
def test_a_deadlock_harms_nothing(kit: Any, kinds: Any, steps: Any, buffer: int) -> None:
    """Whatever order one task reads in, each cursor's items are the graph's, from where it was subscribed."""
    script = kit.script(kinds)
    got: dict[str, list[Any]] = {}
    cursors: dict[str, Any] = {}
    with open_run(script, transformers=kit.transformers, buffer=buffer) as run:
        for name in steps:
            if name not in cursors:
                cursors[name] = iter(kit.channel(run, name))
                got[name] = []
            with contextlib.suppress(StopIteration, BackpressureDeadlock):
                got[name].append(kit.plain(name, next(cursors[name])))
        pending = dict(cursors)
        while pending:
            for name, cursor in list(pending.items()):
                try:
                    got[name].append(kit.plain(name, next(cursor)))
                except BackpressureDeadlock:
                    pass
                except StopIteration:
                    del pending[name]
    for name, items in got.items():
        expected = kit.expected(script, name)
        assert items == expected[len(expected) - len(items) :]
        if name == steps[0]:
            assert items == expected
