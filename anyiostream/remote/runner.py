"""`Runner`: the threads of one server, and the task group that their runs live in.

Where servers share a store, a thread is claimed when it has something to run, and given up when it has not: whichever
server accepts its next command runs that. What viewers are shown is read from the store.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, final
from uuid import uuid4

import anyio
import attrs
from anyio.abc import TaskGroup

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.backoff import Backoff
from anyiostream.remote.containing import pass_on_own
from anyiostream.remote.fleet import Fleet
from anyiostream.remote.identity import CheckpointThread, ThreadKey
from anyiostream.remote.jobs import Job, decoded_job
from anyiostream.remote.limits import Limits
from anyiostream.remote.performing import perform
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.restoring import load_thread
from anyiostream.remote.store import (
    Fenced,
    NotShared,
    OutOfStep,
    Standing,
    Store,
    StoredLog,
    StoreFailed,
    StoreUnfit,
    as_shared,
    thread_key,
)
from anyiostream.remote.thread import Shared, Thread
from anyiostream.remote.threads import Threads

__all__ = ["Runner"]

logger = logging.getLogger(__name__)

RETRYING: Final = Backoff(first=0.5, longest=30.0)
"""Between attempts to do for a thread what the store has failed for."""

HOUSEKEEPING: Final = 3600.0
"""Seconds after which idle threads are looked for again."""


@final
@attrs.define(eq=False)
class Work:
    """The task that runs what a thread has to run."""

    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)
    ended: anyio.Event = attrs.field(factory=anyio.Event)


@final
class Elsewhere(Exception):
    """Another server has the thread."""


@final
class Runner:
    """What runs on one server. `running` is entered for as long as it serves.

    Args:
        store: Where threads live.
        assistants: Name -> graph.
        limits: How much is taken on.
        checkpoint_thread: What the checkpointer calls a thread.
        owned: Whether there are several owners, each of whom may have a part of that.
        gone: Called with a thread that cannot be shown any more as it is here.

    Attributes:
        store: Where threads live.
        threads: Those that are remembered.
        fleet: The server among those that share the store; `None` where nobody does.
        fenced: Writes that were refused, as another server had the thread.
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
    ) -> None:
        self.store: Final = store
        self.threads: Final = Threads(self._load, store, limits, owned=owned)
        shared = as_shared(store)
        self.fleet: Final = None if shared is None else Fleet(shared, self, limits, assistants.keys())
        for name, assistant in assistants.items() if self.fleet is not None else ():
            if (reason := assistant.not_shared) is not None:
                raise NotShared(name, reason)
        if self.fleet is not None and limits.lead is not None:
            raise StoreUnfit("a store that servers share", "Limits.lead makes runs wait for viewers, who are anywhere")
        self.fenced = 0
        self._assistants = assistants
        self._limits = limits
        self._checkpoint_thread = checkpoint_thread
        self._gone = gone
        self._holder = ""
        self._failures: Counter[ThreadKey] = Counter()
        self._tasks: TaskGroup | None = None
        self._busy: dict[Thread, Work] = {}
        self._taking: Counter[str] = Counter()
        self._unheard: set[str] = set()

    # --- its life ---

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[TaskGroup]:
        """A block in which runs are run: those that were left unfinished, and what is accepted.

        At its end runs that can go on elsewhere are left to whoever serves the store next; the others are aborted.
        Nothing of them is alive after it.

        Raises:
            StoreUnfit: The store cannot be used.
            StoreInUse: Another server uses it.
        """
        async with self.store.open(self._limits), self._membership(), anyio.create_task_group() as tasks:
            # Served once more, maybe in another event loop, it is a new server.
            self.threads.clear()
            self._holder = uuid4().hex
            self._tasks = tasks
            try:
                if self.store.survives:
                    tasks.start_soon(self._keep_house)
                if self.fleet is None and self.store.survives:
                    for key in await self.store.unfinished():
                        tasks.start_soon(self._take_up_stored, key)
                yield tasks
            finally:
                with anyio.CancelScope(shield=True):
                    self.close()
                    with anyio.move_on_after(self._limits.drain if self.store.survives else 0):
                        await self._left()
                    with anyio.move_on_after(self._limits.shutdown) as grace:
                        await self._abort_all()
                    if grace.cancelled_caught:
                        logger.warning("runs took more than %s s to stop, and are cancelled", self._limits.shutdown)
                tasks.cancel_scope.cancel()
                self._tasks = None

    @asynccontextmanager
    async def _membership(self) -> AsyncGenerator[None]:
        """A block in which the server is one among others, if it is. It leaves when its runs have ended."""
        if self.fleet is None:
            yield
            return
        self.fleet.closing = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.fleet.run)
            yield
            tasks.cancel_scope.cancel()

    @property
    def started(self) -> bool:
        """Whether `running` has been entered."""
        return self._tasks is not None

    def close(self) -> None:
        """Take nothing over any more, and let runs that can go on elsewhere stop at the end of their step."""
        if self.fleet is not None:
            self.fleet.closing = True
        if self.store.survives:
            for thread in self._busy:
                thread.leave()

    async def _left(self) -> None:
        """Wait until nothing runs."""
        while self._busy:
            await next(iter(self._busy.values())).ended.wait()

    async def _abort_all(self) -> None:
        async with anyio.create_task_group() as aborting:
            for thread in self._busy:
                # The last one first, so that none begins when the one before it has been stopped.
                for job in reversed(thread.jobs):
                    if not thread.can_go_on(job):
                        aborting.start_soon(self.abort, thread, job)

    async def abort(self, thread: Thread, job: Job) -> None:
        """Stop a run that is run here. Its errors are its own."""
        try:
            await thread.abort(job)
        except BaseException as exc:
            await pass_on_own(exc, f"run {job.run_id} of thread {thread.thread_id}")
            # The other runs go on.
            logger.warning("run %s of thread %s did not stop well", job.run_id, thread.thread_id, exc_info=exc)
            await job.done.wait()

    # --- threads ---

    async def thread(self, key: ThreadKey) -> Thread:
        """The thread of that key, to be shown and followed; it is made if there is none.

        Raises:
            Refusal: There are too many.
        """
        if self.fleet is None:
            return await self.threads.get(key)
        return await self._shown(key, await self.fleet.store.make(key.owner, key.thread_id), follow=True)

    async def find(self, key: ThreadKey) -> Thread | None:
        """The thread of that key as it stands, if there is such."""
        if self.fleet is None:
            return await self.threads.find(key)
        standing = await self.fleet.store.look(thread_key(key.owner, key.thread_id))
        return None if standing is None else await self._shown(key, standing, follow=False)

    async def to_start(self, key: ThreadKey) -> Thread:
        """The thread of that key, by which a run may be accepted; it is made if there is none. Raises as `thread`."""
        if self.fleet is None:
            return await self.threads.get(key)
        return await self._shown(key, await self.fleet.store.make(key.owner, key.thread_id), follow=False)

    def accepted(self, thread: Thread) -> None:
        """A command has been accepted by way of `thread`: see that it is run, if not by another server."""
        if self.fleet is None:
            self._begin(thread)
        elif self._running(thread.log.key) is not None:
            self.hear(thread.log.key)
        elif self.room > 0:
            self.take_up(thread.key)

    def is_shown(self, thread: Thread) -> bool:
        """Whether what is shown of a thread is what happens to it."""
        return self.fleet is not None or self.threads.is_kept(thread)

    def find_job(self, thread: Thread, run_id: str) -> tuple[Thread, Job] | None:
        """A run of a thread that is run here, with the thread that runs it."""
        running = thread if self.fleet is None else self._running(thread.log.key)
        job = None if running is None else running.find(run_id)
        return None if running is None or job is None else (running, job)

    @property
    def jobs(self) -> Iterable[tuple[str, int]]:
        """Owner and number of runs, of each thread that has any here."""
        return [(thread.owner, len(thread.jobs)) for thread in self._busy]

    async def others_have_room(self) -> bool:
        """Whether another server may run what there is no room for here."""
        return self.fleet is not None and (await self.fleet.store.load()).ready < self._limits.runs

    # --- for the fleet ---

    @property
    def room(self) -> int:
        """For how many more runs there is room."""
        if self._tasks is None:
            return 0
        return self._limits.runs - sum(count for _, count in self.jobs) - self._taking.total()

    def has(self, key: str) -> bool:
        """Whether a thread's runs are run here."""
        return self._taking[key] > 0 or self._running(key) is not None

    def take_up(self, key: ThreadKey) -> None:
        """Claim a thread, and run what it has to run, in the background."""
        if self._tasks is not None:
            self._tasks.start_soon(self._take_up, key)

    def hear(self, key: str) -> None:
        """Look at what others have done for a thread, in the background."""
        if self._tasks is not None:
            self._tasks.start_soon(self._hear, key)

    def lose(self, key: str | None) -> None:
        """Stop the runs of a thread that another server has, or of all."""
        for thread, work in self._busy.items():
            if key is None or thread.log.key == key:
                thread.lost = True
                work.scope.cancel()

    # --- inside ---

    def _running(self, key: str) -> Thread | None:
        return next((thread for thread in self._busy if thread.log.key == key), None)

    async def _shown(self, key: ThreadKey, standing: Standing, *, follow: bool) -> Thread:
        assert self.fleet is not None
        store = self.fleet.store
        log = await store.view(standing, follow=follow)
        thread = self._made(key, log)

        async def fresh() -> Thread:
            return await self.thread(key) if follow else await self.to_start(key)

        async def watched(place: int) -> None:
            await store.watched(log.key, place)

        thread.shared = Shared(fresh, watched)
        await load_thread(thread, standing, self._assistants)
        return thread

    def _made(self, key: ThreadKey, log: StoredLog) -> Thread:
        name = self._checkpoint_thread(key.owner, key.thread_id)
        return Thread(key.thread_id, key.owner, log, self._limits, perform, name)

    async def _load(self, key: ThreadKey) -> Thread:
        holder = self._holder if self.fleet is None else self.fleet.holder
        if self.fleet is not None and not holder:
            raise Refusal("unknown_error", "the server has no part in its store now; try again later.", status=503)
        claim = await self.store.claim(key.owner, key.thread_id, holder=holder, nonce=uuid4().hex)
        if claim is None and self.fleet is not None:
            raise Elsewhere
        if claim is None:
            raise Refusal("unknown_error", "another server has this thread; try again later.", status=503)
        thread = self._made(key, self.store.log(claim))
        await load_thread(thread, claim, self._assistants)
        self._begin(thread)
        return thread

    async def _hear(self, key: str) -> None:
        """Let the thread of that key know what others have put into its inbox, or want stopped."""
        assert self.fleet is not None
        try:
            standing = await self.fleet.store.look(key)
        except StoreFailed as exc:
            logger.warning("it is not known what a thread has been sent: %s", exc)
            return
        thread = self._running(key)
        if thread is None or standing is None:
            if self._taking[key]:
                self._unheard.add(key)
            return
        jobs = {job.place: job for job in thread.jobs}
        for stored in standing.inbox:
            job = jobs.get(stored.place)
            if job is None:
                thread.receive(decoded_job(stored, self._assistants))
            elif stored.cancelled and not job.aborted and self._tasks is not None:
                self._tasks.start_soon(self.abort, thread, job)

    async def _take_up_stored(self, key: str) -> None:
        """Go on with what a thread has left to do, as soon as the store can be used."""
        record = await RETRYING.retry(partial(self.store.record, key), _not_taken_up, on=(StoreFailed,))
        if record is not None:
            await self._take_up(ThreadKey(record.owner, record.thread_id))

    async def _take_up(self, key: ThreadKey) -> None:
        """Claim a thread that has something to do, as soon as that can be done, unless another server has."""
        name = thread_key(key.owner, key.thread_id)

        async def claim() -> Thread:
            self._unheard.discard(name)
            return await self.threads.get(key)

        self._taking[name] += 1
        try:
            thread = await RETRYING.retry(claim, _not_taken_up, on=(StoreFailed, Refusal))
            if self.fleet is not None and not thread.busy and thread not in self._busy:
                await self._give_up(thread)
            elif name in self._unheard:
                self.hear(name)
        except Elsewhere:
            return
        finally:
            self._unheard.discard(name)
            self._taking[name] -= 1
            self._taking += Counter()

    async def _give_up(self, thread: Thread) -> None:
        """Let others have a thread that has nothing to run."""
        assert self.fleet is not None
        self.threads.drop(thread)
        fleet, holder = self.fleet, self.fleet.holder

        async def release() -> None:
            if holder and holder == fleet.holder:
                await self.store.release(thread.log.key, thread.log.epoch)

        await RETRYING.retry(release, _not_given_up, on=(StoreFailed,))

    async def _keep_house(self) -> None:
        """Forget threads that have been idle for too long, now and then."""
        while True:
            try:
                await self.store.expire(self._limits.idle, self._limits.waiting)
            except StoreFailed as exc:
                logger.warning("idle threads cannot be forgotten: %s", exc)
            await anyio.sleep(HOUSEKEEPING)

    def _begin(self, thread: Thread) -> None:
        """Run what a thread has to run, if that is not under way."""
        if thread.busy and thread not in self._busy:
            assert self._tasks is not None
            self._busy[thread] = Work()
            self._tasks.start_soon(self._work, thread)

    async def _work(self, thread: Thread) -> None:
        work = self._busy[thread]
        try:
            with work.scope as scope:
                await thread.work()
            if scope.cancelled_caught:
                self._forget(thread)  # another server has it
                return
        except BaseException as exc:
            # A log that cannot be written ends its thread's runs here, not the server. What the store has of them is
            # taken up anew, as if the server had died.
            await pass_on_own(exc, f"thread {thread.thread_id}")
            self._forget(thread)
            if isinstance(exc, (Fenced, OutOfStep)) and self.fleet is not None:
                self.fenced += 1
                logger.warning("thread %s is not this server's any more: %s", thread.thread_id, exc)
                if isinstance(exc, Fenced):
                    return
            else:
                logger.exception("thread %s cannot go on", thread.thread_id)
            if self.store.survives:
                self._failures[thread.key] += 1
                await anyio.sleep(RETRYING.pause(self._failures[thread.key] - 1))
                await self._take_up(thread.key)
        else:
            self._failures.pop(thread.key, None)
            if self.fleet is not None:
                del self._busy[thread]
                await self._give_up(thread)
        finally:
            work.ended.set()
            self._busy.pop(thread, None)
            self.threads.settle(thread)

    def _forget(self, thread: Thread) -> None:
        """A thread cannot go on as it is here."""
        self._busy.pop(thread, None)
        self.threads.drop(thread)
        self._gone(thread)


def _not_taken_up(why: Exception) -> None:
    logger.warning("a thread cannot be taken up yet: %s", why)


def _not_given_up(why: Exception) -> None:
    logger.warning("a thread cannot be given up yet: %s", why)
