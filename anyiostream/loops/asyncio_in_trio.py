"""`AsyncioInTrio`: an asyncio loop inside a trio program, in trio's own thread.

asyncio runs in slices, as `sliced_loop.py` says; trio waits for both.

States, of which the loop is in one at a time:

- `RESTING`: asyncio has nothing to do before `_due`, and nothing is ready. trio may wait, or stop.
- `WANTED`: something is ready. trio's loop comes round at once, because a task of ours is runnable.
- `RUNNING`: a slice runs. It ends by itself: in `RESTING` if nothing is left to do, else in `WANTED`.
- `CLOSED`: trio's main task has ended, and asyncio has been shut down as `asyncio.run` shuts it down.

How a slice is left: asyncio would wait, so that the state is `RESTING`; and what is scheduled from then on makes it
`WANTED` again.

How it is entered: by `after_io_wait` of a trio instrument. There no trio task is current, so that libraries find
asyncio in what the loop runs, and trio outside. It comes before trio expires deadlines, so that the deadline of one
scope serves as alarm for asyncio's timers and need not expire; and before trio's batch of tasks, so that a task which
the slice has woken runs in the same pass.

Fairness: a slice ends after the turn in which it has used up `SLICE` seconds; where time is virtual, and so says
    nothing, it ends after `TURNS` turns, which is reproducible. Between two slices each trio task that is runnable has
    run.

Lifetime: from the first use to the end of trio's run, so that successive runs find the same loop: clients keep
connections that belong to it. Interrupts: trio defers `KeyboardInterrupt` in what its scheduler calls, so in slices,
too, and raises it in its main task; functions here that trio tasks call are protected the same way.

What this relies on although it is not documented; each has a test in `tests/loops`, most in `test_relied_on.py`:

- CPython: `asyncio._get_running_loop()` and `asyncio._set_running_loop()`, which are for loops' implementers.
- trio: `after_io_wait` comes in each pass, before deadlines expire and before tasks run; tasks may be rescheduled, and
  deadlines moved, from there; a scheduled task keeps the next pass from waiting.
- trio: an instrument that raises is dropped, and no other one.
- trio: `KeyboardInterrupt` is deferred in instruments.
- Linux: an epoll descriptor is readable while one of its own is ready, and may be waited for with epoll.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from types import TracebackType
from typing import Any, Final, final

import sniffio
import trio

from anyiostream.errors import HostClosed
from anyiostream.loops.asyncio_loop import AsyncioLoop, AsyncioTask
from anyiostream.loops.sliced_loop import SlicedLoop, SlicingSelector, end_everything

__all__ = ["SUPPORTED", "AsyncioInTrio"]

SUPPORTED: Final = hasattr(selectors, "EpollSelector")
"""Whether the operating system lets one set of descriptors be waited for as one of another set."""

SLICE: Final = 0.001
"""Seconds for which asyncio may hold up trio's tasks; the turn that exceeds them is finished."""

TURNS: Final = 16
"""Turns for which it may, where time is virtual."""

INF: Final = math.inf

HOUR: Final = 3600.0


@final
class State(enum.Enum):
    """See above."""

    RESTING = enum.auto()
    WANTED = enum.auto()
    RUNNING = enum.auto()
    CLOSED = enum.auto()


RESTING, WANTED, RUNNING, CLOSED = State.RESTING, State.WANTED, State.RUNNING, State.CLOSED


