"""Where a server's threads live: `memory`, `sqlite:FILE`, or `redis://...`, which servers share.

The contract is `Store`; for servers that share one, `SharedStore`.
"""

from __future__ import annotations

from anyiostream.remote.store.failures import (
    Fenced,
    InboxFull,
    NotAsynchronous,
    NotPending,
    NotShared,
    OutOfStep,
    StoreFailed,
    StoreInUse,
    StoreUnfit,
    shown,
)
from anyiostream.remote.store.handle import StoredLog, log_of
from anyiostream.remote.store.kept import Listed, Record, Stored
from anyiostream.remote.store.latency import Latency, latencies_of
from anyiostream.remote.store.memory import MemoryLog, MemoryStore
from anyiostream.remote.store.protocol import (
    NOTHING,
    Acceptance,
    Changes,
    Claim,
    News,
    Offer,
    Standing,
    thread_key,
)
from anyiostream.remote.store.sealing import Codec, CodecFailed
from anyiostream.remote.store.shared import Load, Membership, SharedStore, as_shared
from anyiostream.remote.store.sqlite import SqliteStore, back_up
from anyiostream.remote.store.store import Store

__all__ = [
    "NOTHING",
    "Acceptance",
    "Changes",
    "Claim",
    "Codec",
    "CodecFailed",
    "Fenced",
    "InboxFull",
    "Latency",
    "Listed",
    "Load",
    "Membership",
    "MemoryLog",
    "MemoryStore",
    "News",
    "NotAsynchronous",
    "NotPending",
    "NotShared",
    "Offer",
    "OutOfStep",
    "Record",
    "SharedStore",
    "SqliteStore",
    "Standing",
    "Store",
    "StoreFailed",
    "StoreInUse",
    "StoreUnfit",
    "Stored",
    "StoredLog",
    "as_shared",
    "back_up",
    "latencies_of",
    "log_of",
    "named_store",
    "thread_key",
]


def named_store(name: str, codec: Codec | None = None) -> Store:
    """The store that a command line names: `memory`, `sqlite:FILE`, or the address of a Redis or Valkey server.

    Args:
        name: Its name.
        codec: Encodes what users have written, before it is stored; memory needs none.

    Raises:
        StoreUnfit: There is no such kind of store, or it names no file, or no address.
        MissingExtra: The extra `redis` is not there.
    """
    kind, _, rest = name.partition(":")
    if name == "memory":
        return MemoryStore()
    if kind in {"redis", "rediss", "redis+sentinel", "rediss+sentinel"}:
        from anyiostream.remote.store.redis import RedisStore  # noqa: PLC0415 -- an extra

        return RedisStore(name, codec=codec)
    if kind != "sqlite":
        raise StoreUnfit(repr(shown(name)), "there are the stores `memory`, `sqlite:FILE` and `redis://HOST:PORT`")
    if not rest or rest.startswith(":"):
        raise StoreUnfit(repr(name), "a store in SQLite is a file: `sqlite:FILE`")
    return SqliteStore(rest, codec=codec)
