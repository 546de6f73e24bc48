"""`Fold`: what a thread's events amount to: where it stands, what a new viewer is shown, what has not ended. Pure.

It is made from the thread's events alone, except for what `begin`, `expect` and `ask` are told. A store that outlives
its process keeps it, as plain JSON, with the place of its last event: when the thread is read back, it is restored, and
further events are observed on top of it.
"""

from __future__ import annotations

import json
from typing import Any, Final, final

import attrs

from anyiostream.remote.opened import Opened
from anyiostream.remote.snapshot import ThreadSnapshot
from anyiostream.remote.totals import Totals
from anyiostream.remote.tree import RunTree
from anyiostream.remote.versions import known
from anyiostream.wire.drafts import Draft
from anyiostream.wire.jsonable import encode, kept
from anyiostream.wire.jsonable import shown as shown_again

__all__ = ["Fold"]

CHECKPOINTS: Final = 64
"""Newest checkpoints of a run whose places are remembered."""


@final
@attrs.define(eq=False)
class Fold:
    """What a thread's events amount to.

    Attributes:
        snapshot: Where it stands.
        tree: The graphs of its last run.
        totals: What its events add up to.
        opened: What has begun and not ended, where that is watched.
        turn: The place after which the current turn begins.
        questions: Places of the events that ask the user, in the last run.
        left_out: Places of those whose questions have been answered in this turn; new viewers are not shown them.
        watched: The greatest place of a run's end that a client's watcher has been told of.
        assistant_id: Whose the last run is; `""` if there was none.
        run_id: The last run.
        running: The place of the event that says that it runs; 0 before that.
        step: The greatest step that it has saved; -2 before the first one.
        answers: How many answers the graph's checkpoint had had before it; `None` until they have been counted.
        checkpoints: Id of a checkpoint that it has saved -> the place of the event that says so.
        handed_over: Whether the server that ran it has left it at the end of a step, with nothing to repeat.
    """

    snapshot: ThreadSnapshot = attrs.field(factory=ThreadSnapshot)
    tree: RunTree = attrs.field(factory=RunTree)
    totals: Totals = attrs.field(factory=Totals)
    opened: Opened = attrs.field(factory=Opened)
    turn: int = 0
    questions: frozenset[int] = frozenset()
    left_out: frozenset[int] = frozenset()
    watched: int = 0
    assistant_id: str = ""
    run_id: str = ""
    running: int = 0
    step: int = -2
    answers: int | None = None
    checkpoints: dict[str, int] = attrs.field(factory=dict)
    handed_over: bool = False

    def take(self, last: int, *, resumes: bool) -> None:
        """A run has been accepted, after the event at `last`: questions so far are no longer open."""
        if resumes:
            self.left_out |= self.questions
        else:
            self.turn = last
            self.left_out = frozenset()
        self.questions = frozenset()
        self.snapshot.begin()

    def begin(self, assistant_id: str, run_id: str) -> None:
        """A run begins."""
        self.assistant_id, self.run_id, self.running, self.answers = assistant_id, run_id, 0, None
        self.checkpoints, self.step, self.handed_over = {}, -2, False
        self.opened.clear()
        self.tree.begin(assistant_id)
        self.totals.begin()

    def go_on(self) -> None:
        """The run of the last `begin` goes on after its server died: what it has asked by now, it asks anew."""
        self.left_out |= self.questions
        self.questions = frozenset()
        self.snapshot.interrupts = {}

    def rest(self, first: int) -> None:
        """Nothing is left to run: forget what is of events before `first`."""
        self.left_out = frozenset(seq for seq in self.left_out if seq >= first)
        self.questions = frozenset(seq for seq in self.questions if seq >= first)

    def observe(self, draft: Draft) -> None:
        """Take note of what an event says, before it has its place."""
        self.snapshot.observe(draft)
        self.tree.observe(draft)
        self.totals.observe(draft)

    def placed(self, draft: Draft, place: int) -> None:
        """Take note of where an event is that has been observed."""
        if draft.method == "input.requested" or draft.root_event == "interrupted":
            self.questions |= {place}
        elif draft.root_event == "running":
            self.running = place

    def keep_track(self, draft: Draft, place: int) -> bool:
        """Note what is needed if the run has to go on elsewhere; whether it has got further."""
        self.opened.observe(draft)
        if draft.method != "checkpoints" or draft.namespace or not isinstance(draft.data, dict):
            return False
        self.checkpoints[str(draft.data.get("id"))] = place
        if len(self.checkpoints) > CHECKPOINTS:
            del self.checkpoints[next(iter(self.checkpoints))]
        step, before = draft.data.get("step"), self.step
        if isinstance(step, int):
            self.step = max(step, before)
        return self.step > before

    def encoded_state(self, values: bytes | None, *, running: bool) -> tuple[bytes, ...]:
        """The answer to a request for the state, as JSON in parts.

        One is the snapshot's values: `values`, if they have been encoded, which is not copied.
        """
        shown = self.snapshot.shown(running=running)
        del shown["values"]
        return b'{"values":', self.encoded_values(values), b"," + encode(shown)[1:]

    def encoded_values(self, values: bytes | None) -> bytes:
        """The values in that answer."""
        return encode(self.snapshot.values) if values is None else shown_again(values)

    def dump(self, values: bytes | None = None) -> bytes:
        """As plain JSON; `values` are the snapshot's, if they have been encoded already."""
        rest = kept(
            {
                "snapshot": self.snapshot.dump(),
                "tree": self.tree.dump(),
                "totals": self.totals.dump(),
                "opened": self.opened.dump(),
                "turn": self.turn,
                "questions": sorted(self.questions),
                "left_out": sorted(self.left_out),
                "watched": self.watched,
                "assistant_id": self.assistant_id,
                "run_id": self.run_id,
                "running": self.running,
                "step": self.step,
                "answers": self.answers,
                "checkpoints": self.checkpoints,
                "handed_over": self.handed_over,
            }
        )
        return b'{"values":%b,%b' % (kept(self.snapshot.values) if values is None else values, rest[1:])

    @classmethod
    def load(cls, dumped: bytes) -> Fold:
        """From plain JSON."""
        found = json.loads(dumped)
        parts: dict[str, Any] = {
            "snapshot": ThreadSnapshot.load(found.pop("snapshot"), found.pop("values")),
            "tree": RunTree.load(found.pop("tree")),
            "totals": Totals(**known(Totals, found.pop("totals", {}))),  # which earlier versions have not kept
            "opened": Opened.load(found.pop("opened")),
            "questions": frozenset(found.pop("questions")),
            "left_out": frozenset(found.pop("left_out")),
        }
        return cls(**parts, **known(cls, found))
