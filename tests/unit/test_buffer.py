"""Buffers: the unread items of one reader."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from anyiostream import BackpressureDeadlock, ChannelFull
from anyiostream.channels.buffer import Queue
from anyiostream.channels.overflow import POLICIES
from anyiostream.channels.producer import Producer, current_producer
from anyiostream.outcome import COMPLETED, Outcome


@pytest.fixture
def make(home: Any) -> Callable[..., Queue[Any]]:
    """Makes a buffer of one run."""

    def buffer(maxlen: float = 2, overflow: Any = "wait") -> Queue[Any]:
        return Queue("channel 'mine'", maxlen, POLICIES[overflow], home)

    return buffer


def drained(buffer: Queue[Any]) -> list[Any]:
    """Everything that a reader can take without waiting."""
    items = []
    while buffer.depth:
        items.append(buffer.take())
    return items


def put_as(producer: Producer, buffer: Queue[Any], *items: Any) -> None:
    """Put items as the producer that owns `producer`."""
    context = copy_context()
    context.run(current_producer.set, producer)
    for item in items:
        context.run(buffer.put, item)


# --- putting and taking ---


def test_items_come_out_in_the_order_they_were_put(make: Any) -> None:
    """A buffer is a queue, and each item leaves it when it is taken."""
    buffer = make(3)
    for item in "abc":
        buffer.put(item)
    assert buffer.depth == 3
    assert drained(buffer) == ["a", "b", "c"]
    assert buffer.depth == 0


def test_any_object_is_an_item(make: Any) -> None:
    """`None`, falsy objects and exceptions are items like any other, kept by identity."""
    buffer = make(math.inf)
    items = [None, 0, "", ValueError("an item"), object()]
    for item in items:
        buffer.put(item)
    assert all(taken is item for taken, item in zip(drained(buffer), items, strict=True))


def test_ready_counts_the_steps_a_reader_can_take(make: Any) -> None:
    """`ready` is one per item, and one more once the end is known."""
    buffer = make(3)
    assert buffer.ready == 0
    buffer.put("a")
    assert buffer.ready == 1
    buffer.end(COMPLETED)
    assert (buffer.ready, buffer.depth) == (2, 1)
    buffer.take()
    assert (buffer.ready, buffer.depth) == (1, 0)


def test_the_peak_is_the_most_that_was_ever_there(make: Any) -> None:
    """`peak` rises with the fill and never falls, and never exceeds the bound."""
    buffer = make(3)
    for item in range(5):
        buffer.put(item)
    drained(buffer)
    buffer.put("again")
    assert buffer.peak == 3


def test_no_bound_means_no_bound(make: Any) -> None:
    """With `math.inf` every item fits, and nothing waits."""
    buffer = make(math.inf)
    for item in range(1000):
        buffer.put(item)
    assert (buffer.depth, buffer.waiting) == (1000, 0)


# --- waking ---


def test_putting_wakes_the_reader_and_leaves_the_item(make: Any, make_reader: Any) -> None:
    """A parked reader is woken once, is parked no longer, and finds the item still in the buffer."""
    buffer, reader = make(), make_reader()
    buffer.park(reader)
    assert buffer.parked is not None
    buffer.put("a")
    buffer.put("b")
    assert reader.woken == 1
    assert buffer.parked is None
    assert buffer.depth == 2


def test_a_reader_that_no_longer_waits_is_not_woken(make: Any, make_reader: Any) -> None:
    """`unpark` takes back a `park`, and only the caller's own."""
    buffer, reader, other = make(), make_reader(), make_reader()
    buffer.park(reader)
    buffer.unpark(other)
    assert buffer.parked is not None
    buffer.unpark(reader)
    buffer.put("a")
    assert reader.woken == 0


def test_the_end_wakes_the_reader(make: Any, make_reader: Any) -> None:
    """Ending is something to read."""
    buffer, reader = make(), make_reader()
    buffer.park(reader)
    buffer.end(COMPLETED)
    assert reader.woken == 1


def test_a_dropped_item_wakes_nobody(make: Any, make_reader: Any) -> None:
    """Without cause no reader is woken."""
    buffer, reader = make(1, "drop_newest"), make_reader()
    buffer.put("a")
    buffer.park(reader)
    buffer.put("b")
    assert reader.woken == 0


# --- the overflow policies ---


