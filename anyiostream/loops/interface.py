"""What the async lane needs of an event loop, and what programs get of an asyncio loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context
from typing import Any, Protocol, TypeVar, TypeVarTuple

from anyiostream.channels.latch import Latch

__all__ = ["AsyncioHost", "CancelScope", "Loop", "LoopTask", "Timer", "Waiter"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


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

    def postpone(self, error: BaseException) -> bool:
        """Let a cancellation that `wait` has raised, though it came after `wake`, strike at the task's next await.

        Returns:
            Whether it does. Otherwise `error` came in time, or is something else.
        """
        ...


class CancelScope(Protocol):
    """A cancel scope, as both loops have it."""

    def cancel(self) -> None:
        """Cancel what is inside."""

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
        """A wait of the current task, which is `task` if that is given: looking it up costs 0.1 us."""
        ...

    @property
    def current_task(self) -> Callable[[], object]:
        """Returns the current task."""
        ...

    def has_deadline(self) -> bool:
        """Whether a cancel scope around the current task has a finite deadline."""
        ...

    async def checkpoint(self) -> None:
        """Let others run, and let a cancellation through."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` is this loop's cancellation exception."""
        ...

    @property
    def cancellation_is_real(self) -> bool:
        """Whether nobody but the loop raises its cancellation exception; of asyncio's, anybody can."""
        ...

    def scope(self) -> AbstractContextManager[CancelScope]:
        """A cancel scope."""
        ...

    def shield(self, seconds: float = ...) -> AbstractContextManager[CancelScope]:
        """Keep outer cancellation out, and cancel what is inside after `seconds` if given."""
        ...

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> LoopTask:
        """Start a task, in a copy of `context`, that no cancel scope of the application reaches.

        `run` raises nothing but cancellation.
        """
        ...

    def soon(self, call: Callable[[], object]) -> None:
        """Make a call in a later iteration of the loop."""

    def later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Make a call after `seconds` of the loop's clock."""
        ...

    def from_any_thread(self, call: Callable[[], object]) -> None:
        """Make a call in the loop's thread: at once if this is it. Does nothing if the loop has ended."""


class AsyncioHost(ABC):
    """An asyncio loop that the calling program can use. `asyncio_host` gives one.

    ```python
    import asyncio
    from contextlib import asynccontextmanager

    import trio

    from anyiostream import asyncio_host


    @asynccontextmanager
    async def client():
        yield asyncio.Lock()  # whatever belongs to the loop


    async def main() -> None:
        async with asyncio_host() as host, host.open(client()) as lock:
            await host.run(lock.acquire)
            assert lock.locked()


    trio.run(main)
    ```
    """

    @abstractmethod
    async def run(self, async_fn: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> T:
        """What `await async_fn(*args)` returns on the asyncio loop.

        On trio it runs there as a separate task, in a copy of the caller's context variables. Cancelling the caller
        cancels that task, once; the call ends when the task has, and so never leaves it behind. If the task completes
        nevertheless, its value is returned.

        Raises:
            HostedCallCancelled: On trio, the task was cancelled otherwise.
            HostClosed: On trio, its main task has ended.
            BaseException: What `async_fn` raised: the object itself.
        """

    @abstractmethod
    def open(self, manager: AbstractAsyncContextManager[T]) -> AbstractAsyncContextManager[T]:
        """`manager`, entered and left on the asyncio loop, in one task: `async with host.open(manager) as value`.

        For clients, pools, sessions and checkpointers that belong to a loop. Cancel scopes and task groups that
        `manager` holds work: if they cancel their task, the block's body is cancelled, and the block raises what they
        do. An exception of the body is raised inside `manager`, too, which may suppress it; the body's cancellation
        cancels the task there.

        Raises:
            HostedCallCancelled, HostClosed: As `run`.
            BaseException: What `manager` raised.
        """
