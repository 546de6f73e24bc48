"""What one reader has still to read, as its producers see it: a bound, a line of those who wait, and an end.

Rules:

- A reader's unread items are at most `maxlen`. What does not fit is dropped or refused by the overflow policy, or
  waits (policy `"wait"`) in order at the door, on the account of its producer's outbox.
- Somebody waits at the door only while there is no room.
- Putting wakes the parked reader and leaves the item where it is: the reader takes it itself. An item handed to a
  parked reader would be lost if that reader is cancelled in the same turn of the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, cast, final

import attrs

from anyiostream.channels.outbox import Outbox, current_outbox
from anyiostream.channels.raising import Recorded
from anyiostream.errors import BackpressureDeadlock, ChannelFull

__all__ = ["EMPTY", "GOOD_END", "Ended", "Home", "Overflow", "Unread", "Wakeable"]

T = TypeVar("T")

Overflow = Literal["wait", "drop_oldest", "drop_newest", "fail"]
"""What a push to a full channel does: wait in the outbox, drop an item (and count it), or raise `ChannelFull`."""


class Wakeable(Protocol):
    """A reader that is parked."""

    def wake(self) -> None:
        """Let it look again. Safe to call twice."""


class Home(Protocol):
    """What the unread items of a reader need of the run that they belong to."""

    @property
    def application_outbox(self) -> Outbox:
        """The outbox of pushes that come neither from a hook nor from a scheduled task."""
        ...

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception to raise for a reader, who has received it with that."""
        ...


@final
@attrs.frozen(eq=False)
class Ended:
    """How a stream ended: `error` is `None` if it just came to its end."""

    error: Recorded | None = None

    @classmethod
    def by(cls, error: BaseException | None) -> Ended:
        """The end that `error` brought, or a good one."""
        return GOOD_END if error is None else cls(Recorded.of(error))


GOOD_END = Ended()
"""The end of a stream that just came to its end."""


TICKET: Final[Any] = object()
"""Waits in the place of an item for a producer that needs room in several places at once."""

EMPTY: Final[Any] = object()
"""Stands where there is no item."""


@attrs.define(eq=False)
class Unread(ABC, Generic[T]):
    """The unread items of one reader, and the end after them.

    Attributes:
        name: What it is called in messages.
        maxlen: Bound, in items; `math.inf` for none.
        overflow: What happens to an item that does not fit.
        home: The run.
        dropped: Items dropped by the overflow policy.
        waits: Items that had to wait for room.
        reader: The task that last advanced it, or `None`.
        ended: The end, once it is known. There may still be items before it.
        left: Whether the reader is gone for good.
        parked: The reader that waits, and has not been woken yet.
        line: What waits for room, with the accounts of the producers, or `None`.
    """

    name: str
    maxlen: float
    overflow: Overflow
    home: Home
    dropped: int = attrs.field(default=0, init=False)
    waits: int = attrs.field(default=0, init=False)
    reader: object = attrs.field(default=None, init=False)
    ended: Ended | None = attrs.field(default=None, init=False)
    left: bool = attrs.field(default=False, init=False)
    parked: Wakeable | None = attrs.field(default=None, init=False)
    _end_steps: int = attrs.field(default=0, init=False)
    line: deque[tuple[T, Outbox]] | None = attrs.field(default=None, init=False)

    @property
    @abstractmethod
    def ready(self) -> int:
        """Steps that the reader can take without waiting: one per item, and one more once the end is known."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Items that the reader can take without waiting."""

    @property
    @abstractmethod
    def peak(self) -> int:
        """The most items that there were at once."""

    # --- the producer's end ---

    @abstractmethod
    def put(self, item: T) -> None:
        """Add an item and wake the reader. Never waits.

        Raises:
            ChannelFull: The overflow policy is `"fail"`, or a bounded producer has as many items waiting as fit.
        """

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether an item put now would fit, or be dropped, at once."""

    def put_waiting(self, item: T, outbox: Outbox) -> None:
        """Add an item for a producer that can wait: if it does not fit, it waits on `outbox`, whatever its bound."""
        if self.has_room:
            self.put(item)
        else:
            self.line_up(item, outbox)

    def await_room(self, outbox: Outbox) -> None:
        """Settle `outbox` when what waits before it has found its place and there is room for one more."""
        self.line_up(cast("T", TICKET), outbox)

    def line_up(self, item: T, outbox: Outbox) -> None:
        """Let an item wait until there is room."""
        if self.line is None:
            self.line = deque()
        self.line.append((item, outbox))
        self.waits += 1
        outbox.spilled(self)

    def withdraw(self, outbox: Outbox) -> None:
        """Take back what waits on `outbox`: its producer was cancelled."""
        if self.line is not None:
            kept = deque(entry for entry in self.line if entry[1] is not outbox)
            withdrawn = len(self.line) - len(kept)
            self.line = kept or None
            if withdrawn:
                outbox.settled(withdrawn)

    def outbox_of_producer(self) -> Outbox:
        """Whose account an item goes on that is put now and has to wait.

        Raises:
            ChannelFull: As `put`.
        """
        outbox = current_outbox.get(None)
        if outbox is None or outbox.home is not self.home:
            outbox = self.home.application_outbox
        if self.overflow == "fail" or (outbox.bounded and outbox.pending >= self.maxlen):
            raise ChannelFull(self.name, self.maxlen, waiting=outbox.pending)
        return outbox

    @abstractmethod
    def end(self, ended: Ended) -> None:
        """No more items will come. What is there, or waits at the door, is still read first."""

    def wake(self) -> None:
        """Let the parked reader, if any, look again."""
        parked = self.parked
        if parked is not None:
            self.parked = None
            parked.wake()

    @property
    def waiting(self) -> int:
        """Items that wait for room, on the account of their producers."""
        return len(self.line) if self.line else 0

    # --- the reader's end ---

    @abstractmethod
    def take(self) -> T:
        """The next item; `EMPTY` if there is none."""

    def refill(self) -> None:
        """The reader has taken an item: let in whoever is first in the line, which is not empty."""
        assert self.line
        item, outbox = self.line.popleft()
        if not self.line:
            self.line = None
        given_up = outbox.given_up()
        if item is not TICKET and not given_up:
            self._admit(item, outbox)
        outbox.settled()
        if self.line and (given_up or item is TICKET):
            # The room is for what comes next; whoever waited for it looks again.
            self.refill()

    def park(self, reader: Wakeable) -> None:
        """`reader` waits for the next step."""
        self.parked = reader

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        if self.parked is reader:
            self.parked = None

    def discard(self) -> int:
        """Forget all items and free the memory; the number of items forgotten. Their producers go on."""
        forgotten = self.depth + self.waiting
        self._forget()
        line, self.line = self.line, None
        for _, outbox in line or ():
            outbox.settled()
        return forgotten

    def leave(self) -> None:
        """The reader is gone for good. Idempotent; puts after this are ignored by the channel."""
        if not self.left:
            self.left = True
            self.parked = None
            self.discard()

    def deadlock(self, waits_for: str, fan_out: str) -> BackpressureDeadlock:
        """The exception for the reader, when it waits for something else of the stalled run."""
        return BackpressureDeadlock(full=self.name, maxlen=self.maxlen, waits_for=waits_for, fan_out=fan_out)

    # --- the rare paths ---

    @abstractmethod
    def _forget(self) -> None:
        """Forget what is there."""

    @abstractmethod
    def _admit(self, item: T, outbox: Outbox) -> None:
        """Add an item that has waited: there is room."""
