"""What graphs may write where the protocol has something else, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream.remote.official.modes import CHANNELS, ModeReader
from anyiostream.remote.snapshot import ThreadSnapshot
from anyiostream.remote.totals import RESTARTED, Totals
from anyiostream.wire import Draft, Entry, WireEncoder

from ..odd import with_odd_values

DELTA: Any = {"event": "content-block-delta", "index": 0}
MESSAGES: Any = [
    {"event": "message-start", "metadata": {"langgraph_node": "n"}, "id": "m"},
    {**DELTA, "delta": {"type": "text-delta", "text": "a"}},
    {**DELTA, "delta": {"type": "reasoning-delta", "reasoning": "a"}},
    {**DELTA, "delta": {"type": "block-delta", "fields": {"name": "f", "args": "{}"}}},
    {"event": "content-block-start", "content": {"type": "tool_call_chunk", "name": "f"}},
    {"event": "message-finish", "usage": {"input_tokens": 1}},
]


@pytest.mark.parametrize("event", MESSAGES, ids=lambda event: event["event"])
def test_messages_in_the_modes_of_the_official_server(event: Any) -> None:
    """Whatever stands in the place of a value, the reader gets as much of the message as there is."""
    for odd in [event, *with_odd_values(event)]:
        reader = ModeReader("r", frozenset(CHANNELS), subgraphs=True, begun=True)
        shown = list(reader.read(Entry.of(Draft("messages", (), odd, 1), 1, "1-1")))
        assert all(name == "messages" and chunk["type"] == "AIMessageChunk" for name, (chunk, _) in shown)


def test_a_payload_that_looks_like_a_restart() -> None:
    """A graph's own is none: there was one attempt."""
    totals = Totals()
    totals.begin()
    payload = {"name": RESTARTED, "payload": {"attempt": 2}}
    (written,) = WireEncoder().encode(
        {"type": "event", "seq": 1, "method": "custom", "params": {"namespace": [], "timestamp": 1, "data": payload}}
    )
    totals.observe(written)
    assert totals.attempt == 1
    totals.observe(Draft("custom", (), payload, 1))
    assert totals.attempt == 2


def test_models_that_count_anything() -> None:
    """What cannot be a number of tokens is none; the thread can be read back, and goes on counting."""
    totals = Totals()
    for count in (5, -1, 2**53, 10**4000, 1.5, None, "1", 6):
        totals.observe(Draft("messages", (), {"event": "message-finish", "usage": {"input_tokens": count}}, 1))
    assert totals.input_tokens == 11


@pytest.mark.parametrize("tasks", [5, "ab", {"id": "t"}, None])
def test_a_checkpoint_without_a_list_of_tasks(tasks: Any) -> None:
    """Says nothing about what is still to do."""
    snapshot = ThreadSnapshot()
    snapshot.expect({"tasks": tasks})
    assert snapshot.shown(running=False)["tasks"] == []
