"""`Thread`: one conversation. Its runs, one after the other; its log; what a new viewer is shown.

Rules:

- A thread has one run at a time; further ones wait in order.
- A turn begins with a fresh run and includes the runs that resume it. A viewer that does not say where it was is shown
  the turn from its start, without the questions that have been answered in it: an answer counts when it is accepted.
- A run that comes to nothing leaves the thread as it was: it waits for its user, and asks new viewers (`Ledger`).
- While a thread waits for its user, only the assistant that asks may be run.
- An idle thread keeps its log, and its values as JSON.
- Only the run writes the log. A viewer that does not read is left behind; it is waited for only if a `lead` is set.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, final

import anyio
import attrs

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.audience import Audience, Reader, Replay, replay_of
from anyiostream.remote.batches import Batches
from anyiostream.remote.commands import InputRespond, RunStart
from anyiostream.remote.fold import Fold
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.jobs import Begun, GoesOn, Job, answering, lost, never_begun, offered, starting, too_many
from anyiostream.remote.ledger import Ledger
from anyiostream.remote.limits import Limits
from anyiostream.remote.recorder import Recorder
from anyiostream.remote.snapshot import ThreadSnapshot
from anyiostream.remote.store import Changes, StoredLog
from anyiostream.remote.subscriptions import Subscription
from anyiostream.remote.tree import RunTree

__all__ = ["Shared", "Thread"]

Perform = Callable[["Thread", Job], Awaitable[None]]
"""Runs a job to its end, and writes its events to the thread."""


@final
@attrs.frozen
class Shared:
    """A thread beyond what this server knows of it, where several servers share a store.

    Attributes:
        fresh: The thread as it stands now.
        watched: Lets the others know of the place of a run's end that a watcher has been told of.
        batches: What its viewers here share, each of whom has an object of its own.
    """

    fresh: Callable[[], Awaitable[Thread]]
    watched: Callable[[int], Awaitable[None]]
    batches: Batches


@final
class Thread:
    """One conversation.

    Attributes:
        key: Whose it is, and its id.
        checkpoint_thread: What the checkpointer calls it.
        limits: How much the server takes on.
        log: Its events, and its inbox.
        ledger: What it has, and what its runs have taken of that.
        recorder: Writes what its runs say.
        batches: What its viewers share.
        shared: Set where it is shown only: its runs are another server's, or another object's.
        lost: Whether it cannot go on as it is here, as another server has it or the store has failed: it is obsolete.
        picky: Whether runs of graphs that are not served here are left to other servers.
    """

    def __init__(
        self,
        thread_id: str,
        owner: str,
        log: StoredLog,
        limits: Limits,
        perform: Perform,
        checkpoint_thread: str | None = None,
        *,
        shared: Shared | None = None,
    ) -> None:
        self.key: Final = ThreadKey(owner, thread_id)
        self.checkpoint_thread: Final = self.key.name if checkpoint_thread is None else checkpoint_thread
        self.log: Final = log
        self.limits: Final = limits
        self.ledger: Final = Ledger(log)
        self.batches: Final = Batches() if shared is None else shared.batches
        self.shared: Final = shared
        self.lost = self.picky = False
        self._leaving = False
        self._audience = Audience(limits.lead)
        self.recorder: Final = Recorder(log, self.ledger, self._audience)
        self._perform = perform
        self._jobs: deque[Job] = deque()
        self._received = 0
        self._current: Job | None = None
        self._told = False
        self._accepting = anyio.Lock()

    def restore(self, fold: Fold, jobs: Sequence[Job], assistants: Mapping[str, Assistant]) -> None:
        """Become what an earlier process has left: its events amount to `fold`, and `jobs` are in its inbox."""
        self.ledger.restore(fold, assistants)
        for job in jobs:
            self.receive(job)
        if not jobs:
            self._rest()

    def receive(self, job: Job) -> None:
        """A command has been accepted, here or by another server; `work` runs it when its turn comes, once."""
        if job.place <= self._received:
            return  # whoever has looked at the inbox may have found one whose end was still being written
        self._received = job.place
        if not job.aborted and self.fold.run_id != job.run_id:
            self.ledger.accept(job, idle=not self.busy)
        self._jobs.append(job)

    # --- what clients ask for ---

    @property
    def thread_id(self) -> str:
        """Its id, which the client has chosen."""
        return self.key.thread_id

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.key.owner

    @property
    def fold(self) -> Fold:
        """What its events amount to."""
        return self.ledger.fold

    @property
    def snapshot(self) -> ThreadSnapshot:
        """Where it stands."""
        return self.ledger.fold.snapshot

    @property
    def tree(self) -> RunTree:
        """The graphs of its last run."""
        return self.ledger.fold.tree

    @property
    def viewers(self) -> set[Reader]:
        """The streams that read it."""
        return self._audience.viewers

    @property
    def busy(self) -> bool:
        """Whether a run is under way or waits."""
        return self._current is not None or bool(self._jobs)

    @property
    def running(self) -> bool:
        """Whether viewers have to expect the end of a run: of one that is under way, or of one that waits."""
        current = self._current
        return any(not job.aborted for job in self._jobs) or (current is not None and not current.ended)

    @property
    def idle(self) -> bool:
        """Whether it may be forgotten: it does not run, is not watched, and does not wait for its user."""
        return self.unused and not self.waits

    @property
    def unused(self) -> bool:
        """Whether it does not run, is not watched, and is not accepting a command."""
        return not self.busy and not self.viewers and not self._accepting.locked()

    @property
    def waits(self) -> bool:
        """Whether its graph waits for its user, with a question or at a breakpoint."""
        return self.snapshot.waits

    @property
    def size(self) -> int:
        """Bytes that it keeps while it is idle, as far as they are in memory."""
        return self.log.size + self.ledger.size

    async def start(
        self, command: RunStart, assistant: Assistant, once: str | None = None, *, goes_on: bool = True
    ) -> Begun:
        """Accept a run, which `work` runs. A command whose `once` is known already is not accepted again.

        Raises:
            Refusal: Too many runs wait already; or the thread waits for its user on behalf of another assistant.
            GoesOn: It would go on where the graph waits for its user, and is not to (`goes_on`).
        """
        async with self._accepting:
            job = starting(command, assistant, self.snapshot, self.ledger.asker)
            if job.goes_on and not goes_on:
                raise GoesOn
            return await self._accept(job, once)

    async def respond(self, command: InputRespond, once: str | None = None) -> Begun:
        """Accept answers to interrupts, and the run that goes on with them. Otherwise as `start`.

        Raises:
            Refusal: There was no run; an interrupt is not pending; the graph does not take what was sent along.
        """
        async with self._accepting:
            return await self._accept(answering(command, self.snapshot, self.ledger.asker), once)

    async def close(self) -> bool:
        """Accept no more runs, as it is to be erased; whether none is under way. Raises if it has been lost by now."""
        async with self._accepting:
            if self.lost:
                raise lost()
            self.lost = not self.jobs
        return self.lost

    def find(self, run_id: str) -> Job | None:
        """The run of that id, if it is under way or waits."""
        return next((job for job in self.jobs if job.run_id == run_id), None)

    def stopped_before(self, run_id: str) -> Job | None:
        """The run of that id, if it was cancelled before its turn, which has not come yet."""
        return next((job for job in self._jobs if job.run_id == run_id and job.aborted), None)

    @property
    def jobs(self) -> list[Job]:
        """The runs that are under way or wait, in order."""
        waiting = [job for job in self._jobs if not job.aborted]
        return waiting if self._current is None else [self._current, *waiting]

    async def abort(self, job: Job) -> None:
        """Stop a run, and return when nothing of it is alive. One that waits is not run at all; the log says so."""
        job.aborted = True
        if job in self._jobs:
            # Viewers are told only when its turn comes: earlier, it would end the run that they read.
            job.forget()
            self.ledger.give_back(job)
            job.done.set()
            await self.log.cancel(job.place)
            return
        self.advanced()
        try:
            await self.log.cancel(job.place)
        finally:
            if job.run is not None:
                await job.run.abort()
        await job.done.wait()

    async def drain(self, job: Job) -> None:
        """Let a run stop at the end of its step: before its first one, if its turn has not come. Returns at once."""
        try:
            await self.log.cancel(job.place, drain=True)
        finally:
            # Whoever asks may be cancelled, or the store's answer be lost, when it has been noted.
            job.drain()

    def state(self) -> dict[str, Any]:
        """Where the thread stands, for `GET /threads/{id}/state`."""
        return json.loads(b"".join(self.encoded_state()))  # type: ignore[no-any-return]

    def encoded_state(self) -> tuple[bytes, ...]:
        """The same as JSON in parts, for which the values of an idle thread need not be decoded."""
        return self.ledger.encoded_state(running=self.running)

    def encoded_values(self) -> bytes:
        """The values of that."""
        return self.ledger.encoded_values()

    def replay(self, subscription: Subscription) -> Replay:
        """Where a new viewer begins.

        Raises:
            LogGap: It asks for events after one that this thread does not have: the thread has been restarted since.
        """
        return replay_of(self.fold, self.log, subscription)

    def watched(self, seq: int) -> None:
        """A client's watcher has been told of the run's end."""
        if seq > self.fold.watched:
            self.fold.watched, self._told = seq, True

    async def settle(self) -> None:
        """Let a store that outlives the process know what viewers have been told."""
        if self._told and self.log.survives:
            self._told = False
            if self.shared is None:
                await self.log.change(fold=self.ledger.dump)
            else:
                await self.shared.watched(self.fold.watched)

    async def fresh(self) -> Thread:
        """The thread as it stands now: itself, unless it is another server's."""
        return self if self.shared is None else await self.shared.fresh()

    def leave(self) -> None:
        """Begin nothing more, and stop the run that is under way at the end of its step: another server goes on."""
        self._leaving = True
        if self._current is not None:
            self._current.leave()

    def goes_on(self, job: Job) -> bool:
        """Whether an earlier process had begun the run already."""
        return self.fold.run_id == job.run_id and not job.fresh

    def can_go_on(self, job: Job) -> bool:
        """Whether another process can go on with the run when this one ends."""
        begun = job is self._current
        return self.log.survives and (not begun or (job.assistant is not None and job.assistant.keeps_checkpoints))

    # --- what the run does ---

    async def work(self) -> None:
        """Run what was accepted, in order, until nothing is left. Called by one task at a time.

        If it is cancelled, or the store fails, it leaves the inbox as it is: the next to read the thread back goes on.
        """
        try:
            while self.has_work:
                job = self._jobs.popleft()
                if job.aborted and not self.goes_on(job):
                    # For the thread nothing has happened.
                    await self.log.append(never_begun(job), Changes(done=[job.place]), fold=self.ledger.dumps)
                    continue
                self._current = job
                await self.log.change(self.ledger.begin(job))
                await self._run(job)
                self._current = None
                job.done.set()
        finally:
            for job in self.jobs:
                job.done.set()
            self._current = None
        if not self._leaving:
            self._rest()

    @property
    def has_work(self) -> bool:
        """Whether a run waits that is to be run here."""
        return bool(self._jobs) and not self._leaving and not self._is_others(self._jobs[0])

    def _is_others(self, job: Job) -> bool:
        """Whether a run is left to a server that serves its graph."""
        return self.picky and job.assistant is None and not job.aborted

    async def _run(self, job: Job) -> None:
        try:
            await self._perform(self, job)
        except anyio.get_cancelled_exc_class():
            if not job.ended and not self.lost:
                # A server that is stopped behaves like one that dies, but the run is not to blame.
                await self.log.change(Changes(attempts=(job.place, job.attempts)))
            raise
        if job.handed_over:
            await self.log.change(self.ledger.hand_over(job))
        elif not job.ended:
            await self.log.change(self.ledger.ended(job))

    def advanced(self) -> None:
        """A viewer has read on, or has left: a run that waits for it may go on."""
        self._audience.advanced()

    async def _accept(self, job: Job, once: str | None) -> Begun:
        if self.lost:
            raise lost()
        # Of a thread that is shown, it is not known here whether the first one is under way: the store counts.
        if self.shared is None and len(self._jobs) >= self.limits.queued:
            raise too_many(self.limits.queued)
        accepted = await offered(self.log, self.key, job, self.ledger.latest, once, self.limits)
        if accepted.repeated:
            return Begun(accepted.reply.decode())
        job.place = accepted.place
        self.receive(job)
        return Begun(job.run_id, self.log.last)

    def _rest(self) -> None:
        """Nothing is left to run. What is kept is kept as bytes, so that it can be counted."""
        self.ledger.rest()
        self.batches.clear()
