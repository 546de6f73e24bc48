"""`Runner`: what is run on one server, from its start to its stop, and by which threads clients see it.

`Claims` says which threads are run here, `Workload` runs them. Where servers share a store, what clients are shown is
read from there, whichever server runs it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final, final

import anyio
from anyio.abc import TaskGroup

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.claims import Claims
from anyiostream.remote.containing import done_apart
from anyiostream.remote.fleet import Fleet
from anyiostream.remote.identity import CheckpointThread, ThreadKey
from anyiostream.remote.jobs import Job
from anyiostream.remote.limits import Limits
from anyiostream.remote.listing import Listing
from anyiostream.remote.loader import Loader
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import NotAsynchronous, NotShared, Store, StoreFailed, StoreUnfit, as_shared
from anyiostream.remote.thread import Thread
from anyiostream.remote.threads import Threads
from anyiostream.remote.workload import Workload

__all__ = ["Runner"]

logger = logging.getLogger(__name__)

HOUSEKEEPING: Final = 3600.0
"""Seconds after which idle threads are looked for again."""


@final
class Runner:
    """What runs on one server. `running` is entered for as long as it serves.

    Args:
        store: Where threads live.
        assistants: Name -> graph.
        limits: How much is taken on.
        checkpoint_thread: What the checkpointer calls a thread.
        owned: Whether there are several owners, each with a part of that.
        gone: Called with a thread whose state here can no longer be shown.
        erased: Called with the name of a thread that is no longer in the store that servers share.

    Attributes:
        threads: Those that are remembered.
        listing: Those of an owner, wherever they are.
        fleet: The server among those that share the store; `None` where nobody does.
        claims: Which threads are run here.
        workload: Their runs.

    Raises:
        NotAsynchronous: An assistant's checkpointer works without an event loop only.
        NotShared: An assistant cannot be served by several servers, and the store is shared.
        StoreUnfit: A limit does not go with a store that servers share.
    """

    def __init__(
        self,
        store: Store,
        assistants: Mapping[str, Assistant],
        limits: Limits,
        checkpoint_thread: CheckpointThread,
        *,
        owned: bool,
        gone: Callable[[Thread], None],
        erased: Callable[[str], None],
    ) -> None:
        shared = as_shared(store)
        for name, assistant in assistants.items():
            if (checkpointer := assistant.not_asynchronous) is not None:
                raise NotAsynchronous(name, checkpointer)
            if shared is not None and (reason := assistant.not_shared) is not None:
                raise NotShared(name, reason)
        if shared is not None and limits.lead is not None:
            raise StoreUnfit("a store that servers share", "Limits.lead makes runs wait for viewers, who are anywhere")
        self._store = store
        self._limits = limits
        self._owned = owned
        self._accepting: Counter[str] = Counter()
        self._loader = Loader(assistants, limits, checkpoint_thread)
        self.threads: Final = Threads(store, limits, owned=owned)
        self.workload: Final = Workload()
        most = min(limits.threads, limits.owner_threads or limits.threads) if owned else limits.threads
        self.listing: Final = Listing(store, self._loader, self.threads if shared is None else None, most)
        self.fleet: Final = None if shared is None else Fleet(shared, limits, assistants.keys())
        self.claims: Final = Claims(
            store,
            assistants,
            limits,
            loader=self._loader,
            threads=self.threads,
            workload=self.workload,
            fleet=self.fleet,
            gone=gone,
            erased=erased,
        )

    # --- its life ---

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[TaskGroup]:
        """A block in which runs are run: those that were left unfinished, and what is accepted.

        At its end, runs that can go on elsewhere are left to the store's next server; the others are aborted.
        Nothing of them is alive after it.

        Raises:
            StoreUnfit: The store cannot be used.
            StoreInUse: Another server uses it.
        """
        async with self._store.open(self._limits), self._membership(), anyio.create_task_group() as tasks:
            self.claims.clear()
            self.workload.tasks, self.workload.leaving = tasks, False
            try:
                if self._store.survives:
                    tasks.start_soon(self._keep_house)
                if self.fleet is None and self._store.survives:
                    for key in await self._store.unfinished():
                        tasks.start_soon(done_apart, "taking up a thread", self.claims.take_up_stored, key)
                yield tasks
            finally:
                with anyio.CancelScope(shield=True):
                    self.close()
                    with anyio.move_on_after(self._limits.drain if self._store.survives else 0):
                        await self.workload.wait()
                    with anyio.move_on_after(self._limits.shutdown) as grace:
                        await self.workload.abort_all()
                    if grace.cancelled_caught:
                        logger.warning("runs took more than %s s to stop, and are cancelled", self._limits.shutdown)
                tasks.cancel_scope.cancel()
                self.workload.tasks = None

    @asynccontextmanager
    async def _membership(self) -> AsyncGenerator[None]:
        """A block in which the server is one among others, if it is. It leaves when its runs have ended."""
        if self.fleet is None:
            yield
            return
        self.fleet.closing = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.fleet.run, self.claims)
            yield
            tasks.cancel_scope.cancel()

    def close(self) -> None:
        """Take nothing over any more, and let runs that can go on elsewhere stop at the end of their step."""
        if self.fleet is not None:
            self.fleet.closing = True
        if self._store.survives:
            self.workload.leave()

    async def _keep_house(self) -> None:
        """Forget threads that have been idle for too long, now and then."""
        while True:
            await done_apart("forgetting idle threads", self._forget_idle)
            await anyio.sleep(HOUSEKEEPING)

    async def _forget_idle(self) -> None:
        try:
            await self._store.expire(self._limits.idle, self._limits.waiting)
        except StoreFailed as exc:
            logger.warning("idle threads cannot be forgotten: %s", exc)

    # --- threads, as clients see them ---

    async def thread(self, key: ThreadKey) -> Thread:
        """The thread of that key, to be shown and followed; it is made if there is none.

        Raises:
            Refusal: There are too many.
        """
        if self.fleet is None:
            return await self.claims.get(key)
        return await self._loader.shown(key, self.fleet.store, follow=True)

    async def find(self, key: ThreadKey) -> Thread | None:
        """The thread of that key as it stands, if there is such."""
        if self.fleet is None:
            return await self.claims.find(key)
        return await self._loader.found(key, self.fleet.store)

    async def to_start(self, key: ThreadKey) -> Thread:
        """The thread of that key, by which a run may be accepted; it is made if there is none. Raises as `thread`."""
        if self.fleet is None:
            return await self.claims.get(key)
        return await self._loader.shown(key, self.fleet.store, follow=False)

    def is_shown(self, thread: Thread) -> bool:
        """Whether what is shown of a thread is up to date."""
        return self.fleet is not None or self.threads.is_kept(thread)

    # --- runs ---

    @property
    def jobs(self) -> Iterable[tuple[str, int]]:
        """Owner and number of runs, of each thread that has any here; and of those that are being accepted."""
        return [*self.workload.jobs, *self._accepting.items()]

    @contextmanager
    def accepting(self, owner: str) -> Generator[None]:
        """A block in which a run is accepted. It counts already, as others are accepted meanwhile."""
        self._accepting[owner] += 1
        try:
            yield
        finally:
            self._accepting[owner] -= 1
            self._accepting += Counter()  # without the owners who have none

    def find_job(self, thread: Thread, run_id: str) -> tuple[Thread, Job] | None:
        """A run of a thread that is run here, with the thread that runs it."""
        running = thread if self.fleet is None else self.workload.running(thread.log.key)
        job = None if running is None else running.find(run_id)
        return None if running is None or job is None else (running, job)

    @property
    def others_run(self) -> bool:
        """Whether what is accepted here may be run by another server: one shares the store, while this one is open."""
        return self.fleet is not None and self.workload.tasks is not None

    async def check_runs(self, owner: str) -> None:
        """Whether there is room for another run of an owner's: here, or where another server may run it.

        Raises:
            Refusal: There is none; HTTP status 429.
        """
        jobs, limits = self.jobs, self._limits
        if sum(count for _, count in jobs) >= limits.runs and (
            self.fleet is None or (await self.fleet.store.load()).ready >= limits.runs
        ):
            raise Refusal("unknown_error", "there are too many runs; try again later.", status=429)
        most = limits.owner_runs if self._owned else None  # otherwise there is one owner only, who may have everything
        if most is not None and sum(count for each, count in jobs if each == owner) >= most:
            raise Refusal("unknown_error", "you have too many runs; try again later.", status=429)
