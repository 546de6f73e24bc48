"""`RedisStore`: threads in Redis or Valkey, for any number of servers. Needs the `redis` extra."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, final

import anyio
from anyio import to_thread

from anyiostream.remote.limits import Limits
from anyiostream.remote.store.failures import Fenced, InboxFull, NotPending, OutOfStep, StoreFailed, StoreUnfit
from anyiostream.remote.store.handle import StoredLog
from anyiostream.remote.store.kept import Listed, Record
from anyiostream.remote.store.latency import Latency
from anyiostream.remote.store.protocol import (
    NOTHING,
    Acceptance,
    Changes,
    Claim,
    Clock,
    News,
    Offer,
    Standing,
    thread_key,
)
from anyiostream.remote.store.redis.address import Address
from anyiostream.remote.store.redis.fitness import check_fit
from anyiostream.remote.store.redis.lane import Lane
from anyiostream.remote.store.redis.renewal import Renewal
from anyiostream.remote.store.redis.scripts import Script, entry_of, head_of, json_of, listed_of, standing_of, us
from anyiostream.remote.store.redis.tail import BLOCK, Opened, Tail
from anyiostream.remote.store.sealing import Codec, CodecFailed, Sealing, readable
from anyiostream.remote.store.shared import Load
from anyiostream.remote.store.stops import kept_stop
from anyiostream.remote.store.window import Window, check_gap
from anyiostream.wire.drafts import Entry

__all__ = ["RedisStore"]

READ_BYTES: Final = 2**20
"""Bytes of events that are read at a time, more or less."""

TAIL_EVENTS: Final = 1024
TAIL_BYTES: Final = 512 * 1024
"""How many of a thread's newest events, and how much of them, are kept in memory for those that follow it."""

UNFINISHED: Final = 1000
"""How many unclaimed threads are looked at together."""

STUCK: Final = 600.0


