"""`SyncDriver`: what steps the pump of a run on the sync lane.

Rules:

- Whoever needs an item that is not there yet steps the pump until it is.
- Where the run is stalled because another channel is full, only the caller itself could empty that channel, so the
  deadlock is certain and raises at once.
- Threads may take turns. Whoever steps the pump, or takes an item, does so inside the run's context, which only one
  caller at a time can enter. If another thread is inside, the second is refused, and nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from anyiostream.channels.buffer import EMPTY, Buffer
from anyiostream.channels.latch import Awaited
from anyiostream.channels.producer import Producer, current_producer
from anyiostream.driver.context_entry import entry_refused, occupied
from anyiostream.errors import BackpressureDeadlock
from anyiostream.outcome import Outcome
from anyiostream.pump import Pump
from anyiostream.step import NEEDS_ROOM, Step

__all__ = ["SyncDriver"]

T = TypeVar("T")
A = TypeVar("A", bound=Awaited)


class SyncDriver:
    """Steps the pump of one run for its readers. A base of the run: readers ask it for each item.

    Attributes:
        context: Where hooks run.
        pump: The pump.
        take: `take_inside`, called inside the run's context.
    """

    def __init__(self, make_pump: Callable[[Producer], Pump]) -> None:
        """Make the pump, whose events put as one producer."""
        producer = Producer("a hook", self, bounded=False)
        self.context = copy_context()
        self.context.run(current_producer.set, producer)
        self.pump = make_pump(producer)
        self._advance = self.pump.advance
        self._take = self.pump.take_for
        self._step: Callable[[Awaited], Step] = partial(self.context.run, self._advance)  # type: ignore[call-arg]
        self.take: Callable[[Buffer[Any]], Any] = partial(self.context.run, self.take_inside)  # type: ignore[arg-type]  # with it, it takes no more

    def is_inside(self) -> bool:
        """Whether the caller is a hook, or the graph, of this run."""
        producer = current_producer.get(None)
        return producer is not None and producer.home is self

    def deliver(self, outcome: Outcome) -> BaseException:
        """The exception for a reader."""
        return self.pump.deliver(outcome)

    def drive(self, target: Awaited) -> None:
        """As `advance`, if `target` is not ready yet."""
        if not target.ready:
            self.advance(target)

    def advance(self, target: Awaited) -> None:
        """Step the pump until `target`, which is not ready, is, or nothing more can happen.

        Raises:
            RunWaitsForItself: A hook of this run wants it.
            RunBusy: Another thread runs the graph.
            BackpressureDeadlock: The run is stalled by a full channel.
        """
        # As `use` of `advance_inside`, without these calls: 6 % off a token, and then 2 % of its opcodes.
        try:
            step = self._step(target)
        except RuntimeError as exc:
            if not entry_refused(exc):
                raise
        else:
            if step is NEEDS_ROOM:
                raise self._deadlock(target)
            return
        self.refused(self.advance_inside, target)

    def use(self, call: Callable[[A], T], target: A) -> T:
        """`call(target)` inside the run's context.

        Raises:
            As `advance`, and whatever the call raises.
        """
        try:
            return self.context.run(call, target)
        except RuntimeError as exc:
            if not entry_refused(exc):
                raise
        return self.refused(call, target)

    def refused(self, call: Callable[[A], T], target: A) -> T:
        """What comes of `call(target)` when the run's context is entered already.

        Raises:
            As `advance`.
        """
        if target.ready and self.is_inside():
            # Code inside the run may take what is there.
            return call(target)
        raise occupied(self, target.name)

    def advance_inside(self, target: Awaited) -> None:
        """As `advance`, inside the run's context."""
        if self._advance(target) is NEEDS_ROOM:
            raise self._deadlock(target)

    def take_inside(self, buffer: Buffer[T]) -> T:
        """The next item of `buffer`, or `EMPTY` at its end, inside the run's context; steps the pump until it is there.

        Raises:
            BackpressureDeadlock: The run is stalled by a full channel.
        """
        if not buffer.ready:
            if buffer.feeder is not None:
                # The item need not go by way of the buffer: a quarter of the opcodes of a snapshot.
                take = self._take
                item = take(buffer)
                if item is not EMPTY:
                    return item  # type: ignore[no-any-return]  # parts have no types
            # As advance_inside, without the call.
            advance = self._advance  # a call through `self` takes longer, as in `Queue.put`
            if advance(buffer) is NEEDS_ROOM:
                raise self._deadlock(buffer)
        return buffer.take()

    def _deadlock(self, target: Awaited) -> BackpressureDeadlock:
        full = next(buffer for buffer in self.pump.producer.full if buffer.waiting)
        return full.deadlock(target.name, "tee")
