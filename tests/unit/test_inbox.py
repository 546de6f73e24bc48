"""The parts that have been produced and not dispatched."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from anyiostream import parts
from anyiostream.source import END, NOTHING
from anyiostream.sources.gate import Gate
from anyiostream.sources.inbox import GatedInbox, Inbox

TOKEN = parts.custom("token")
STEP = parts.values({})


def gate(prefetch: int = 4, *, root_depth: int = 0, barriers_below: bool = False) -> Gate:
    """The gate of a graph that has begun, and whose first part has been taken."""
    made = Gate(prefetch, root_depth=root_depth, barriers_below=barriers_below)
    made.demand()
    made.produced(TOKEN, 1)
    made.taken(0)
    return made


class Parking:
    """Lets a task of the graph wait."""

    def __init__(self, suspension: Any) -> None:
        self.wait = suspension

    def waiter(self) -> Any:
        """Itself: it is for one wait."""
        return self

    def wake(self) -> None:
        """Nothing: the test goes on without it."""


def test_parts_come_out_in_order() -> None:
    """`pull` answers the parts in the order they were put, then `NOTHING`."""
    inbox = Inbox()
    inbox.put_batch(["a"])
    inbox.put_batch(["b", "c"])
    assert len(inbox) == 3
    assert [inbox.pull() for _ in range(4)] == ["a", "b", "c", NOTHING]


def test_an_empty_inbox_has_no_part() -> None:
    """`has_part` tells whether `pull` would answer something else than `NOTHING`."""
    inbox = Inbox()
    assert not inbox.has_part
    inbox.put_batch(["a"])
    assert inbox.has_part
    inbox.pull()
    assert not inbox.has_part
    inbox.end(None)
    assert inbox.has_part


def test_the_end_comes_after_the_parts_and_stays() -> None:
    """After a good end `pull` answers `END`, again and again."""
    inbox = Inbox()
    inbox.put_batch(["a"])
    inbox.end(None)
    assert [inbox.pull(), inbox.pull(), inbox.pull()] == ["a", END, END]


def test_an_error_comes_after_the_parts_once() -> None:
    """The error that ended the graph is raised once, the very object; then there is only the end."""
    error = ValueError("no")
    inbox = Inbox()
    inbox.put_batch(["a"])
    inbox.end(error)
    assert inbox.pull() == "a"
    with pytest.raises(ValueError, match="no") as caught:
        inbox.pull()
    assert caught.value is error
    assert inbox.pull() is END


def test_a_graph_ends_once() -> None:
    """The first end counts."""
    inbox = Inbox()
    inbox.end(None)
    inbox.end(ValueError("too late"))
    assert inbox.pull() is END


def test_the_gate_is_told_of_what_comes_and_goes() -> None:
    """Putting closes the gate, and pulling opens it."""
    ahead = gate(2)
    inbox = GatedInbox(ahead)
    inbox.put(TOKEN)
    assert ahead.open
    inbox.put(TOKEN)
    assert not ahead.open
    inbox.pull()
    assert ahead.open


def test_somebody_is_told_of_each_arrival() -> None:
    """`on_part` is called for a part, a batch, an end, and not for a second end."""
    calls: list[int] = []
    inbox = Inbox()
    inbox.notify(lambda: calls.append(len(inbox)))
    inbox.put_batch(["a"])
    inbox.put_batch(["b", "c"])
    inbox.end(None)
    inbox.end(None)
    assert calls == [1, 3, 3]


def test_the_order_of_gate_and_notice() -> None:
    """When a reader is told of a part, the gate knows of it already."""
    ahead = gate(1)
    inbox = GatedInbox(ahead)
    seen: list[bool] = []
    inbox.notify(lambda: seen.append(ahead.open))
    inbox.put(TOKEN)
    assert seen == [False]


def test_where_the_graph_stops_something_else_is_told() -> None:
    """`on_stop` is called in place of `on_part` behind a part at which the graph stops, and may let it go on."""
    ahead = gate(3)
    inbox = GatedInbox(ahead)
    calls: list[str] = []

    def on_stop() -> None:
        calls.append("stop")
        assert not ahead.open
        while inbox.pull() is not NOTHING:
            pass
        ahead.demand()

    inbox.notify(lambda: calls.append("part"), on_stop)
    for part in (TOKEN, TOKEN, STEP, STEP, TOKEN):
        inbox.put(part)
    assert calls == ["part", "stop", "stop", "part"]
    assert ahead.open


def test_parts_that_the_gate_does_not_heed_are_at_hand() -> None:
    """They can be taken without `pull`, in order, and the inbox knows."""
    inbox = GatedInbox(gate(4))
    inbox.put(TOKEN)
    inbox.put("another")
    assert list(inbox.at_hand) == [TOKEN, "another"]
    assert inbox.at_hand.popleft() == TOKEN
    assert len(inbox) == 1
    assert inbox.pull() == "another"
    assert not inbox.has_part


def test_a_full_gate_hears_of_the_part_that_opens_it() -> None:
    """What lies before that part is at hand; what lies behind is at hand once the gate is open again."""
    ahead = gate(4)
    inbox = GatedInbox(ahead)
    inbox.put(TOKEN)
    assert inbox.put(TOKEN)
    assert inbox.put(TOKEN)
    assert not inbox.put(TOKEN)
    assert (len(inbox.at_hand), len(inbox), inbox.has_part) == (1, 4, True)
    inbox.at_hand.popleft()
    assert not ahead.open
    assert inbox.pull() == TOKEN
    assert ahead.open
    assert (len(inbox.at_hand), len(inbox)) == (2, 2)


def test_at_a_barrier_all_parts_are_at_hand() -> None:
    """Taking them does not open the gate; only demand does."""
    ahead = gate(4)
    inbox = GatedInbox(ahead)
    inbox.put(TOKEN)
    assert not inbox.put(STEP)
    assert list(inbox.at_hand) == [TOKEN, STEP]
    inbox.at_hand.clear()
    assert not ahead.open


def test_parts_put_one_over_the_read_ahead_keep_their_order() -> None:
    """A part that is put while the gate is closed comes after those behind those at hand."""
    inbox = GatedInbox(gate(2))
    for n in range(4):
        inbox.put(parts.custom(n))
    assert [part["data"] for part in iter(inbox.pull, NOTHING)] == [0, 1, 2, 3]


def test_what_waits_in_line_is_not_copied_for_each_part(drive: Any, suspension: Any) -> None:
    """Where many tasks wait at the gate of a graph that may run far ahead, a part costs as much as any other."""
    far, ahead = 8192, gate(8192)
    inbox = GatedInbox(ahead)
    while inbox.put(TOKEN):
        pass
    assert len(inbox) == far
    waiting = [drive(ahead.permission(Parking(suspension), offering=True)) for _ in range(3)]
    inbox.at_hand.clear()
    inbox.pull()
    assert (ahead.open, ahead.heeds) == (True, True)
    tracemalloc.start()
    try:
        inbox.pull()
        inbox.put(TOKEN)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < far
    assert len(waiting) == 3


def test_the_graph_is_pausing_while_it_steps_the_run() -> None:
    """It is not at work then, so that a run that ends in such a step does not cancel it."""
    ahead = gate(1)
    inbox = GatedInbox(ahead)
    seen: list[bool] = []
    inbox.notify(lambda: seen.append(ahead.pausing))
    inbox.put(TOKEN)
    assert seen == [True]
    assert not ahead.pausing
