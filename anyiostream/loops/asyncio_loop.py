"""asyncio, with any event loop that follows its interface (uvloop, for one).

Tasks are plain asyncio tasks, outside any AnyIO scope: AnyIO cancels again and again until a task ends, which the
clean-up of LangGraph's nodes does not survive; and a scope belongs to one task, while the block of a run held in an
abandoned async generator is left in another.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import Context
from functools import partial
from typing import Any, final

import anyio

from anyiostream.channels.latch import Latch

__all__ = ["AsyncioLoop", "AsyncioTask", "current_task_of"]


current_task_of: Callable[[asyncio.AbstractEventLoop], object] = asyncio.current_task
if sys.version_info < (3, 12):
    # Written in Python there: what it does with the loop that it is given, without the call, takes 7 % off an item.
    current_task_of = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]  # noqa: SLF001


@final
class AsyncioWaiter:
    """A future, and the task that awaits it."""

    __slots__ = ("_future", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop, task: object) -> None:
        self.task = task
        self._future: asyncio.Future[None] = asyncio.Future(loop=loop)

    @property
    def woken(self) -> bool:
        """Whether the wait is over."""
        return self._future.done()

    def wake(self) -> None:
        """End the wait."""
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> Awaitable[None]:
        """Wait for `wake`."""
        return self._future

    def postpone(self, error: BaseException) -> bool:
        """Cancel the task once more. `Task.cancel` does not look whether its task has been woken."""
        task = asyncio.current_task()
        late = isinstance(error, asyncio.CancelledError) and self._future.done() and not self._future.cancelled()
        if task is None or not late or not task.cancelling():
            return False
        task.uncancel()
        task.cancel(*error.args)
        return True


@final
class AsyncioTask:
    """A plain task."""

    __slots__ = ("_finished", "_task", "name")

    def __init__(self, task: asyncio.Task[None], name: str) -> None:
        self.name = name
        self._finished: Latch | None = None
        self._task = task

    @property
    def alive(self) -> bool:
        """Whether it has not ended. Known one loop iteration before a callback could tell."""
        if not self._task.done():
            return True
        _take_exception(self._task)
        return False

    @property
    def finished(self) -> Latch:
        """Open once it has ended. Made when somebody wants to wait: most tasks end unwatched."""
        if self._finished is None:
            finished = Latch(self.name)
            if self.alive:
                done = partial(_open, finished)
                self._task.add_done_callback(done)
                # Once more: an interrupt that hits one callback keeps the loop from the rest of that one only.
                self._task.add_done_callback(done)
            else:
                finished.open()
            self._finished = finished
        return self._finished

    def cancel(self) -> None:
        """Cancel it once."""
        self._task.cancel()


def _open(finished: Latch, task: asyncio.Task[None]) -> None:
    finished.open()
    _take_exception(task)


def _take_exception(task: asyncio.Task[None]) -> None:
    # An interrupt that ended the task has been raised by the loop already; asyncio need not log it too.
    if not task.cancelled():
        task.exception()


@final
class AsyncioLoop:
    """An asyncio loop of the calling thread: the running one, unless given."""

    name = "asyncio"
    cancellation_is_real = False

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = asyncio.get_running_loop() if loop is None else loop
        self._thread = threading.get_ident()
        # Called for each item read.
        self.current_task: Callable[[], object] = partial(current_task_of, self._loop)

    async def enter(self, *, spawns: bool = True) -> None:
        """Nothing to open: tasks need no nursery here."""

    async def leave(self) -> None:
        """Nothing to close."""

    def check_exit(self) -> None:
        """Any task may leave the block."""

    def waiter(self, task: object = None) -> AsyncioWaiter:
        """A wait of the current task."""
        return AsyncioWaiter(self._loop, task)

    def has_deadline(self) -> bool:
        """Whether an AnyIO scope has a finite deadline. `asyncio.timeout` cannot be seen from inside."""
        return anyio.current_effective_deadline() != math.inf

    async def checkpoint(self) -> None:
        """One iteration of the loop."""
        await asyncio.sleep(0)

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether it is a `CancelledError`."""
        return isinstance(error, asyncio.CancelledError)

    def scope(self) -> AbstractContextManager[anyio.CancelScope]:
        """An AnyIO scope."""
        return anyio.CancelScope()

    def shield(self, seconds: float = math.inf) -> AbstractContextManager[anyio.CancelScope]:
        """An AnyIO scope; it keeps out AnyIO's cancellation, not a native one."""
        return anyio.move_on_after(None if seconds == math.inf else seconds, shield=True)

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> AsyncioTask:
        """Start a plain task."""
        return AsyncioTask(self._loop.create_task(run(), name=name, context=context.copy()), name)

    def soon(self, call: Callable[[], object]) -> None:
        """Make a call in the next iteration."""
        self._loop.call_soon(call)

    def later(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        """Make a call later."""
        return self._loop.call_later(seconds, call)

    def from_any_thread(self, call: Callable[[], object]) -> None:
        """Make a call in the loop's thread."""
        if threading.get_ident() == self._thread:
            call()
        else:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(call)
