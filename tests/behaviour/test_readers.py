"""Readers: cancelling one takes nothing from it, harms nobody, and hands the pump over."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream import CustomTransformer, StreamTransformer, open_run, parts

from ..waiting import impatience

pytestmark = pytest.mark.anyio


class Yielding(StreamTransformer):
    """Has an async hook that lets others run."""

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    async def aprocess(self, event: Any) -> bool:
        """Let others run."""
        await checkpoint()
        return True


async def test_a_reader_with_a_timeout_per_item_loses_nothing(script: Any) -> None:
    """Each item takes several attempts; none is lost, none comes twice, and the graph is not disturbed."""
    releases = [anyio.Event() for _ in range(8)]
    source = script(*[step for n in range(8) for step in (releases[n].wait, parts.values(n))])
    seen: list[Any] = []
    async with open_run(source.agen()) as run:
        cursor = aiter(run.values)
        for release in releases:
            for _ in range(2):
                async with impatience() as scope:
                    seen.append(await anext(cursor))
                assert scope.cancelled_caught
            release.set()
            seen.append(await anext(cursor))
        with pytest.raises(StopAsyncIteration):
            await anext(cursor)
        assert run.status == "completed"
    assert seen == list(range(8))
    assert source.closed == 1


async def test_a_reader_with_timeouts_does_not_harm_a_patient_one(script: Any) -> None:
    """Two cursors: the impatient one is cancelled over and over, the other one sees everything in order."""
    releases = [anyio.Event() for _ in range(8)]
    source = script(*[step for n in range(8) for step in (releases[n].wait, parts.values(n), parts.custom(n))])
    patient: list[Any] = []
    impatient: list[Any] = []
    async with open_run(source.agen(), transformers=[CustomTransformer]) as run, anyio.create_task_group() as tasks:

        async def read_patiently() -> None:
            async for item in run.custom:
                patient.append(item)

        tasks.start_soon(read_patiently)
        cursor = aiter(run.values)
        for release in releases:
            async with impatience() as scope:
                impatient.append(await anext(cursor))
            assert scope.cancelled_caught
            release.set()
            impatient.append(await anext(cursor))
    assert patient == impatient == list(range(8))


@pytest.mark.parametrize("transformers", [[], [Yielding]], ids=["plain", "async hook"])
@pytest.mark.parametrize("kind", ["generator", "function"])
@pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
async def test_native_cancellation_at_any_turn_of_the_loop_loses_nothing(
    kind: str, transformers: list[Any], script: Any
) -> None:
    """A parked reader is cancelled natively at each turn around the arrival of an item; the next one gets it."""
    for turns in range(14):
        source = script(parts.values(0), checkpoint, checkpoint, parts.values(1), checkpoint, parts.values(2))
        graph = source.agen() if kind == "generator" else source.function
        seen: list[Any] = []
        async with open_run(graph, transformers=transformers) as run:
            cursor = aiter(run.values)

            async def read(cursor: Any = cursor, seen: list[Any] = seen) -> None:
                async for item in cursor:
                    seen.append(item)

            task = asyncio.create_task(read())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            seen += [item async for item in cursor]
            assert await run.output() == 2
        assert seen == [0, 1, 2], f"cancelled after {turns} turns"


@pytest.mark.parametrize("transformers", [[], [Yielding]], ids=["plain", "async hook"])
async def test_cancellation_by_a_scope_at_any_turn_of_the_loop_loses_nothing(
    transformers: list[Any], script: Any
) -> None:
    """As for native cancellation, with the scopes of each loop."""
    for turns in range(14):
        source = script(parts.values(0), checkpoint, checkpoint, parts.values(1), checkpoint, parts.values(2))
        seen: list[Any] = []
        async with open_run(source.agen(), transformers=transformers) as run:
            cursor = aiter(run.values)

            async def read(cursor: Any = cursor, seen: list[Any] = seen) -> None:
                async for item in cursor:
                    seen.append(item)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                for _ in range(turns):
                    await checkpoint()
                tasks.cancel_scope.cancel()
            seen += [item async for item in cursor]
            assert await run.output() == 2
        assert seen == [0, 1, 2], f"cancelled after {turns} turns"


@pytest.mark.parametrize("transformers", [[], [Yielding]], ids=["plain", "async hook"])
@pytest.mark.parametrize("kind", ["generator", "function", "iterable"])
async def test_a_reader_that_is_never_kept_waiting_can_be_cancelled(
    kind: str, transformers: list[Any], script: Any
) -> None:
    """Cancellation reaches a reader within a few items, however fast these come."""
    source = script(*[parts.values(n) for n in range(5000)])
    graph = {"generator": source.agen, "function": lambda: source.function, "iterable": source.gen}[kind]()
    seen: list[Any] = []
    async with open_run(graph, transformers=transformers) as run, anyio.create_task_group() as tasks:

        async def read() -> None:
            async for item in run.values:
                seen.append(item)

        tasks.start_soon(read)
        for _ in range(20):
            await checkpoint()
        tasks.cancel_scope.cancel()
    assert len(seen) < 1500


@pytest.mark.parametrize("transformers", [[], [Yielding]], ids=["plain", "async hook"])
async def test_the_pump_is_handed_over_when_the_reader_that_waits_for_it_leaves(
    transformers: list[Any], script: Any
) -> None:
    """Of two readers that wait, one is cancelled at any turn: the other one goes on."""
    for turns in range(10):
        source = script(checkpoint, parts.custom("c"), checkpoint, parts.values(1), checkpoint, parts.values(2))
        seen: list[Any] = []
        transformers_here = [CustomTransformer, *transformers]
        async with open_run(source.agen(), transformers=transformers_here) as run, anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()

            async def leaves(scope: Any = scope, run: Any = run) -> None:
                with scope:
                    await run.output()

            async def stays(seen: list[Any] = seen, run: Any = run) -> None:
                async for item in run.values:
                    seen.append(item)

            tasks.start_soon(leaves)
            tasks.start_soon(stays)
            for _ in range(turns):
                await checkpoint()
            scope.cancel()
        assert seen == [1, 2], f"cancelled after {turns} turns"


async def test_cancelling_output_leaves_the_run_as_it_was(script: Any) -> None:
    """`output()` may be asked for again."""
    release = anyio.Event()
    source = script(parts.values(1), release.wait, parts.values(2))
    async with open_run(source.agen()) as run:
        for _ in range(3):
            async with impatience() as scope:
                await run.output()
            assert scope.cancelled_caught
            assert run.status == "running"
        release.set()
        assert await run.output() == 2


async def test_a_reader_in_a_cancelled_scope_pops_nothing(script: Any) -> None:
    """With `checkpoint_every=1` each item is preceded by a checkpoint, so an item in the buffer stays there."""
    source = script(*[parts.values(n) for n in range(5)], parts.custom("c"))
    async with open_run(source.agen(), checkpoint_every=1, transformers=[CustomTransformer]) as run:
        values = aiter(run.values)
        assert await anext(aiter(run.custom)) == "c"
        depth = run.statistics().channels["values"].depth
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(values)
        assert scope.cancelled_caught
        assert run.statistics().channels["values"].depth == depth == 5
        assert [value async for value in values] == [0, 1, 2, 3, 4]


async def test_with_checkpoint_every_one_each_item_is_a_checkpoint(script: Any) -> None:
    """trio's letter: whichever item it is, a cancelled scope is noticed before it is taken."""
    for taken in range(5):
        source = script(*[parts.values(n) for n in range(8)], parts.custom("c"))
        async with open_run(source.agen(), checkpoint_every=1, transformers=[CustomTransformer]) as run:
            values = aiter(run.values)
            assert await anext(aiter(run.custom)) == "c"
            assert [await anext(values) for _ in range(taken)] == list(range(taken))
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(values)
            assert scope.cancelled_caught, f"not cancelled after {taken} items"
            assert [value async for value in values] == list(range(taken, 8))


