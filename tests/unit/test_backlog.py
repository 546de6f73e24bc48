"""What a subgraph's channel keeps for a reader that is to come."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from anyiostream.channels.backlog import Backlog
from anyiostream.channels.overflow import POLICIES


@pytest.fixture
def make() -> Callable[..., Backlog[Any]]:
    """Makes a backlog of three items, with stamps from 1."""

    def backlog(overflow: Any = "wait", bound: float = 3) -> Backlog[Any]:
        return Backlog(count(1).__next__, bound, POLICIES[overflow])

    return backlog


def test_the_first_items_are_kept_in_order_with_their_stamps(make: Any) -> None:
    """As many as fit."""
    backlog = make()
    for item in "abc":
        backlog.keep(item)
    assert list(backlog.items) == [(1, "a"), (2, "b"), (3, "c")]
    assert (len(backlog), backlog.missed, backlog.dropped) == (3, 0, 0)


@pytest.mark.parametrize("overflow", ["wait", "fail"])
def test_one_too_many_gives_all_up(make: Any, overflow: str) -> None:
    """Nothing is kept then, but how many there have been."""
    backlog = make(overflow)
    for item in "abcde":
        backlog.keep(item)
    assert (len(backlog), backlog.missed, backlog.dropped) == (0, 5, 0)


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", "cde"), ("drop_newest", "abc")])
def test_policies_that_drop_go_on(make: Any, overflow: str, kept: str) -> None:
    """The items that they leave, and a count of the others."""
    backlog = make(overflow)
    for item in "abcde":
        backlog.keep(item)
    assert "".join(item for _, item in backlog.items) == kept
    assert (backlog.missed, backlog.dropped) == (0, 2)


def test_what_was_noted_elsewhere_comes_with_its_stamps(make: Any) -> None:
    """And what is kept after that counts on."""
    backlog = make()
    backlog.restore([(-2, "a"), (-1, "b")], 0)
    backlog.keep("c")
    assert list(backlog.items) == [(-2, "a"), (-1, "b"), (1, "c")]
    backlog.keep("d")
    assert backlog.missed == 4


def test_what_was_missed_elsewhere_is_missed(make: Any) -> None:
    """It goes on counting."""
    backlog = make()
    backlog.restore([], 7)
    backlog.keep("a")
    assert (len(backlog), backlog.missed) == (0, 8)
