"""Producers: who puts items into channels, and what of it waits for room."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from anyiostream.channels.producer import Producer, current_producer


def test_a_new_producer_has_nothing_waiting() -> None:
    """A producer starts with nothing, is bounded, and has no scope of its own."""
    producer = Producer("me", object())
    assert (producer.pending, producer.full, producer.bounded, producer.scope) == (0, (), True, None)


def test_spilled_items_are_counted_over_all_buffers() -> None:
    """`pending` counts every spilled item; `full` names each buffer once, in order."""
    producer, first, second = Producer("me", object()), object(), object()
    for buffer in (first, second, first):
        producer.spilled(buffer)
    assert producer.pending == 3
    assert producer.full == (first, second)


def test_emptied_is_called_when_the_last_item_has_moved_on() -> None:
    """`emptied` is called each time `pending` comes back to 0, not before."""
    calls: list[int] = []
    producer = Producer("me", object(), emptied=lambda: calls.append(producer.pending))
    producer.spilled("buffer")
    producer.spilled("buffer")
    producer.settled()
    assert calls == []
    assert producer.full == ("buffer",)
    producer.settled()
    assert calls == [0]
    assert producer.full == ()


def test_several_items_settle_at_once() -> None:
    """Items withdrawn together are settled together, and `emptied` is called once."""
    calls: list[None] = []
    producer = Producer("me", object(), emptied=lambda: calls.append(None))
    for _ in range(3):
        producer.spilled("buffer")
    producer.settled(3)
    assert producer.pending == 0
    assert len(calls) == 1


def test_settling_more_than_waits_is_a_defect() -> None:
    """A producer never goes below 0."""
    with pytest.raises(AssertionError):
        Producer("me", object()).settled()


def test_two_producers_are_never_equal() -> None:
    """Producers are told apart by identity, as they are accounts."""
    home = object()
    assert Producer("me", home) != Producer("me", home)


def test_the_current_producer_is_inherited_by_copied_contexts() -> None:
    """Who produces is a context variable, unset in the application's own code."""
    assert current_producer.get(None) is None
    context = copy_context()
    producer = Producer("me", object())
    context.run(current_producer.set, producer)
    assert context.copy().run(current_producer.get) is producer
    assert current_producer.get(None) is None
