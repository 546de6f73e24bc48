"""`Archive`: every event that a store has ever had of the threads, in order, although its logs forget the oldest ones.

Logs are read on from where they were read last, so it costs the same whether a log is short or long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import attrs

__all__ = ["Archive", "Kept", "Read", "is_count"]

Read = Callable[[str, int], tuple[str, list[tuple[int, bytes]]] | None]
"""Thread and place -> the thread's generation, and its events after the place: place and body. `None`: no thread."""

ENDS = frozenset({"completed", "failed", "interrupted"})


@attrs.define
class Kept:
    """What there is of a thread.

    Attributes:
        generation: Of its log.
        events: Id and body, in order.
        counts: Of the events that most viewers ask for: id and payload.
        ended: Run -> how it has ended last.
        last: The place of the last event.
    """

    generation: str
    events: list[tuple[str, str]] = attrs.field(factory=list)
    counts: list[tuple[str, Any]] = attrs.field(factory=list)
    ended: dict[str, str] = attrs.field(factory=dict)
    last: int = 0

    def add(self, place: int, body: bytes) -> None:
        """One more event."""
        event, event_id = json.loads(body), f"{self.generation}-{place}"
        self.last = place
        self.events.append((event_id, body.decode()))
        if is_count(event):
            self.counts.append((event_id, event["params"]["data"]["payload"]))
        data = event["params"]["data"]
        if event["method"] == "lifecycle" and data["event"] in ENDS and "run_id" in data:
            self.ended[data["run_id"]] = data["event"]

    def parsed(self) -> Iterator[Any]:
        """The events."""
        for _, body in self.events:
            yield json.loads(body)


class Archive:
    """What there is of each thread, as far as it has been asked for.

    Args:
        read: Reads the store.

    Attributes:
        wrong: What should not be: logs that are not what they were.
    """

    def __init__(self, read: Read) -> None:
        self.wrong: list[str] = []
        self._read = read
        self._kept: dict[str, Kept] = {}

    def of(self, thread: str) -> Kept:
        """What there is of a thread by now; nothing yet if the store does not know it."""
        kept = self._kept.get(thread)
        found = self._read(thread, 0 if kept is None else kept.last)
        if found is None:
            return kept or Kept("")
        generation, events = found
        if kept is None:
            kept = self._kept[thread] = Kept(generation)
        elif kept.generation != generation:
            self.wrong.append(f"{thread}: its log is {generation}, no longer {kept.generation}")
            kept.generation, kept.last = generation, 0
            return self.of(thread)
        for place, body in events:
            kept.add(place, body)
        return kept

    def compare(self) -> None:
        """Read all logs anew: what they still have is what they had."""
        for thread in list(self._kept):
            kept = self.of(thread)
            _, events = self._read(thread, 0) or ("", [])
            now = [(f"{kept.generation}-{place}", body.decode()) for place, body in events]
            if now != kept.events[len(kept.events) - len(now) :]:
                self.wrong.append(f"{thread}: its log is not what it was")


def is_count(event: Any) -> bool:
    """Whether it is one of the events that most viewers ask for."""
    return event["method"] == "custom" and bool(event["params"]["data"].get("name") == "count")
