"""trio. Imported only where trio runs."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context
from functools import partial
from typing import Any, final

import trio

from anyiostream.channels.latch import Latch
from anyiostream.errors import ForeignExit

__all__ = ["TrioLoop"]


@final
class TrioWaiter:
    """A task, and whether it is parked."""

    __slots__ = ("_parked", "task", "woken")

    def __init__(self, task: Any) -> None:
        self.task = task
        self.woken = False
        self._parked = False

    @trio.lowlevel.enable_ki_protection
    def wake(self) -> None:
        """End the wait."""
        if not self.woken:
            self.woken = True
            if self._parked:
                self._parked = False
                trio.lowlevel.reschedule(self.task)

    async def wait(self) -> None:
        """Wait for `wake`."""
        if self.woken:
            await trio.lowlevel.checkpoint()
            return
        self._parked = True
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def postpone(self, error: BaseException) -> bool:  # noqa: ARG002 -- a task that has been woken is not cancelled
        """There is nothing to postpone."""
        return False

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.woken = True
        self._parked = False
        return trio.lowlevel.Abort.SUCCEEDED


@final
class TrioTask:
    """A task in the run's nursery, inside its own shielded scope, so that only the run cancels it."""

    __slots__ = ("_run", "_scope", "finished", "name")

    def __init__(
        self, nursery: trio.Nursery | None, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context
    ) -> None:
        self.name = name
        self.finished = Latch(name)
        self._run = run
        self._scope = trio.CancelScope(shield=True)
        if nursery is None:
            # A mux by itself has no block that a nursery could belong to; closing it waits for its tasks.
            trio.lowlevel.spawn_system_task(self._main, name=name, context=context.copy())
        else:
            context.copy().run(partial(nursery.start_soon, self._main, name=name))

    @property
    def alive(self) -> bool:
        """Whether it has not ended: it opens the latch in its last step."""
        return not self.finished.ready

    def cancel(self) -> None:
        """Cancel it for good."""
        self._scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def _main(self) -> None:
        # Whoever ends the run waits for this, so that no interrupt may come between the task's end and the latch.
        try:
            with self._scope:
                await self._unprotected()
        finally:
            self.finished.open()

    @trio.lowlevel.disable_ki_protection
    async def _unprotected(self) -> None:
        await self._run()


@final
class TrioTimer:
    """A call that a task will make.

    Attributes:
        ended: Set when the task ends.
    """

    __slots__ = ("_scope", "ended")

    def __init__(self) -> None:
        self._scope = trio.CancelScope(shield=True)
        self.ended = trio.Event()

    async def main(self, seconds: float, call: Callable[[], object]) -> None:
        """Sleep, then call."""
        try:
            with self._scope:
                await trio.sleep(seconds)
                call()
        finally:
            self.ended.set()

    def cancel(self) -> None:
        """Do not call."""
        self._scope.cancel()


@final
class TrioLoop:
    """The running trio loop, with a nursery of the run's own.

    A run that starts no tasks has none: opening and closing it takes longer than all the rest of a short run.
    """

    name = "trio"
    cancellation_is_real = True
    __slots__ = ("_manager", "_nursery", "_owner", "_thread", "_timers", "_token")
    current_task = staticmethod(trio.lowlevel.current_task)

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()
        self._owner = trio.lowlevel.current_task()
        self._manager: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None
        self._timers: list[TrioTimer] = []

    async def enter(self, *, spawns: bool = True) -> None:
        """Open the nursery."""
        if spawns:
            self._manager = trio.open_nursery()
            self._nursery = await self._manager.__aenter__()

    async def leave(self) -> None:
        """Close it, if it has been opened."""
        if self._nursery is not None:
            assert self._manager is not None
            await self._manager.__aexit__(None, None, None)
        for timer in self._timers:
            timer.cancel()
            with trio.CancelScope(shield=True):
                await timer.ended.wait()

    def check_exit(self) -> None:
        """A nursery belongs to one task."""
        task = trio.lowlevel.current_task()
        if task is not self._owner:
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()
            for timer in self._timers:
                timer.cancel()
            raise ForeignExit(self._owner.name, task.name)

    def waiter(self, task: object = None) -> TrioWaiter:
        """A wait of the current task, which is looked up if it is not given."""
        return TrioWaiter(trio.lowlevel.current_task() if task is None else task)

    def has_deadline(self) -> bool:
        """Whether a scope has a finite deadline."""
        return trio.current_effective_deadline() != math.inf

    async def checkpoint(self) -> None:
        """trio's own."""
        await trio.lowlevel.checkpoint()

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether it is `trio.Cancelled`."""
        return isinstance(error, trio.Cancelled)

    def scope(self) -> AbstractContextManager[trio.CancelScope]:
        """A scope."""
        return trio.CancelScope()

    def shield(self, seconds: float = math.inf) -> AbstractContextManager[trio.CancelScope]:
        """A shielded scope."""
        return trio.CancelScope(deadline=trio.current_time() + seconds, shield=True)

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> TrioTask:
        """Start a task in the nursery."""
        return TrioTask(self._nursery, run, name, context)

    def soon(self, call: Callable[[], object]) -> None:
        """Make a call in a later iteration."""
        self._token.run_sync_soon(call)

    def later(self, seconds: float, call: Callable[[], object]) -> TrioTimer:
        """Make a call later."""
        timer = TrioTimer()
        if self._nursery is None:
            self._timers = [each for each in self._timers if not each.ended.is_set()]
            self._timers.append(timer)
            trio.lowlevel.spawn_system_task(timer.main, seconds, call)
        else:
            self._nursery.start_soon(timer.main, seconds, call)
        return timer

    def from_any_thread(self, call: Callable[[], object]) -> None:
        """Make a call in the loop's thread."""
        if threading.get_ident() == self._thread:
            call()
        else:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(call)