def test_what_does_not_fit_waits_in_order(make: Any, home: Any) -> None:
    """Under `"wait"` an item that does not fit waits on its producer's account and moves up as items are taken."""
    buffer = make(2)
    producer = Producer("an event", home, bounded=False)
    put_as(producer, buffer, *"abcde")
    assert (buffer.depth, buffer.waiting, producer.pending) == (2, 3, 3)
    assert producer.full == (buffer,)
    assert buffer.take() == "a"
    assert (buffer.depth, buffer.waiting, producer.pending) == (2, 2, 2)
    assert drained(buffer) == ["b", "c", "d", "e"]
    assert (buffer.waiting, producer.pending, producer.full) == (0, 0, ())


def test_an_item_put_later_does_not_overtake_one_that_waits(make: Any, home: Any) -> None:
    """Order holds over the producers: what waits at the buffer comes before what is put after it."""
    buffer = make(1)
    first, second = (Producer(name, home, bounded=False) for name in ("first", "second"))
    put_as(first, buffer, "a", "b")
    put_as(second, buffer, "c")
    assert buffer.take() == "a"
    put_as(first, buffer, "d")
    assert drained(buffer) == ["b", "c", "d"]
    assert first.pending == second.pending == 0


def test_a_bounded_producer_may_wait_with_as_many_items_as_fit(make: Any, home: Any) -> None:
    """A producer that is no event has `maxlen` items waiting at most; one more raises and is not added."""
    buffer = make(2)
    producer = Producer("a scheduled task", home)
    put_as(producer, buffer, *"abcd")
    with pytest.raises(ChannelFull, match="channel 'mine'"):
        put_as(producer, buffer, "e")
    assert drained(buffer) == ["a", "b", "c", "d"]


def test_the_application_is_a_bounded_producer(make: Any, home: Any) -> None:
    """A push from outside any hook is on the account of the application."""
    buffer = make(1)
    buffer.put("a")
    buffer.put("b")
    assert home.application_producer.pending == 1
    with pytest.raises(ChannelFull):
        buffer.put("c")


def test_a_producer_of_another_run_counts_as_the_application(make: Any, home: Any) -> None:
    """The account of another run is not charged."""
    buffer = make(1)
    stranger = Producer("an event of another run", object(), bounded=False)
    put_as(stranger, buffer, "a", "b")
    assert stranger.pending == 0
    assert home.application_producer.pending == 1


def test_drop_oldest_keeps_the_newest(make: Any) -> None:
    """`"drop_oldest"` keeps the last `maxlen` items and counts the others."""
    buffer = make(2, "drop_oldest")
    for item in range(5):
        buffer.put(item)
    assert buffer.dropped == 3
    assert buffer.peak == 2
    assert drained(buffer) == [3, 4]


def test_drop_oldest_with_one_place_is_the_latest(make: Any) -> None:
    """With `maxlen=1` the buffer holds the latest item."""
    buffer = make(1, "drop_oldest")
    for item in range(5):
        buffer.put(item)
    assert drained(buffer) == [4]


def test_drop_newest_keeps_the_oldest(make: Any) -> None:
    """`"drop_newest"` keeps the first `maxlen` items and counts the others."""
    buffer = make(2, "drop_newest")
    for item in range(5):
        buffer.put(item)
    assert buffer.dropped == 3
    assert drained(buffer) == [0, 1]


def test_fail_refuses_what_does_not_fit(make: Any, home: Any) -> None:
    """`"fail"` raises for the first item that does not fit, whoever pushes it, and adds nothing."""
    buffer = make(2, "fail")
    producer = Producer("an event", home, bounded=False)
    put_as(producer, buffer, "a", "b")
    with pytest.raises(ChannelFull):
        put_as(producer, buffer, "c")
    assert producer.pending == 0
    assert drained(buffer) == ["a", "b"]


# --- producers that can wait ---


@pytest.mark.parametrize("overflow", ["wait", "fail"])
def test_a_producer_that_can_wait_is_never_refused(make: Any, home: Any, overflow: str) -> None:
    """`put_waiting` waits for room under both policies that drop nothing."""
    buffer = make(1, overflow)
    producer = Producer("send()", home)
    for item in "abcd":
        buffer.put_waiting(item, producer)
    assert producer.pending == 3
    assert drained(buffer) == ["a", "b", "c", "d"]
    assert producer.pending == 0


def test_a_producer_that_can_wait_need_not_where_items_are_dropped(make: Any, home: Any) -> None:
    """Under a drop policy there is always room."""
    buffer = make(1, "drop_oldest")
    producer = Producer("send()", home)
    buffer.put_waiting("a", producer)
    buffer.put_waiting("b", producer)
    assert producer.pending == 0
    assert drained(buffer) == ["b"]


