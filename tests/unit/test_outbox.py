"""Outboxes: the account of items that wait for room."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from anyiostream.channels.outbox import Outbox, current_outbox


def test_a_new_outbox_is_empty() -> None:
    """An outbox starts with nothing, is bounded, and has no scope of its own."""
    outbox = Outbox("me", object())
    assert (outbox.pending, outbox.full, outbox.bounded, outbox.scope) == (0, [], True, None)


def test_spilled_items_are_counted_over_all_buffers() -> None:
    """`pending` counts every spilled item; `full` names each buffer once, in order."""
    outbox, first, second = Outbox("me", object()), object(), object()
    for buffer in (first, second, first):
        outbox.spilled(buffer)
    assert outbox.pending == 3
    assert outbox.full == [first, second]


def test_emptied_is_called_when_the_last_item_has_moved_on() -> None:
    """`emptied` is called each time `pending` comes back to 0, not before."""
    calls: list[int] = []
    outbox = Outbox("me", object(), emptied=lambda: calls.append(outbox.pending))
    outbox.spilled("buffer")
    outbox.spilled("buffer")
    outbox.settled()
    assert calls == []
    assert outbox.full == ["buffer"]
    outbox.settled()
    assert calls == [0]
    assert outbox.full == []


def test_several_items_settle_at_once() -> None:
    """Items withdrawn together are settled together, and `emptied` is called once."""
    calls: list[None] = []
    outbox = Outbox("me", object(), emptied=lambda: calls.append(None))
    for _ in range(3):
        outbox.spilled("buffer")
    outbox.settled(3)
    assert outbox.pending == 0
    assert len(calls) == 1


def test_settling_more_than_waits_is_a_defect() -> None:
    """An outbox never goes below 0."""
    with pytest.raises(AssertionError):
        Outbox("me", object()).settled()


def test_two_outboxes_are_never_equal() -> None:
    """Outboxes are told apart by identity, as they are accounts."""
    home = object()
    assert Outbox("me", home) != Outbox("me", home)


def test_the_current_outbox_is_inherited_by_copied_contexts() -> None:
    """Who produces is a context variable, unset in the application's own code."""
    assert current_outbox.get(None) is None
    context = copy_context()
    outbox = Outbox("me", object())
    context.run(current_outbox.set, outbox)
    assert context.copy().run(current_outbox.get) is outbox
    assert current_outbox.get(None) is None
