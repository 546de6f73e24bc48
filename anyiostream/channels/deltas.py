"""`DeltaLog`: what one message or tool call has produced so far, for any number of readers.

Rules:

- Every cursor starts at the first delta, whenever it is opened. The log keeps its deltas as long as somebody holds it;
  they are not bounded by a channel's `maxlen`.
- It ends once; each cursor gets all deltas first, and then the end, or the error.
"""

from __future__ import annotations

from typing import Any, Generic, Protocol, Self, TypeVar, final

import attrs

from anyiostream.channels.latch import Awaited
from anyiostream.channels.raising import Recorded
from anyiostream.channels.unread import Ended, Wakeable
from anyiostream.errors import WrongLane

__all__ = ["AsyncDeltaCursor", "DeltaCursor", "DeltaLog", "ReaderPort"]

T = TypeVar("T")


class ReaderPort(Protocol):
    """What readers inside projections need of the run."""

    budget: int
    """How many more items a reader may take without suspending."""

    @property
    def is_async(self) -> bool:
        """Whether it is the async lane."""
        ...

    async def until(self, target: Awaited) -> None:
        """Run the graph until `target` is ready, on the async lane."""

    def advance(self, target: Awaited) -> Any:
        """Run the graph until `target`, which is not ready, is; on the async lane, or else what `wait_for` wants."""

    def refuse_inside(self, what: str) -> None:
        """Raise `RunWaitsForItself` if the caller is a hook, scheduled work, or the graph, of this run."""

    async def wait_for(self, target: Awaited, step: Any) -> object:
        """Wait until `target` is ready, after `advance`."""

    async def checkpoint(self) -> None:
        """Let other tasks run."""

    def drive(self, target: Awaited) -> None:
        """Run the graph until `target` is ready, on the sync lane."""

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception to raise for a reader."""
        ...


@final
@attrs.define(eq=False)
class DeltaLog(Generic[T]):
    """Deltas in order, and the end after them.

    Attributes:
        name: What it is called in messages.
        items: The deltas so far.
        ended: The end, once it is known.
        aborted: What waiting for the end raises although iteration just ends: the run was aborted.
        parked: The readers that wait, or `None`.
    """

    name: str
    items: list[T] = attrs.field(factory=list)
    ended: Ended | None = None
    aborted: Ended | None = None
    parked: dict[Wakeable, None] | None = None

    def push(self, item: T) -> None:
        """Add a delta and wake those who wait for it."""
        self.items.append(item)
        if self.parked is not None:
            self.wake()

    def end(self, ended: Ended) -> None:
        """No more will come. The first end counts."""
        if self.ended is None:
            self.ended = ended
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
        """Let those who wait look again: `items` has changed, or `ended`."""
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
        return self._log.ended is not None

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` whenever the log changes."""
        self._log.park(reader)

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        self._log.unpark(reader)


class DeltaPosition(Generic[T]):
    """How far one reader has come in a log, and its wait for what comes next: what both lanes' cursors are."""

    __slots__ = ("_index", "_log", "_run")

    def __init__(self, run: ReaderPort, log: DeltaLog[T]) -> None:
        self._run = run
        self._log = log
        self._index = 0

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._log.name

    @property
    def ready(self) -> int:
        """Whether there is something to take."""
        return len(self._log.items) > self._index or self._log.ended is not None

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` at the next delta."""
        self._log.park(reader)

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        self._log.unpark(reader)


@final
class DeltaCursor(DeltaPosition[T]):
    """Reads a log on the sync lane, from its first delta."""

    __slots__ = ()

    def __init__(self, run: ReaderPort, log: DeltaLog[T]) -> None:
        if run.is_async:
            raise WrongLane(log.name, "async", "use 'async for' instead.")
        super().__init__(run, log)

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
        if len(log.items) <= index and log.ended is None:
            self._run.advance(self)
        if len(log.items) > index:
            self._index = index + 1
            return log.items[index]
        if log.ended is not None and log.ended.error is not None:
            raise self._run.deliver(log.ended.error)
        raise StopIteration


@final
class AsyncDeltaCursor(DeltaPosition[T]):
    """Reads a log on the async lane, from its first delta."""

    __slots__ = ("_is_outside",)

    def __init__(self, run: ReaderPort, log: DeltaLog[T]) -> None:
        if not run.is_async:
            raise WrongLane(log.name, "sync", "use 'for' instead.")
        super().__init__(run, log)
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
        if len(items) <= index and log.ended is None:
            if not self._is_outside:
                run.refuse_inside(log.name)
                self._is_outside = True
            step = run.advance(self)
            if step is not None:
                await run.wait_for(self, step)
        elif run.budget > 0:
            run.budget -= 1
        else:
            await run.checkpoint()
            run.budget -= 1
        if len(items) > index:
            self._index = index + 1
            return items[index]
        if log.ended is not None and log.ended.error is not None:
            raise run.deliver(log.ended.error)
        raise StopAsyncIteration


def wait_for_end(run: ReaderPort, log: DeltaLog[T]) -> None:
    """Run the graph on the sync lane until the log has ended, and raise its error if it has one."""
    if run.is_async:
        raise WrongLane(log.name, "async", "await it instead.")
    if log.ended is None:
        run.drive(AtEnd(log))
    _raise_error(run, log)


async def await_end(run: ReaderPort, log: DeltaLog[T]) -> None:
    """Run the graph on the async lane until the log has ended, and raise its error if it has one."""
    if not run.is_async:
        raise WrongLane(log.name, "sync", "read it without await.")
    if log.ended is None:
        await run.until(AtEnd(log))
    _raise_error(run, log)


def _raise_error(run: ReaderPort, log: DeltaLog[T]) -> None:
    ended = log.aborted or log.ended
    if ended is not None and ended.error is not None:
        raise run.deliver(ended.error)
