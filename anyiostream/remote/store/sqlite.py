"""`SqliteStore`: threads in one file, for one server, that outlive its process. Needs nothing but Python.

Rules:

- One process has the file: a lock that ends with the process, however it ends, keeps others out, so a server that is
  started again takes over at once. A fork of the process is refused.
- Calls at the same time are done in one transaction, in a thread of their own. Each is atomic: its caller cannot be
  cancelled before it is done, and no transaction spans an `await`.
- With `synchronous="normal"` what was accepted or shown survives the death of the process, with `"full"` the loss of
  power as well; that costs a flush of the disk for each transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast, final
from weakref import WeakValueDictionary

import anyio
import attrs
from anyio import to_thread
from anyio.lowlevel import checkpoint

from anyiostream.errors import AnyioStreamError
from anyiostream.remote.limits import Limits
from anyiostream.remote.store.failures import StoreFailed, StoreUnfit
from anyiostream.remote.store.file_lock import FileLock
from anyiostream.remote.store.handle import StoredLog
from anyiostream.remote.store.kept import Listed, Record
from anyiostream.remote.store.latency import Latency
from anyiostream.remote.store.memory import not_before, now
from anyiostream.remote.store.protocol import (
    NOTHING,
    Acceptance,
    Changes,
    Claim,
    Clock,
    Offer,
    Standing,
)
from anyiostream.remote.store.schema import ADDED, CODEC, SCHEMA, VERSION
from anyiostream.remote.store.sealing import ENCODED, NO_CODEC, WRONG_CODEC, Codec, Sealing, readable
from anyiostream.remote.store.tables import Tables
from anyiostream.remote.store.window import Window
from anyiostream.wire.drafts import Entry

__all__ = ["SqliteStore", "back_up"]

T = TypeVar("T")

APPLICATION: Final = 0x616E7973
"""Tells a store's file from other databases."""

TAIL_EVENTS: Final = 256
TAIL_BYTES: Final = 256 * 1024
"""How many of a thread's newest events, and how much of them, are kept in memory for those that follow it."""


def _nothing(_: object) -> None:
    pass


@attrs.define(eq=False)
class Request:
    """A call on its way to the file."""

    work: Callable[[Tables], Any]
    then: Callable[[Any], None]
    woken: anyio.Event = attrs.field(factory=anyio.Event)
    settled: bool = False
    result: Any = None
    error: Exception | None = None