@final
class RedisStore:
    """Threads in Redis (6.2 or later) or Valkey, on one server or a primary with replicas, not a Cluster.

    ```python
    from anyiostream.remote import app
    from anyiostream.remote.store.redis import RedisStore

    application = app({"chat": graph}, store=RedisStore("rediss://runs:secret@store.example/0"))
    ```

    A server keeps four connections to it, whatever the number of its viewers.

    Args:
        url: `redis://USER:PASSWORD@HOST:PORT/DATABASE`; `rediss://` with TLS; `redis+sentinel://HOST:PORT,.../SERVICE`
            where Sentinels know the primary, with `sentinel_user` and `sentinel_password` as query parameters, if they
            ask for that. Further parameters: `prefix`, with which the names of all keys begin, one for each deployment;
            `lease`; `ca`, `cert` and `key`, files for TLS.
        lease: Seconds after which others go on with what a dead server had, 10 by default, at least 1; the same for all
            servers of a deployment.
        deadline: Seconds that an answer of the store may take before the connection counts as dead.
        patience: Seconds for which a call whose outcome is not known is repeated before it fails.
        stuck: Seconds for which the event loop may be blocked without losing the lease.
        codec: Encodes what users have written, to encrypt it, say; see `Codec`. All servers need one that knows the
            others' keys.
        clock: The time, in µs since 1970, for tests; by default the store's own.

    Attributes:
        address: Where it is.
        lease: Seconds after which others go on with what a dead server had.
        latencies: How long appends take (`append`), and until this server has read what it writes (`tail`).

    Raises:
        StoreUnfit: The address or the lease is invalid.
    """

    @property
    def survives(self) -> bool:
        """Whether threads outlive the process: they do."""
        return True

    def __init__(
        self,
        url: str,
        *,
        lease: float | None = None,
        deadline: float = 2.0,
        patience: float | None = None,
        stuck: float = STUCK,
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.address: Final = Address.parse(url, lease)
        self.lease: Final = self.address.lease
        self._deadline = deadline
        self._patience = self.lease if patience is None else patience
        self._stuck = stuck
        self.latencies: Final = {"append": Latency(), "tail": Latency()}
        self._sealing = Sealing(codec)
        self._clock = clock
        self._limits = Limits()
        self._opened: Opened | None = None
        self._renewal: Renewal | None = None

    @asynccontextmanager
    async def open(self, limits: Limits) -> AsyncGenerator[None]:
        """A block in which the store is used, in the process that enters it."""
        self._limits = limits
        unfit: StoreUnfit | CodecFailed | None = None
        async with anyio.create_task_group() as tasks:
            script = Script(self.address.prefix, self._patience, self._clock)
            commands, reads = self._lane("commands"), self._lane("reads")
            news = self._lane("news", BLOCK)
            decode, latency = self._sealing.open, self.latencies["tail"]
            tail = Tail(self.address.prefix, news, commands, script, self._deadline, decode, latency)
            lanes = commands, reads, news
            try:
                for lane in lanes:
                    tasks.start_soon(lane.run)
                await check_fit(script, commands, self.address, self._patience, self._sealing)
                await script.index(commands)
                tasks.start_soon(tail.run)
                self._opened = Opened(script, commands, reads, tail)
                yield
            except (StoreUnfit, CodecFailed) as exc:
                if self._opened is not None:
                    raise
                unfit = exc  # which is raised as it is, and not in a group
            finally:
                self._opened = None
                for lane in lanes:
                    lane.close()
                tasks.cancel_scope.cancel()
        if unfit is not None:
            raise unfit

    # --- calls of any store ---

    def log(self, claim: Claim) -> StoredLog:
        """The log of a thread that has been claimed here."""
        tail, key = self._open.tail, claim.record.key
        window = self._window(claim.record)
        if window.last < claim.record.last:
            window.restart(claim.record.last)  # it lags: what is between is read from the store
        tail.lead(key)
        return StoredLog(self, claim, window, self._limits, self._sealing.size)

    async def record(self, key: str) -> Record | None:
        """What is known of a thread."""
        standing = await self.look(key)
        return None if standing is None else standing.record

    async def look(self, key: str) -> Standing | None:
        """How a thread stands."""
        found = await self._call("look", key)
        return None if found is None else standing_of(key, found, self._sealing.open)

    async def listed(self, owner: str, *, since: int = 0, skip: int = 0, most: int) -> Sequence[Listed]:
        """An owner's threads, the one that was touched last first."""
        found = await self._call("listed", _text(owner), since, skip, most)
        return [listed_of(each, self._sealing.open) for each in found]

    async def label(self, listed: Listed, label: bytes) -> None:
        """Leave for lists what was read of a thread."""
        sealed = self._sealing.seal(label)
        await self._call("label", listed.key, listed.generation, listed.touched, listed.last, sealed)

    async def unfinished(self) -> Sequence[str]:
        """Keys of the threads that have commands, and that nobody has: those of dead servers first."""
        return [key.decode() for key in await self._call("unfinished", UNFINISHED)]

    async def accept(self, offer: Offer, *, most: int, within: float) -> Acceptance:
        """Put a command into a thread's inbox. Whoever has the thread is told."""
        key = thread_key(offer.owner, offer.thread_id)
        once = f"run {offer.run_id}" if offer.once is None else offer.once
        sealed = offer.sealed(self._sealing)
        found = await self._call(
            "accept", key, _text(offer.owner), offer.thread_id, offer.run_id, sealed.body, sealed.reply, once,
            json_of(offer.answers), most, us(within),
        )  # fmt: skip
        if found[0] == b"full":
            raise InboxFull(most)
        if found[0] == b"not pending":
            raise NotPending
        _, place, reply, repeated = found
        reply = self._sealing.open(reply)
        return Acceptance(place=place, reply=reply, repeated=bool(repeated) and offer.once is not None)

    async def recall(self, key: str, once: str, *, within: float) -> bytes | None:
        """The reply to the same command, if it was accepted before."""
        found: bytes | None = await self._call("recall", key, once, us(within))
        return None if found is None else self._sealing.open(found)

    async def cancel(self, key: str, place: int, *, drain: bool = False) -> None:
        """Note that the run of a command is to be stopped. Whoever has the thread is told."""
        await self._call("cancel", key, place, kept_stop(drain=drain))

    async def claim(self, owner: str, thread_id: str, *, holder: str, nonce: str) -> Claim | None:
        """Become the one that writes a thread, unless another server has it, whose lease has not run out."""
        key = thread_key(owner, thread_id)
        found = await self._call("claim", key, _text(owner), thread_id, holder, nonce)
        if found is None:
            return None
        standing = standing_of(key, found, self._sealing.open)
        return Claim(record=standing.record, next=found[2], inbox=standing.inbox)

    async def renew(self, holder: str) -> bool:
        """Keep all that `holder` has claimed. Who has joined need not: that is done in the background."""
        return bool(await self._call("renew", holder, us(self.lease)))

    async def release(self, key: str, epoch: int) -> None:
        """Give a thread up. If it has commands, others are told."""
        self._unlead(key)
        await self._call("release", key, epoch)

    async def append(
        self, key: str, epoch: int, after: int, entries: Sequence[Entry], changes: Changes = NOTHING
    ) -> None:
        """Write events to a log, and what changes with them. Followers here see them at once."""
        place, attempts = ("", "") if changes.attempts is None else changes.attempts
        sealed, beside = self._sealing.entries(entries), changes.sealed(self._sealing)
        written = [part for entry in sealed for part in (entry.seq, head_of(entry), entry.body)]
        try:
            with self.latencies["append"].measured():
                found = await self._call(
                    "append", key, epoch, after, self._limits.events, self._limits.bytes, json_of(changes.done), place,
                    attempts, "" if changes.pending is None else json_of(changes.pending), beside.fold or "",
                    beside.label or "", *written, patience=self._margin(),
                )  # fmt: skip
        except StoreFailed:
            self._unlead(key)
            raise
        if found[0] != b"appended":
            self._unlead(key)
            raise Fenced if found[0] == b"fenced" else OutOfStep(after, found[1])
        window = self._open.tail.window(key)
        if window is not None:
            window.forgotten = found[1]
            before = [after, *(entry.seq for entry in entries)]
            if window.last == after:
                self._open.tail.feed(key, list(zip(before, entries, strict=False)))
            else:
                self._unlead(key)  # it is read back, with what is between

    async def read(self, key: str, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after a place."""
        found = await self._read(key, after, most)
        if found:
            check_gap(after, found[0][0], found[0][1].seq)
        return [entry for _, entry in found]

    def discard(self, key: str) -> None:
        """The thread stays in the store. What others write to its log is read back from now on, for those here."""
        self._unlead(key)

    async def erase(self, key: str) -> None:
        """Forget a thread."""
        await self._call("erase", key)

    async def expire(self, idle: float, waiting: float) -> int:
        """Forget threads that have been idle for long."""
        forgotten: int = 0
        skip: int = 0
        while True:
            erased, kept = await self._call("expire", us(idle), us(waiting), skip)
            forgotten, skip = forgotten + erased, skip + kept
            if not erased and not kept:
                break
        return forgotten

    # --- calls of a store that servers share ---

    @asynccontextmanager
    async def join(self, server: str) -> AsyncGenerator[Renewal]:
        """A block in which a server may claim threads."""
        opened, before = self._open, time.monotonic()
        ready_from = await self._call("join", server, us(self.lease))
        renewal = Renewal(lambda: self._lane("lease"), opened.script, server, self.lease, self._stuck)
        renewal.start(before)
        opened.tail.join(server, ready_from)
        self._renewal = renewal
        try:
            yield renewal
        finally:
            self._renewal = None
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(renewal.stop, limiter=anyio.CapacityLimiter(1))
                if not renewal.lost:
                    await self._leave(server)

    async def make(self, owner: str, thread_id: str) -> Standing:
        """How a thread stands, which is made if there is none."""
        key = thread_key(owner, thread_id)
        return standing_of(key, await self._call("make", key, _text(owner), thread_id), self._sealing.open)

    async def view(self, standing: Standing, *, follow: bool) -> StoredLog:
        """The log of a thread, to be read."""
        record = standing.record
        window = self._window(record, follow=follow)
        while window.last < record.last:
            found = await self._read(record.key, window.last, TAIL_EVENTS)
            if not found:
                window.restart(record.last)
            for before, entry in found:
                if entry.seq > window.last:
                    if before != window.last:
                        window.restart(before)
                    window.extend((entry,))
        return StoredLog(self, Claim(record=record, next=0), window, self._limits)

    async def watched(self, key: str, place: int) -> None:
        """Note that a client's watcher has been told of an end."""
        await self._call("watched", key, place)

    async def heard(self) -> News:
        """Wait for what concerns this server."""
        return await self._open.tail.heard()

    async def load(self) -> Load:
        """What all servers have to do."""
        ready, age, servers = await self._call("load", patience=self._deadline)
        return Load(ready=ready, age=age / 1_000_000, servers=servers)

    # --- inside ---

    @property
    def _open(self) -> Opened:
        if self._opened is None:
            raise StoreFailed(f"{self.address} is not open: the server's lifespan does not run")
        return self._opened

    def _lane(self, purpose: str, waits: float = 0.0) -> Lane:
        return Lane(self.address, f"anyiostream-{purpose}", self._deadline, waits)

    async def _call(self, operation: str, *arguments: Any, patience: float | None = None) -> Any:
        opened = self._open
        return await opened.script.call(opened.commands, operation, *arguments, patience=patience)

    async def _read(self, key: str, after: int, most: int) -> list[tuple[int, Entry]]:
        opened = self._open
        generation, found = await opened.script.call(opened.reads, "read", key, after, most, READ_BYTES)
        return readable(found, lambda each: entry_of(generation, each, self._sealing.open))

    def _margin(self) -> float | None:
        """Seconds for which a write may be repeated: no longer than the server's lease lasts."""
        return None if self._renewal is None else min(self._patience, self._renewal.margin)

    def _window(self, record: Record, *, follow: bool = True) -> Window:
        """The window of a log: the one that is followed already, or a new one, which begins with what comes next."""
        tail = self._open.tail
        window = tail.window(record.key) if follow else None
        if window is None:
            most = min(TAIL_EVENTS, self._limits.events), min(TAIL_BYTES, self._limits.bytes)
            window = Window(*most, floor=record.last)
            window.forgotten = record.floor
            if follow:
                tail.follow(record.key, record.generation, window)
        elif not tail.is_of(record.key, record.generation):
            window.restart(0)
            window.forgotten = record.floor
            tail.follow(record.key, record.generation, window)
        window.forgotten = max(window.forgotten, record.floor)
        return window

    def _unlead(self, key: str) -> None:
        """What is written to a log may be written elsewhere from now on."""
        if self._opened is not None:
            self._opened.tail.unlead(key)

    async def _leave(self, server: str) -> None:
        with suppress(StoreFailed):  # then its lease runs out
            await self._call("leave", server, patience=self._deadline)


def _text(owner: str) -> bytes:
    return owner.encode(errors="surrogatepass")
