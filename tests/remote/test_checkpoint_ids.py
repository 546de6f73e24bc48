"""Checkpoints of servers whose clocks differ: those that are saved later are newer."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from langgraph.checkpoint.base import id as ids

from anyiostream.remote.checkpoint_ids import advance_ids


@pytest.fixture(autouse=True)
def generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process have an id generator that is back where it was afterwards."""
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)


def test_ids_come_after_those_of_a_server_that_is_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an hour, or of a moment; and rise from there."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 3600 * 10**9)
    ahead = str(ids.uuid6())
    monkeypatch.setattr(time, "time_ns", lambda: now)
    monkeypatch.setattr(ids, "_last_v6_timestamp", None)
    assert str(ids.uuid6()) < ahead
    advance_ids(ahead)
    made = [ahead, *(str(ids.uuid6()) for _ in range(3))]
    assert made == sorted(set(made))


def test_older_ids_and_others_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are not set back, and those of a checkpointer with an order of its own say nothing."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    old, new = ids.uuid6(), ids.uuid6()
    for given in (str(old), str(uuid4()), "7"):
        advance_ids(given)
    assert ids.uuid6().time == new.time + 1
