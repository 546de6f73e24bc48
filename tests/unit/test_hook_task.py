"""The task that awaits hooks, driven by hand."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, final

import pytest

from anyiostream.driver.hook_task import HookTask


class Waiter:
    """A wait that ends when it is woken."""

    def __init__(self, suspension: Any) -> None:
        self._suspension = suspension
        self.woken = False

    def wake(self) -> None:
        self.woken = True

    async def wait(self) -> None:
        while not self.woken:
            await self._suspension()


@final
class Rig:
    """A hook task over a pump and a loop that are stand-ins, and notes of what it calls."""

    def __init__(self, suspension: Any, cancelled: type[BaseException], name: str) -> None:
        self.cancellation_is_real = name == "trio"
        self.notes: list[Any] = []
        self.job: Coroutine[Any, Any, None] | None = None
        self.coro: Coroutine[Any, Any, None] | None = None
        self.spawned = 0
        self._suspension = suspension
        self._cancelled = cancelled
        stand_in: Any = self
        self.hooks = HookTask(stand_in, stand_in, self.spawn, self.serve, lambda: self.notes.append("jobs done"))

    # --- the loop, and what the driver gives ---

    def waiter(self) -> Waiter:
        return Waiter(self._suspension)

    def is_cancellation(self, error: BaseException) -> bool:
        return isinstance(error, self._cancelled)

    def spawn(self, main: Callable[[], Coroutine[Any, Any, None]]) -> Any:
        self.spawned += 1
        self.coro = main()
        return self

    async def serve(self) -> None:
        self.notes.append("serve")

    # --- the pump ---

    def job_done(self) -> None:
        self.job = None
        self.notes.append("done")

    def job_failed(self, error: BaseException) -> None:
        self.job = None
        self.notes.append(error)

    # --- the test's end ---

    def begin(self, job: Coroutine[Any, Any, None]) -> None:
        """Have a job awaited."""
        self.job = job
        self.hooks.await_job()

    def step(self) -> None:
        """Run the task up to where it suspends next."""
        assert self.coro is not None
        self.coro.send(None)

    def throw(self, error: BaseException) -> None:
        """As `step`, with an error where it is suspended."""
        assert self.coro is not None
        self.coro.throw(error)


@pytest.fixture
def make(suspension: Any, cancelled: Any) -> Any:
    """Makes a rig, as on asyncio unless told otherwise."""
    rigs: list[Rig] = []

    def rig(name: str = "asyncio") -> Rig:
        rigs.append(Rig(suspension, cancelled, name))
        return rigs[-1]

    yield rig
    for each in rigs:
        if each.coro is not None:
            each.coro.close()


async def fail(error: BaseException) -> None:
    """A hook that raises."""
    raise error


def test_one_task_awaits_all_jobs(make: Any, suspension: Any) -> None:
    """It starts with the first job, and idles after it; the readers are served before they may step again."""
    rig = make()
    assert rig.hooks.task is None
    rig.begin(suspend(suspension))
    rig.step()
    assert rig.notes == []
    rig.step()
    assert rig.notes == ["done", "serve", "jobs done"]
    rig.begin(suspend(suspension))
    rig.step()
    rig.step()
    assert rig.notes == ["done", "serve", "jobs done"] * 2
    assert rig.spawned == 1


async def suspend(suspension: Any) -> None:
    """A hook that waits once."""
    await suspension()


def test_a_hook_that_raises_ends_the_run_and_not_the_task(make: Any, suspension: Any) -> None:
    """Its error goes to the pump."""
    rig = make()
    error = ValueError("no")
    rig.begin(fail(error))
    rig.step()
    assert rig.notes == [error, "serve", "jobs done"]


def test_what_looks_like_a_cancellation_on_asyncio_is_an_error_of_the_hook(make: Any, cancelled: Any) -> None:
    """Anybody can raise it there; the task goes on."""
    rig = make()
    rig.begin(fail(cancelled()))
    rig.step()
    assert isinstance(rig.notes[0], cancelled)
    assert rig.notes[1:] == ["serve", "jobs done"]


@pytest.mark.parametrize(("loop", "stopped"), [("asyncio", True), ("trio", False)])
def test_a_cancellation_ends_the_task(make: Any, suspension: Any, cancelled: Any, loop: str, stopped: bool) -> None:
    """On trio always, on asyncio once the run is shutting down; the pump learns of nothing."""
    rig = make(loop)
    rig.begin(suspend(suspension))
    rig.step()
    if stopped:
        rig.hooks.stop()
    with pytest.raises(cancelled):
        rig.throw(cancelled())
    assert rig.notes == []


def test_readers_may_not_step_after_a_job_that_outran_the_shutdown(make: Any, suspension: Any) -> None:
    """The task ends without telling that its jobs are done."""
    rig = make()
    rig.begin(suspend(suspension))
    rig.step()
    rig.hooks.stop()
    with pytest.raises(StopIteration):
        rig.step()
    assert rig.notes == ["done", "serve"]
