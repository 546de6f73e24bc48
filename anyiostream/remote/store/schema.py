"""The tables of a store in SQLite."""

from __future__ import annotations

from typing import Final

__all__ = ["ADDED", "CODEC", "OF_A_THREAD", "SCHEMA", "VERSION", "kept_name", "shown_name"]

VERSION: Final = 1
"""Of the tables, in the file's `user_version`."""

SCHEMA: Final = """
CREATE TABLE threads (
    generation INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, thread_id TEXT NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0, holder TEXT NOT NULL DEFAULT '', nonce TEXT NOT NULL DEFAULT '',
    floor INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0,
    count INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0,
    pending TEXT NOT NULL DEFAULT '[]', placed INTEGER NOT NULL DEFAULT 0, touched INTEGER NOT NULL
);
CREATE TABLE folds (generation INTEGER PRIMARY KEY, place INTEGER NOT NULL, fold BLOB NOT NULL);
CREATE TABLE events (
    generation INTEGER NOT NULL, seq INTEGER NOT NULL, method TEXT NOT NULL, channel TEXT NOT NULL,
    namespace TEXT NOT NULL, root_event TEXT, body BLOB NOT NULL, PRIMARY KEY (generation, seq)
) WITHOUT ROWID;
CREATE TABLE commands (
    generation INTEGER NOT NULL, place INTEGER NOT NULL, run_id TEXT NOT NULL, body BLOB NOT NULL,
    at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (generation, place)
) WITHOUT ROWID;
CREATE TABLE replies (
    generation INTEGER NOT NULL, once TEXT NOT NULL, at INTEGER NOT NULL, place INTEGER NOT NULL, reply BLOB NOT NULL,
    PRIMARY KEY (generation, once)
) WITHOUT ROWID;
CREATE TABLE used (place INTEGER NOT NULL);
INSERT INTO used VALUES (0);
CREATE INDEX idle ON threads (touched);
"""

ADDED: Final = """
CREATE TABLE IF NOT EXISTS labels (generation INTEGER PRIMARY KEY, label BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS listed ON threads (owner, touched);
CREATE TABLE IF NOT EXISTS probed (at INTEGER NOT NULL);
"""
"""What files of version 0.1.0 have not had. It can go on with a file that has them."""

CODEC: Final = "CREATE TABLE IF NOT EXISTS codec (canary BLOB NOT NULL)"
"""What a file has besides whose content is encoded."""

OF_A_THREAD: Final = ("folds", "events", "commands", "replies", "labels", "threads")


def kept_name(name: str) -> str | bytes:
    """A name as SQLite takes it, which takes no text that has half a surrogate pair in it: then as bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode(errors="surrogatepass")
    return name


def shown_name(kept: str | bytes) -> str:
    """The name that SQLite has like that."""
    return kept.decode(errors="surrogatepass") if isinstance(kept, bytes) else kept
