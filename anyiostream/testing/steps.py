"""Acting at a chosen step of a program, and three ways to cancel.

```python
async def test_a_reader_may_be_cancelled_anywhere(k):
    reading = Cancellation("task")
    await reading.run(lambda: at_suspension(read(run), k, reading.cancel))
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, Literal, TypeVar, final

import anyio

from anyiostream.testing.loops import SeededLoop
from anyiostream.tooling import on_trio

__all__ = ["Cancellation", "Means", "StepWatch", "at_suspension", "at_time", "at_turn"]

T = TypeVar("T")

Means = Literal["scope", "task", "deadline"]
"""How to cancel: an AnyIO cancel scope, asyncio's own `task.cancel()`, or a scope's deadline that passes."""


def at_suspension(awaitable: Awaitable[T], k: int, action: Callable[[], object]) -> StepWatch[T]:
    """`awaitable`, to be awaited; calls `action` when it suspends for the `k`-th time, before anything else runs.

    Works on any event loop. For `k` larger than the number of suspensions nothing is called: sweep `k` upwards from 1
    until `landed` is false, and every place has had its turn.
    """
    return StepWatch(awaitable, k, action)


@final
class StepWatch(Generic[T]):
    """Something to await, once, that counts how often it suspends. `at_suspension` makes it.

    ```python
    watch = at_suspension(anyio.sleep(0), 1, lambda: print("just before anything else runs"))
    await watch
    assert watch.landed
    ```

    Attributes:
        suspensions: How often it has suspended so far.
        landed: Whether the action has been called.
        thrown: The exceptions that a suspension has ended with: cancellations, also those that a scope inside
            catches (trio's `sleep` ends with one).
    """

    __slots__ = ("_action", "_awaitable", "_k", "landed", "suspensions", "thrown")

    def __init__(self, awaitable: Awaitable[T], k: int, action: Callable[[], object]) -> None:
        self._awaitable = awaitable
        self._k = k
        self._action = action
        self.suspensions = 0
        self.landed = False
        self.thrown: list[BaseException] = []

    def __await__(self) -> Generator[Any, Any, T]:
        """Await what is watched; its result and its exceptions are this one's."""
        inner: Any = self._awaitable.__await__()
        resume: Callable[[Any], Any] = inner.send
        given: Any = None
        while True:
            try:
                yielded = resume(given)
            except StopIteration as stop:
                result: T = stop.value
                return result
            self.suspensions += 1
            if self.suspensions == self._k:
                self.landed = True
                self._action()
            try:
                given = yield yielded
                resume = inner.send
                # trio sends an outcome, which raises inside.
                error = getattr(given, "error", None)
                if isinstance(error, BaseException):
                    self.thrown.append(error)
            except BaseException as exc:  # noqa: BLE001 -- thrown into what is watched
                self.thrown.append(exc)
                given = exc
                resume = inner.throw


def at_turn(k: int, action: Callable[[], object]) -> None:
    """Call `action` at the `k`-th turn of the running event loop from now, between two tasks; 1 is the next turn.

    Finds gaps that lie between the suspensions of any one task. On a seeded loop and on trio a turn in which nothing
    can run does not count; on another asyncio loop every turn does, and the loop is kept turning meanwhile.
    """
    if on_trio():
        import trio  # noqa: PLC0415 -- only where it runs

        trio.lowlevel.add_instrument(_turn_instrument(k, action))
        return
    loop = asyncio.get_running_loop()
    if isinstance(loop, SeededLoop):
        loop.at_turn(k, action)
    else:
        loop.call_soon(_count_down, loop, k - 1, action)


def at_time(seconds: float, action: Callable[[], object]) -> None:
    """Call `action` after `seconds` of the running loop's clock, which may be virtual."""
    if on_trio():
        import trio  # noqa: PLC0415 -- only where it runs

        async def later() -> None:
            await trio.sleep(seconds)
            action()

        trio.lowlevel.spawn_system_task(later)
    else:
        asyncio.get_running_loop().call_later(seconds, action)


@final
class Cancellation:
    """One call that can be cancelled from anywhere, by a chosen means.

    ```python
    call = Cancellation("scope")
    at_time(0.001, call.cancel)
    assert await call.run(anyio.sleep_forever) is None
    assert call.caught
    ```

    Attributes:
        means: How.
        requested: Whether `cancel` has been called while the call was running.
        caught: Whether the cancellation has ended the call.
    """

    __slots__ = ("_now", "_scope", "_task", "caught", "means", "requested")

    def __init__(self, means: Means) -> None:
        """Prepare a call.

        Args:
            means: `"task"` is for asyncio only.
        """
        self.means: Means = means
        self.requested = False
        self.caught = False
        self._scope: anyio.CancelScope | None = None
        self._task: asyncio.Task[Any] | None = None
        self._now: Callable[[], float] = anyio.current_time

    async def run(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """What `await call()` returns, or `None` if it was cancelled by `cancel`: then `caught` is true.

        A cancellation from elsewhere goes on.

        Raises:
            RuntimeError: `"task"` on trio.
        """
        if not on_trio():
            # AnyIO's clock is there for tasks only; `cancel` may be called between two of them.
            self._now = asyncio.get_running_loop().time
        if self.means != "task":
            with anyio.CancelScope() as self._scope:
                return await call()
            self.caught = True
            return None
        if on_trio():
            raise RuntimeError("trio has no way to cancel a task but its scopes; use 'scope' or 'deadline'")
        self._task = asyncio.current_task()
        try:
            return await call()
        except asyncio.CancelledError:
            if not self.requested:
                raise
            assert self._task is not None
            self._task.uncancel()
            self.caught = True
            return None
        finally:
            self._task = None

    def cancel(self) -> None:
        """Cancel the call if it is running. Idempotent: a task is cancelled once."""
        if self.requested:
            return
        if self._task is not None:
            self.requested = True
            self._task.cancel()
        elif self._scope is not None:
            self.requested = True
            if self.means == "deadline":
                self._scope.deadline = self._now()
            else:
                self._scope.cancel()


def _count_down(loop: asyncio.AbstractEventLoop, left: int, action: Callable[[], object]) -> None:
    if left > 0:
        loop.call_soon(_count_down, loop, left - 1, action)
    else:
        action()


def _turn_instrument(k: int, action: Callable[[], object]) -> Any:
    import trio  # noqa: PLC0415 -- only where it runs

    class Turns(trio.abc.Instrument):
        """Counts the turns of trio's loop."""

        left = k

        def after_io_wait(self, timeout: float) -> None:
            if timeout:
                return
            self.left -= 1
            if not self.left:
                trio.lowlevel.remove_instrument(self)
                action()

    return Turns()