def test_what_a_cancelled_producer_has_waiting_is_withdrawn(make: Any, home: Any) -> None:
    """`withdraw` takes back one producer's waiting items, and leaves those of others in their order."""
    buffer = make(1)
    mine, other = Producer("mine", home), Producer("other", home)
    for item, producer in (("a", mine), ("b", other), ("c", mine), ("d", other)):
        buffer.put_waiting(item, producer)
    buffer.withdraw(mine)
    assert (mine.pending, other.pending, buffer.waiting) == (0, 2, 2)
    assert drained(buffer) == ["a", "b", "d"]


def test_withdrawing_nothing_is_allowed(make: Any, home: Any) -> None:
    """A producer without waiting items withdraws nothing, and its `emptied` is not called."""
    calls: list[None] = []
    buffer = make(1)
    producer = Producer("mine", home, emptied=lambda: calls.append(None))
    buffer.withdraw(producer)
    buffer.put("a")
    buffer.withdraw(producer)
    assert calls == []


# --- the end ---


def test_items_come_before_the_end(make: Any, home: Any) -> None:
    """What is buffered, and what waits at the buffer, is read before the end."""
    buffer = make(1)
    put_as(Producer("an event", home, bounded=False), buffer, *"abc")
    buffer.end(COMPLETED)
    assert drained(buffer) == ["a", "b", "c"]
    assert buffer.ready == 1
    assert buffer.outcome is not None


def test_a_buffer_ends_once(make: Any) -> None:
    """The first end counts."""
    error = ValueError("no")
    buffer = make()
    buffer.end(Outcome.by(error))
    buffer.end(COMPLETED)
    assert buffer.ready == 1
    assert buffer.outcome is not None
    assert buffer.outcome.error is error


def test_leaving_frees_the_items_and_their_producers(make: Any, home: Any) -> None:
    """A reader that leaves for good takes its items with it; whoever waited for room goes on."""
    calls: list[None] = []
    buffer = make(1)
    producer = Producer("an event", home, bounded=False, emptied=lambda: calls.append(None))
    put_as(producer, buffer, *"abc")
    buffer.leave()
    buffer.leave()
    assert buffer.left
    assert (buffer.depth, buffer.waiting, producer.pending) == (0, 0, 0)
    assert len(calls) == 1


def test_discarding_tells_how_many_items_there_were(make: Any, home: Any) -> None:
    """`discard` counts buffered and waiting items, and keeps the end."""
    buffer = make(1)
    put_as(Producer("an event", home, bounded=False), buffer, *"abc")
    buffer.end(COMPLETED)
    assert buffer.discard() == 3
    assert (buffer.ready, buffer.depth) == (1, 0)


def test_a_discarded_buffer_goes_on(make: Any) -> None:
    """After `discard` the buffer takes items again."""
    buffer = make(2)
    buffer.put("a")
    buffer.discard()
    buffer.put("b")
    buffer.put("c")
    assert drained(buffer) == ["b", "c"]


# --- being watched ---


def test_a_watcher_is_told_of_all_that_arrives(make: Any, home: Any) -> None:
    """A watcher hears of each item in order, also of one that waits, and of the end."""
    arrivals: list[str] = []
    buffer = make(1)
    buffer.watch(arrivals.append)
    put_as(Producer("an event", home, bounded=False), buffer, "a", "b")
    drained(buffer)
    buffer.end(COMPLETED)
    assert arrivals == ["item", "item", "end"]


def test_a_watcher_is_told_of_what_is_gone(make: Any) -> None:
    """`"dropped"` comes before the item that took the dropped one's place; a refused newest item is not mentioned."""
    arrivals: list[str] = []
    oldest, newest = make(1, "drop_oldest"), make(1, "drop_newest")
    oldest.watch(arrivals.append)
    oldest.put("a")
    oldest.put("b")
    assert arrivals == ["item", "dropped", "item"]
    arrivals.clear()
    newest.watch(arrivals.append)
    newest.put("a")
    newest.put("b")
    assert arrivals == ["item"]


def test_a_deadlock_names_the_buffer(make: Any) -> None:
    """The exception for the buffer's reader names what is full, its bound, and what is waited for."""
    error = make(2).deadlock("channel 'other'", "atee")
    assert isinstance(error, BackpressureDeadlock)
    for fact in ("channel 'mine'", "2 items", "channel 'other'", ".atee(n)"):
        assert fact in str(error)
