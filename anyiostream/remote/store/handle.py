"""`StoredLog`: the log of a claimed thread, as its run writes it and its viewers read it, over any store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

import anyio
import attrs
from anyio.lowlevel import checkpoint

from anyiostream.errors import AnyioStreamError
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.limits import Limits
from anyiostream.remote.store.kept import Record
from anyiostream.remote.store.protocol import NOTHING, Acceptance, Changes, Claim, Offer, Records
from anyiostream.remote.store.window import Window
from anyiostream.wire.abridging import abridged
from anyiostream.wire.drafts import Draft, Entry

__all__ = ["StoredLog", "both", "log_of"]

NAMES: Final = tuple(each.name for each in attrs.fields(Changes))


def size_of(entry: Entry) -> int:
    """Bytes of an event in a store that keeps it as it is."""
    return len(entry.body)


class StoredLog:
    """The log and the inbox of a thread that has been claimed. The contract of the log is that of `ThreadLog`.

    Args:
        store: Where it is.
        claim: The claim.
        window: Its newest events.
        limits: How much a log keeps.
        size: Bytes that an event takes of that.

    Attributes:
        log_id: The thread's generation.
        key: The thread's name in the store.
        unwritten_size: Bytes of the events that have their places, and are not on their way to the store.
        epoch: That of the claim.
        holder: Whose claim it is; `""` if nobody has the thread.
        on_abridged: Called with an event that was too large, before it is written abridged, and with its bytes.
    """

    def __init__(
        self, store: Records, claim: Claim, window: Window, limits: Limits, size: Callable[[Entry], int] = size_of
    ) -> None:
        self.log_id: Final = str(claim.record.generation)
        self.key: Final = claim.record.key
        self.epoch: Final = claim.record.epoch
        self.holder: Final = claim.record.holder
        self.on_abridged: Callable[[Draft, int], None] | None = None
        self._store = store
        self._window = window
        self._limits = limits
        self._size = size
        self._last = claim.record.last
        self._next = claim.next
        self._placed: list[Entry] = []
        self.unwritten_size = 0
        self._changes = NOTHING
        self._fold: Callable[[], bytes] | None = None
        self._is_writing = False
        self._written: anyio.Event | None = None
        self._failure: AnyioStreamError | None = None
        self._unfolded_events = 0
        self._unfolded_bytes = 0

    @property
    def survives(self) -> bool:
        """Whether the log outlives the process."""
        return self._store.survives

    @property
    def size(self) -> int:
        """Bytes of its events that are in memory."""
        return self._window.size

    @property
    def next(self) -> int:
        """The place of the next event."""
        return self._next

    @property
    def first(self) -> int:
        """The place after the newest event that has been forgotten; 1 if none has."""
        return self._window.forgotten + 1

    @property
    def last(self) -> int:
        """The place of the newest event; 0 if there never was one."""
        return self._window.last

    @property
    def unwritten(self) -> int:
        """How many events have their places, and are not on their way to the store."""
        return len(self._placed)

    @property
    def has_changes(self) -> bool:
        """Whether something is to be changed with these events."""
        return self._changes is not NOTHING

    async def append(
        self, draft: Draft, changes: Changes = NOTHING, *, fold: Callable[[], bytes] | None = None
    ) -> Entry:
        """Write an event, after those that have been placed. See `place` and `write`."""
        entry = self.place(draft, changes, fold=fold)
        await self.write()
        return entry

    def place(self, draft: Draft, changes: Changes = NOTHING, *, fold: Callable[[], bytes] | None = None) -> Entry:
        """Give an event its place, at which `write` writes it. One that is too large is abridged.

        Args:
            draft: The event.
            changes: What changes with it.
            fold: Encodes the state after the newest event that has been placed; called before events that it is made
                from are forgotten, and with one that is abridged, of which the state may have more.
        """
        entry = whole = Entry.of(draft, self._next, f"{self.log_id}-{self._next}")
        if len(entry.body) > self._limits.event:
            entry = self._abridged(draft, entry)
        self._next = entry.seq + 1
        self._placed.append(entry)
        self.unwritten_size += len(entry.body)
        self._changes = both(self._changes, changes)
        if fold is not None and self._is_to_be_folded(entry, changes, due=entry is not whole):
            self._fold = fold
        return entry

    async def write(self) -> None:
        """Write the events that have been placed, and what changes with them, in one go, after those on their way.

        Raises:
            Fenced: The thread has been claimed by somebody else.
            StoreFailed: The store cannot be written. If events were to be, the handle is no longer usable.
        """
        while self._is_writing:  # an append that has to be repeated must not meet a later one
            if self._written is None:
                self._written = anyio.Event()
            await self._written.wait()
        if self._failure is not None:
            raise self._failure
        entries, self._placed, self.unwritten_size = self._placed, [], 0
        changes, self._changes = self._changes, NOTHING
        fold, self._fold = self._fold, None
        if fold is not None:
            changes = attrs.evolve(changes, fold=fold())
        if not entries and changes is NOTHING:
            return
        after = self._last
        if entries:
            self._last = entries[-1].seq
        self._is_writing = True
        try:
            await self._store.append(self.key, self.epoch, after, entries, changes)
        except AnyioStreamError as exc:
            if entries:
                self._failure = exc
            raise
        finally:
            self._is_writing = False
            written, self._written = self._written, None
            if written is not None:
                written.set()

    async def change(self, changes: Changes = NOTHING, *, fold: Callable[[], bytes] | None = None) -> None:
        """Change what stands beside the log, and write that, with the events that have been placed. Raises as `write`.

        Args:
            changes: What changes.
            fold: Encodes the state as it is when it is written.
        """
        self._changes = both(self._changes, changes)
        if fold is not None:
            self._fold = fold
        await self.write()

    async def accept(
        self, owner: ThreadKey, run_id: str, body: bytes, answers: Collection[str], once: str | None, *, most: int
    ) -> Acceptance:
        """Put a command into the thread's inbox. See `Store.accept`; the reply is the run's id."""
        offer = Offer(
            owner=owner.owner,
            thread_id=owner.thread_id,
            run_id=run_id,
            body=body,
            reply=run_id.encode(),
            answers=answers,
            once=once,
        )
        return await self._store.accept(offer, most=most, within=self._limits.repeat)

    async def cancel(self, place: int, *, drain: bool = False) -> None:
        """Note that the run of a command is to be stopped: at once, or at the end of its step."""
        await self._store.cancel(self.key, place, drain=drain)

    async def read(self, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after `after`, at most `most`; from memory if they are recent.

        Raises:
            LogGap: The first of them is no longer there.
        """
        found = self._window.read(after, most)
        return await self._store.read(self.key, after, most) if found is None else found

    async def wait(self, after: int) -> None:
        """Wait until there is more. Checkpoints."""
        if after < self._window.last:
            await checkpoint()
        else:
            await self._window.wait(after)

    def wake(self) -> None:
        """Let all who wait look again, although there is nothing new."""
        self._window.wake()

    def _abridged(self, draft: Draft, whole: Entry) -> Entry:
        size = len(whole.body)
        shown = abridged(draft, size, self._limits.event)
        if shown is draft:
            return whole
        if self.on_abridged is not None:
            self.on_abridged(draft, size)
        return Entry.of(shown, whole.seq, whole.event_id)

    def _is_to_be_folded(self, entry: Entry, changes: Changes, *, due: bool) -> bool:
        """Whether the fold is `due`, or it is time to save it: in the middle of what the log keeps."""
        self._unfolded_events += 1
        self._unfolded_bytes += self._size(entry)
        half = self._unfolded_events * 2 < self._limits.events and self._unfolded_bytes * 2 < self._limits.bytes
        if half and not due and changes.fold is None:
            return False
        self._unfolded_events = self._unfolded_bytes = 0
        return changes.fold is None


def both(first: Changes, later: Changes) -> Changes:
    """What two changes amount to."""
    if first is NOTHING or later is NOTHING:
        return later if first is NOTHING else first
    changed = {name: value for name in NAMES if (value := getattr(later, name)) is not None}
    return attrs.evolve(first, **{**changed, "done": (*first.done, *later.done)})


def log_of(store: Records, record: Record, limits: Limits) -> StoredLog:
    """The log of a thread as it stands, to be read by one that has not claimed it, and does not follow it."""
    window = Window(1, 1, floor=record.last)
    window.forgotten = record.floor
    return StoredLog(store, Claim(record=record, next=0), window, limits)
