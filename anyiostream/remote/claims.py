"""`Claims`: the threads that a server has: claimed in the store, run, and given up or taken up again.

Rules:

- A server that has its store for itself claims a thread when it is asked for, and keeps it.
- Where servers share a store, a thread is claimed when it has something to run, and given up when it has not: the
  server that accepts its next command runs that.
- A log that cannot be written ends its thread's runs here, not the server. They are taken up again from the store, as
  if the server had died.
- What fails because of the store is retried, after growing pauses, as long as it is this server's business.
- A thread that cannot be read here, as a newer version has written it, is left to the servers that can.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, final
from uuid import uuid4

import anyio

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.backoff import Backoff
from anyiostream.remote.containing import done_apart, pass_on_own
from anyiostream.remote.fleet import Fleet
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.jobs import decoded_job
from anyiostream.remote.limits import Limits
from anyiostream.remote.loader import Loader
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import Fenced, OutOfStep, Record, Store, StoreFailed, thread_key
from anyiostream.remote.thread import Thread
from anyiostream.remote.threads import Threads
from anyiostream.remote.workload import Workload
from anyiostream.tooling import loggable
from anyiostream.wire.drafts import Draft

__all__ = ["Claims"]

logger = logging.getLogger(__name__)

RETRYING: Final = Backoff(first=0.5, longest=30.0)
"""Between attempts to do for a thread what the store has failed for."""


@final
class Elsewhere(Exception):
    """Another server has the thread."""


@final
class Claims:
    """The threads that a server has. To its fleet it is the server (`fleet.Server`).

    Args:
        store: Where threads live.
        assistants: Name -> graph.
        limits: How much is taken on.
        loader: Makes the threads that have been claimed.
        threads: Remembers them.
        workload: Runs them.
        fleet: The server among those that share the store; `None` where nobody does.
        gone: Called with a thread that cannot be shown any more as it is here.
        erased: Called with the name of a thread that is no longer in the store.

    Attributes:
        fenced: Writes that were refused, as another server had the thread.
        abridged: Events that were too large.
    """

    def __init__(
        self,
        store: Store,
        assistants: Mapping[str, Assistant],
        limits: Limits,
        *,
        loader: Loader,
        threads: Threads,
        workload: Workload,
        fleet: Fleet | None,
        gone: Callable[[Thread], None],
        erased: Callable[[str], None],
    ) -> None:
        self.fenced = self.abridged = 0
        self._store = store
        self._assistants = assistants
        self._limits = limits
        self._loader = loader
        self._threads = threads
        self._workload = workload
        self._fleet = fleet
        self._gone = gone
        self._erased = erased
        self._alone = ""
        self._failures: Counter[ThreadKey] = Counter()
        self._taking: Counter[str] = Counter()
        self._unheard: set[str] = set()
        self._unreadable: dict[str, int] = {}  # name of a thread -> epoch in which it could not be read

    def clear(self) -> None:
        """Have nothing. Served once more, maybe in another event loop, it is a new server."""
        self._threads.clear()
        self._unreadable.clear()
        self._alone = uuid4().hex

    async def get(self, key: ThreadKey) -> Thread:
        """The thread of that key, which is claimed if it is not remembered, and made if there is none.

        Raises:
            Refusal: There are too many, or another server has it.
            StoreFailed: It is not known who has it.
        """
        return await self._threads.get(key, self._claimed)

    async def find(self, key: ThreadKey) -> Thread | None:
        """The thread of that key, if there is such. Raises as `get`."""
        return await self._threads.find(key, self._claimed)

    def accepted(self, thread: Thread) -> None:
        """A command has been accepted by way of `thread`: see that it is run, if not by another server."""
        if self._fleet is None:
            if not thread.lost:  # otherwise it is taken up again, with the command
                self._begin(thread)
        elif self._workload.running(thread.log.key) is not None:
            self.hear(thread.log.key)
        elif self.room > 0 and not self._fleet.closing:
            self.take_up(thread.key)

    async def take_up_stored(self, key: str) -> None:
        """Go on with what a thread has left to do, as soon as the store can be used."""
        record = await RETRYING.retry(partial(self._store.record, key), _not_taken_up, on=(StoreFailed,))
        if record is not None:
            await self._take_up(ThreadKey(record.owner, record.thread_id))

    # --- for the fleet ---

    @property
    def room(self) -> int:
        """For how many more runs there is room."""
        if self._workload.tasks is None:
            return 0
        return self._limits.runs - sum(count for _, count in self._workload.jobs) - self._taking.total()

    def has(self, key: str) -> bool:
        """Whether a thread's runs are run here."""
        return self._taking[key] > 0 or self._workload.running(key) is not None

    def can_read(self, record: Record) -> bool:
        """Whether a thread is not known to be one that cannot be read here."""
        return self._unreadable.get(record.key) != record.epoch

    def take_up(self, key: ThreadKey) -> None:
        """Claim a thread, and run what it has to run, in the background."""
        if self._workload.tasks is not None:
            self._workload.tasks.start_soon(done_apart, "taking up a thread", self._take_up, key)

    def hear(self, key: str) -> None:
        """Look at what others have done for a thread, in the background."""
        if self._workload.tasks is not None:
            self._workload.tasks.start_soon(done_apart, "reading a thread's commands", self._hear, key)

    def lose(self, key: str | None) -> None:
        """Stop the runs of a thread that another server has, or of all."""
        self._workload.lose(key)

    def erased(self, key: str) -> None:
        """End the streams of a thread that is no longer there."""
        self._erased(key)

    # --- claiming, and hearing of what has been claimed ---

    async def _claimed(self, key: ThreadKey) -> Thread:
        fleet = self._fleet
        holder = self._alone if fleet is None else fleet.holder
        if fleet is not None and not holder:
            raise _no_member()
        claim = await self._store.claim(key.owner, key.thread_id, holder=holder, nonce=uuid4().hex)
        if claim is None and fleet is not None:
            raise Elsewhere
        if claim is None:
            raise Refusal("unknown_error", "another server has this thread; try again later.", status=503)
        try:
            log = self._store.log(claim)
            log.on_abridged = partial(self._note_abridged, key, set())
            thread = await self._loader.claimed(key, claim, log)
        except BaseException:
            self._store.discard(claim.record.key)
            raise
        if fleet is not None and fleet.holder != holder:
            # The lease has run out meanwhile, and the other runs have been stopped.
            self._store.discard(claim.record.key)
            raise _no_member()
        thread.picky = fleet is not None
        self._begin(thread)
        return thread

    async def _take_up(self, key: ThreadKey) -> None:
        """Claim a thread that has something to do, as soon as that can be done, unless another server has."""
        name = thread_key(key.owner, key.thread_id)

        async def claim() -> Thread:
            self._unheard.discard(name)
            return await self.get(key)

        self._taking[name] += 1
        try:
            thread = await RETRYING.retry(claim, _not_taken_up, on=(StoreFailed, Refusal))
            self._unreadable.pop(name, None)
            if self._fleet is not None and not thread.busy and thread not in self._workload:
                await self._give_up(thread, self._fleet)
            elif name in self._unheard:
                self.hear(name)
        except Elsewhere:
            return
        except BaseException as exc:
            await pass_on_own(exc, f"taking up thread {key.thread_id}")
            logger.exception("thread %s cannot be read: it is left to others", key.thread_id, exc_info=loggable(exc))
            await self._leave_to_others(name)
        finally:
            self._unheard.discard(name)
            self._taking[name] -= 1
            self._taking += Counter()

    async def _hear(self, key: str) -> None:
        """Let the thread of that key know what others have put into its inbox, or want stopped."""
        assert self._fleet is not None
        standing = await RETRYING.retry(partial(self._fleet.store.look, key), _not_heard, on=(StoreFailed,))
        thread = self._workload.running(key)
        if thread is None or standing is None:
            if self._taking[key]:
                self._unheard.add(key)
            elif standing is not None and standing.inbox and self._is_ours(standing.record):
                await self._take_up(ThreadKey(standing.record.owner, standing.record.thread_id))
            return
        jobs = {job.place: job for job in thread.jobs}
        for stored in standing.inbox:
            job = jobs.get(stored.place)
            if job is None:
                try:
                    received = decoded_job(stored, self._assistants)
                except Exception as exc:
                    # Whoever has the thread next does what is left, in order.
                    logger.exception(
                        "a command of thread %s cannot be read: it is left to others",
                        thread.thread_id,
                        exc_info=loggable(exc),
                    )
                    return
                thread.receive(received)
            elif stored.cancelled and not job.aborted and self._workload.tasks is not None:
                self._workload.tasks.start_soon(self._workload.abort, thread, job)
            elif stored.drained and not job.drained:
                job.drain()

    def _is_ours(self, record: Record) -> bool:
        """Whether the store has it that this server has a thread, be it by a claim that came late, and is forgotten."""
        return self._fleet is not None and record.holder == self._fleet.holder != ""

    def _note_abridged(self, key: ThreadKey, told: set[str], draft: Draft, size: int) -> None:
        """Count it, and log it if it is the first one of its type in `told`: there may be one with every step."""
        self.abridged += 1
        if draft.method not in told:
            told.add(draft.method)
            logger.warning(
                "an event of thread %s is abridged: one of the type %s has %s bytes, and Limits.event is %s",
                key.thread_id, draft.method, size, self._limits.event,
            )  # fmt: skip

    # --- running, and what becomes of a thread then ---

    def _begin(self, thread: Thread) -> None:
        self._workload.begin(thread, self._work)

    async def _work(self, thread: Thread) -> None:
        try:
            if not await self._workload.run(thread):
                self._forget(thread)
                if self._fleet is not None:  # if it is this server's all the same, it is taken up again
                    await self._give_up(thread, self._fleet)
                return
        except BaseException as exc:
            await pass_on_own(exc, f"thread {thread.thread_id}")
            self._forget(thread)
            is_others = self._fleet is not None and isinstance(exc, (Fenced, OutOfStep))
            if is_others:
                self.fenced += 1
                logger.warning("thread %s is no longer this server's: %s", thread.thread_id, exc)
            else:
                logger.exception("thread %s cannot go on", thread.thread_id, exc_info=loggable(exc))
            if not (is_others and isinstance(exc, Fenced)) or await self._is_claimed_here(thread.log.key):
                await self._take_up_anew(thread.key)
        else:
            self._failures.pop(thread.key, None)
            if self._fleet is not None:
                await self._give_up(thread, self._fleet)
        finally:
            self._threads.settle(thread)

    async def _is_claimed_here(self, key: str) -> bool:
        """Whether what has fenced a thread is a claim of this server's own."""
        record = await RETRYING.retry(partial(self._store.record, key), _not_taken_up, on=(StoreFailed,))
        return record is not None and self._is_ours(record)

    async def _take_up_anew(self, key: ThreadKey) -> None:
        """Go on with what the store has of a thread whose runs have ended here with an error."""
        if self._store.survives:
            self._failures[key] += 1
            await anyio.sleep(RETRYING.pause(self._failures[key] - 1))
            await self._take_up(key)

    async def _leave_to_others(self, key: str) -> None:
        """Give up a thread that cannot be read here, until somebody else has had it."""

        async def release() -> None:
            record = await self._store.record(key)
            if record is not None and self._is_ours(record):
                self._unreadable[key] = record.epoch
                await self._store.release(key, record.epoch)

        await RETRYING.retry(release, _not_given_up, on=(StoreFailed,))

    def _forget(self, thread: Thread) -> None:
        """A thread cannot go on as it is here."""
        thread.lost = True
        self._threads.drop(thread)
        self._gone(thread)

    async def _give_up(self, thread: Thread, fleet: Fleet) -> None:
        """Let others have a thread that has nothing to run."""
        self._threads.drop(thread)
        holder = fleet.holder

        async def release() -> None:
            if holder and holder == fleet.holder:  # a new incarnation has nothing that the one before had
                await self._store.release(thread.log.key, thread.log.epoch)

        await RETRYING.retry(release, _not_given_up, on=(StoreFailed,))


def _not_taken_up(why: Exception) -> None:
    logger.warning("a thread cannot be taken up yet: %s", why)


def _not_heard(why: Exception) -> None:
    logger.warning("a thread's commands cannot be read yet: %s", why)


def _not_given_up(why: Exception) -> None:
    logger.warning("a thread cannot be given up yet: %s", why)


def _no_member() -> Refusal:
    return Refusal("unknown_error", "the server has lost its place in the store; try again later.", status=503)
