"""`Backlog`: the first items of a subgraph's channel, kept for a reader that is still to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, final

from anyiostream.channels.branches import storages
from anyiostream.channels.buffer import Buffer
from anyiostream.channels.overflow import Policy
from anyiostream.channels.producer import Home, Producer

__all__ = ["Backlog"]

T = TypeVar("T")


@final
class Backlog(Generic[T]):
    """What has been pushed since the channel was made, up to its bound.

    Nothing can wait for a reader that may never come. So if the policy drops nothing, the first item that does not fit
        makes the backlog discard all of them: the reader is told how many it has missed, instead of getting only some.

    Attributes:
        items: The items, each with a stamp that tells when it came.
        dropped: Items dropped by the overflow policy.
        missed: How many items there were when all were discarded; 0 if they were not.
    """

    __slots__ = ("_bound", "_policy", "_stamp", "dropped", "items", "missed")

    def __init__(self, stamp: Callable[[], int], bound: float, policy: Policy) -> None:
        """Keep nothing yet.

        Args:
            stamp: Gives a number that rises with each call.
            bound: The most items to keep.
            policy: The channel's.
        """
        self._stamp = stamp
        self._bound = bound
        self._policy = policy
        self.items: deque[tuple[int, T]] = deque()
        self.dropped = 0
        self.missed = 0

    def __len__(self) -> int:
        return len(self.items)

    def keep(self, item: T) -> None:
        """Add an item, or discard all of them."""
        make_room = self._policy.make_room
        if self.missed:
            self.missed += 1
        elif len(self.items) < self._bound or (make_room is not None and make_room(self)):
            self.items.append((self._stamp(), item))
        elif make_room is None:
            self._give_up(len(self.items) + 1)
        else:
            self.dropped += 1

    def drop_oldest(self) -> None:
        """Drop the first item, and count it."""
        self.dropped += 1
        self.items.popleft()

    def pour(self, buffers: tuple[Buffer[T], ...], home: Home) -> None:
        """Put the items into the buffers of the reader, or of the branches, that have come; what does not fit waits."""
        if not self.items:
            return
        producer = Producer("the backlog", home, bounded=False)
        for _, item in self.items:
            for each in storages(buffers):
                each.put_waiting(item, producer)

    def restore(self, kept: Iterable[tuple[int, T]], missed: int) -> None:
        """Add what would have been kept until now, with its stamps; or give up, if `missed` items were too many."""
        self.items.extend(kept)
        if missed:
            self._give_up(missed)

    def _give_up(self, missed: int) -> None:
        self.missed = missed
        self.items.clear()
