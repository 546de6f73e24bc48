"""`Tally`: the figures of one channel, with what readers that have left did."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, final

import attrs

from anyiostream.channels.backlog import Backlog
from anyiostream.channels.buffer import Buffer
from anyiostream.errors import ItemsDroppedWarning

__all__ = ["Tally"]


@final
@attrs.define(eq=False)
class Tally:
    """Counts over the life of a channel.

    Attributes:
        unread: Items that passed by while there was no subscriber.
        peak: The most items that a reader that has left had buffered at once.
        dropped: Items dropped, or given up, for readers that have left, and in the backlog.
        waits: Items that had to wait for room, for readers that have left.
    """

    unread: int = 0
    peak: int = 0
    dropped: int = 0
    waits: int = 0

    def add(self, buffer: Buffer[Any]) -> None:
        """The reader of `buffer` leaves."""
        self.peak = max(self.peak, buffer.peak)
        self.dropped += buffer.dropped
        self.waits += buffer.waits

    def warn_of_unread(self, label: str, *, stacklevel: int) -> None:
        """Warn a reader that comes after the end if items have passed by."""
        if self.unread:
            warnings.warn(
                f"{label} is subscribed after the run has finished; {self.unread} item(s) passed by unread. "
                "Open the cursor before the run is driven.",
                ItemsDroppedWarning,
                stacklevel=stacklevel,
            )

    def figures(self, buffers: Sequence[Buffer[Any]], backlog: Backlog[Any] | None) -> dict[str, int]:
        """The figures now, with those of live readers and of the backlog: those of `ChannelStatistics` of that name."""
        kept = 0 if backlog is None else len(backlog)
        early = 0 if backlog is None else backlog.dropped + backlog.missed
        return {
            "depth": max((buffer.depth for buffer in buffers), default=kept),
            "waiting": sum(buffer.waiting for buffer in buffers),
            "waits": sum(buffer.waits for buffer in buffers) + self.waits,
            "peak": max((self.peak, kept, *(buffer.peak for buffer in buffers))),
            "dropped": sum(buffer.dropped for buffer in buffers) + self.dropped + early,
            "unread": self.unread,
        }
