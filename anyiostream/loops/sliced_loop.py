"""`SlicedLoop`: asyncio's event loop, run in slices by another one.

A *slice* is one `run_forever()` that runs what is ready and comes back in place of waiting. asyncio's loop asks its
selector for events once a turn, and tells it how long it may wait. Ours never waits. Asked to, it says so to whatever
runs the slices, which calls `loop.stop()`: the turn that has begun is then the last.

Whatever may happen between that moment and the end of the slice (a timer that comes due right then, a finaliser) is
scheduled with `call_soon` or `call_at` like anything else. *At rest*, outside slices, these say so (`wake`). From
another thread or a signal handler it comes by `call_soon_threadsafe`, which makes a descriptor readable. So no wake-up
is lost.

What this relies on although it is not documented; each has a test in `tests/loops/test_relied_on.py`:

- CPython: `select()` is called once per turn, with 0 if anything is ready; a selector may answer nothing at any time,
  and may call `loop.stop()`, which ends the turn's `run_forever()`, after which it may be called again.
- CPython: futures, tasks, `call_later` and transports schedule by the loop's `call_soon` and `call_at`, also if these
  are the instance's own; other threads by `call_soon_threadsafe`, which makes a registered descriptor readable.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import Any, Final, TypeVarTuple, final
from weakref import WeakSet

import trio

from anyiostream.loops.asyncio_loop import current_task_of

__all__ = ["SlicedLoop", "SlicingSelector", "end_everything"]

INF: Final = math.inf

Ts = TypeVarTuple("Ts")

Events = list[tuple[selectors.SelectorKey, int]]


@final
class SlicingSelector(selectors.DefaultSelector):
    """Never waits, and decides when a slice ends."""

    def __init__(self, rest: Callable[[float | None], None], stop: Callable[[], None]) -> None:
        """`rest` is called with the s that asyncio would wait, `stop` when the turn is to be the last for now."""
        super().__init__()
        self._rest = rest
        self._stop = stop
        self._found: Events = []
        self._asks = False
        self._turns = INF
        self._until = INF

    def begin(self, turns: float, until: float) -> None:
        """A slice begins, of so many turns at most, of which none begins later than `until`."""
        self._turns = turns
        self._until = until

    def find(self) -> bool:
        """Whether anything has happened; the slice that follows at once gets the events."""
        self._found = super().select(0)
        return bool(self._found)

    def look(self) -> bool:
        """Whether anything has happened; the next slice asks for the events."""
        self._asks = bool(super().select(0))
        return self._asks

    def select(self, timeout: float | None = None) -> Events:
        """What has happened, without waiting for it."""
        events = self._found
        if events:
            self._found = []
        elif self._asks:
            self._asks = False
            events = super().select(0)
        self._turns -= 1
        if timeout != 0 and not events:
            self._rest(timeout)
        elif self._turns <= 0 or time.perf_counter() > self._until:
            self._stop()
        return events


@final
class SlicedLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with trio's clock."""

    def __init__(self, selector: Any, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._thread = get_ident()
        self.connections: WeakSet[asyncio.BaseTransport] = WeakSet()
        super().__init__(selector)
        self.rest()

    def time(self) -> float:
        """trio's time, in s; in any thread."""
        return self._clock()

    def rest(self) -> None:
        """From now on, wake whatever runs slices when something is scheduled."""
        # In a slice nothing has to be told of it: twenty calls for each superstep of a graph, and 3 % of its time.
        self.call_soon = self._call_soon_at_rest  # type: ignore[method-assign]
        self.call_at = self._call_at_at_rest  # type: ignore[method-assign]

    @trio.lowlevel.enable_ki_protection
    def _call_soon_at_rest(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        self._tell()
        return handle

    @trio.lowlevel.enable_ki_protection
    def _call_at_at_rest(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        self._tell()
        return handle

    def _tell(self) -> None:
        if get_ident() == self._thread:
            self._wake()
        else:
            # Not what other threads may do, but what a finaliser does in whatever thread collects garbage.
            super().call_soon_threadsafe(_nothing)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, but not by way of a socket if a task of this loop makes the call, as LangGraph's tasks do."""
        # Not in a bare callback: a signal handler may call this, and between two turns nobody would look.
        if get_ident() == self._thread and current_task_of(self) is not None:
            return self.call_soon(callback, *args, context=context)
        return super().call_soon_threadsafe(callback, *args, context=context)

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        """As asyncio's; what is still open when the loop ends is closed then, so that its client opens another."""
        transport, protocol = await super().create_connection(*args, **options)
        self.connections.add(transport)
        return transport, protocol

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Not possible.

        Raises:
            NotImplementedError: Always; libraries expect it of loops without signals.
        """
        raise NotImplementedError("signals are trio's in this program: use trio.open_signal_receiver()")

    def is_running(self) -> bool:
        """Whether a slice runs; in other threads, whether what they schedule will be run."""
        if get_ident() == self._thread:
            return super().is_running()
        return not self.is_closed()

    def run_forever(self) -> None:
        """Refused: only trio runs this loop.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(
            "this loop runs as a part of trio's: await host.run(...), of `asyncio_host()`, in a trio task"
        )

    def run_slice(self) -> None:
        """Run what is ready. The loop is at rest before, and afterwards if nothing is left to do."""
        for name in ("call_soon", "call_at"):
            self.__dict__.pop(name, None)
        super().run_forever()


async def end_everything(loop: SlicedLoop) -> None:
    """As `asyncio.run` does at its end; and close connections, of which a client may keep some for the process."""
    left = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for task in left:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            loop.call_exception_handler(
                {"message": "unhandled exception while asyncio was shut down", "exception": error, "task": task}
            )
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
    for transport in loop.connections:
        transport.close()
    await asyncio.sleep(0)  # for what closing has scheduled


def _nothing() -> None:
    return None
