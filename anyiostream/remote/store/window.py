"""`Window`: the newest events of a log in memory, for those that follow it. Bounded in events and bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final, final

import anyio

from anyiostream.remote.log import LogGap
from anyiostream.remote.store.sealing import CodecFailed
from anyiostream.wire.drafts import Entry

__all__ = ["Window", "check_gap"]

SLACK: Final = 256
"""Places of forgotten events that are cleared away together."""

_place = attrgetter("seq")


def check_gap(after: int, before: int, place: int) -> None:
    """Refuse a reader for which something is missing.

    Args:
        after: The place of the last event that it has read.
        before: The place of the event before the next one that there is.
        place: The place of that one.

    Raises:
        LogGap: There were events in between, which the log does not have, or no longer.
    """
    if after not in {before, place - 1}:
        raise LogGap(after, place)


@final
class Window:
    """The newest events of a log. It forgets its oldest ones, but never the newest.

    Attributes:
        floor: The place of the event before the oldest one here; 0 if there never was one.
        forgotten: The place of the newest event that the log has no longer, here or elsewhere; 0 if it has forgotten
            none. Whoever keeps older events than these says so.
        last: The place of the newest event of the log; 0 if there never was one.
        size: Bytes of the events here.
    """

    def __init__(self, events: int, size: int, *, floor: int = 0, last: int | None = None) -> None:
        self.floor = self.forgotten = floor
        self.last = floor if last is None else last
        self.size = 0
        self._most_events = events
        self._most_bytes = size
        self._entries: list[Any] = []
        self._begin = 0  # those before it are forgotten
        self._lost = range(0)
        self._unreadable: CodecFailed | None = None
        self._news: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._entries) - self._begin

    @property
    def first(self) -> int:
        """The place of the oldest event here; one more than the newest's if there is none."""
        return int(self._entries[self._begin].seq) if len(self) else self.last + 1

    @property
    def is_readable(self) -> bool:
        """Whether nothing has come that cannot be read."""
        return self._unreadable is None

    def fail(self, why: CodecFailed) -> None:
        """What comes after the newest event here cannot be read: whoever comes to it is told."""
        self._unreadable = why
        self.wake()

    def extend(self, entries: Sequence[Entry]) -> None:
        """Add the newest events, and wake those that wait for them."""
        for entry in entries:
            self._entries.append(entry)
            self.size += len(entry.body)
            self.last = entry.seq
        while len(self) > 1 and (len(self) > self._most_events or self.size > self._most_bytes):
            oldest = self._entries[self._begin]
            self.size -= len(oldest.body)
            self.floor = oldest.seq
            self._entries[self._begin] = None
            self._begin += 1
        if self._begin >= SLACK and self._begin * 2 >= len(self._entries):
            del self._entries[: self._begin]
            self._begin = 0
        self.wake()

    def restart(self, floor: int) -> None:
        """Restart after the event at `floor`: older events are not here, or no longer anywhere. Wakes who waits."""
        self._entries.clear()
        self._begin = self.size = 0
        self._unreadable = None
        self.floor = self.last = floor
        self.wake()

    def lose(self, last: int) -> None:
        """The log has lost what came after the event at `last`: whoever has read that is told."""
        self._lost = range(last + 1, self.last + 1)
        self.forgotten = min(self.forgotten, last)
        self.restart(last)

    def read(self, after: int, most: int) -> Sequence[Entry] | None:
        """The events after `after`, at most `most`; `None` if older ones are wanted than there are here.

        Raises:
            LogGap: The reader's place is gone.
            CodecFailed: What comes next cannot be decoded.
        """
        if after in self._lost:
            raise LogGap(after, self._lost.start)
        if after >= self.last:
            if self._unreadable is not None:
                raise CodecFailed(self._unreadable.why) from self._unreadable.__cause__
            return ()
        if after < self.floor or not len(self):
            return None
        found = bisect_right(self._entries, after, self._begin, key=_place)
        before = self._entries[found - 1].seq if found > self._begin else self.floor
        check_gap(after, before, self._entries[found].seq)
        return self._entries[found : found + most]

    async def wait(self, after: int) -> None:
        """Wait until there is something after `after`, or it cannot be read; or until all who wait are woken.

        Does not checkpoint if there is something, or it cannot be read.
        """
        if after < self.last or self._unreadable is not None:
            return
        if self._news is None:
            self._news = anyio.Event()
        await self._news.wait()

    def wake(self) -> None:
        """Let all who wait look again."""
        news, self._news = self._news, None
        if news is not None:
            news.set()
