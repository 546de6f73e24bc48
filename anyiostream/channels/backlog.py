"""`Backlog`: the first items of a subgraph's channel, kept for a reader that is to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, final

from anyiostream.channels.unread import Overflow

__all__ = ["Backlog"]

T = TypeVar("T")


@final
class Backlog(Generic[T]):
    """What has been pushed since the channel was made, up to its bound.

    Attributes:
        items: The items, each with a stamp that tells when it came.
        dropped: Items dropped by the overflow policy.
        missed: Items that there were, once they have been too many for a policy that drops none. Nothing is kept then.
    """

    __slots__ = ("_bound", "_overflow", "_stamp", "dropped", "items", "missed")

    def __init__(self, stamp: Callable[[], int], bound: float, overflow: Overflow) -> None:
        """Keep nothing yet.

        Args:
            stamp: Gives a number that rises with each call.
            bound: The most items to keep.
            overflow: The channel's policy. Nobody can wait for a reader that may never come: `"wait"` does not.
        """
        self._stamp = stamp
        self._bound = bound
        self._overflow = overflow
        self.items: deque[tuple[int, T]] = deque()
        self.dropped = 0
        self.missed = 0

    def __len__(self) -> int:
        return len(self.items)

    def keep(self, item: T) -> None:
        """Add an item, or give up."""
        if self.missed:
            self.missed += 1
        elif len(self.items) < self._bound:
            self.items.append((self._stamp(), item))
        elif self._overflow in {"drop_oldest", "drop_newest"}:
            self.dropped += 1
            if self._overflow == "drop_oldest":
                self.items.popleft()
                self.items.append((self._stamp(), item))
        else:
            self._give_up(len(self.items) + 1)

    def restore(self, kept: Iterable[tuple[int, T]], missed: int) -> None:
        """What would have been kept until now, with its stamps; or how many items that was, if they were too many."""
        self.items.extend(kept)
        if missed:
            self._give_up(missed)

    def _give_up(self, missed: int) -> None:
        self.missed = missed
        self.items.clear()
