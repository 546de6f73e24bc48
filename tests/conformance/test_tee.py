"""`tee` and `atee`: one subscription, several readers."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from anyiostream import BackpressureDeadlock, parts

from .adapter import ASYNC, OURS, Lab, Script, on

BOUND = 64
"""Items that a branch of ours holds unless it is told otherwise."""


def snapshots(count: int) -> list[Any]:
    """That many parts."""
    return [parts.values({"n": n}) for n in range(count)]


def states(count: int) -> list[object]:
    """What a reader gets of them."""
    return [{"n": n} for n in range(count)]


@pytest.mark.parametrize("branches", [1, 2, 3])
async def test_branches_in_turn(lab: Lab, branches: int) -> None:
    """(22, 23) Every branch gets all items in order, also when one is read after the other."""
    async with lab.open(snapshots(20)) as run:
        for branch in lab.tee(run.values, branches):
            assert await branch.rest() == states(20)


async def test_branches_in_lock_step(lab: Lab) -> None:
    """(22, 23) Every branch gets all items in order when they are read side by side, however many there are."""
    async with lab.open(snapshots(3 * BOUND)) as run:
        left, right = lab.tee(run.values, 2)
        for n in range(3 * BOUND):
            assert await left.next() == {"n": n}
            assert await right.next() == {"n": n}
        assert await left.rest() == await right.rest() == []


@on(ASYNC)
async def test_branches_in_two_tasks(lab: Lab) -> None:
    """(23) Every branch gets all items in order when two tasks read them."""
    async with lab.open(snapshots(3 * BOUND)) as run, anyio.create_task_group() as tasks:
        got: list[list[object]] = []

        async def read(branch: object) -> None:
            got.append(await branch.rest())  # type: ignore[attr-defined]

        for branch in lab.tee(run.values, 2):
            tasks.start_soon(read, branch)
    assert got == [states(3 * BOUND)] * 2


async def test_tee_is_the_one_subscription(lab: Lab) -> None:
    """(22, 23) A channel that is teed already has a subscriber."""
    async with lab.open(snapshots(1)) as run:
        branches = lab.tee(run.values, 2)
        with pytest.raises(RuntimeError, match="already has a subscriber"):
            lab.reader(run.values)
        for branch in branches:
            assert await branch.rest() == states(1)


async def test_no_branches(lab: Lab) -> None:
    """(22, 23) A tee of less than one branch is a ValueError, and subscribes nothing."""
    async with lab.open(snapshots(1)) as run:
        with pytest.raises(ValueError, match="requires n >= 1"):
            lab.tee(run.values, 0)
        assert await lab.items(run.values) == states(1)


async def test_one_branch_beyond_the_bound(lab: Lab) -> None:
    """(22, 23) As a deviation, in ours a branch paces the others once its buffer is full; in theirs it piles up."""
    async with lab.open(snapshots(3 * BOUND)) as run:
        left, right = lab.tee(run.values, 2)
        assert await right.next() == {"n": 0}
        if lab.ours:
            # Deviation: bounds. This task reads both, so nobody else could ever make room.
            with pytest.raises(BackpressureDeadlock, match="'values'"):
                await left.rest()
            assert run.values.statistics().peak == BOUND
            # Neither the run nor a cursor is harmed.
            assert await right.next() == {"n": 1}
        else:
            assert await left.rest() == states(3 * BOUND)
            assert await right.rest() == states(3 * BOUND)[1:]


@on(OURS)
async def test_unbounded_branches(lab: Lab) -> None:
    """(22, 23) Branches of ours that are told to be unbounded behave as theirs do."""
    async with lab.open(snapshots(3 * BOUND)) as run:
        for branch in lab.tee(run.values, 2, maxlen=math.inf):
            assert await branch.rest() == states(3 * BOUND)


async def test_branches_get_the_error(lab: Lab) -> None:
    """(22, 23) An error comes after all items, to each branch; on their sync lane it is lost for all but the first."""
    error = LookupError("broken")
    async with lab.open(Script(snapshots(3), error)) as run:
        left, right = lab.tee(run.values, 2)
        assert await left.outcome() == (states(3), error)
        if lab.ours or lab.is_async:
            assert await right.outcome() == (states(3), error)
        else:
            # A defect of the original, which ends the second branch as if the run had been complete.
            assert await right.outcome() == (states(3), None)
