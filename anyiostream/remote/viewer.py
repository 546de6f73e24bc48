"""`Viewer`: what one connection is to be sent of a thread, for all its subscriptions. Does not send.

Its queue is the thread's log: what it has not been sent yet, bounded like the log in events and bytes. When the log
has forgotten something that a viewer should have been sent, `batch` raises `LogGap`; nothing is silently skipped.
"""

from __future__ import annotations

from typing import Final, final

import attrs
from anyio.lowlevel import checkpoint

from anyiostream.remote.audience import Replay
from anyiostream.remote.batches import Batch, Selections
from anyiostream.remote.log import looked_again
from anyiostream.remote.pulse import NEVER, Pulse
from anyiostream.remote.subscriptions import WATCHED, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.wire.drafts import Entry

__all__ = ["Viewer"]

NOTHING: Final = Batch()


@final
@attrs.define(eq=False)
class Followed:
    """One subscription, and how far it has come."""

    subscription: Subscription
    cursor: int
    left_out: frozenset[int]

    @property
    def watches(self) -> bool:
        """Whether it is a client's watcher, which must be told of a run's end only once."""
        selection = self.subscription.selection
        return selection.channels == WATCHED and selection.matches("lifecycle", ())

    def leaves_out_after(self, place: int) -> bool:
        """Whether something is left out after a place."""
        return bool(self.left_out) and place < max(self.left_out)

    def wants(self, entry: Entry) -> bool:
        """Whether `entry` is still to be sent for it."""
        return (
            entry.seq > self.cursor
            and entry.seq not in self.left_out
            and self.subscription.selection.matches(entry.channel, entry.namespace)
        )


@final
class Viewer:
    """The subscriptions of one connection to a thread. An event that several of them want is sent once.

    Args:
        thread: What is read.
        pulse: Says when the connection has been silent for too long.
    """

    def __init__(self, thread: Thread, pulse: Pulse = NEVER) -> None:
        self.thread: Final = thread
        self._pulse: Final = pulse
        self._spoken = pulse.now
        self._last = -1  # that of the log when a part of a heartbeat's time had passed
        self._followed: dict[str, Followed] = {}

    def __len__(self) -> int:
        return len(self._followed)

    async def add(self, subscription_id: str, subscription: Subscription) -> Replay:
        """Follow a subscription from now on; where it begins.

        Raises:
            LogGap: What follows its `since` is not there, or no longer.
        """

        async def look() -> Replay:
            replay = (await self.thread.fresh()).replay(subscription)
            await self.thread.log.read(replay.after, 1)
            return replay

        # Who says where it was is told of a gap; to others it does not matter what has been forgotten.
        replay = await (looked_again(look) if subscription.since is None else look())
        self._followed[subscription_id] = Followed(subscription, replay.after, replay.left_out)
        return replay

    async def count(self, subscription_id: str) -> int:
        """How many events there are by now that are to be sent for a subscription."""
        followed = self._followed[subscription_id]
        count, after = 0, followed.cursor
        while entries := await self.thread.log.read(after):
            count += sum(map(followed.wants, entries))
            after = entries[-1].seq
            await checkpoint()  # reading need not
        return count

    def remove(self, subscription_id: str) -> bool:
        """Follow a subscription no longer; whether there was one of that id."""
        return self._followed.pop(subscription_id, None) is not None

    @property
    def cursor(self) -> int:
        """The `seq` of the last event that has been looked at for every subscription."""
        if not self._followed:
            return self.thread.log.last
        return min([each.cursor for each in self._followed.values()])

    async def batch(self) -> Batch:
        """What to send next, in order; nothing if none of what there is is wanted, or there is nothing.

        Raises:
            LogGap: Something that should have been sent is no longer kept.
        """
        thread = self.thread
        await thread.settle()
        after, newest = self.cursor, thread.log.last
        alike = self._selections(after)
        batch = None if alike is None else thread.batches.find(after, alike, newest)
        if batch is None:
            entries = await thread.log.read(after)
            if not entries:
                return NOTHING
            if alike is not None and (thread.busy or thread.shared is not None):
                batch = thread.batches.made(after, alike, entries)
            else:
                batch = Batch(filter(self._wants, entries), entries[-1].seq)
        for each in self._followed.values():
            if each.cursor < batch.end and each.watches:
                thread.watched(batch.end)
            each.cursor = max(each.cursor, batch.last)
        thread.advanced()
        if not batch:
            # Nothing is sent then, and a whole log may be passed over: let other tasks run all the same.
            await checkpoint()
        return batch

    def spoke(self) -> None:
        """Something has been sent."""
        self._spoken = self._pulse.now

    async def wait(self) -> bool:
        """Wait until there may be more to send. Checkpoints, unless what comes next cannot be read.

        Returns:
            `False` if nothing has been sent for so long that the connection has to show that it is alive. That has been
            sent, then, as far as this is concerned.
        """
        await self.thread.log.wait(self.cursor)
        if not self._pulse.is_long_since(self._spoken):
            return True
        self.spoke()
        return False

    def tick(self) -> None:
        """A part of a heartbeat's time has passed: let `wait` return if nothing has been sent for too long."""
        log, before = self.thread.log, self._last
        self._last = log.last
        if self._last == before:
            self.thread.batches.clear()  # a server that only shows the thread does not hear that it rests
        if self._pulse.is_long_since(self._spoken):
            log.wake()

    def _selections(self, after: int) -> Selections | None:
        """What is chosen of what follows a place, if others who choose the same are sent the same."""
        if any(each.cursor != after or each.leaves_out_after(after) for each in self._followed.values()):
            return None
        return tuple(each.subscription.selection for each in self._followed.values())

    def _wants(self, entry: Entry) -> bool:
        return any(each.wants(entry) for each in self._followed.values())
