"""The branches of a tee: readers that share one log of items, each at its own position.

Rules:

- An item is stored once and is freed when the slowest branch has passed it. The log is a chain of links; each branch
  holds the link that it reads next, and the log itself only the last one, which is still empty.
- To put an item is to fill the last link, whatever the number of branches. The branches are looked at only if one is
  parked, if the item might not fit into one of them, or if it might make one fuller than any has been before.
- An item that does not fit at one branch is nevertheless in the log, as others may read it at once; at that branch a
  marker waits in its place. Where only one branch is left, the item itself waits, so that it can be withdrawn.
- Policies that drop items drop them at each branch separately; their branches have queues of their own (`buffer.py`).
"""

from __future__ import annotations

import math
from typing import Any, Final, Generic, TypeVar, cast, final

import attrs

from anyiostream.channels.buffer import EMPTY, Buffer, Queue
from anyiostream.channels.latch import Wakeable
from anyiostream.channels.overflow import Policy
from anyiostream.channels.producer import Home, Producer
from anyiostream.outcome import Outcome

__all__ = ["Branch", "SharedLog", "open_buffers", "storages"]

T = TypeVar("T")

LOGGED: Final[Any] = object()
"""Waits at a full branch in place of an item that is in the log already."""

Link = list[Any]
"""[item, next link, number of links before it]; the next link is `None` as long as there is no item.

A list, because one is made for each item, and an object with named attributes takes three times as long to make.
"""


@final
@attrs.define(eq=False)
class SharedLog(Generic[T]):
    """The items that at least one branch has not read.

    Attributes:
        maxlen: How many items fit, for each branch.
        branches: The branches that have not left.
        peak: The most items that any branch had unread at once.
        parked: Whether a branch may be parked.
        last: The link that the next item goes to.
    """

    maxlen: float
    branches: tuple[Branch[T], ...] = attrs.field(default=(), init=False)
    peak: int = attrs.field(default=0, init=False)
    parked: bool = attrs.field(default=False, init=False)
    last: Link = attrs.field(factory=lambda: [EMPTY, None, 0], init=False)
    # An item with fewer links before it fits at every branch and makes no new peak: `put` looks no further.
    _fits_below: int = attrs.field(default=0, init=False)

    def branch_off(self, count: int, name: str, policy: Policy, home: Home) -> tuple[Branch[T], ...]:
        """Create the branches. Called once."""
        self.branches = tuple(Branch(name, self.maxlen, policy, home, self) for _ in range(count))
        return self.branches

    def put(self, item: T) -> None:
        """Add an item and wake the branches. Never waits.

        Raises:
            ChannelFull: As `Buffer.put`; no branch has got the item then.
        """
        last = self.last
        before: int = last[2]
        if before < self._fits_below:
            last[0] = item
            # In one statement, as an interrupt may come between any two: a branch that follows the chain always
            # arrives at the link that the next item goes to.
            self.last = last[1] = [EMPTY, None, before + 1]
            if self.parked:
                self._wake()
        else:
            self.put_waiting(item)

    def put_waiting(self, item: T, producer: Producer | None = None) -> None:
        """As `put`; if `producer` is given, it can wait and is never refused."""
        full = [branch for branch in self.branches if not branch.has_room]
        if full and producer is None:
            producer = full[0].producer_in_line()
        if not full or len(self.branches) > 1:
            self.add(item)
            item = cast("T", LOGGED)
        for branch in full:
            assert producer is not None
            branch.line_up(item, producer)
        self.measure()

    def add(self, item: T) -> None:
        """Add an item for which there is room, or which waits."""
        self.last[0] = item
        self.last[1] = self.last = [EMPTY, None, self.last[2] + 1]
        if self.parked:
            self._wake()

    def measure(self) -> None:
        """See how far behind the slowest branch is."""
        slowest = min((branch.place for branch in self.branches), default=self.last[2])
        self.peak = max(self.peak, min(self.last[2] - slowest, cast("int", self.maxlen)))
        # As many items as there have been at once fit again, at the slowest branch as well.
        self._fits_below = slowest + self.peak

    def left_by(self, branch: Branch[T]) -> None:
        """A branch has left."""
        self.branches = tuple(other for other in self.branches if other is not branch)

    def _wake(self) -> None:
        self.parked = False
        for branch in self.branches:
            branch.wake()


@final
@attrs.define(eq=False)
class Branch(Buffer[T], Generic[T]):
    """What one branch of a tee has still to read.

    Attributes:
        log: Where the items are.
        next: The link that its reader takes next.
    """

    log: SharedLog[T]
    next: Link = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with what is put next."""
        self.next = self.log.last

    @property
    def place(self) -> int:
        """How many items of the log it has passed."""
        passed: int = self.next[2]
        return passed

    @property
    def ready(self) -> int:
        """Whether the reader can take a step without waiting; `depth` counts."""
        return self._end_steps if self.next[1] is None else 1

    @property
    def depth(self) -> int:
        """Items of the log that it has not passed, up to its bound."""
        if self.left:
            return 0
        unread: int = self.log.last[2] - self.next[2]
        return unread if unread <= self.maxlen else cast("int", self.maxlen)

    @property
    def peak(self) -> int:
        """The most items that any branch of the tee had unread at once."""
        return self.log.peak

    def put(self, item: T) -> None:
        """Add an item for all branches. Never waits.

        Raises:
            ChannelFull: As `SharedLog.put`.
        """
        self.log.put(item)

    @property
    def has_room(self) -> bool:
        """Whether an item put now would fit at once."""
        return self.left or self.log.last[2] - self.next[2] < self.maxlen

    def end(self, outcome: Outcome) -> None:
        """No more items will come. The items in the log, or in line, are still read first."""
        if self.outcome is None:
            self.outcome = outcome
            self._end_steps = 1
            self.wake()

    def take(self) -> T:
        """The next item; `EMPTY` if there is none."""
        item: T
        item, following, _ = self.next
        if following is None:
            return EMPTY  # type: ignore[no-any-return]  # it is of any type
        self.next = following
        if self.line:
            self.refill()
        return item

    def park(self, reader: Wakeable) -> None:
        """`reader` waits for the next step."""
        self.parked = reader
        self.log.parked = True

    def leave(self) -> None:
        """The reader is gone for good. Idempotent."""
        super().leave()
        self.log.left_by(self)

    def _forget(self) -> None:
        # The chain hangs on the links that branches hold. A branch that has left counts as past whatever may come.
        self.next = [EMPTY, None, math.inf] if self.left else self.log.last

    def _admit(self, item: T, producer: Producer) -> None:  # noqa: ARG002 -- branches have no watcher
        if item is not LOGGED:
            self.log.add(item)
            self.log.measure()


def open_buffers(count: int, name: str, maxlen: float, policy: Policy, home: Home) -> tuple[Buffer[Any], ...]:
    """The buffers of `count` readers that all get every item: branches of one log, unless the policy drops items."""
    if count > 1 and policy.make_room is None:
        return SharedLog[Any](maxlen).branch_off(count, name, policy, home)
    return tuple([Queue(name, maxlen, policy, home) for _ in range(count)])


def storages(buffers: tuple[Buffer[T], ...]) -> tuple[Buffer[T] | SharedLog[T], ...]:
    """Where items are put for these readers: in the log that they share, or in the queue of each."""
    first = buffers[0] if buffers else None
    return (first.log,) if isinstance(first, Branch) else buffers
