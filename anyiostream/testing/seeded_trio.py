"""trio's half of `run_seeded`. Imported only where trio runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar, final

import trio
import trio._core._run as scheduler
from trio.testing import wait_all_tasks_blocked

from anyiostream.testing.deadlock import Deadlock, describe_asyncio_task, describe_frame
from anyiostream.tooling import close_asyncio, hosted_tasks

__all__ = ["run_on_trio"]

T = TypeVar("T")

AFTER_OTHERS: Final = 1e-4
"""s of real time by which the clock waits longer than a test that itself waits until all tasks are blocked."""


def run_on_trio(main: Callable[..., Coroutine[Any, Any, T]], *args: Any, seed: int, patience: float) -> T:
    """As `run_seeded`, on trio."""
    # trio has no public name for its scheduler's random numbers; pytest-trio and Hypothesis set them like this, too.
    deterministic, state = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()  # noqa: SLF001
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001 -- a constant until one tests
    scheduler._r.seed(seed)  # noqa: SLF001
    clock = _VirtualClock()
    try:
        return trio.run(_supervised, clock, patience, main, args, clock=clock)
    except trio.TrioInternalError as crash:
        if isinstance(crash.__cause__, Deadlock):
            raise crash.__cause__ from None
        raise
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = deterministic  # type: ignore[misc]  # noqa: SLF001
        scheduler._r.setstate(state)  # noqa: SLF001


@final
class _VirtualClock(trio.abc.Clock):
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stuck: Deadlock | None = None

    def start_clock(self) -> None:
        """It is set already."""

    def current_time(self) -> float:
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        if self.stuck is not None:
            # The only way out of a program that shields what never ends.
            raise self.stuck
        return 0 if deadline <= self.now else math.inf


async def _supervised(
    clock: _VirtualClock, patience: float, main: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]
) -> T:
    found: list[Deadlock] = []
    with trio.CancelScope() as scope:
        trio.lowlevel.spawn_system_task(_keep_time, clock, patience, scope, found)
        try:
            result = await main(*args)
        finally:
            # While there is somebody to keep the time, which its tasks may need to end.
            with trio.CancelScope(shield=True):
                await close_asyncio()
        if not found:
            return result
    raise found[0]


async def _keep_time(clock: _VirtualClock, patience: float, scope: trio.CancelScope, found: list[Deadlock]) -> None:
    own = trio.lowlevel.current_task()
    while True:
        await wait_all_tasks_blocked(patience or AFTER_OTHERS)
        seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
        if seconds < math.inf:
            clock.now += max(0.0, seconds)
        elif not found:
            stuck = [_describe(task) for task in _tasks() if task is not own]
            stuck += map(describe_asyncio_task, hosted_tasks())
            found.append(Deadlock(tuple(sorted(stuck))))
            scope.cancel()
        else:
            clock.stuck = found[0]
            await trio.lowlevel.checkpoint()


def _tasks() -> Iterator[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    pending = [] if root is None else [root]
    while pending:
        task = pending.pop()
        for nursery in task.child_nurseries:
            pending += nursery.child_tasks
        if task is not root and not task.name.startswith(("trio.", "<", "anyiostream asyncio")):
            yield task


def _describe(task: trio.lowlevel.Task) -> str:
    place = ""
    for frame, line in task.iter_await_frames():
        if not frame.f_globals.get("__name__", "").startswith("trio."):
            place = describe_frame(frame.f_code, line)
    return f"{task.name.rpartition('.')[2]}{place}"