@final
class SqliteStore:
    """Threads in a file.

    Args:
        path: The file, which is made if there is none. Beside it SQLite keeps two of its own, and there is a lock.
        synchronous: What it survives: `"normal"` the death of the process, `"full"` also that of the machine.
        codec: Encodes what users have written, to encrypt it, say; see `Codec`.
        clock: The time, in µs since 1970.

    Attributes:
        path: The file.
        latencies: How long appends take, as `append`.
    """

    @property
    def survives(self) -> bool:
        """Whether threads outlive the process: they do."""
        return True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        synchronous: Literal["normal", "full"] = "normal",
        codec: Codec | None = None,
        clock: Clock = now,
    ) -> None:
        self.path: Final = Path(path)
        self.latencies: Final = {"append": Latency()}
        self._sealing = Sealing(codec)
        self._synchronous = synchronous
        self._clock = clock
        self._limits = Limits()
        self._tables: Tables | None = None
        self._thread: anyio.CapacityLimiter | None = None
        self._process = self._newest = 0
        self._windows: WeakValueDictionary[str, Window] = WeakValueDictionary()
        self._pending: list[Request] = []
        self._leading = False

    @asynccontextmanager
    async def open(self, limits: Limits) -> AsyncGenerator[None]:
        """A block in which the store is used, in the process that enters it."""
        with FileLock(self.path):
            # Not one of the threads that graphs and other parts of the program share, and may use up.
            self._thread = anyio.CapacityLimiter(1)
            connection = await to_thread.run_sync(self._connected, limiter=self._thread)
            self._limits, self._process = limits, os.getpid()
            self._tables = Tables(connection, limits, not_before(self._newest, self._clock), self._sealing.open)
            self._windows.clear()
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._call(lambda _: None)  # after what is under way
                    self._tables = None
                    await to_thread.run_sync(connection.close, limiter=self._thread)

    def log(self, claim: Claim) -> StoredLog:
        """The log of a thread that has been claimed here."""
        window = self._windows.get(claim.record.key)
        if window is None:
            most = min(TAIL_EVENTS, self._limits.events), min(TAIL_BYTES, self._limits.bytes)
            window = Window(*most, floor=claim.record.last)
            window.forgotten = claim.record.floor
            self._windows[claim.record.key] = window
        return StoredLog(self, claim, window, self._limits, self._sealing.size)

    async def record(self, key: str) -> Record | None:
        """What is known of a thread."""
        return await self._call(lambda tables: tables.record(key))

    async def look(self, key: str) -> Standing | None:
        """How a thread stands."""
        return await self._call(lambda tables: tables.look(key))

    async def listed(self, owner: str, *, since: int = 0, skip: int = 0, most: int) -> Sequence[Listed]:
        """An owner's threads, the one that was touched last first."""
        return await self._call(lambda tables: tables.listed(owner, since, skip, most))

    async def label(self, listed: Listed, label: bytes) -> None:
        """Leave for lists what was read of a thread."""
        sealed = self._sealing.seal(label)
        await self._call(lambda tables: tables.label(listed, sealed))

    async def unfinished(self) -> Sequence[str]:
        """Keys of the threads that have commands."""
        return await self._call(lambda tables: tables.unfinished())

    async def accept(self, offer: Offer, *, most: int, within: float) -> Acceptance:
        """Put a command into a thread's inbox."""
        sealed = offer.sealed(self._sealing)
        accepted = await self._call(lambda tables: tables.accept(sealed, most, within))
        return attrs.evolve(accepted, reply=self._sealing.open(accepted.reply))

    async def recall(self, key: str, once: str, *, within: float) -> bytes | None:
        """The reply to the same command, if it was accepted before."""
        known = await self._call(lambda tables: tables.recall(key, once, within))
        return None if known is None else self._sealing.open(known.reply)

    async def cancel(self, key: str, place: int, *, drain: bool = False) -> None:
        """Note that the run of a command is to be stopped."""
        await self._call(lambda tables: tables.cancel(key, place, drain=drain))

    async def claim(self, owner: str, thread_id: str, *, holder: str, nonce: str) -> Claim:
        """Become the one that writes a thread. Whoever had claimed it before is dead, or has given it up."""
        return await self._call(lambda tables: tables.claim(owner, thread_id, holder, nonce))

    async def renew(self, holder: str) -> bool:  # noqa: ARG002 -- nobody else can have it
        """Nothing here runs out while the file is locked. Writes, all the same: so it is known that it can be done."""
        await self._call(lambda tables: tables.probe())
        return True

    async def release(self, key: str, epoch: int) -> None:
        """Give a thread up."""
        await self._call(lambda tables: tables.release(key, epoch))

    async def append(
        self, key: str, epoch: int, after: int, entries: Sequence[Entry], changes: Changes = NOTHING
    ) -> None:
        """Write events to a log, and what changes with them. Followers are shown them when they are stored."""
        sealed, beside = self._sealing.entries(entries), changes.sealed(self._sealing)
        with self.latencies["append"].measured():
            await self._call(
                lambda tables: tables.append(key, epoch, after, sealed, beside), partial(self._show, key, entries)
            )

    async def read(self, key: str, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after a place."""
        return readable(await self._call(lambda tables: tables.read(key, after, most)), self._sealing.unsealed)

    def discard(self, key: str) -> None:
        """Nothing to do: the thread is in the file."""

    async def erase(self, key: str) -> None:
        """Forget a thread."""
        await self._call(lambda tables: tables.erase(key))

    async def expire(self, idle: float, waiting: float) -> int:
        """Forget threads that have been idle for long."""
        return len(await self._call(lambda tables: tables.expire(idle, waiting)))

    # --- inside ---

    async def _call(self, work: Callable[[Tables], T], then: Callable[[T], None] = _nothing) -> T:
        """Do something in a transaction, with whatever else is asked for at the same time; `then` in the event loop."""
        if self._tables is None:
            raise StoreFailed(f"{self.path} is not open: the server's lifespan does not run")
        if os.getpid() != self._process:
            raise StoreFailed(f"{self.path} was opened by the process that this one is a fork of: open it here")
        request = Request(work, then)
        self._pending.append(request)
        with anyio.CancelScope(shield=True):
            if self._leading:
                await request.woken.wait()
            if not request.settled:
                await self._lead(self._tables)
        if request.error is not None:
            raise request.error
        return cast("T", request.result)

    async def _lead(self, tables: Tables) -> None:
        """Do all that has been asked for by now, and hand over to the first caller that has come since."""
        self._leading = True
        await checkpoint()  # others whose turn it is join in
        batch, self._pending = self._pending, []
        try:
            await to_thread.run_sync(_transact, tables, batch, limiter=self._thread)
        except Exception as exc:  # noqa: BLE001 -- there is no thread, or the transaction cannot be undone
            for request in batch:
                if not request.settled:
                    request.error, request.settled = StoreFailed(str(exc)), True
                    request.error.__cause__ = exc
        finally:
            for request in batch:
                if request.settled and request.error is None:
                    request.then(request.result)
                request.woken.set()
            if self._pending:
                self._pending[0].woken.set()
            else:
                self._leading = False

    def _show(self, key: str, entries: Sequence[Entry], forgotten: int) -> None:
        """Let followers have what is stored now."""
        window = self._windows.get(key)
        if window is not None:
            window.forgotten = forgotten
            if entries and entries[0].seq > window.last:
                window.extend(entries)

    def _connected(self) -> sqlite3.Connection:
        """A connection to the file, with the schema in it."""
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # what threads hold is not everybody's
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30.0)
        except (OSError, sqlite3.Error) as exc:
            raise StoreUnfit(str(self.path), f"it cannot be opened ({exc})") from exc
        try:
            self._prepare(connection)
        except BaseException as exc:
            connection.close()
            if isinstance(exc, sqlite3.Error):
                raise StoreUnfit(str(self.path), f"SQLite says: {exc}") from exc
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")
            connection.executescript(
                f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; PRAGMA application_id = {APPLICATION}; COMMIT;"
            )
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            raise StoreUnfit(str(self.path), "it is another program's database. Name another file")
        if version not in {VERSION, VERSION + ENCODED}:
            raise StoreUnfit(
                str(self.path), f"it is of version {version}, this server reads version {VERSION}. Name another file"
            )
        connection.executescript(ADDED)
        self._check_codec(connection, encoded=version != VERSION)
        (self._newest,) = connection.execute("SELECT coalesce(max(touched), 0) FROM threads").fetchone()
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute(f"PRAGMA synchronous = {self._synchronous.upper()}")

    def _check_codec(self, connection: sqlite3.Connection, *, encoded: bool) -> None:
        """Refuse a file whose content the codec cannot decode; note that it encodes some from now on."""
        sealing = self._sealing
        if not sealing.encodes:
            if encoded:
                raise StoreUnfit(str(self.path), NO_CODEC)
            return
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(CODEC)
        new = sealing.canary()
        (before,) = connection.execute("SELECT canary FROM codec").fetchone() or (new,)
        if not (sealing.knows(before) and sealing.knows(new)):
            raise StoreUnfit(str(self.path), WRONG_CODEC)
        # Written anew, so that a key is no longer needed when all that it has encoded is gone.
        connection.execute("INSERT OR REPLACE INTO codec (rowid, canary) VALUES (1, ?)", (new,))
        connection.execute(f"PRAGMA user_version = {VERSION + ENCODED}")
        connection.execute("COMMIT")


def _transact(tables: Tables, batch: Sequence[Request]) -> None:
    """Do what is asked for in one transaction; if that fails, each call in one of its own."""
    try:
        _together(tables, batch)
    except Exception:  # noqa: BLE001 -- each call's own is raised where it was made
        tables.roll_back()
        for request in batch:
            try:
                _together(tables, [request])
            except Exception as exc:  # noqa: BLE001 -- likewise
                tables.roll_back()
                request.error = StoreFailed(str(exc)) if isinstance(exc, sqlite3.Error) else exc
                request.error.__cause__ = exc if isinstance(exc, sqlite3.Error) else None
            request.settled = True
    else:
        for request in batch:
            request.settled = True


def _together(tables: Tables, batch: Sequence[Request]) -> None:
    tables.begin()
    for request in batch:
        request.result = request.error = None
        try:
            request.result = request.work(tables)
        except AnyioStreamError as exc:  # refused before anything was written
            request.error = exc
    tables.commit()


def back_up(source: Path, target: Path) -> None:
    """Copy a store's file as it is at one moment, even while a server uses it.

    Raises:
        StoreUnfit: There is no store in `source`, or there is something at `target` already.
    """
    if not source.is_file():
        raise StoreUnfit(str(source), "there is no such file")
    if target.exists():
        raise StoreUnfit(str(target), "it is there already; a backup overwrites nothing")
    partial_copy = target.with_name(f"{target.name}-partial")
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as reading:
            if reading.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
                raise StoreUnfit(str(source), "it is another program's database")
            os.close(os.open(partial_copy, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
            with closing(sqlite3.connect(partial_copy)) as writing:
                reading.backup(writing)
                writing.execute("PRAGMA journal_mode = DELETE")
        partial_copy.replace(target)
    except (OSError, sqlite3.Error) as exc:
        raise StoreUnfit(str(source), f"it cannot be copied to {target} ({exc})") from exc
    finally:
        partial_copy.unlink(missing_ok=True)
