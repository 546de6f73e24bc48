"""`Viewer`: what one connection is to be sent of a thread, for all its subscriptions. Does not send.

Its queue is the thread's log: what it has not been sent yet, bounded like the log in events and bytes. When the log
has forgotten something that a viewer should have been sent, `batch` raises `LogGap`; nothing is skipped in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import attrs

from anyiostream.remote.log import Entry
from anyiostream.remote.subscriptions import WATCHED, Subscription
from anyiostream.remote.thread import ENDS, Replay, Thread

__all__ = ["Viewer"]


@final
@attrs.define(eq=False)
class Followed:
    """One subscription, and how far it has come."""

    subscription: Subscription
    cursor: int
    left_out: frozenset[int]

    def wants(self, entry: Entry) -> bool:
        """Whether `entry` is still to be sent for it."""
        return (
            entry.seq > self.cursor
            and entry.seq not in self.left_out
            and self.subscription.matches(entry.channel, entry.namespace)
        )


@final
class Viewer:
    """The subscriptions of one connection to a thread. An event that several of them want is sent once."""

    def __init__(self, thread: Thread) -> None:
        self.thread: Final = thread
        self._followed: dict[str, Followed] = {}

    def __len__(self) -> int:
        return len(self._followed)

    async def add(self, subscription_id: str, subscription: Subscription) -> Replay:
        """Follow a subscription from now on; where it begins.

        Raises:
            Refusal: Its `since` is in the future.
            LogGap: What follows its `since` is no longer kept.
        """
        replay = self.thread.replay(subscription)
        await self.thread.log.read(replay.after, 1)
        self._followed[subscription_id] = Followed(subscription, replay.after, replay.left_out)
        return replay

    async def count(self, subscription_id: str) -> int:
        """How many events there are by now that are to be sent for a subscription."""
        followed = self._followed[subscription_id]
        count, after = 0, followed.cursor
        while entries := await self.thread.log.read(after):
            count += sum(map(followed.wants, entries))
            after = entries[-1].seq
        return count

    def remove(self, subscription_id: str) -> bool:
        """Follow a subscription no longer; whether there was one of that id."""
        return self._followed.pop(subscription_id, None) is not None

    @property
    def cursor(self) -> int:
        """The `seq` of the last event that has been looked at for every subscription."""
        return min((each.cursor for each in self._followed.values()), default=self.thread.log.last)

    async def batch(self) -> Sequence[Entry]:
        """What to send next, in order; nothing if none of what there is is wanted, or there is nothing.

        Raises:
            LogGap: Something that should have been sent is no longer kept.
        """
        entries = await self.thread.log.read(self.cursor)
        if not entries:
            return ()
        wanted = [entry for entry in entries if self._take(entry)]
        for each in self._followed.values():
            each.cursor = max(each.cursor, entries[-1].seq)
        self.thread.advanced()
        return wanted

    def _take(self, entry: Entry) -> bool:
        takers = [each for each in self._followed.values() if each.wants(entry)]
        if entry.root_event in ENDS and any(each.subscription.channels == WATCHED for each in takers):
            self.thread.watched(entry.seq)
        return bool(takers)
