"""`Thread`: one conversation. Its runs, one after the other; its log; what a new viewer is shown.

Rules:

- A thread has one run at a time; further ones wait in order.
- A turn begins with a fresh run and includes the runs that resume it. A viewer that does not say where it was is shown
  the turn from its start, without the questions that have been answered in it.
- The log is written by the run alone. A viewer that does not read is left behind, and waited for only where a `lead`
  is set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, final
from uuid import uuid4

import anyio
import attrs

from anyiostream.lanes.async_streams import AsyncGraphRunStream
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import InputRespond, RunStart
from anyiostream.remote.limits import Limits
from anyiostream.remote.log import Draft, ThreadLog
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.snapshot import ThreadSnapshot
from anyiostream.remote.subscriptions import Subscription
from anyiostream.remote.tree import RunTree
from anyiostream.remote.wire import PendingInterrupt

__all__ = ["ENDS", "Job", "Reader", "Replay", "Thread"]

ENDS: Final = frozenset({"completed", "failed"})
"""`lifecycle` events of the root after which clients expect nothing more of a run."""


@final
@attrs.define(eq=False)
class Job:
    """A run that was accepted.

    Attributes:
        assistant_id: Which graph, as the client calls it.
        assistant: The graph.
        input: Its input.
        config: The caller's configuration.
        resumes: Whether it goes on with the turn before it.
        run_id: Its id.
        run: The run, while it is open.
        aborted: Whether it is to stop.
        ended: Whether the log has its end.
        done: Set when nothing of it is alive.
    """

    assistant_id: str
    assistant: Assistant
    input: Any
    config: Mapping[str, Any]
    resumes: bool = False
    run_id: str = attrs.field(factory=lambda: str(uuid4()))
    run: AsyncGraphRunStream | None = None
    aborted: bool = False
    ended: bool = False
    done: anyio.Event = attrs.field(factory=anyio.Event)


@final
@attrs.frozen
class Replay:
    """Where a new viewer begins.

    Attributes:
        after: The `seq` after which it reads on.
        left_out: Events that it is not shown.
        gap: The first event that it should have been shown, if that is no longer kept.
    """

    after: int
    left_out: frozenset[int] = frozenset()
    gap: int | None = None


class Reader(Protocol):
    """A viewer, as the thread sees it."""

    @property
    def cursor(self) -> int:
        """The `seq` of the last event that it needs no more."""
        ...


Perform = Callable[["Thread", Job], Awaitable[None]]
"""Runs a job to its end, and writes its events to the thread."""


@final
class Thread:
    """One conversation.

    Attributes:
        thread_id: Its id, which the client has chosen.
        owner: Whose it is.
        log: Its events.
        snapshot: Where it stands.
        tree: The graphs of its last run.
        viewers: The streams that read it.
    """

    def __init__(self, thread_id: str, owner: str, log: ThreadLog, limits: Limits, perform: Perform) -> None:
        self.thread_id: Final = thread_id
        self.owner: Final = owner
        self.log: Final = log
        self.snapshot: Final = ThreadSnapshot()
        self.tree: Final = RunTree()
        self.viewers: Final[set[Reader]] = set()
        self._advanced: anyio.Event | None = None
        self._limits = limits
        self._perform = perform
        self._jobs: deque[Job] = deque()
        self._current: Job | None = None
        self._turn = 0
        self._questions: set[int] = set()
        self._superseded: frozenset[int] = frozenset()
        self._watched = 0
        self._last: Job | None = None
        self._latest: Any = None

    # --- what clients ask for ---

    @property
    def busy(self) -> bool:
        """Whether a run is under way or waits."""
        return self._current is not None or bool(self._jobs)

    def start(self, command: RunStart, assistant: Assistant) -> Job:
        """Accept a run; `work` runs it. With interrupts pending, an input is the answer to them.

        Raises:
            Refusal: Too many runs wait already.
        """
        pending = list(self.snapshot.interrupts)
        given, resumes = command.input, False
        if pending and given is not None:
            given, resumes = assistant.resumed_with_input(given, pending, self._latest), True
        job = Job(command.assistant_id, assistant, given, _config(command), resumes=resumes)
        return self._accept(job)

    def respond(self, command: InputRespond) -> Job:
        """Accept answers to interrupts, and the run that goes on with them.

        Raises:
            Refusal: There was no run; an interrupt is not pending; the graph does not take what was sent along.
        """
        if self._last is None:
            raise Refusal("no_such_run", "there was no run on this thread yet.")
        unknown = [each.interrupt_id for each in command.answers if each.interrupt_id not in self.snapshot.interrupts]
        if unknown:
            raise Refusal("no_such_interrupt", "the graph does not wait at this interrupt (any more).")
        before = self._last
        given = before.assistant.resumed_with_answers(command, self._latest)
        return self._accept(Job(before.assistant_id, before.assistant, given, _config(command), resumes=True))

    def find(self, run_id: str) -> Job | None:
        """The run of that id, if it is under way or waits."""
        return next((job for job in self.jobs if job.run_id == run_id), None)

    @property
    def jobs(self) -> list[Job]:
        """The runs that are under way or wait, in order."""
        return [*([] if self._current is None else [self._current]), *self._jobs]

    async def abort(self, job: Job) -> None:
        """Stop a run, and return when nothing of it is alive. One that waits is not run at all."""
        if job in self._jobs:
            self._jobs.remove(job)
            job.done.set()
            return
        job.aborted = True
        self.advanced()
        if job.run is not None:
            await job.run.abort()
        await job.done.wait()

    def state(self) -> dict[str, Any]:
        """Where the thread stands, for `GET /threads/{id}/state`."""
        current = self._current
        running = bool(self._jobs) or (current is not None and not current.ended)
        return self.snapshot.shown(running=running)

    def replay(self, subscription: Subscription) -> Replay:
        """Where a new viewer begins.

        Raises:
            Refusal: It asks for events after some that are not there yet, or that are no longer kept.
        """
        log = self.log
        if subscription.since is not None:
            if subscription.since > log.last:
                raise Refusal("invalid_argument", "`since` is in the future of this thread.", status=400)
            return Replay(subscription.since)
        left_out = self._superseded
        if subscription.is_watcher and self._watched > self._turn:
            # It has been told of this turn's end already, and looks for what comes next: told again, it would take it
            # for the end of its next run, and told of the beginning only, it would wait for an end.
            return Replay(log.last)
        if self._turn + 1 < log.first:
            return Replay(log.first - 1, left_out, gap=self._turn)
        return Replay(self._turn, left_out)

    def watched(self, seq: int) -> None:
        """A client's watcher has been told of the run's end."""
        self._watched = max(self._watched, seq)

    # --- what the run does ---

    async def work(self) -> None:
        """Run what was accepted, in order, until nothing is left. One task at a time does."""
        while self._jobs:
            job = self._current = self._last = self._jobs.popleft()
            try:
                self._begin(job)
                await self._perform(self, job)
            finally:
                self._current = None
                job.done.set()

    async def record(self, job: Job, draft: Draft) -> None:
        """Write an event to the log. What it says of the run itself names the run."""
        if draft.root_event is not None:
            draft = attrs.evolve(draft, data={**draft.data, "run_id": job.run_id})
        self.snapshot.observe(draft)
        self.tree.observe(draft)
        if draft.root_event in ENDS or draft.root_event == "interrupted":
            job.ended = True
        await self._wait_for_viewers(job)
        entry = await self.log.append(draft)
        if draft.method == "input.requested" or draft.root_event == "interrupted":
            self._questions.add(entry.seq)

    def advanced(self) -> None:
        """A viewer has read on, or has left: a run that waits for it may go on."""
        advanced, self._advanced = self._advanced, None
        if advanced is not None:
            advanced.set()

    async def _wait_for_viewers(self, job: Job) -> None:
        lead = self._limits.lead
        while lead is not None and not job.aborted:
            if all(viewer.cursor > self.log.last - lead for viewer in self.viewers):
                return
            self._advanced = anyio.Event()
            await self._advanced.wait()

    def ask(self, interrupts: Mapping[str, PendingInterrupt]) -> None:
        """The graph waits for its user. Known before the events say so, because an answer may be quick."""
        self.snapshot.interrupts = dict(interrupts)

    def keep(self, values: Any) -> None:
        """The run's last snapshot, as the graph made it; a function graph is resumed with it."""
        self._latest = values

    def _accept(self, job: Job) -> Job:
        if len(self._jobs) >= self._limits.queued:
            raise Refusal("unknown_error", f"{self._limits.queued} runs wait on this thread already.", status=429)
        if not self.busy and not job.resumes:
            self._turn = self.log.last
        self.snapshot.interrupts = {}
        self._jobs.append(job)
        return job

    def _begin(self, job: Job) -> None:
        if job.resumes:
            self._superseded |= self._questions
        else:
            self._turn = self.log.last
            self._superseded = frozenset()
        self._questions = set()
        self.snapshot.begin()
        self.tree.begin(job.assistant_id)


def _config(command: RunStart | InputRespond) -> dict[str, Any]:
    metadata = {**command.config.get("metadata", {}), **command.metadata}
    return {**command.config, "metadata": metadata}
