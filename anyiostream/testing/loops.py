"""`run_seeded`: a program on an event loop whose order a seed decides, whose time is virtual, and which never hangs.

Rules:

- What could run in one turn of the loop runs in an order that the seed decides, so a failure is repeated by its seed.
- Time stands still while anything can run, and jumps to the next deadline when nothing can: no test waits.
- When nothing can ever run again, `Deadlock` is raised and names what every task waits for.
- What happens in threads is invisible to a virtual clock: `patience` is how long, in real time, they get to report
  before time jumps or the program counts as stuck.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import selectors
import sys
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Literal, TypeVar, final

from anyiostream.testing.deadlock import Deadlock, describe_asyncio_task

__all__ = ["SeededLoop", "run_seeded"]

T = TypeVar("T")

SPINNING: Final = 20_000
"""Turns without a jump of the clock after which tasks that only wake each other count as waiting for time to pass."""


def run_seeded(
    main: Callable[..., Coroutine[Any, Any, T]],
    *args: Any,
    backend: Literal["asyncio", "trio"] = "asyncio",
    seed: int = 0,
    patience: float = 0.0,
    debug: bool = False,
) -> T:
    """What `await main(*args)` returns, on a loop of its own with a virtual clock.

    Args:
        main: The program.
        args: Its arguments.
        backend: `"asyncio"` or `"trio"`.
        seed: Decides in which order runnable tasks run.
        patience: Real time, in s, that threads get before the clock jumps; 0 for programs without threads.
        debug: asyncio's debug mode; nothing on trio.

    Raises:
        Deadlock: Nothing could ever run again. The program's tasks have been cancelled, as far as they can be.
        BaseException: What `main` raised.
    """
    if backend == "trio":
        from anyiostream.testing.seeded_trio import run_on_trio  # noqa: PLC0415 -- trio only where it runs

        return run_on_trio(main, *args, seed=seed, patience=patience)
    return _run_on_asyncio(main, *args, seed=seed, patience=patience, debug=debug)


@final
class SeededLoop(asyncio.SelectorEventLoop):
    """An asyncio loop with a shuffled ready queue and a virtual clock. `run_seeded` makes one.

    The order of plain callbacks is shuffled with that of tasks, which asyncio itself never does: what holds here holds
    under any interleaving.

    ```python
    loop = SeededLoop(seed=7)
    try:
        loop.run_until_complete(asyncio.sleep(3600))  # at once
        assert loop.time() == 3600
    finally:
        loop.close()
    ```

    Attributes:
        turns: Turns so far in which something could run.
    """

    def __init__(self, seed: int = 0, *, patience: float = 0.0) -> None:
        self.turns = 0
        self._now = 0.0
        self._spun = 0
        self._random = random.Random(seed)  # noqa: S311 -- repeatable, not secret
        self._counter = itertools.count()
        self._numbers: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
        self._actions: dict[int, list[Callable[[], object]]] = {}
        super().__init__(_VirtualSelector(self._turn, self._idle, patience))

    def time(self) -> float:
        """The virtual time, in s since the loop was made."""
        return self._now

    def at_turn(self, k: int, action: Callable[[], object]) -> None:
        """Call `action` just before the `k`-th turn from now in which something can run; 1 is the next one."""
        self._actions.setdefault(self.turns + k, []).append(action)

    def _turn(self) -> bool:
        """A turn begins in which something can run; whether it has only been spinning for long."""
        self.turns += 1
        for action in self._actions.pop(self.turns, ()):
            action()
        ready: deque[Any] = self._ready  # type: ignore[attr-defined]  # the one thing that asyncio has no name for
        if len(ready) > 1:
            # Sorted first: who wakes several tasks at once may do so in the order of a set, which no seed decides.
            shuffled = sorted(ready, key=self._place)
            self._random.shuffle(shuffled)
            ready.clear()
            ready.extend(shuffled)
        self._spun += 1
        return self._spun > SPINNING

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """As every loop does; the tasks are numbered."""
        task = super().create_task(coro, **options)
        self._numbers[task] = next(self._counter)
        return task

    def _place(self, handle: Any) -> int:
        """The number of the task that a call steps; other calls come last, in their own order."""
        task = getattr(getattr(handle, "_callback", None), "__self__", None)
        return self._numbers.get(task, sys.maxsize) if isinstance(task, asyncio.Task) else sys.maxsize

    def _idle(self, seconds: float | None) -> None:
        """Nothing can run before `seconds` have passed, or ever."""
        if seconds is None:
            raise Deadlock(tuple(sorted(describe_asyncio_task(task) for task in asyncio.all_tasks(self))))
        self._spun = 0
        self._now += seconds

    def next_timer(self) -> float | None:
        """Seconds to the next call that is due later, or `None`."""
        due = [handle.when() for handle in self._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        return max(0.0, min(due) - self._now) if due else None

    def spinning(self) -> None:
        """Tasks have been waking each other for long, as AnyIO does in a cancelled scope: let time pass."""
        self._spun = 0
        due = self.next_timer()
        if due is not None:
            self._now += due


@final
class _VirtualSelector(selectors.BaseSelector):
    """Asks the operating system for what has happened, and never waits longer than `patience`."""

    def __init__(self, turn: Callable[[], bool], idle: Callable[[float | None], None], patience: float) -> None:
        self._real = selectors.DefaultSelector()
        self._turn = turn
        self._idle = idle
        self._patience = patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            if self._turn():
                loop = asyncio.get_running_loop()
                assert isinstance(loop, SeededLoop)
                loop.spinning()
            return self._real.select(0)
        happened = self._real.select(self._patience)
        if not happened:
            self._idle(timeout)
        return happened

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def _run_on_asyncio(
    main: Callable[..., Coroutine[Any, Any, T]], *args: Any, seed: int, patience: float, debug: bool
) -> T:
    loop = SeededLoop(seed, patience=patience)
    loop.set_debug(debug)
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(*args))
    finally:
        try:
            _end_tasks(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _end_tasks(loop: SeededLoop) -> None:
    """Cancel what is left, as `asyncio.run` does, and give up on what never ends."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    with contextlib.suppress(Deadlock):
        loop.run_until_complete(_gather(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())


async def _gather(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
