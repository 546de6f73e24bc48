"""What a store in SQLite has answered to commands that may come again. As in `tables.py`, in its transaction."""

from __future__ import annotations

import sqlite3

from anyiostream.remote.store.protocol import REMEMBERED, Acceptance, Offer

__all__ = ["known", "remember"]


def known(db: sqlite3.Connection, generation: int, once: str, at: int, within: float) -> Acceptance | None:
    """What a command was answered with, if it was accepted within so many seconds of `at`, whichever came first."""
    row = db.execute(
        "SELECT at, place, reply FROM replies WHERE generation = ? AND once = ?", (generation, once)
    ).fetchone()
    if row is None or abs(at - row[0]) > within * 1_000_000:
        return None
    return Acceptance(place=row[1], reply=row[2], repeated=True)


def remember(db: sqlite3.Connection, generation: int, offer: Offer, at: int, place: int) -> None:
    """Keep what a command is answered with, and forget the oldest answers."""
    db.execute(
        "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?)", (generation, offer.once, at, place, offer.reply)
    )
    db.execute(
        "DELETE FROM replies WHERE generation = ?1 AND place <="
        " (SELECT place FROM replies WHERE generation = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)",
        (generation, REMEMBERED),
    )
