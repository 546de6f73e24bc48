"""`DeltaLog`: what one message or tool call has produced so far, for any number of readers.

Rules:

- Every cursor starts at the first delta, whenever it is opened. The log keeps its deltas as long as it is
  referenced; they are not bounded by a channel's `maxlen`.
- It ends once; each cursor gets all deltas first, and then the end, or the error.
"""

from __future__ import annotations

from typing import Generic, Self, TypeVar, final

import attrs

from anyiostream.channels.latch import Wakeable
from anyiostream.channels.port import AsyncPort, Port, SyncPort, on_async_lane, on_sync_lane, wrong_loop
from anyiostream.errors import WrongLane
from anyiostream.outcome import Outcome

__all__ = ["AsyncDeltaCursor", "DeltaCursor", "DeltaLog", "await_end", "wait_for_end"]

T = TypeVar("T")


@final
@attrs.define(eq=False)
class DeltaLog(Generic[T]):
    """Deltas in order, and the end after them.

    Attributes:
        name: What it is called in messages.
        items: The deltas so far.
        outcome: How it ended, once that is known. After an abort, iteration just ends, and waiting for the end raises.
        parked: The readers that wait, or `None`.
    """

    name: str
    items: list[T] = attrs.field(factory=list)
    outcome: Outcome | None = None
    parked: dict[Wakeable, None] | None = None

    def push(self, item: T) -> None:
        """Add a delta and wake the readers that wait for it."""
        self.items.append(item)
        if self.parked is not None:
            self.wake()

    def end(self, outcome: Outcome) -> None:
        """No more will come. The first end counts."""
        if self.outcome is None:
            self.outcome = outcome
            self.wake()

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` at the next delta, or at the end."""
        if self.parked is None:
            self.parked = {}
        self.parked[reader] = None

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        if self.parked is not None:
            self.parked.pop(reader, None)

    def wake(self) -> None:
        """Wake the readers that wait: `items` or `outcome` has changed."""
        parked, self.parked = self.parked, None
        for reader in parked or ():
            reader.wake()


@final
class AtEnd:
    """Waiting for a log's end."""

    __slots__ = ("_log",)

    def __init__(self, log: DeltaLog[T]) -> None:
        self._log = log

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._log.name

    @property
    def ready(self) -> int:
        """Whether the log has ended."""
        return self._log.outcome is not None

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` whenever the log changes."""
        self._log.park(reader)

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        self._log.unpark(reader)


class DeltaPosition(Generic[T]):
    """One reader's position in a log, and its wait for the next delta: the common part of both lanes' cursors."""

    __slots__ = ("_index", "_log")

    def __init__(self, log: DeltaLog[T]) -> None:
        self._log = log
        self._index = 0

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._log.name

    @property
    def ready(self) -> int:
        """Whether there is something to take."""
        return len(self._log.items) > self._index or self._log.outcome is not None

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` at the next delta."""
        self._log.park(reader)

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        self._log.unpark(reader)


@final
class DeltaCursor(DeltaPosition[T]):
    """Reads a log on the sync lane, from its first delta."""

    __slots__ = ("_run",)

    def __init__(self, run: Port, log: DeltaLog[T]) -> None:
        if not on_sync_lane(run):
            raise wrong_loop(run, log.name)
        super().__init__(log)
        self._run: SyncPort = run

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> T:
        """The next delta, running the graph as far as needed.

        Raises:
            StopIteration: The log has ended.
            BaseException: The error that ended it.
        """
        log, index = self._log, self._index
        items = log.items
        if len(items) <= index and log.outcome is None:
            self._run.advance(self)
        try:
            item = items[index]  # to look at the length again takes 4 opcodes of 340 more for a token
        except IndexError:
            pass
        else:
            self._index = index + 1
            return item
        if log.outcome is not None and log.outcome.raises:
            raise self._run.deliver(log.outcome)
        raise StopIteration


@final
class AsyncDeltaCursor(DeltaPosition[T]):
    """Reads a log on the async lane, from its first delta."""

    __slots__ = ("_is_outside", "_run")

    def __init__(self, run: Port, log: DeltaLog[T]) -> None:
        if not on_async_lane(run):
            raise wrong_loop(run, log.name)
        super().__init__(log)
        self._run: AsyncPort = run
        self._is_outside = False

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> T:
        """The next delta, running the graph as far as needed. If cancelled, nothing is lost.

        Raises:
            StopAsyncIteration: The log has ended.
            BaseException: The error that ended it.
        """
        log, index, run = self._log, self._index, self._run
        items = log.items
        if len(items) <= index and log.outcome is None:
            if not self._is_outside:
                run.refuse_inside(log.name)
                self._is_outside = True
            step = run.advance(self)
            if step is not None:
                await run.wait_for(self, step)
        else:
            if run.pause_at <= run.pump.parts:
                await run.checkpoint()
            run.pause_at -= 1
        try:
            item = items[index]  # as above
        except IndexError:
            pass
        else:
            self._index = index + 1
            return item
        if log.outcome is not None and log.outcome.raises:
            raise run.deliver(log.outcome)
        raise StopAsyncIteration


def wait_for_end(run: Port, log: DeltaLog[T]) -> None:
    """Run the graph on the sync lane until the log has ended, and raise its error if it has one."""
    if not on_sync_lane(run):
        raise WrongLane(log.name, "async", "await it instead.")
    if log.outcome is None:
        run.drive(AtEnd(log))
    _raise_error(run, log)


async def await_end(run: Port, log: DeltaLog[T]) -> None:
    """Run the graph on the async lane until the log has ended, and raise its error if it has one."""
    if not on_async_lane(run):
        raise WrongLane(log.name, "sync", "read it without await.")
    if log.outcome is None:
        await run.until(AtEnd(log))
    _raise_error(run, log)


def _raise_error(run: Port, log: DeltaLog[T]) -> None:
    if log.outcome is not None and log.outcome.error is not None:
        raise run.deliver(log.outcome)