@pytest.mark.parametrize("every", [1, 4, 32])
async def test_a_reader_with_a_full_buffer_lets_others_run(every: int, script: Any) -> None:
    """After at most `checkpoint_every` items without waiting, other tasks get a turn."""
    source = script(*[parts.values(n) for n in range(200)], parts.custom("c"))
    turns = 0
    gaps: list[int] = []
    async with (
        open_run(source.agen(), checkpoint_every=every, buffer=256, transformers=[CustomTransformer]) as run,
        anyio.create_task_group() as tasks,
    ):
        values = aiter(run.values)
        assert await anext(aiter(run.custom)) == "c"

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await checkpoint()

        tasks.start_soon(count)
        await checkpoint()
        before, taken = turns, 0
        async for _ in values:
            if turns != before:
                gaps.append(taken)
                before, taken = turns, 0
            taken += 1
        gaps.append(taken)
        tasks.cancel_scope.cancel()
    # trio runs the tasks of one turn in random order: the reader may be the last of one and the first of the next.
    assert max(gaps) <= 2 * (every + 1)
    assert sum(gaps) == 200


async def test_interleave_reads_in_order_of_arrival(lane: Any, script: Any) -> None:
    """On both lanes, whichever channel an item comes from."""
    source = script(*[part for n in range(10) for part in (parts.custom(n), parts.values(n), parts.values(-n))])
    async with lane.open(lane.source(source), transformers=[CustomTransformer]) as run:
        expected = [item for n in range(10) for item in (("custom", n), ("values", n), ("values", -n))]
        assert await lane.collect(run.interleave("values", "custom")) == expected


