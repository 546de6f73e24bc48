"""Digests: what a list of threads says of each, made from what the server knows anyway and from the end of the log.

A thread is read only while somebody looks at the list, and then only its newest events: a digest costs a run nothing,
and a viewer little, however fast the thread writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, final
from weakref import WeakKeyDictionary

import attrs

from anyiostream import RunStatistics
from anyiostream.remote.log import LogGap
from anyiostream.remote.thread import Thread
from anyiostream.wire import Entry, encode

__all__ = ["Digests", "detail", "stand"]

NEWEST: Final = 64
"""Events at the end of a log that tell what a run is doing."""

TAIL: Final = 80
"""Characters of a message under way, or of a tool's arguments, that are shown."""

TELLING: Final = frozenset({"messages", "tools", "tasks"})


@final
@attrs.define(eq=False)
class Doing:
    """What the newest events of a thread are about.

    Attributes:
        cursor: The place of the last event that has been looked at.
        name: The innermost node or tool that has begun last.
        text: The end of what it says.
    """

    cursor: int = 0
    name: str = ""
    text: str = ""

    def observe(self, entry: Entry) -> None:
        """Take note of an event."""
        self.cursor = entry.seq
        if entry.method not in TELLING:
            return
        params = json.loads(entry.body)["params"]
        data = params["data"]
        if not isinstance(data, dict):
            return
        if entry.method == "messages":
            self._said(params, data)
        elif entry.method == "tools" and data.get("event") == "tool-started":
            self.name, self.text = str(data.get("tool_name", "")), encode(data.get("input")).decode()[:TAIL]
        elif entry.method == "tasks" and "result" not in data:
            self.name, self.text = str(data.get("name", "")), ""

    def _said(self, params: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        if data.get("event") == "message-start":
            self.name, self.text = str(params.get("node") or self.name), ""
            return
        delta = data.get("delta")
        if isinstance(delta, dict):
            piece = delta.get("text") or delta.get("reasoning")
            if isinstance(piece, str):
                self.text = (self.text + piece)[-TAIL:]


@final
class Digests:
    """What the threads of one server are doing, for all who look."""

    def __init__(self) -> None:
        self._doing: WeakKeyDictionary[Thread, Doing] = WeakKeyDictionary()

    async def digest(self, thread: Thread) -> dict[str, Any]:
        """What a list says of a thread: its state, its figures, and what it is doing."""
        totals = thread.fold.totals
        shown: dict[str, Any] = {
            "thread_id": thread.thread_id,
            "assistant_id": thread.fold.assistant_id or next((job.assistant_id for job in thread.jobs), ""),
            "state": stand(thread),
            "doing": "",
            "text": "",
            "queued": max(0, len(thread.jobs) - 1),
            "viewers": len(thread.viewers),
            "run_id": thread.fold.run_id,
            **totals.dump(),
        }
        if shown["state"] == "running":
            doing = await self._looked_at(thread)
            shown["doing"], shown["text"] = doing.name, doing.text
        return shown

    async def _looked_at(self, thread: Thread) -> Doing:
        doing = self._doing.get(thread)
        if doing is None:
            doing = self._doing[thread] = Doing()
        log = thread.log
        for entry in await _newest(thread, max(doing.cursor, log.last - NEWEST, log.first - 1)):
            doing.observe(entry)
        return doing


async def _newest(thread: Thread, after: int) -> Sequence[Entry]:
    """The newest events after a place, which need not be one of this log's."""
    try:
        return await thread.log.read(after, NEWEST)
    except LogGap as gap:
        try:
            return await thread.log.read(gap.first - 1, NEWEST)
        except LogGap:
            return ()  # It forgets faster than this reads; there is always something newer.


def stand(thread: Thread) -> str:
    """How a thread stands: `running`, `queued`, `waiting` for its user, `failed`, or `idle`."""
    jobs = thread.jobs
    if jobs:
        return "running" if thread.fold.run_id == jobs[0].run_id else "queued"
    if thread.waits:
        return "waiting"
    return "failed" if thread.snapshot.status == "failed" else "idle"


def detail(thread: Thread) -> dict[str, Any]:
    """What is shown of a thread besides its events: where its log is, who reads it, and who waits for whom."""
    log, jobs = thread.log, thread.jobs
    run = jobs[0].run if jobs else None
    lead = thread.limits.lead
    behind = sorted((log.last - viewer.cursor for viewer in thread.viewers), reverse=True)
    return {
        "log_id": log.log_id,
        "first": log.first,
        "last": log.last,
        "behind": behind,
        "lead": lead,
        "held_back": bool(jobs) and lead is not None and any(each >= lead for each in behind),
        "statistics": None if run is None else figures(run.statistics()),
    }


def figures(statistics: RunStatistics) -> dict[str, Any]:
    """A run's figures, as JSON has them; of its channels those that somebody reads, or that hold it back."""
    shown = attrs.asdict(statistics, recurse=False)
    shown["channels"] = [
        {
            "name": name,
            "depth": channel.depth,
            "most": None if channel.maxlen == float("inf") else channel.maxlen,
            "waiting": channel.waiting,
            "waits": channel.waits,
            "dropped": channel.dropped,
        }
        for name, channel in statistics.channels.items()
        if channel.readers or channel.waiting
    ]
    return shown
