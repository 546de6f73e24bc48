"""What a front end has dropped, by the messages of its user that it shows."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream.remote.branching import dropped_from

SAID = [
    {"type": "human", "id": "u1"},
    {"type": "ai", "id": "a1"},
    {"role": "user", "id": "u2"},
    {"type": "tool", "id": "t2"},
    {"type": "ai", "id": "a2"},
]


@pytest.mark.parametrize(
    ("users", "found"),
    [
        ((), None),
        (("u1", "u2", "new"), None),
        (("u1", "u2"), "u2"),
        (("u1",), "u1"),
        (("u1", "new"), "u2"),
        (("u1", "failed", "new"), "u2"),
        (("new",), None),
        (("other", "new"), None),
    ],
)
def test_what_is_dropped(users: tuple[str, ...], found: str | None) -> None:
    """The message to be answered, if the thread has it; else the first one that is not shown after one that is."""
    assert dropped_from({"messages": SAID}, users) == found


@pytest.mark.parametrize("values", [None, {}, {"messages": None}, {"messages": ["text", 1]}, {"messages": []}, [1]])
def test_a_thread_without_messages(values: Any) -> None:
    """Nothing can be dropped from it."""
    assert dropped_from(values, ("u1",)) is None


def test_messages_without_ids() -> None:
    """Nobody can refer to them."""
    said = [{"type": "human", "id": "u1"}, {"type": "human"}]
    assert dropped_from({"messages": said}, ("u1", "new")) is None
