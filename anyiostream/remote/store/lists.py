"""What lists of threads need of the tables of a store in SQLite. As in `tables.py`, inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

from anyiostream.remote.store.kept import Listed
from anyiostream.remote.store.schema import kept_name
from anyiostream.remote.store.sealing import Decode

__all__ = ["label", "listed"]

COLUMNS: Final = ("key", "thread_id", "generation", "touched", "last", "commands", "label")


def listed(db: sqlite3.Connection, owner: str, since: int, skip: int, most: int, decode: Decode) -> list[Listed]:
    """An owner's threads, the one that was touched last first."""
    rows = db.execute(
        "SELECT key, thread_id, generation, touched, last,"  # then what need not be found of those passed over
        " (SELECT count(*) FROM commands WHERE commands.generation = threads.generation),"
        " (SELECT label FROM labels WHERE labels.generation = threads.generation) FROM threads"
        " WHERE owner = ? AND touched >= ? ORDER BY touched DESC LIMIT ? OFFSET ?",
        (kept_name(owner), since, most, skip),
    )
    return [Listed(**dict(zip(COLUMNS, row, strict=True)), decode=decode) for row in rows.fetchall()]


def label(db: sqlite3.Connection, read: Listed, label: bytes) -> None:
    """Leave a label with a thread, if it is as it was listed, has nothing to do, and no label."""
    db.execute(
        "INSERT OR IGNORE INTO labels SELECT generation, ? FROM threads"
        " WHERE generation = ? AND key = ? AND touched = ? AND last = ?"
        " AND NOT EXISTS (SELECT 1 FROM commands WHERE commands.generation = threads.generation)",
        (label, read.generation, read.key, read.touched, read.last),
    )
