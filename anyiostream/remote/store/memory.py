"""`MemoryStore`: threads in memory, for as long as the process lives."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import islice, takewhile
from typing import final

import attrs

from anyiostream.remote.limits import Limits
from anyiostream.remote.log import LogGap
from anyiostream.remote.store.failures import Fenced, InboxFull, NotPending, OutOfStep
from anyiostream.remote.store.handle import StoredLog
from anyiostream.remote.store.kept import Listed, Record, Stored
from anyiostream.remote.store.protocol import (
    NOTHING,
    REMEMBERED,
    Acceptance,
    Changes,
    Claim,
    Clock,
    Offer,
    Standing,
    next_place,
    thread_key,
)
from anyiostream.remote.store.window import Window
from anyiostream.wire.drafts import Entry

__all__ = ["MemoryLog", "MemoryStore", "not_before", "now"]


_last_time = _last_tick = 0
_clock_lock = threading.Lock()


def now() -> int:
    """Wall-clock time in µs since 1970; within a process it rises with every call, and stands still for none.

    When the wall clock is put back, this one goes on from where it was: what lasts 30 seconds would otherwise last
    until the wall clock has caught up.
    """
    global _last_time, _last_tick  # noqa: PLW0603 -- one clock per process
    with _clock_lock:
        tick = time.monotonic_ns() // 1000
        passed, _last_tick = tick - _last_tick if _last_time else 0, tick
        _last_time = max(_last_time + max(passed, 1), time.time_ns() // 1000)
        return _last_time


def not_before(newest: int, clock: Clock) -> Clock:
    """The clock, put forward if an earlier process, whose wall clock was ahead of this one, has noted `newest`."""
    behind = newest - clock()
    return clock if behind <= 0 else lambda: clock() + behind


@attrs.define(eq=False)
class Held:
    """A thread."""

    record: Record  # all but `last` and `floor`, which the window has
    window: Window
    touched: int
    nonce: str = ""
    placed: int = 0
    label: bytes | None = None
    inbox: dict[int, Stored] = attrs.field(factory=dict)
    replies: OrderedDict[str, tuple[int, Acceptance]] = attrs.field(factory=OrderedDict)

    def shown(self) -> Record:
        """The record as it is now."""
        return attrs.evolve(self.record, last=self.window.last, floor=self.window.floor)

    def listed(self) -> Listed:
        """What a list has of it."""
        return Listed(
            key=self.record.key,
            thread_id=self.record.thread_id,
            generation=self.record.generation,
            touched=self.touched,
            last=self.window.last,
            commands=len(self.inbox),
            label=self.label,
        )


def _known(held: Held, once: str, at: int, within: float) -> Acceptance | None:
    """What a command was answered with, if it was accepted within so many seconds of `at`, whichever came first."""
    before, known = held.replies.get(once, (0, None))
    return known if abs(at - before) <= within * 1_000_000 else None


@final
class MemoryStore:
    """Threads in memory. Servers that share the object share the threads: no claim waits for another one.

    Args:
        clock: The time, in µs since 1970.
        limits: How much a log keeps, for as long as `open` has not been given others.
    """

    @property
    def survives(self) -> bool:
        """Whether threads outlive the process: they do not."""
        return False

    def __init__(self, clock: Clock = now, limits: Limits | None = None) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self._threads: OrderedDict[str, Held] = OrderedDict()  # the one that was touched last at the end
        self._newest = 0
        self._used = 0  # the greatest place of a thread that has been forgotten
        self._replied: deque[tuple[int, str, str]] = deque()  # when, of which thread, to which command

    @asynccontextmanager
    async def open(self, limits: Limits) -> AsyncGenerator[None]:
        """A block in which the store is used. It begins without threads, and leaves none."""
        self._limits = limits
        self._threads.clear()
        self._replied.clear()
        try:
            yield
        finally:
            self._threads.clear()
            self._replied.clear()

    def log(self, claim: Claim) -> StoredLog:
        """The log of a thread that has been claimed here."""
        return StoredLog(self, claim, self.window(claim), self._limits)

    def window(self, claim: Claim) -> Window:
        """The events of a thread that has been claimed here."""
        return self._threads[claim.record.key].window

    async def record(self, key: str) -> Record | None:
        """What is known of a thread. Does not checkpoint, as nothing here does."""
        held = self._threads.get(key)
        return None if held is None else held.shown()

    async def look(self, key: str) -> Standing | None:
        """How a thread stands."""
        held = self._threads.get(key)
        return None if held is None else Standing(record=held.shown(), inbox=list(held.inbox.values()))

    async def listed(self, owner: str, *, since: int = 0, skip: int = 0, most: int) -> Sequence[Listed]:
        """An owner's threads, the one that was touched last first."""
        newest = takewhile(lambda each: each.touched >= since, reversed(self._threads.values()))
        found = (each for each in newest if each.record.owner == owner)
        return [each.listed() for each in islice(found, skip, skip + most)]

    async def label(self, listed: Listed, label: bytes) -> None:
        """Leave for lists what was read of a thread."""
        held = self._threads.get(listed.key)
        if held is not None and held.listed() == listed and not listed.commands and listed.label is None:
            held.label = label

    async def unfinished(self) -> Sequence[str]:
        """Keys of the threads that have commands."""
        heads = {key: next(iter(held.inbox.values())) for key, held in self._threads.items() if held.inbox}
        return sorted(heads, key=lambda key: (not heads[key].attempts, heads[key].place))

    async def accept(self, offer: Offer, *, most: int, within: float) -> Acceptance:
        """Put a command into a thread's inbox."""
        if offer.answers and thread_key(offer.owner, offer.thread_id) not in self._threads:
            raise NotPending
        held, at = self._held(offer.owner, offer.thread_id), self._clock()
        if offer.once is not None:
            known = _known(held, offer.once, at, within)
            if known is not None:
                return attrs.evolve(known, repeated=True)
        if len(held.inbox) >= most:
            raise InboxFull(most)
        waiting = any(not each.attempts and not each.cancelled for each in held.inbox.values())
        if offer.answers and (waiting or not set(offer.answers) <= set(held.record.pending)):
            raise NotPending
        self._touch(held, at)
        held.placed += 1
        held.inbox[held.placed] = Stored(place=held.placed, run_id=offer.run_id, body=offer.body)
        acceptance = Acceptance(place=held.placed, reply=offer.reply)
        if offer.once is not None:
            held.replies.pop(offer.once, None)
            held.replies[offer.once] = at, acceptance
            while len(held.replies) > REMEMBERED:
                held.replies.popitem(last=False)
            self._replied.append((at, held.record.key, offer.once))
        self._forget_replies(at - int(within * 1_000_000))
        return acceptance

    async def recall(self, key: str, once: str, *, within: float) -> bytes | None:
        """The reply to the same command, if it was accepted before."""
        held = self._threads.get(key)
        known = None if held is None else _known(held, once, self._clock(), within)
        return None if known is None else known.reply

    async def cancel(self, key: str, place: int, *, drain: bool = False) -> None:
        """Note that the run of a command is to be stopped."""
        held = self._threads.get(key)
        before = None if held is None else held.inbox.get(place)
        if held is not None and before is not None:
            stopped = not drain or before.cancelled
            after = attrs.evolve(before, cancelled=stopped, drained=not stopped)
            if after != before:
                self._touch(held, self._clock())
                held.inbox[place] = after

    async def claim(self, owner: str, thread_id: str, *, holder: str, nonce: str) -> Claim:
        """Become the one that writes a thread."""
        return self.claim_now(owner, thread_id, holder=holder, nonce=nonce)

    def claim_now(self, owner: str, thread_id: str, *, holder: str, nonce: str) -> Claim:
        """The same, at once."""
        held = self._held(owner, thread_id)
        if held.nonce != nonce:
            held.nonce = nonce
            held.record = attrs.evolve(held.record, epoch=held.record.epoch + 1, holder=holder)
        record = held.shown()
        place = next_place(max(record.last, self._used), self._clock())
        return Claim(record=record, next=place, inbox=list(held.inbox.values()))

    async def renew(self, holder: str) -> bool:  # noqa: ARG002 -- nobody else can have it
        """Nothing here runs out."""
        return True

    async def release(self, key: str, epoch: int) -> None:
        """Give a thread up."""
        held = self._threads.get(key)
        if held is not None and held.record.epoch == epoch:
            held.record = attrs.evolve(held.record, holder="")

    async def append(
        self, key: str, epoch: int, after: int, entries: Sequence[Entry], changes: Changes = NOTHING
    ) -> None:
        """Write events to a log, and what changes with them."""
        held = self._threads.get(key)
        if held is None or held.record.epoch != epoch:
            raise Fenced
        window = held.window
        if after != window.last:
            if entries and entries[-1].seq == window.last:
                return
            raise OutOfStep(after, window.last)
        self._touch(held, self._clock())
        if entries:
            window.extend(entries)
            window.forgotten = window.floor
        if changes is not NOTHING:
            self._change(held, changes)

    async def read(self, key: str, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after a place."""
        held = self._threads.get(key)
        if held is None:
            return ()
        found = held.window.read(after, most)
        if found is None:
            raise LogGap(after, held.window.first)
        return found

    async def erase(self, key: str) -> None:
        """Forget a thread."""
        self.discard(key)

    def discard(self, key: str) -> None:
        """Forget a thread."""
        held = self._threads.pop(key, None)
        if held is not None:
            self._used = max(self._used, held.window.last)

    async def expire(self, idle: float, waiting: float) -> int:
        """Forget threads that have been idle for long."""
        at = self._clock()
        old = [
            key
            for key, held in self._threads.items()
            if not held.inbox and at - held.touched > (waiting if held.record.pending else idle) * 1_000_000
        ]
        for key in old:
            self.discard(key)
        return len(old)

    def _forget_replies(self, before: int) -> None:
        """Forget what nobody repeats any more, of all threads: those that are idle would keep it."""
        while self._replied and self._replied[0][0] < before:
            at, key, once = self._replied.popleft()
            held = self._threads.get(key)
            if held is not None and once in held.replies and held.replies[once][0] == at:
                del held.replies[once]

    def _change(self, held: Held, changes: Changes) -> None:
        for place in changes.done:
            held.inbox.pop(place, None)
        if changes.attempts is not None and changes.attempts[0] in held.inbox:
            place, attempts = changes.attempts
            held.inbox[place] = attrs.evolve(held.inbox[place], attempts=attempts)
        if changes.pending is not None:
            held.record = attrs.evolve(held.record, pending=changes.pending)
        if changes.label is not None:
            held.label = changes.label
        if changes.fold is not None:
            held.record = attrs.evolve(held.record, fold=changes.fold, folded=held.window.last)

    def _held(self, owner: str, thread_id: str) -> Held:
        key = thread_key(owner, thread_id)
        held = self._threads.get(key)
        if held is None:
            at = self._clock()
            self._newest = max(self._newest + 1, at)
            record = Record(key=key, owner=owner, thread_id=thread_id, generation=self._newest)
            held = self._threads[key] = Held(record, Window(self._limits.events, self._limits.bytes), at)
        return held

    def _touch(self, held: Held, at: int) -> None:
        held.touched = at
        self._threads.move_to_end(held.record.key)


@final
class MemoryLog(StoredLog):
    """A log by itself, in memory, bounded in events and bytes. It forgets its oldest events, but never the newest one.

    Args:
        thread_id: The thread's id.
        limits: The bounds.
    """

    def __init__(self, thread_id: str, limits: Limits) -> None:
        store = MemoryStore(limits=limits)
        claim = store.claim_now("", thread_id, holder="", nonce="alone")
        super().__init__(store, claim, store.window(claim), limits)
