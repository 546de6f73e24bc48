"""Seeded loops: an order that a seed decides, a clock that jumps, and an end to every deadlock."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from anyiostream.testing import Deadlock, run_seeded

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


async def race() -> list[int]:
    """The order in which ten tasks take three steps each."""
    order: list[int] = []

    async def runner(n: int) -> None:
        for _ in range(3):
            order.append(n)
            await checkpoint()

    async with anyio.create_task_group() as tasks:
        for n in range(10):
            tasks.start_soon(runner, n)
    return order


@both
def test_a_seed_decides_the_order(backend: Any) -> None:
    """The same seed gives the same order, other seeds give others; each task keeps its own."""
    orders = [run_seeded(race, backend=backend, seed=seed) for seed in (1, 2, 3, 1)]
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted(list(range(10)) * 3) for order in orders)


@both
def test_time_is_virtual(backend: Any) -> None:
    """A day passes at once, deadlines come in order, and the clock tells their times."""

    async def main() -> list[tuple[float, str]]:
        began = anyio.current_time()
        log: list[tuple[float, str]] = []

        async def sleeper(seconds: float) -> None:
            await anyio.sleep(seconds)
            log.append((anyio.current_time() - began, f"{seconds:g} s"))

        async with anyio.create_task_group() as tasks:
            for seconds in (86_400.0, 1.0, 3_600.0):
                tasks.start_soon(sleeper, seconds)
            with anyio.move_on_after(30):
                await anyio.sleep_forever()
            log.append((anyio.current_time() - began, "deadline"))
        return log

    assert run_seeded(main, backend=backend) == [
        (1, "1 s"),
        (30, "deadline"),
        (3_600, "3600 s"),
        (86_400, "86400 s"),
    ]


@both
def test_time_stands_still_while_anything_runs(backend: Any) -> None:
    """A task that works for many turns of the loop sees no time pass."""

    async def main() -> float:
        began = anyio.current_time()
        with anyio.move_on_after(1) as scope:
            for _ in range(1000):
                await checkpoint()
        assert not scope.cancelled_caught
        return anyio.current_time() - began

    assert run_seeded(main, backend=backend) == 0


@both
def test_a_deadlock_names_those_who_wait(backend: Any) -> None:
    """Each task's name is in the message, and the line that it waits in."""

    async def wait_for_nothing() -> None:
        await anyio.Event().wait()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_nothing, name="first in line")
            tasks.start_soon(wait_for_nothing, name="second in line")

    with pytest.raises(Deadlock, match=r"first in line.*wait.*second in line.*wait") as caught:
        run_seeded(main, backend=backend)
    assert len(caught.value.waiting) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # trio has to be stopped by force
@both
def test_a_deadlock_under_a_shield_is_an_end_too(backend: Any) -> None:
    """What cannot be cancelled does not keep the program from ending."""

    async def main() -> None:
        with anyio.CancelScope(shield=True):
            await anyio.Event().wait()

    with pytest.raises(Deadlock):
        run_seeded(main, backend=backend)
    gc.collect()


@both
def test_a_swallowed_cancellation_does_not_hide_a_deadlock(backend: Any) -> None:
    """The program is told even if it returns after all."""

    async def main() -> str:
        try:
            await anyio.Event().wait()
        except BaseException:
            return "fine"
        return "never"

    with pytest.raises(Deadlock):
        run_seeded(main, backend=backend)


@both
def test_results_and_errors_come_through(backend: Any) -> None:
    """What the program returns is returned, what it raises is raised."""

    async def add(a: int, b: int) -> int:
        await checkpoint()
        return a + b

    async def fail() -> None:
        await checkpoint()
        raise ZeroDivisionError

    assert run_seeded(add, 1, 2, backend=backend) == 3
    with pytest.raises(ZeroDivisionError):
        run_seeded(fail, backend=backend)


@both
def test_a_cancelled_scope_that_waits_lets_time_pass(backend: Any) -> None:
    """AnyIO keeps asyncio's loop busy in a cancelled scope; clean-up that sleeps comes to its end all the same."""

    async def main() -> float:
        began = anyio.current_time()
        with anyio.CancelScope() as scope:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)
        return anyio.current_time() - began

    assert run_seeded(main, backend=backend) == 5


def test_tasks_that_only_wake_each_other_let_time_pass() -> None:
    """On asyncio, a task that polls without sleeping does not stop the clock for ever."""

    async def main() -> int:
        turns = 0
        with anyio.move_on_after(1):
            while True:
                await asyncio.sleep(0)
                turns += 1
        return turns

    assert run_seeded(main) > 1000


@both
def test_threads_get_patience(backend: Any) -> None:
    """With patience, a thread's answer comes before the clock jumps."""

    async def main() -> str:
        asked = threading.Event()

        def answer() -> str:
            asked.wait(0.05)
            return "answer"

        with anyio.fail_after(3600):
            return await anyio.to_thread.run_sync(answer)

    assert run_seeded(main, backend=backend, patience=5.0) == "answer"


def test_trio_keeps_its_own_randomness() -> None:
    """Other trio programs are scheduled as before."""
    orders = set()
    for _ in range(10):
        run_seeded(race, backend="trio", seed=5)
        orders.add(tuple(trio.run(race)))
    assert len(orders) > 1


def test_asyncio_tasks_left_behind_are_cancelled() -> None:
    """As `asyncio.run` does."""
    seen: list[str] = []

    async def left() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append("cancelled")

    async def main() -> None:
        seen.append(asyncio.create_task(left()).get_name())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run_seeded(main)
    assert seen[1:] == ["cancelled"]
