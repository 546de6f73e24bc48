"""`Promises`: what a store has promised to those that write, send commands and read, and whether it has kept it.

Nothing here knows what kind of store it is: what is noted is what its callers were told.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, final

import attrs

from anyiostream.wire.drafts import Entry

__all__ = ["Promises", "Reader"]

SHOWN = 20
"""Violations that are kept with their text."""


@final
@attrs.define(eq=False)
class Reader:
    """What one reader of a log was shown.

    Attributes:
        key: The thread.
        name: Whose it is.
        cursor: The place that it has read up to.
        seen: The events, in the order in which they were shown.
        gaps: How many of them had been shown when it was told that something is missing.
    """

    key: str
    name: str
    cursor: int = 0
    seen: list[Entry] = attrs.field(factory=list)
    gaps: list[int] = attrs.field(factory=list)


@final
@attrs.define(eq=False)
class Promises:
    """What was promised in one series of faults.

    Attributes:
        lossy: Whether the store may lose what it has acknowledged, as long as it says so.
        counts: What has happened, and how often.
        wrong: Promises that were broken; the first of them.
        readers: All that have read.
        written: Thread -> places of events whose append was acknowledged.
        accepted: Thread -> ids of the runs of commands that were acknowledged.
    """

    lossy: bool = False
    counts: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)
    readers: list[Reader] = attrs.field(factory=list)
    written: defaultdict[str, set[int]] = attrs.field(factory=lambda: defaultdict(set))
    accepted: defaultdict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    _bodies: dict[str, bytes] = attrs.field(factory=dict)

    def broken(self, what: str) -> None:
        """A promise was broken."""
        self.counts["violations"] += 1
        if len(self.wrong) < SHOWN:
            self.wrong.append(what)

    def known(self, entry: Entry) -> None:
        """Somebody has seen an event, or has been told that it is written: nobody may see another one in its place."""
        if self._bodies.setdefault(entry.event_id, entry.body) != entry.body:
            self.broken(f"{entry.event_id} is {entry.body!r}, and was {self._bodies[entry.event_id]!r}")

    def shown(self, reader: Reader, entries: Sequence[Entry]) -> None:
        """A reader was shown events."""
        for entry in entries:
            self.known(entry)
            if entry.seq <= reader.cursor:
                self.broken(f"{reader.name} was at {reader.cursor}, and was shown {entry.event_id}")
            reader.cursor = entry.seq
            reader.seen.append(entry)
        self.counts["events shown"] += len(entries)

    def missed(self, reader: Reader) -> None:
        """A reader was told that something is missing."""
        reader.gaps.append(len(reader.seen))
        self.counts["gaps said"] += 1
        if not self.lossy:
            self.broken(f"{reader.name} was told of a gap after {reader.cursor}, where nothing may be lost")

    # --- at the end ---

    def check(self, key: str, log: Sequence[Entry], left: Sequence[str]) -> None:
        """Compare what was promised about a thread with its log, and the runs that are left in its inbox."""
        self.counts["events in logs"] += len(log)
        self._check_order(key, log)
        there = {entry.seq for entry in log}
        lost = self.written[key] - there
        self.counts["acknowledged events lost"] += len(lost)
        if lost and not self.lossy:
            self.broken(f"{key[:6]}: acknowledged and not in the log: {sorted(lost)[:5]}")
        ends = Counter(body["run"] for body in map(_body, log) if body.get("end"))
        for run_id in self.accepted[key]:
            if not ends[run_id] and run_id not in left:
                self.counts["accepted commands lost"] += 1
                if not self.lossy:
                    self.broken(f"{key[:6]}: {run_id} was accepted, and is neither done nor waiting")
            elif ends[run_id] + (run_id in left) != 1:
                self.broken(f"{key[:6]}: {run_id} ended {ends[run_id]} times")
        for reader in self.readers:
            if reader.key == key:
                self._check_reader(reader, log)

    def _check_order(self, key: str, log: Sequence[Entry]) -> None:
        """Places rise; epochs never fall; each run's events of one epoch come in order, without one in between."""
        place = epoch = 0
        counted: dict[tuple[str, int], int] = {}
        for entry in log:
            self.known(entry)
            body = _body(entry)
            if entry.seq <= place:
                self.broken(f"{key[:6]}: {entry.seq} comes after {place}")
            if body["epoch"] < epoch:
                self.broken(f"{key[:6]}: {entry.event_id} is of epoch {body['epoch']}, after {epoch}")
            place, epoch = entry.seq, body["epoch"]
            made = body["run"], epoch
            if body["n"] != counted.get(made, -1) + 1 and not self.lossy:
                self.broken(f"{key[:6]}: {entry.event_id} is {body}, after number {counted.get(made)}")
            counted[made] = body["n"]

    def _check_reader(self, reader: Reader, log: Sequence[Entry]) -> None:
        """It has seen the log, or was told where not: it saw what is lost, or did not see what is there."""
        if log and reader.cursor < log[-1].seq:
            self.broken(f"{reader.name} has not come to the end: {reader.cursor} of {log[-1].seq}")
        places = [entry.seq for entry in log]
        ids = {entry.seq: entry.event_id for entry in log}
        for entry in reader.seen:
            if ids.get(entry.seq, entry.event_id) != entry.event_id:
                self.broken(f"{reader.name} was shown {entry.event_id}, which is {ids[entry.seq]} in the log")
        there, seen = set(places), [entry.seq for entry in reader.seen]
        told = [seen[n - 1] if n else 0 for n in reader.gaps]
        position = {place: n for n, place in enumerate(places)}
        for n, place in enumerate(seen):
            if place not in there and n + 1 not in reader.gaps and (n + 1 < len(seen) and seen[n + 1] in there):
                self.broken(f"{reader.name} saw {place}, which is lost, and was not told before {seen[n + 1]}")
        before = 0
        for place in seen:
            if place not in there:
                continue
            skipped = position[place] - (position[before] + 1 if before else 0)
            if skipped and not any(before <= each < place for each in told):
                self.broken(f"{reader.name} was not shown {skipped} events between {before} and {place}")
            before = place


def _body(entry: Entry) -> Any:
    return json.loads(entry.body)["params"]["data"]
