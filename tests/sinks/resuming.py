"""Turns that are resumed: replayed from their start, in few events up to some place, and then as they go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyiostream.sinks import INCLUDABLE, PROTOCOLS, open_sink
from anyiostream.wire import Draft, compacted

from .folds import projected, read_ourselves
from .logs import placed
from .readers import READERS

__all__ = ["answered", "kept", "others", "resumed"]


def answered(protocol: str, drafts: list[Draft]) -> bytes:
    """The response that shows these events."""
    sink = open_sink(protocol, run_id="run", include=INCLUDABLE)
    return b"".join([sink.opening("1-0"), *map(sink.encode, placed(drafts)), sink.heartbeat(), sink.end()])


def resumed(protocol: str, drafts: list[Draft]) -> Iterator[bytes]:
    """The different responses to whoever resumes at any place of a turn; the first is that of one who never left."""
    seen: set[bytes] = set()
    for place in range(len(drafts) + 1):
        body = answered(protocol, [*compacted(drafts[:place]), *drafts[place:]])
        if body not in seen:
            seen.add(body)
            yield body


def others(drafts: list[Draft]) -> Iterator[tuple[str, Any]]:
    """What is kept of each response in protocols that have no official reader, with the protocol's name."""
    for protocol in PROTOCOLS.keys() - READERS.values():
        for body in resumed(protocol, drafts):
            yield protocol, projected(read_ourselves(body)) if protocol == "langgraph" else body


def kept(found: dict[str, Any]) -> dict[str, Any]:
    """What an official reader has at the end, whatever number of events it took."""
    assert found["ok"], found
    return {name: value for name, value in found["folded"].items() if name != "events"}
