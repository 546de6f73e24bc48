"""Servers, clients and readers of a store that servers share, without graphs and without a network of their own.

`Workload` uses `SharedStore` alone, so that it serves any store. Each server has a handle on the store, joins, claims
threads, and does what their inboxes say: some events for each command. Clients offer commands until they are
acknowledged, readers follow logs. All of them go on whatever the store does; `Promises` notes what they were told.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, final
from uuid import uuid4

import anyio

from anyiostream.remote import Limits, LogGap
from anyiostream.remote.store import (
    Changes,
    Claim,
    Fenced,
    InboxFull,
    Offer,
    OutOfStep,
    SharedStore,
    StoredLog,
    StoreFailed,
    thread_key,
)
from anyiostream.wire.drafts import Draft

from ..waiting import PATIENCE, until
from .promises import Promises, Reader

__all__ = ["Workload"]

OWNER: Final = "ann"

EVENTS: Final = 6
"""Of a run."""

WAITING: Final = 4
"""Commands that an inbox may hold."""

PAUSE: Final = 0.01
"""Seconds between two looks at a store that has nothing to do, or does not answer."""


@final
class Workload:
    """What goes on over a store.

    Args:
        stores: A handle for each server, none of them open.
        promises: Where it is noted.
        seed: Of what is drawn.
        threads: How many threads there are.
        readers: How many readers each thread has, spread over the servers.

    Attributes:
        done: Runs that have ended, by what their servers were told.
    """

    def __init__(
        self, stores: Sequence[SharedStore], promises: Promises, seed: int, *, threads: int = 3, readers: int = 2
    ) -> None:
        self.stores = stores
        self.promises = promises
        self.done = 0
        self._draw = random.Random(seed)
        self._threads = [f"t{n}" for n in range(threads)]
        self._readers = readers
        self._accepting = True

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """A block in which everybody is at work. At its end the work is finished, and what was promised is compared."""
        async with anyio.create_task_group() as tasks:
            opened = [anyio.Event() for _ in self.stores]
            for store, event in zip(self.stores, opened, strict=True):
                tasks.start_soon(self._serve, store, event)
            for event in opened:
                await event.wait()
            for n, thread_id in enumerate(self._threads):
                tasks.start_soon(self._send, self._store(n), thread_id)
                for m in range(self._readers):
                    tasks.start_soon(self._follow, self._store(n + m), thread_id, f"reader {m} of {thread_id}")
            yield
            self._accepting = False
            await self._finish()
            tasks.cancel_scope.cancel()

    async def progress(self, runs: int = 1) -> None:
        """Wait until so many more runs have ended."""
        wanted = self.done + runs
        with anyio.move_on_after(PATIENCE) as scope:
            await until(lambda: self.done >= wanted)
        if scope.cancelled_caught:
            self.promises.broken(f"nothing goes on after {self.done} runs")

    def _store(self, n: int) -> SharedStore:
        return self.stores[n % len(self.stores)]

    # --- servers ---

    async def _serve(self, store: SharedStore, opened: anyio.Event) -> None:
        async with store.open(Limits()):
            opened.set()
            while True:
                holder = uuid4().hex
                try:
                    async with store.join(holder) as member, anyio.create_task_group() as tasks:
                        for thread_id in self._threads:
                            tasks.start_soon(self._work, store, holder, thread_id)
                        while not member.lost:
                            member.beat()
                            await anyio.sleep(PAUSE)
                        self.promises.counts["leases lost"] += 1
                        tasks.cancel_scope.cancel()
                except StoreFailed:
                    await anyio.sleep(PAUSE)

    async def _work(self, store: SharedStore, holder: str, thread_id: str) -> None:
        """Do what comes for a thread, for as long as the server is a member."""
        while True:
            try:
                await self._claim(store, holder, thread_id)
            except StoreFailed:
                self.promises.counts["calls failed"] += 1
            except (Fenced, OutOfStep) as exc:
                self.promises.counts[f"appends refused: {type(exc).__name__}"] += 1
            await anyio.sleep(PAUSE * self._draw.random())

    async def _claim(self, store: SharedStore, holder: str, thread_id: str) -> None:
        standing = await store.look(thread_key(OWNER, thread_id))
        if standing is None or not standing.inbox:
            return
        claim = await store.claim(OWNER, thread_id, holder=holder, nonce=uuid4().hex)
        if claim is None:
            return
        log = store.log(claim)
        for command in claim.inbox:
            await log.change(Changes(attempts=(command.place, command.attempts + 1)))
            for n in range(EVENTS):
                last = n == EVENTS - 1
                await self._append(log, claim, command, n, end=last)
            self.done += 1
        await store.release(log.key, log.epoch)

    async def _append(self, log: StoredLog, claim: Claim, command: Any, n: int, *, end: bool) -> None:
        data = {"run": command.run_id, "epoch": claim.record.epoch, "n": n, "end": end}
        changes = Changes(done=[command.place]) if end else Changes()
        entry = await log.append(Draft("custom", (), data, 1), changes)
        self.promises.known(entry)
        self.promises.written[log.key].add(entry.seq)
        self.promises.counts["events acknowledged"] += 1

    # --- clients ---

    async def _send(self, store: SharedStore, thread_id: str) -> None:
        """Offer one command after the other."""
        while self._accepting:
            await self._offer(store, thread_id)

    async def _offer(self, store: SharedStore, thread_id: str) -> None:
        """Offer a command until it is acknowledged."""
        run_id = uuid4().hex
        offer = Offer(owner=OWNER, thread_id=thread_id, run_id=run_id, body=b"{}", reply=run_id.encode(), once=run_id)
        while True:
            try:
                await store.accept(offer, most=WAITING, within=PATIENCE)
            except (StoreFailed, InboxFull):
                await anyio.sleep(PAUSE)
            else:
                self.promises.accepted[thread_key(OWNER, thread_id)].append(run_id)
                self.promises.counts["commands accepted"] += 1
                return

    async def _follow(self, store: SharedStore, thread_id: str, name: str) -> None:
        key = thread_key(OWNER, thread_id)
        reader = Reader(key, name)
        self.promises.readers.append(reader)
        place = 0
        while True:
            try:
                standing = await store.make(OWNER, thread_id)
                log = await store.view(standing, follow=True)
                while True:
                    try:
                        found = await log.read(place)
                    except LogGap as gap:
                        self.promises.missed(reader)
                        place = gap.first - 1
                        continue
                    if found:
                        self.promises.shown(reader, found)
                        place = reader.cursor
                    else:
                        await log.wait(place)
            except StoreFailed:
                await anyio.sleep(PAUSE)

    # --- the end ---

    async def _finish(self) -> None:
        """Wait until nothing is left to do and everybody has read it, and compare."""
        store = self.stores[0]
        for thread_id in self._threads:
            key = thread_key(OWNER, thread_id)
            with anyio.move_on_after(PATIENCE):
                await self._offer(store, thread_id)  # whoever has read what is lost is told by what comes after it
                await self._empty(store, key)
                log = await self._whole(store, key)
                await self._read(key, log[-1].seq if log else 0)
            left = await _again(partial(store.look, key))
            self.promises.check(
                key, await self._whole(store, key), [each.run_id for each in left.inbox] if left else []
            )

    async def _read(self, key: str, last: int) -> None:
        readers = [each for each in self.promises.readers if each.key == key]
        await until(lambda: all(each.cursor >= last for each in readers))

    async def _empty(self, store: SharedStore, key: str) -> None:
        while True:
            standing = await _again(partial(store.look, key))
            if standing is None or not standing.inbox:
                return
            await anyio.sleep(PAUSE)

    async def _whole(self, store: SharedStore, key: str) -> list[Any]:
        log: list[Any] = []
        while found := await _again(partial(store.read, key, log[-1].seq if log else 0)):
            log += found
        return log


async def _again(call: Any) -> Any:
    """The result of a call that changes nothing, when there is one."""
    while True:
        try:
            return await call()
        except StoreFailed:
            await anyio.sleep(PAUSE)
