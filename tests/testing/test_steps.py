"""Acting at a chosen step, and the three ways to cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream.testing import Cancellation, StepWatch, at_suspension, at_time, at_turn, run_seeded

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

MEANS = [
    pytest.param(backend, means, id=f"{backend}-{means}")
    for backend, all_means in (("asyncio", ("scope", "task", "deadline")), ("trio", ("scope", "deadline")))
    for means in all_means
]


async def work() -> str:
    """Three sleeps."""
    for _ in range(3):
        await anyio.sleep(1)
    return "done"


@both
@pytest.mark.parametrize("k", [1, 2, 3])
def test_an_action_comes_at_the_kth_suspension(backend: Any, k: int) -> None:
    """When the program has suspended `k` times, and before anything else runs."""

    async def main() -> tuple[float, int, bool]:
        seen: list[float] = []
        # Called in the task itself, at a suspension.
        watch: StepWatch[str] = at_suspension(work(), k, lambda: seen.append(anyio.current_time()))
        began = anyio.current_time()
        assert await watch == "done"
        return seen[0] - began, len(seen), watch.landed

    assert run_seeded(main, backend=backend) == (k - 1, 1, True)


@both
def test_a_suspension_that_never_comes_is_told(backend: Any) -> None:
    """For a `k` beyond the end nothing is called, and the suspensions are counted."""

    async def main() -> tuple[int, bool]:
        watch: StepWatch[str] = at_suspension(work(), 100, lambda: pytest.fail("called"))
        await watch
        return watch.suspensions, watch.landed

    suspensions, landed = run_seeded(main, backend=backend)
    assert suspensions >= 3
    assert not landed


@both
def test_exceptions_pass_a_watch(backend: Any) -> None:
    """What is raised inside comes out, what is thrown in goes in and is kept."""

    async def fail() -> None:
        await checkpoint()
        raise ZeroDivisionError

    async def main() -> list[BaseException]:
        with pytest.raises(ZeroDivisionError):
            await at_suspension(fail(), 0, lambda: None)
        watch: StepWatch[None] = at_suspension(anyio.Event().wait(), 0, lambda: None)
        with anyio.move_on_after(1.5):
            await watch
        return watch.thrown

    (thrown,) = run_seeded(main, backend=backend)
    assert type(thrown).__name__ in {"Cancelled", "CancelledError"}


@both
def test_an_action_comes_at_the_kth_turn(backend: Any) -> None:
    """Each turn of the loop is one that the program has seen, in order, until it has ended."""

    async def main(k: int) -> int | None:
        steps = 0
        seen: list[int] = []
        at_turn(k, lambda: seen.append(steps))
        for _ in range(10):
            await checkpoint()
            steps += 1
        return seen[0] if seen else None

    seen = [run_seeded(main, k, backend=backend) for k in range(1, 10)]
    assert seen == sorted(seen, key=lambda each: 100 if each is None else each)
    assert seen[0] == 0
    assert len(set(seen)) > 7


def test_turns_of_a_plain_asyncio_loop() -> None:
    """Every turn counts there."""

    async def main() -> int:
        turns = 0
        called = anyio.Event()
        at_turn(5, called.set)
        while not called.is_set():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(main()) == 5


@both
def test_an_action_comes_at_a_time(backend: Any) -> None:
    """By the loop's clock."""

    async def main() -> float:
        began = anyio.current_time()
        called = anyio.Event()
        at_time(1.5, called.set)
        await called.wait()
        return anyio.current_time() - began

    assert run_seeded(main, backend=backend) == 1.5


@pytest.mark.parametrize(("backend", "means"), MEANS)
@pytest.mark.parametrize("when", [at_time, at_turn])
def test_a_call_is_cancelled(backend: Any, means: Any, when: Callable[[Any, Callable[[], object]], None]) -> None:
    """By each means, from outside; the program goes on after it."""

    async def main() -> tuple[object, bool, bool]:
        cancellation = Cancellation(means)
        when(1, cancellation.cancel)
        result = await cancellation.run(work)
        await checkpoint()
        return result, cancellation.requested, cancellation.caught

    assert run_seeded(main, backend=backend) == (None, True, True)


@pytest.mark.parametrize(("backend", "means"), MEANS)
def test_every_suspension_can_be_cancelled(backend: Any, means: Any) -> None:
    """A sweep over `k` strikes each suspension once, and ends when the call does."""

    async def main(k: int) -> tuple[object, bool]:
        cancellation = Cancellation(means)
        return await cancellation.run(lambda: at_suspension(work(), k, cancellation.cancel)), cancellation.caught

    outcomes = []
    for k in range(1, 100):
        outcomes.append(run_seeded(main, k, backend=backend))
        if not outcomes[-1][1]:
            break
    assert outcomes[-1] == ("done", False)
    assert set(outcomes[:-1]) == {(None, True)}
    assert len(outcomes) >= 4


@pytest.mark.parametrize(("backend", "means"), MEANS)
def test_a_cancellation_from_elsewhere_goes_on(backend: Any, means: Any) -> None:
    """Only the call's own one is caught."""

    async def main() -> tuple[bool, bool]:
        cancellation = Cancellation(means)
        with anyio.move_on_after(0.5) as scope:
            await cancellation.run(work)
        return scope.cancelled_caught, cancellation.caught

    assert run_seeded(main, backend=backend) == (True, False)


@pytest.mark.parametrize(("backend", "means"), MEANS)
def test_cancelling_what_does_not_run_is_nothing(backend: Any, means: Any) -> None:
    """Before the call, nothing happens to it."""

    async def main() -> tuple[object, bool]:
        cancellation = Cancellation(means)
        cancellation.cancel()
        return await cancellation.run(work), cancellation.requested

    assert run_seeded(main, backend=backend) == ("done", False)


def test_trio_has_no_task_to_cancel() -> None:
    """The means that is asyncio's own is refused there."""

    async def main() -> None:
        await Cancellation("task").run(work)

    with pytest.raises(RuntimeError, match="use 'scope' or 'deadline'"):
        run_seeded(main, backend="trio")
