"""Digests: what a list of threads says of each, made from what the server knows anyway and from the end of the log.

A thread is read only while somebody looks at the list, and then only its newest events: a digest costs a run nothing,
and a viewer little, however fast the thread writes. Those that are not this server's alone are read from the store, for
all who look together.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, final

import anyio
import attrs

from anyiostream import RunStatistics
from anyiostream.remote.audience import Reader
from anyiostream.remote.fleet import short
from anyiostream.remote.jobs import Job
from anyiostream.remote.listing import Listing
from anyiostream.remote.log import LogGap
from anyiostream.remote.store import Listed
from anyiostream.remote.thread import Thread
from anyiostream.wire import Entry, encode

__all__ = ["Digests", "detail", "stand"]

NEWEST: Final = 64
"""Events at the end of a log that tell what a run is doing."""

TAIL: Final = 80
"""Characters of a message under way, or of a tool's arguments, that are shown."""

MOST: Final = 2000
"""Threads of which something is kept for the next one who looks."""

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
        """Take note of an event, once."""
        if entry.seq <= self.cursor:
            return
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
@attrs.define(eq=False)
class Known:
    """What is known of a thread that is not this server's alone.

    Attributes:
        listed: The thread, as the store listed it when it was read.
        thread: The thread as it was read, if a run is under way, so that the rest of it need not be read again.
        digest: What the list says of it.
        reading: Held while it is read.
    """

    listed: Listed | None = None
    thread: Thread | None = None
    digest: dict[str, Any] | None = None
    reading: anyio.Lock = attrs.field(factory=anyio.Lock)


@final
class Digests:
    """What threads are doing, for all who look.

    Args:
        listing: Lists them.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._doing: OrderedDict[tuple[str, str], Doing] = OrderedDict()
        self._known: OrderedDict[str, Known] = OrderedDict()

    async def digest(self, thread: Thread) -> dict[str, Any]:
        """What a list says of a thread: its state, its figures, and what it is doing."""
        totals = thread.fold.totals
        shown: dict[str, Any] = {
            "thread_id": thread.thread_id,
            "assistant_id": thread.fold.assistant_id or next((job.assistant_id for job in thread.jobs), ""),
            "state": stand(thread),
            "doing": "",
            "text": "",
            "server": "",
            "queued": max(0, len(thread.jobs) - 1),
            "viewers": len(thread.viewers),
            "run_id": thread.fold.run_id,
            **totals.dump(),
        }
        if shown["state"] == "running":
            doing = await self._looked_at(thread)
            shown["doing"], shown["text"] = doing.name, doing.text
            if self._listing.is_shared:
                shown["server"] = short(thread.log.holder)
        return shown

    async def stored(self, owner: str, listed: Listed, viewers: int) -> dict[str, Any] | None:
        """The same of a thread that is not this server's alone, and has so many viewers here; `None` if it is gone.

        Reads it only if something has happened to it since it was read for the last time, whoever looked.
        """
        known = self._known.setdefault(listed.key, Known())
        self._known.move_to_end(listed.key)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        async with known.reading:
            if known.listed != listed:
                before, known.thread, known.listed = known.thread, None, None
                thread = await self._listing.thread(owner, listed, before)
                known.digest = None if thread is None else await self.digest(thread)
                known.listed, known.thread = listed, thread if thread is not None and thread.jobs else None
        return None if known.digest is None else {**known.digest, "viewers": viewers}

    async def _looked_at(self, thread: Thread) -> Doing:
        log = thread.log
        doing = self._doing.setdefault((log.key, log.log_id), Doing())
        self._doing.move_to_end((log.key, log.log_id))
        if len(self._doing) > MOST:
            self._doing.popitem(last=False)
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


def detail(thread: Thread, viewers: Collection[Reader], job: Job | None) -> dict[str, Any]:
    """What is shown of a thread besides its events: where its log is, who reads it, and who waits for whom.

    Args:
        thread: The thread.
        viewers: Who reads it here.
        job: Its run, if that is run here.
    """
    log, run = thread.log, None if job is None else job.run
    lead = thread.limits.lead
    behind = sorted((max(0, log.last - viewer.cursor) for viewer in viewers), reverse=True)
    return {
        "log_id": log.log_id,
        "first": log.first,
        "last": log.last,
        "behind": behind,
        "lead": lead,
        "held_back": bool(thread.jobs) and lead is not None and any(each >= lead for each in behind),
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
