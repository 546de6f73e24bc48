"""What the async lane needs of an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, Protocol

from anyiostream.channels.latch import Latch

__all__ = ["Loop", "LoopTask", "Timer", "Waiter"]


class Waiter(Protocol):
    """One task's wait. Made by the task itself, and awaited by it once."""

    @property
    def task(self) -> object:
        """The task, if it was given."""
        ...

    @property
    def woken(self) -> bool:
        """Whether the wait is over, by `wake` or by cancellation, even if the task has not run yet."""
        ...

    def wake(self) -> None:
        """End the wait. Safe to call at any time, any number of times, from the loop's thread."""

    def wait(self) -> Awaitable[None]:
        """Wait for `wake`. Cancellation ends the wait; there is nothing to lose, as nothing is handed over."""
        ...


class CancelScope(Protocol):
    """A cancel scope, as both loops have it."""

    @property
    def cancelled_caught(self) -> bool:
        """Whether its cancellation ended the block."""
        ...


class LoopTask(Protocol):
    """A task started with `spawn`."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        ...

    @property
    def finished(self) -> Latch:
        """Open once it has ended."""
        ...

    def cancel(self) -> None:
        """Cancel it: once per call on asyncio, for good on trio."""


class Timer(Protocol):
    """A call that will be made later."""

    def cancel(self) -> None:
        """Do not make it."""


class Loop(Protocol):
    """The loop of one run, entered and left by the task that opens the run."""

    @property
    def name(self) -> str:
        """`"asyncio"` or `"trio"`."""
        ...

    async def enter(self, *, spawns: bool = True) -> None:
        """Open the nursery for `spawn`, if that may be called; otherwise only `later` may be."""

    async def leave(self) -> None:
        """Close it. Everything spawned has ended.

        Raises:
            ForeignExit: On trio, in another task than `enter`.
        """

    def check_exit(self) -> None:
        """Raise `ForeignExit` if `leave` would, after cancelling what was spawned."""

    def waiter(self, task: object = None) -> Waiter:
        """A wait of the current task, which is `task` if that is given: to ask for it costs 0.1 us."""
        ...

    @property
    def current_task(self) -> Callable[[], object]:
        """Returns the current task."""
        ...

    def has_deadline(self) -> bool:
        """Whether a cancel scope round the current task has a finite deadline."""
        ...

    async def checkpoint(self) -> None:
        """Let others run, and let a cancellation through."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` is this loop's cancellation exception."""
        ...

    def shield(self, seconds: float = ...) -> AbstractContextManager[CancelScope]:
        """Keep outer cancellation out, and cancel what is inside after `seconds` if given."""
        ...

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> LoopTask:
        """Start a task, in a copy of `context`, that no cancel scope of the application reaches.

        `run` lets no exception out but cancellation.
        """
        ...

    def soon(self, call: Callable[[], object]) -> None:
        """Make a call in a later turn of the loop."""

    def later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Make a call after `seconds` of the loop's clock."""
        ...

    def from_any_thread(self, call: Callable[[], object]) -> None:
        """Make a call in the loop's thread: at once if this is it. Does nothing if the loop has ended."""
