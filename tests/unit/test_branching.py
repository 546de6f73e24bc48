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


class Compared(str):
    """An id that counts how often it is compared with another one."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Compared.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_many_messages_and_many_users() -> None:
    """What a front end sends costs as much as it is long, whatever the thread has said."""
    said = [{"type": "human", "id": Compared(f"u{each}")} for each in range(200)]
    shown = ["u0", *(f"unknown{each}" for each in range(200)), "new"]
    Compared.compared = 0
    assert dropped_from({"messages": said}, shown) == "u1"
    assert Compared.compared < 2 * len(said)
