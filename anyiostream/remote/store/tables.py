"""The tables of a store in SQLite, and what is done with them. Nothing here knows of event loops.

There is one function for each call, to be called inside a transaction of the caller's. One process has the file, so
what every event needs, a thread's epoch and its newest place, is kept in memory (`Head`) and read from the file once. A
transaction that is rolled back forgets it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, final

import attrs

from anyiostream.remote.limits import Limits
from anyiostream.remote.store import lists, replies
from anyiostream.remote.store.failures import Fenced, InboxFull, NotPending, OutOfStep
from anyiostream.remote.store.kept import Listed, Record, Stored
from anyiostream.remote.store.protocol import (
    Acceptance,
    Changes,
    Claim,
    Clock,
    Offer,
    Standing,
    next_place,
    thread_key,
)
from anyiostream.remote.store.schema import OF_A_THREAD, kept_name, shown_name
from anyiostream.remote.store.sealing import Decode
from anyiostream.remote.store.stops import STOP, kept_stop, stored
from anyiostream.remote.store.window import check_gap
from anyiostream.wire.drafts import Entry

__all__ = ["Tables"]

MOST_BYTES: Final = 2**20
"""Bytes of events that are read at a time, more or less."""

VACUUM_EVERY: Final = 512
"""Transactions after which free pages of the file are given back."""

VACUUM_PAGES: Final = 256
"""Pages that are given back at a time."""

HEADS: Final = 4096
"""Threads of which so much is kept in memory."""


@attrs.define(eq=False)
class Head:
    """What is known of a thread in memory."""

    generation: int
    epoch: int
    last: int
    floor: int
    count: int
    size: int


@final
class Tables:
    """A file's tables.

    Args:
        connection: Opened, with the schema in it.
        limits: How much a log keeps.
        clock: The time, in µs since 1970.
        decode: What is stored in place of content, decoded.
    """

    def __init__(self, connection: sqlite3.Connection, limits: Limits, clock: Clock, decode: Decode) -> None:
        self._db = connection
        self._decode = decode
        self._limits = limits
        self._clock = clock
        self._heads: dict[str, Head] = {}
        self._changed: set[Head] = set()
        self._transactions = 0

    # --- around a transaction ---

    def begin(self) -> None:
        """Begin one that writes."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Write what has been kept in memory, and end it."""
        at = self._clock()
        self._db.executemany(
            "UPDATE threads SET last = ?, floor = ?, count = ?, size = ?, touched = ? WHERE generation = ?",
            [(head.last, head.floor, head.count, head.size, at, head.generation) for head in self._changed],
        )
        self._db.execute("COMMIT")
        self._changed.clear()
        if len(self._heads) > HEADS:
            self._heads.clear()
        self._transactions += 1
        if self._transactions % VACUUM_EVERY == 0:
            with suppress(sqlite3.Error):  # what was asked for is stored
                self._db.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")

    def roll_back(self) -> None:
        """Undo it, and forget what is kept in memory."""
        self._heads.clear()
        self._changed.clear()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    # --- calls ---

    def record(self, key: str) -> Record | None:
        """What is known of a thread."""
        row = self._db.execute(
            "SELECT generation, owner, thread_id, epoch, holder, floor, last, pending FROM threads WHERE key = ?",
            (key,),
        ).fetchone()
        if row is None:
            return None
        generation, owner, thread_id, epoch, holder, floor, last, pending = row
        fold = self._db.execute("SELECT place, fold FROM folds WHERE generation = ?", (generation,)).fetchone()
        head = self._heads.get(key)  # newer than the row inside a transaction
        return Record(
            key=key,
            owner=shown_name(owner),
            thread_id=thread_id,
            generation=generation,
            epoch=epoch,
            holder=holder,
            floor=floor if head is None else head.floor,
            last=last if head is None else head.last,
            pending=tuple(json.loads(pending)),
            fold=None if fold is None else fold[1],
            folded=0 if fold is None else fold[0],
            decode=self._decode,
        )

    def look(self, key: str) -> Standing | None:
        """How a thread stands."""
        record = self.record(key)
        return None if record is None else Standing(record=record, inbox=self._inbox(record.generation))

    def listed(self, owner: str, since: int, skip: int, most: int) -> list[Listed]:
        """An owner's threads, the one that was touched last first."""
        return lists.listed(self._db, owner, since, skip, most, self._decode)

    def label(self, listed: Listed, label: bytes) -> None:
        """Leave for lists what was read of a thread."""
        if self._heads.get(listed.key) not in self._changed:  # by a call before this one in the same transaction
            lists.label(self._db, listed, label)

    def unfinished(self) -> list[str]:
        """Keys of the threads that have commands: begun ones first, then in order of acceptance."""
        rows = self._db.execute(
            "SELECT key FROM threads JOIN commands USING (generation) GROUP BY generation"
            " ORDER BY max(attempts) = 0, min(at)"
        )
        return [key for (key,) in rows.fetchall()]

    def accept(self, offer: Offer, most: int, within: float) -> Acceptance:
        """Put a command into an inbox."""
        if offer.answers and self._head(thread_key(offer.owner, offer.thread_id)) is None:
            raise NotPending
        head = self._made(offer.owner, offer.thread_id)
        if offer.once is not None:
            known = replies.known(self._db, head.generation, offer.once, self._clock(), within)
            if known is not None:
                return known
        held, waiting = self._db.execute(
            "SELECT count(*), count(*) FILTER (WHERE attempts = 0 AND cancelled <> ?) FROM commands"
            " WHERE generation = ?",
            (STOP, head.generation),
        ).fetchone()
        if held >= most:
            raise InboxFull(most)
        if offer.answers and (waiting or not set(offer.answers) <= self._pending(head)):
            raise NotPending
        at = self._clock()
        (place,) = self._db.execute(
            "UPDATE threads SET placed = placed + 1, touched = ? WHERE generation = ? RETURNING placed",
            (at, head.generation),
        ).fetchone()
        self._db.execute(
            "INSERT INTO commands (generation, place, run_id, body, at) VALUES (?, ?, ?, ?, ?)",
            (head.generation, place, offer.run_id, offer.body, at),
        )
        if offer.once is not None:
            replies.remember(self._db, head.generation, offer, at, place)
        return Acceptance(place=place, reply=offer.reply)

    def recall(self, key: str, once: str, within: float) -> Acceptance | None:
        """What was accepted before."""
        head = self._head(key)
        if head is None:
            return None
        return replies.known(self._db, head.generation, once, self._clock(), within)

    def cancel(self, key: str, place: int, *, drain: bool) -> None:
        """Note that a run is to be stopped."""
        head = self._head(key)
        if head is not None:
            changed = self._db.execute(
                "UPDATE commands SET cancelled = ?1 WHERE generation = ?2 AND place = ?3 AND cancelled NOT IN (?1, ?4)",
                (kept_stop(drain=drain), head.generation, place, STOP),
            )
            if changed.rowcount:
                self._changed.add(head)

    def claim(self, owner: str, thread_id: str, holder: str, nonce: str) -> Claim:
        """Become a thread's writer."""
        head, key = self._made(owner, thread_id), thread_key(owner, thread_id)
        head.epoch = self._db.execute(
            "UPDATE threads SET epoch = epoch + (nonce <> ?1), holder = ?2, nonce = ?1 WHERE generation = ?3"
            " RETURNING epoch",
            (nonce, holder, head.generation),
        ).fetchone()[0]
        (used,) = self._db.execute("SELECT place FROM used").fetchone()
        standing = self.look(key)
        assert standing is not None
        place = next_place(max(head.last, used), self._clock())
        return Claim(record=standing.record, next=place, inbox=standing.inbox)

    def probe(self) -> None:
        """Write something, which is other than what is there, or SQLite would leave the page as it is."""
        self._db.execute("INSERT OR REPLACE INTO probed (rowid, at) VALUES (1, ?)", (self._clock(),))

    def release(self, key: str, epoch: int) -> None:
        """Give a thread up."""
        self._db.execute("UPDATE threads SET holder = '' WHERE key = ? AND epoch = ?", (key, epoch))
        head = self._heads.get(key)
        if head is not None and head.epoch == epoch and head not in self._changed:
            del self._heads[key]

    def append(self, key: str, epoch: int, after: int, entries: Sequence[Entry], changes: Changes) -> int:
        """Write events, and what changes with them; the place of the newest event that is forgotten."""
        head = self._head(key)
        if head is None or head.epoch != epoch:
            raise Fenced
        if after != head.last:
            if entries and entries[-1].seq == head.last:
                return head.floor
            raise OutOfStep(after, head.last)
        self._changed.add(head)
        for entry in entries:
            self._db.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    head.generation,
                    entry.seq,
                    entry.method,
                    kept_name(entry.channel),
                    json.dumps(entry.namespace),
                    entry.root_event,
                    entry.body,
                ),
            )
            head.last = entry.seq
            head.count += 1
            head.size += len(entry.body)
        if head.count > self._limits.events or head.size > self._limits.bytes:
            self._trim(head)
        self._change(head, changes)
        return head.floor

    def read(self, key: str, after: int, most: int) -> list[Entry]:
        """Events after a place."""
        head = self._head(key)
        if head is None or after >= head.last:
            return []
        rows = self._db.execute(
            "SELECT seq, method, channel, namespace, root_event, body FROM events WHERE generation = ? AND seq > ?"
            " ORDER BY seq LIMIT ?",
            (head.generation, after, most),
        )
        entries: list[Entry] = []
        size = 0
        for seq, method, channel, namespace, root_event, body in rows:
            event_id = f"{head.generation}-{seq}"
            entries.append(
                Entry(seq, event_id, method, shown_name(channel), tuple(json.loads(namespace)), root_event, body)
            )
            size += len(body)
            if size >= MOST_BYTES:
                break
        rows.close()
        (before,) = self._db.execute(
            "SELECT max(seq) FROM events WHERE generation = ? AND seq <= ?", (head.generation, after)
        ).fetchone()
        check_gap(after, head.floor if before is None else before, entries[0].seq)
        return entries

    def erase(self, key: str) -> None:
        """Forget a thread."""
        head = self._head(key)
        if head is None:
            return
        del self._heads[key]
        self._changed.discard(head)
        self._db.execute("UPDATE used SET place = max(place, ?)", (head.last,))
        for table in OF_A_THREAD:
            self._db.execute(f"DELETE FROM {table} WHERE generation = ?", (head.generation,))  # noqa: S608 -- ours

    def expire(self, idle: float, waiting: float) -> list[str]:
        """Forget idle threads; their keys."""
        at = self._clock()
        rows = self._db.execute(
            "SELECT key FROM threads WHERE touched < ? AND (pending = '[]' OR touched < ?)"
            " AND generation NOT IN (SELECT generation FROM commands)",
            (at - int(idle * 1_000_000), at - int(waiting * 1_000_000)),
        )
        keys = [key for (key,) in rows.fetchall()]
        for key in keys:
            self.erase(key)
        return keys

    # --- inside ---

    def _head(self, key: str) -> Head | None:
        head = self._heads.get(key)
        if head is None:
            row = self._db.execute(
                "SELECT generation, epoch, last, floor, count, size FROM threads WHERE key = ?", (key,)
            ).fetchone()
            if row is not None:
                head = self._heads[key] = Head(*row)
        return head

    def _made(self, owner: str, thread_id: str) -> Head:
        key = thread_key(owner, thread_id)
        if (head := self._head(key)) is None:
            at = self._clock()
            self._db.execute(
                "INSERT INTO threads (generation, key, owner, thread_id, touched)"
                " SELECT max(?1, coalesce(max(generation), 0) + 1), ?2, ?3, ?4, ?1 FROM threads",
                (at, key, kept_name(owner), thread_id),
            )
            head = self._head(key)
            assert head is not None
        return head

    def _inbox(self, generation: int) -> list[Stored]:
        rows = self._db.execute(
            "SELECT place, run_id, body, attempts, cancelled FROM commands WHERE generation = ? ORDER BY place",
            (generation,),
        )
        return [stored(*row, decode=self._decode) for row in rows.fetchall()]

    def _pending(self, head: Head) -> set[str]:
        row = self._db.execute("SELECT pending FROM threads WHERE generation = ?", (head.generation,)).fetchone()
        return set(json.loads(row[0]))

    def _trim(self, head: Head) -> None:
        while head.count > 1 and (head.count > self._limits.events or head.size > self._limits.bytes):
            rows: list[Any] = self._db.execute(
                "SELECT seq, length(body) FROM events WHERE generation = ? ORDER BY seq LIMIT 64", (head.generation,)
            ).fetchall()
            for seq, size in rows:
                if head.count <= 1 or (head.count <= self._limits.events and head.size <= self._limits.bytes):
                    break
                head.floor = seq
                head.count -= 1
                head.size -= size
            self._db.execute("DELETE FROM events WHERE generation = ? AND seq <= ?", (head.generation, head.floor))

    def _change(self, head: Head, changes: Changes) -> None:
        generation = head.generation
        for place in changes.done:
            self._db.execute("DELETE FROM commands WHERE generation = ? AND place = ?", (generation, place))
        if changes.attempts is not None:
            place, attempts = changes.attempts
            self._db.execute(
                "UPDATE commands SET attempts = ? WHERE generation = ? AND place = ?",
                (attempts, generation, place),
            )
        if changes.pending is not None:
            pending = json.dumps(changes.pending)
            self._db.execute("UPDATE threads SET pending = ? WHERE generation = ?", (pending, generation))
        if changes.label is not None:
            self._db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?)", (generation, changes.label))
        if changes.fold is not None:
            self._db.execute("INSERT OR REPLACE INTO folds VALUES (?, ?, ?)", (generation, head.last, changes.fold))