async def test_a_cancelled_interleaving_loses_nothing(script: Any) -> None:
    """Nor does it change the order."""
    source = script(*[step for n in range(6) for step in (checkpoint, parts.custom(n), checkpoint, parts.values(n))])
    seen: list[Any] = []
    async with open_run(source.agen(), transformers=[CustomTransformer]) as run:
        cursor = run.interleave("values", "custom")
        turns = 0
        while len(seen) < 12:
            turns = turns % 7 + 1

            async def read() -> None:
                async for item in cursor:
                    seen.append(item)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                for _ in range(turns):
                    await checkpoint()
                tasks.cancel_scope.cancel()
    assert seen == [item for n in range(6) for item in (("custom", n), ("values", n))]


async def test_branches_of_a_tee_each_get_everything_and_the_error(lane: Any, script: Any) -> None:
    """All items in order, and then the same error object."""
    boom = ValueError()
    source = script(*[parts.values(n) for n in range(5)], boom)
    async with lane.open(lane.source(source)) as run:
        branches = lane.tee(run.values, 3)
        for branch in branches:
            assert await lane.take(branch, 5) == [0, 1, 2, 3, 4]
        for branch in branches:
            with pytest.raises(ValueError) as caught:
                await lane.next(branch)
            assert caught.value is boom


async def test_no_reader_is_woken_without_cause(script: Any) -> None:
    """Readers of silent projections are not resumed while others get their items."""
    resumed = 0

    class Counted:
        def __init__(self, awaitable: Any) -> None:
            self.awaitable = awaitable

        def __await__(self) -> Any:
            nonlocal resumed
            inner = self.awaitable.__await__()
            value, error = None, None
            while True:
                try:
                    waited = inner.send(value) if error is None else inner.throw(error)
                except StopIteration as stop:
                    return stop.value
                try:
                    value, error = (yield waited), None
                except BaseException as exc:
                    value, error = None, exc
                resumed += 1

    steps = [step for n in range(50) for step in (checkpoint, parts.values(n))]
    source = script(*steps, anyio.sleep_forever)
    async with open_run(source.agen(), transformers=[CustomTransformer]) as run, anyio.create_task_group() as tasks:

        async def silent() -> None:
            await Counted(anext(aiter(run.custom)))

        values = aiter(run.values)
        assert await anext(values) == 0
        tasks.start_soon(silent)
        await anyio.wait_all_tasks_blocked()
        before = resumed
        for _ in range(49):
            await anext(values)
        assert resumed - before <= 25
        tasks.cancel_scope.cancel()
