"""`Ledger`: what a thread has, what a run takes of it, and what it has again if the run comes to nothing.

Rules:

- A run takes the thread when it is accepted, or, where another one is under way, when its turn comes. From its
  acceptance on, earlier questions are no longer open.
- It has used what it took as soon as its graph has begun to work with it (`Job.observe`). A run that ends before that,
  because the graph refuses its input or because it is cancelled, comes to nothing.
- While nothing runs, values are kept as JSON; as the graph made them they are kept only for a function that waits for
  its user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import attrs

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.fold import Fold
from anyiostream.remote.jobs import Asker, Job, Taken
from anyiostream.remote.label import Label
from anyiostream.remote.store import NOTHING, Changes, StoredLog
from anyiostream.wire.drafts import RUN_ENDS, Draft
from anyiostream.wire.encoder import WireInterrupt
from anyiostream.wire.jsonable import encode, kept

__all__ = ["Ledger"]

BREAKPOINT: Final = ""
"""Stands for a question in the store where a graph waits for its user without one. Nobody can answer it."""


@final
class Ledger:
    """What a thread has. It writes nothing to the log itself: what is to be written with an event is returned.

    Args:
        log: The thread's.

    Attributes:
        fold: What the thread's events amount to. An idle thread's values are kept apart.
        asker: Who had the last run; `None` before the first one.
        dumps: Encodes all of it, where the log outlives the process.
    """

    def __init__(self, log: StoredLog) -> None:
        self.fold = Fold()
        self.asker: Asker | None = None
        self.dumps: Final = self.dump if log.survives else None
        self._log = log
        self._values: bytes | None = None
        # Whether it has asked since it was last stored, and in this run: at its end, questions may have been answered.
        self._asked = self._asks = False

    def restore(self, fold: Fold, assistants: Mapping[str, Assistant]) -> None:
        """Be as an earlier process has left it: the events amount to `fold`."""
        self.fold = fold
        if fold.assistant_id:
            self.asker = Asker(fold.assistant_id, assistants.get(fold.assistant_id), fold.snapshot.values)

    # --- what there is ---

    @property
    def latest(self) -> Any:
        """What a function graph goes on with: its last snapshot as it made it, or as plain JSON after a restart."""
        return None if self.asker is None else self.asker.values

    @property
    def size(self) -> int:
        """Bytes that are kept besides the log while the thread is idle."""
        values = len(self._values or b"")
        if self.latest is not None:
            values *= 2  # as the graph made them, too
        snapshot = self.fold.snapshot
        values += self.fold.tree.size
        return values + (len(encode(snapshot.shown(running=False)["tasks"])) if snapshot.waits else 0)

    def encoded_state(self, *, running: bool) -> tuple[bytes, ...]:
        """Where the thread stands, as JSON in parts, for which the values of an idle one need not be decoded."""
        return self.fold.encoded_state(self._values, running=running)

    def encoded_values(self) -> bytes:
        """The values of that."""
        return self.fold.encoded_values(self._values)

    def dump(self) -> bytes:
        """All of it as plain JSON."""
        return self.fold.dump(self._values)

    def label(self) -> bytes:
        """What lists are to know of the thread, encoded."""
        return Label(self.fold.assistant_id, self.fold.snapshot.waits).dump()

    # --- what a run takes, uses, and leaves ---

    def accept(self, job: Job, *, idle: bool) -> None:
        """A run has been accepted: earlier questions are no longer open. If the thread is idle, the run has it."""
        fold, snapshot = self.fold, self.fold.snapshot
        job.asked, snapshot.interrupts = snapshot.interrupts, {}
        if idle:
            self._take(job)
        elif job.asked and job.resumes:
            # A quick answer: the run that has asked is not quite over.
            job.hidden = fold.questions - fold.left_out
            fold.left_out |= job.hidden

    def begin(self, job: Job) -> Changes:
        """A run's turn has come, maybe once more after its server died; what the store is to know before it begins."""
        fold, values = self.fold, self.latest if job.resumes else None
        if fold.run_id != job.run_id:
            job.fresh = True
            if job.taken is None:
                self._take(job)
            fold.begin(job.assistant_id, job.run_id)
        else:
            fold.go_on()
        self.asker, self._asks = Asker(job.assistant_id, job.assistant, values), False
        job.handed_over, fold.handed_over = fold.handed_over, False
        return Changes(attempts=(job.place, job.attempts + 1), pending=(), fold=self._dumped(), label=self.label())

    def observe(self, draft: Draft) -> None:
        """Take note of what an event says, before it has its place."""
        self.fold.observe(draft)
        if draft.method == "values" and not draft.namespace:
            self._values = None

    def placed(self, job: Job, draft: Draft, place: int) -> Changes:
        """Take note of where an event of a run is that has been observed; what changes with it."""
        self.fold.placed(draft, place)
        came_further = self._log.survives and self.fold.keep_track(draft, place)
        if draft.root_event in RUN_ENDS or draft.root_event == "interrupted":
            job.end = draft.root_event
            return self.ended(job)
        if self._asked:
            return self._changes()
        if came_further and job.attempts:
            job.attempts = 0
            return Changes(attempts=(job.place, 1))
        return NOTHING

    def ask(self, interrupts: Mapping[str, WireInterrupt]) -> None:
        """The graph waits for its user. Known before the events say so, because an answer may be quick."""
        self.fold.snapshot.interrupts = dict(interrupts)
        self._asked = self._asks = True

    def keep(self, values: Any) -> None:
        """The run's last snapshot, as the graph made it; a function graph is resumed with it."""
        last = self.asker
        if last is not None and last.assistant is not None and not last.assistant.takes_config:
            self.asker = attrs.evolve(last, values=values)

    def ended(self, job: Job) -> Changes:
        """A run has ended; what changes with that. If it leaves the thread waiting as before, it has given it back."""
        waits = job.taken is not None and job.taken.waited
        if waits:
            self.give_back(job)
        return self._changes([job.place], given_back=waits)

    def hand_over(self, job: Job) -> Changes:
        """A run has stopped at the end of a step, for another server to go on; what changes with that."""
        self.fold.handed_over = True
        return Changes(attempts=(job.place, job.attempts), fold=self.dump())

    def give_back(self, job: Job) -> None:
        """If a run has not used what it took, the thread has it again; its questions are asked of new viewers, too."""
        fold = self.fold
        taken, job.taken = job.taken, None
        if taken is None:
            # It has been used; or the run that asks is not over yet, and what it asks is all that was taken.
            fold.snapshot.interrupts = fold.snapshot.interrupts or job.asked
            fold.left_out -= job.hidden
        elif job.end not in {"completed", "interrupted"}:
            fold.snapshot, self._values, self.asker = taken.snapshot, taken.values, taken.asker
            fold.turn, fold.questions = taken.turn, taken.questions
            fold.left_out = taken.left_out
            fold.assistant_id = "" if taken.asker is None else taken.asker.assistant_id
        job.asked, job.hidden = {}, frozenset()

    def rest(self) -> None:
        """Nothing is left to run. What is kept is kept as bytes, so that it can be counted."""
        snapshot = self.fold.snapshot
        if snapshot.values is not None:
            self._values, snapshot.values = kept(snapshot.values), None
        if self.asker is not None and not snapshot.waits:
            self.asker = attrs.evolve(self.asker, values=None)
        self.fold.rest(self._log.first)

    # --- inside ---

    def _take(self, job: Job) -> None:
        """Earlier questions are no longer open; a fresh run begins a turn."""
        fold = self.fold
        # Something may have been asked since the run was accepted: by the one that was under way then.
        before = attrs.evolve(fold.snapshot, interrupts={**job.asked, **fold.snapshot.interrupts})
        job.taken = Taken(before, self._values, self.asker, fold.turn, fold.questions, fold.left_out - job.hidden)
        fold.take(self._log.last, resumes=job.resumes)

    def _changes(self, done: Sequence[int] = (), *, given_back: bool = False) -> Changes:
        """What changes with an event that ends a run, or after which something else is asked."""
        snapshot = self.fold.snapshot
        pending: tuple[str, ...] | None = None
        if self._asked or given_back or (done and snapshot.waits and not self._asks):
            pending = tuple(snapshot.interrupts) or ((BREAKPOINT,) if snapshot.waits else ())
        self._asked = False
        return Changes(done=done, pending=pending, fold=self._dumped(), label=self.label())

    def _dumped(self) -> bytes | None:
        return None if self.dumps is None else self.dumps()
