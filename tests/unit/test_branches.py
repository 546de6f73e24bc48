"""Branches: the unread items of the readers of a tee, in one log."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyiostream import BackpressureDeadlock, ChannelFull
from anyiostream.channels.branches import Branch, SharedLog
from anyiostream.channels.buffer import EMPTY, Buffer, Queue
from anyiostream.channels.overflow import POLICIES
from anyiostream.channels.producer import Producer, current_producer
from anyiostream.outcome import COMPLETED

from .conftest import Home


@pytest.fixture
def make(home: Any) -> Callable[..., SharedLog[Any]]:
    """Makes a log with branches of one run."""

    def log(count: int = 2, maxlen: float = 2, overflow: Any = "wait") -> SharedLog[Any]:
        made = SharedLog[Any](maxlen)
        made.branch_off(count, "channel 'mine'", POLICIES[overflow], home)
        return made

    return log


def drained(branch: Buffer[Any]) -> list[Any]:
    """Everything that a reader can take without waiting."""
    items = []
    while (item := branch.take()) is not EMPTY:
        items.append(item)
    return items


def put_as(producer: Producer, log: SharedLog[Any], *items: Any) -> None:
    """Put items as the producer that owns `producer`."""
    context = copy_context()
    context.run(current_producer.set, producer)
    for item in items:
        context.run(log.put, item)


# --- putting and taking ---


def test_each_branch_has_all_items_in_order(make: Any) -> None:
    """A branch takes what was put, whatever the others have taken."""
    log = make(3, math.inf)
    first, second, third = log.branches
    for item in "abc":
        log.put(item)
    assert drained(first) == ["a", "b", "c"]
    assert second.take() == "a"
    log.put("d")
    assert drained(second) == ["b", "c", "d"]
    assert (first.depth, second.depth, third.depth) == (1, 0, 4)
    assert third.take() == "a"


def test_any_object_is_an_item(make: Any) -> None:
    """`None` and falsy objects are items like any other."""
    log = make(2, math.inf)
    for item in (None, 0, ""):
        log.put(item)
    assert drained(log.branches[0]) == [None, 0, ""]


def test_an_item_is_freed_when_the_slowest_branch_has_taken_it(make: Any) -> None:
    """What all branches have taken is kept by none of them, nor by the log."""

    class Item:
        pass

    log = make(2, math.inf)
    item = Item()
    kept = weakref.ref(item)
    log.put(item)
    del item
    log.branches[0].take()
    gc.collect()
    assert kept() is not None
    log.branches[1].take()
    gc.collect()
    assert kept() is None


def test_an_item_is_freed_when_who_had_not_taken_it_leaves(make: Any) -> None:
    """A branch that has left keeps nothing, neither of what came before nor of what comes after."""

    class Item:
        pass

    log = make(2, math.inf)
    stays, leaves = log.branches
    kept = []
    for _ in range(2):
        item = Item()
        kept.append(weakref.ref(item))
        log.put(item)
        del item
        stays.take()
        leaves.leave()
    gc.collect()
    assert [each() for each in kept] == [None, None]
    assert (leaves.depth, leaves.ready, leaves.take()) == (0, 1, EMPTY)  # one step: to be told that it is over


def test_the_end_comes_after_the_items(make: Any) -> None:
    """The end is one more step, and counts as no item."""
    log = make(2, 4)
    log.put("a")
    branch = log.branches[0]
    branch.end(COMPLETED)
    assert (branch.ready, branch.depth) == (1, 1)
    assert branch.take() == "a"
    assert (branch.ready, branch.depth, branch.take()) == (1, 0, EMPTY)


# --- waking ---


def test_putting_wakes_the_branches_that_are_parked(make: Any, make_reader: Any) -> None:
    """Each parked reader is woken once; who has been unparked is not."""
    log = make(3, 8)
    readers = [make_reader() for _ in log.branches]
    for branch, reader in zip(log.branches, readers, strict=True):
        branch.park(reader)
    log.branches[1].unpark(readers[1])
    log.put("a")
    log.put("b")
    assert [reader.woken for reader in readers] == [1, 0, 1]
    assert [branch.parked for branch in log.branches] == [None] * 3


def test_the_end_of_a_branch_wakes_its_reader(make: Any, make_reader: Any) -> None:
    """Ending is something to read."""
    log, reader = make(), make_reader()
    log.branches[0].park(reader)
    log.branches[0].end(COMPLETED)
    assert reader.woken == 1


# --- what does not fit ---


def test_what_does_not_fit_at_one_branch_is_read_at_once_by_the_others(make: Any, home: Any) -> None:
    """The slow branch holds `maxlen` items, and what comes after them waits for it alone."""
    log = make(2, 2)
    fast, slow = log.branches
    producer = Producer("an event", home, bounded=False)
    taken = []
    for item in "abcd":
        put_as(producer, log, item)
        taken += drained(fast)
    assert taken == ["a", "b", "c", "d"]
    assert (slow.depth, slow.waiting, slow.waits, producer.pending) == (2, 2, 2, 2)
    assert (slow.ready, slow.has_room, fast.has_room) == (1, False, True)
    assert producer.full == (slow,)
    assert slow.take() == "a"
    assert (slow.depth, slow.waiting, producer.pending) == (2, 1, 1)
    assert drained(slow) == ["b", "c", "d"]
    assert (producer.pending, producer.full) == (0, ())


def test_who_is_refused_has_put_the_item_nowhere(make: Any, home: Any) -> None:
    """A bounded producer that has too many items waiting at several branches leaves them alike."""
    log = make(2, 3)
    producer = Producer("a scheduled task", home)
    put_as(producer, log, *"abcde")
    assert producer.pending == 4
    with pytest.raises(ChannelFull, match="channel 'mine'"):
        put_as(producer, log, "f")
    assert [drained(branch) for branch in log.branches] == [list("abcde"), list("abcde")]
    assert producer.pending == 0


def test_fail_refuses_what_does_not_fit_at_one_branch(make: Any) -> None:
    """Under `"fail"` a full branch keeps an item from all of them."""
    log = make(2, 1, "fail")
    fast, slow = log.branches
    log.put("a")
    assert drained(fast) == ["a"]
    with pytest.raises(ChannelFull):
        log.put("b")
    assert (drained(fast), drained(slow)) == ([], ["a"])


def test_a_branch_that_leaves_lets_its_producers_go_on(make: Any, home: Any) -> None:
    """What waited for it waits no longer, and it paces nobody any more."""
    log = make(2, 1)
    stays, leaves = log.branches
    producer = Producer("an event", home, bounded=False)
    put_as(producer, log, "a")
    stays.take()
    put_as(producer, log, "b")
    assert producer.pending == 1
    leaves.leave()
    leaves.leave()
    assert producer.pending == 0
    assert drained(stays) == ["b"]
    put_as(producer, log, "c")
    assert producer.pending == 0


def test_items_can_be_forgotten(make: Any, home: Any) -> None:
    """`discard` forgets what is there and what waits, and says how much; the branch goes on with what comes next."""
    log = make(2, 1)
    fast, slow = log.branches
    producer = Producer("an event", home, bounded=False)
    put_as(producer, log, "a", "b")
    assert slow.discard() == 2
    put_as(producer, log, "c")
    assert drained(slow) == ["c"]
    assert drained(fast) == ["a", "b", "c"]
    assert producer.pending == 0


# --- producers that can wait ---


def test_a_producer_can_wait_for_room_at_a_branch(make: Any, home: Any) -> None:
    """`await_room` is settled once what waited before has found its place and there is room."""
    log = make(2, 1)
    fast, slow = log.branches
    event, waiting = Producer("an event", home, bounded=False), Producer("send()", home, bounded=False)
    put_as(event, log, "a", "b")
    drained(fast)
    slow.await_room(waiting)
    assert slow.take() == "a"
    assert (event.pending, waiting.pending) == (0, 1)
    assert slow.take() == "b"
    assert (waiting.pending, slow.has_room) == (0, True)


def test_where_one_branch_is_left_what_waits_can_be_withdrawn(make: Any, home: Any) -> None:
    """Its item waits outside the log, in order with others, and is gone if its producer is cancelled."""
    log = make(2, 1)
    stays, leaves = log.branches
    leaves.leave()
    event, sending = (
        Producer("an event", home, bounded=False),
        Producer("send()", home, bounded=False, withdrawable=True),
    )
    put_as(event, log, "a", "b")
    stays.put_waiting("c", sending)
    put_as(event, log, "d")
    assert (event.pending, sending.pending) == (2, 1)
    stays.withdraw(sending)
    assert sending.pending == 0
    assert drained(stays) == ["a", "b", "d"]
    assert event.pending == 0


def test_where_one_branch_is_left_nobody_overtakes_who_waits(make: Any, home: Any) -> None:
    """An item of a producer that can wait keeps its place among those that are pushed."""
    log = make(2, 1)
    stays, leaves = log.branches
    event, sending = (
        Producer("an event", home, bounded=False),
        Producer("send()", home, bounded=False, withdrawable=True),
    )
    put_as(event, log, "a", "b")
    leaves.leave()
    stays.put_waiting("c", sending)
    put_as(event, log, "d")
    assert (stays.depth, stays.waiting) == (1, 3)
    assert drained(stays) == ["a", "b", "c", "d"]
    assert event.pending == sending.pending == 0


def test_what_was_kept_for_the_branches_waits_where_it_does_not_fit(make: Any, home: Any) -> None:
    """`put_waiting` of a log is never refused."""
    log = make(2, 1, "fail")
    producer = Producer("the backlog", home)
    for item in "abc":
        log.put_waiting(item, producer)
    assert [drained(branch) for branch in log.branches] == [["a", "b", "c"], ["a", "b", "c"]]
    assert producer.pending == 0


def test_a_stalled_branch_makes_its_own_error(make: Any) -> None:
    """The error names the full branch, what its reader waits for, and the way out."""
    error = make(2, 3).branches[0].deadlock("channel 'other'", "atee")
    assert isinstance(error, BackpressureDeadlock)
    assert "channel 'mine'" in str(error)


# --- beside buffers ---


STEPS = st.lists(
    st.one_of(
        st.just(("put", 0)),
        st.tuples(st.sampled_from(["take", "take", "drain"]), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, 3)),
    ),
    max_size=60,
)


@given(count=st.integers(1, 4), maxlen=st.one_of(st.integers(1, 4), st.just(math.inf)), steps=STEPS)
def test_branches_are_as_buffers_of_their_own(count: int, maxlen: float, steps: list[tuple[str, int]]) -> None:
    """Whatever is done, branches hold, count and make wait what as many buffers would, each with all items."""
    home: Any = Home()
    log = SharedLog[int](maxlen)
    branches: tuple[Branch[int], ...] = log.branch_off(count, "channel 'mine'", POLICIES["wait"], home)
    buffers = [Queue[int]("channel 'mine'", maxlen, POLICIES["wait"], home) for _ in range(count)]
    mine, theirs = (Producer("an event", home, bounded=False) for _ in range(2))
    for number, (step, which) in enumerate(steps):
        branch, buffer = branches[which % count], buffers[which % count]
        if step == "put":
            put_as(mine, log, number)
            context = copy_context()
            context.run(current_producer.set, theirs)
            for each in buffers:
                context.run(each.put, number)
        elif step == "take":
            assert branch.take() == buffer.take()
        elif step == "drain":
            assert drained(branch) == drained(buffer)
        else:
            branch.leave()
            buffer.leave()
        for ours, reference in zip(branches, buffers, strict=True):
            assert bool(ours.ready) == bool(reference.ready)
            for figure in ("depth", "waiting", "waits", "has_room"):
                assert getattr(ours, figure) == getattr(reference, figure), figure
        assert mine.pending == theirs.pending
        assert max(each.peak for each in branches) == max(each.peak for each in buffers)
