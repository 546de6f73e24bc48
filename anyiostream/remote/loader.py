"""`Loader`: makes a thread of what a store has of it: to be run here, or to be shown, wherever it is run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Final, final
from weakref import WeakValueDictionary

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.batches import Batches
from anyiostream.remote.fold import Fold
from anyiostream.remote.identity import CheckpointThread, ThreadKey
from anyiostream.remote.jobs import decoded_job
from anyiostream.remote.limits import Limits
from anyiostream.remote.log import looked_again
from anyiostream.remote.performing import perform
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import Claim, Record, SharedStore, Standing, Store, StoredLog, log_of, thread_key
from anyiostream.remote.thread import Shared, Thread
from anyiostream.tooling import is_interrupt, loggable
from anyiostream.wire.drafts import Draft

__all__ = ["Loader"]

logger = logging.getLogger(__name__)

READ_AT_A_TIME: Final = 256
"""Events."""


@final
class Loader:
    """Makes threads.

    Args:
        assistants: Name -> graph.
        limits: How much is taken on.
        checkpoint_thread: What the checkpointer calls a thread.
    """

    def __init__(
        self, assistants: Mapping[str, Assistant], limits: Limits, checkpoint_thread: CheckpointThread
    ) -> None:
        self._assistants = assistants
        self._limits = limits
        self._checkpoint_thread = checkpoint_thread
        self._batches: WeakValueDictionary[str, Batches] = WeakValueDictionary()  # of logs that have viewers here

    async def claimed(self, key: ThreadKey, claim: Claim, log: StoredLog) -> Thread:
        """A thread that has been claimed, as an earlier process has left it."""
        thread = self._made(key, log)
        await self._restore(thread, claim)
        return thread

    async def shown(self, key: ThreadKey, store: SharedStore, *, follow: bool) -> Thread:
        """A thread as it stands, which is made if there is none; with `follow` its log goes on where it is run."""

        async def look() -> Thread:
            return await self._standing(key, await store.make(key.owner, key.thread_id), store, follow=follow)

        return await looked_again(look)

    async def found(self, key: ThreadKey, store: SharedStore) -> Thread | None:
        """A thread as it stands, if there is such."""

        async def look() -> Thread | None:
            standing = await store.look(thread_key(key.owner, key.thread_id))
            return None if standing is None else await self._standing(key, standing, store, follow=False)

        return await looked_again(look)

    async def stored(self, key: ThreadKey, store: Store, known: Thread | None = None) -> Thread | None:
        """A thread as it stands in a store that outlives the process, if there is such, for a list.

        Args:
            key: Its key.
            store: Where it lives.
            known: What this has returned for it before. What that has observed is not read again, but taken over.
        """

        async def look() -> Thread | None:
            nonlocal known
            standing = await store.look(thread_key(key.owner, key.thread_id))
            if standing is None:
                return None
            thread = self._made(key, log_of(store, standing.record, self._limits))
            before, known = known, None  # it has taken over something, if this does not succeed
            await self._restore(thread, standing, before)
            return thread

        return await looked_again(look)

    async def _standing(self, key: ThreadKey, standing: Standing, store: SharedStore, *, follow: bool) -> Thread:
        log = await store.view(standing, follow=follow)
        batches = self._batches.setdefault(f"{log.key} {log.log_id}", Batches())
        shared = Shared(partial(self.shown, key, store, follow=follow), partial(store.watched, log.key), batches)
        thread = self._made(key, log, shared)
        await self._restore(thread, standing)
        return thread

    def _made(self, key: ThreadKey, log: StoredLog, shared: Shared | None = None) -> Thread:
        try:
            name = self._checkpoint_thread(key.owner, key.thread_id)
        except BaseException as exc:
            if is_interrupt(exc):
                raise
            logger.exception("checkpoint_thread() has failed; mend it", exc_info=loggable(exc))
            text = "the server cannot name this thread's checkpoints; its log says why."
            raise Refusal("unknown_error", text, status=500) from exc
        return Thread(key.thread_id, key.owner, log, self._limits, perform, name, shared=shared)

    async def _restore(self, thread: Thread, found: Claim | Standing, known: Thread | None = None) -> None:
        """Bring `thread`, which is new, to the stored state: its fold, what has happened since, and its commands."""
        record, saved = found.record, found.record.fold
        if not record.last and not found.inbox and saved is None:
            return
        if known is not None and _goes_on(known, record):
            fold, after = known.fold, known.log.last
        else:
            fold, after = Fold() if saved is None else Fold.load(saved), record.folded
        while after < record.last and (entries := await thread.log.read(after, READ_AT_A_TIME)):
            for entry in entries:
                if entry.seq > record.last:
                    break  # what it changes besides is not known
                draft = Draft.of(entry.body)
                fold.observe(draft)
                fold.placed(draft, entry.seq)
                fold.keep_track(draft, entry.seq)
            after = entries[-1].seq
        fold.watched = max(fold.watched, record.watched)
        jobs = [decoded_job(stored, self._assistants) for stored in found.inbox]
        thread.restore(fold, jobs, self._assistants)


def _goes_on(known: Thread, record: Record) -> bool:
    """Whether what is known of a thread is newer than its saved fold, and is what its events amount to alone.

    That is so in the middle of a run. A run that has been accepted and not begun has taken questions from the fold.
    """
    is_same = known.log.log_id == str(record.generation) and known.log.last > record.folded
    return is_same and bool(known.jobs) and known.jobs[0].run_id == known.fold.run_id
