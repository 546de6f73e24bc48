"""What readers of the wire make of events that have been abridged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from anyiostream.remote.official.modes import CHANNELS, ModeReader
from anyiostream.remote.receiving import checked_event, part_of
from anyiostream.wire import Draft, Entry

from ..wire.test_abridging import EVENTS, made


@pytest.mark.parametrize("name", EVENTS)
def test_an_abridged_event_is_one(name: str) -> None:
    """Clients take it for what it was."""
    method, data, extra = EVENTS[name]
    draft = Draft(method, (), data, 7, extra)
    entry = Entry.of(made(draft), 1, "1-1")
    event: Any = checked_event(json.loads(entry.body))
    whole, part = part_of(json.loads(Entry.of(draft, 1, "1-1").body)), part_of(event)
    assert (whole is None) == (part is None)
    if whole is not None and part is not None:
        assert (part["type"], part.keys()) == (whole["type"], whole.keys())
    reader = ModeReader("r1", frozenset(CHANNELS), subgraphs=True, begun=True)
    shown = list(reader.read(entry))
    assert all(each in CHANNELS.values() or each == "error" for each, _ in shown)
    assert reader.abridged == (method == "values")