@final
class AsyncioInTrio(trio.abc.Instrument):
    """The asyncio loop of one trio run.

    Attributes:
        loop: The loop.
        parking: How its tasks wait.
    """

    def __init__(self) -> None:
        """Make a loop at rest. In a trio task, or anything that trio runs."""
        clock = trio.lowlevel.current_clock()
        self._clock = clock.current_time
        self._selector = SlicingSelector(self._rest, self._stop)
        self.loop = SlicedLoop(self._selector, clock.current_time, self._wake)
        self.parking = AsyncioLoop(self.loop)
        # Whatever its class: an hour of a real clock takes an hour.
        self._is_virtual = abs(clock.deadline_to_sleep_time(clock.current_time() + HOUR) - HOUR) > 1
        self._state = RESTING
        self._due = INF
        self._alarm: trio.CancelScope | None = None
        self._turner: trio.lowlevel.Task | None = None
        self._is_served = False
        self._ends = trio.Event()
        self._ended = trio.Event()
        self._failure: BaseException | None = None

    @trio.lowlevel.enable_ki_protection
    def start(self) -> None:
        """Let it run until trio's run ends."""
        trio.lowlevel.spawn_system_task(self._live, name="anyiostream asyncio")
        trio.lowlevel.add_instrument(self)

    @trio.lowlevel.enable_ki_protection
    def create_task(
        self, run: Callable[[], Coroutine[Any, Any, Any]], name: str, context: Context
    ) -> asyncio.Task[Any]:
        """Start a task on the loop, in a copy of `context`.

        Raises:
            HostClosed: trio's run ends.
        """
        if self._ends.is_set():
            raise HostClosed(name)
        context = context.copy()
        # AnyIO has set this to trio, if it runs the program. Unset, it does not mislead threads of the loop's, either.
        context.run(sniffio.current_async_library_cvar.set, None)
        return self.loop.create_task(run(), name=name, context=context)

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> AsyncioTask:
        """As `create_task`, for a run."""
        return AsyncioTask(self.create_task(run, name, context), name)

    async def ready(self) -> None:
        """It is."""

    def to_asyncio(self, call: Callable[..., object], *args: Any) -> None:
        """Make the call: it is the same thread."""
        call(*args)

    def to_trio(self, call: Callable[..., object], *args: Any) -> None:
        """Make the call: it is the same thread."""
        call(*args)

    def discard(self) -> None:
        """Close the loop. It has not been started."""
        self.loop.close()

    async def close(self) -> None:
        """Shut the loop down, as it is when trio's main task has ended, and wait for it."""
        self._ends.set()
        await self._ended.wait()

    # --- from state to state ---

    @trio.lowlevel.enable_ki_protection
    def _wake(self) -> None:
        """There is something for asyncio to do."""
        if self._state is RESTING:
            self._state = WANTED
            turner, self._turner = self._turner, None
            if turner is not None:
                trio.lowlevel.reschedule(turner)

    def _rest(self, seconds: float | None) -> None:
        """There is nothing to do for so many seconds, or ever."""
        self._state = RESTING
        self._due = INF if seconds is None else self._clock() + seconds
        self.loop.rest()
        self.loop.stop()

    def _stop(self) -> None:
        """Let trio's tasks run."""
        self.loop.stop()

    def after_io_wait(self, timeout: float) -> None:
        """Run a slice, if there is anything to do. Never raises: trio would drop the instrument."""
        try:
            if (
                self._state is WANTED
                # trio has waited, and asyncio's descriptors have ended the wait: no need to let `_watch` find out.
                or (timeout > 0 and self._selector.find())
                or (self._due != INF and self._due <= self._clock())
            ):
                self._run_slice()
        except BaseException as exc:  # noqa: BLE001 -- raised by `_live`
            self._failure = exc
            self._ends.set()
            self._settle()

    def _run_slice(self) -> None:
        if self._is_virtual:
            self._selector.begin(TURNS, INF)
        else:
            self._selector.begin(INF, time.perf_counter() + SLICE)
        self._is_served = True
        self._state = RUNNING  # until the selector says otherwise
        # Where trio is a guest of asyncio, that loop is at work, too.
        outer = asyncio._get_running_loop()  # noqa: SLF001 -- see above
        if outer is not None:
            asyncio._set_running_loop(None)  # noqa: SLF001 -- see above
        library, sniffio.thread_local.name = sniffio.thread_local.name, "asyncio"
        try:
            self.loop.run_slice()
        except BaseException as exc:
            # SystemExit or KeyboardInterrupt, which asyncio lets out. What a task raised is that task's, too.
            if not _left_a_task(exc.__traceback__):
                raise
        finally:
            sniffio.thread_local.name = library
            if outer is not None:
                asyncio._set_running_loop(outer)  # noqa: SLF001 -- see above
            self._settle()

    def _settle(self) -> None:
        """A slice has ended."""
        if self._state is RUNNING:
            self._state = RESTING
            self.loop.rest()
            self._wake()
        elif self._state is RESTING and self._alarm is not None and self._alarm.deadline != self._due:
            self._alarm.deadline = self._due

    # --- trio's tasks ---

    @trio.lowlevel.enable_ki_protection
    async def _live(self) -> None:
        """Holds the other tasks, and shuts asyncio down."""
        try:
            async with trio.open_nursery() as nursery:
                shields = [trio.CancelScope(shield=True) for _ in range(2)]
                nursery.start_soon(self._turn, shields[0], name="anyiostream asyncio timers")
                nursery.start_soon(self._watch, shields[1], name="anyiostream asyncio I/O")
                try:
                    await self._ends.wait()
                finally:
                    self._ends.set()
                    try:
                        with trio.CancelScope(shield=True):
                            await self._shut_down()
                    finally:
                        for shield in shields:
                            shield.cancel()
        finally:
            self._state = CLOSED
            with contextlib.suppress(KeyError):
                trio.lowlevel.remove_instrument(self)
            self.loop.close()
            self._ended.set()
            if self._failure is not None:
                raise self._failure

    @trio.lowlevel.enable_ki_protection
    async def _turn(self, shield: trio.CancelScope) -> None:
        """Makes trio's loop come round: at once if there is something to do, else when the alarm is due."""
        with shield:
            while True:
                with trio.CancelScope(deadline=self._due if self._state is RESTING else INF) as self._alarm:
                    while True:
                        if self._state is RESTING:
                            self._turner = trio.lowlevel.current_task()
                            await trio.lowlevel.wait_task_rescheduled(self._abort)
                            continue
                        self._is_served = False
                        await trio.lowlevel.checkpoint()
                        if not self._is_served:
                            # An interrupt that trio does not defer may have hit the hook, so that it has been dropped.
                            trio.lowlevel.add_instrument(self)
                # The alarm has gone off: the hook saw it a moment too early, or is not there.
                self._wake()

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._turner = None
        return trio.lowlevel.Abort.SUCCEEDED

    @trio.lowlevel.enable_ki_protection
    async def _watch(self, shield: trio.CancelScope) -> None:
        """Notices what happens on asyncio's descriptors while trio has work to do."""
        with shield:
            while True:
                await trio.lowlevel.wait_readable(self._selector.fileno())
                # A slice may have got there first.
                if self._selector.look():
                    self._wake()

    @trio.lowlevel.enable_ki_protection
    async def _shut_down(self) -> None:
        done = trio.Event()
        task = self.loop.create_task(end_everything(self.loop), name="anyiostream asyncio shutdown", context=Context())
        task.add_done_callback(lambda _: done.set())
        await done.wait()
        task.result()


def _left_a_task(traceback: TracebackType | None) -> bool:
    """Whether an exception that left the loop has left a coroutine before, rather than a bare callback."""
    while traceback is not None:
        if traceback.tb_frame.f_code.co_flags & inspect.CO_COROUTINE:
            return True
        traceback = traceback.tb_next
    return False
