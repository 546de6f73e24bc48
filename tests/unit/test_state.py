"""The state of a graph as its snapshots show it."""

from __future__ import annotations

from anyiostream.state import GraphState


def test_nothing_is_known_at_first() -> None:
    """Without a snapshot the state is `None` and there are no interrupts."""
    state = GraphState()
    assert state.latest is None
    assert state.interrupts == ()


def test_the_last_snapshot_counts() -> None:
    """Each snapshot replaces the one before; the object is not copied."""
    state = GraphState()
    last = {"n": 2}
    state.observe({"n": 1}, ())
    state.observe(last, ())
    assert state.latest is last


def test_interrupts_add_up_in_order_each_once() -> None:
    """Interrupts of all snapshots are kept, equal ones once, whether or not they can be hashed."""
    state = GraphState()
    state.observe({}, ({"id": 1},))
    state.observe({}, ({"id": 1}, {"id": 2}))
    state.observe({}, ())
    assert state.interrupts == ({"id": 1}, {"id": 2})


def test_equal_interrupts_of_one_snapshot_count_once() -> None:
    """An interrupt that one snapshot names twice is kept once."""
    state = GraphState()
    state.observe({}, ("a", "a"))
    assert state.interrupts == ("a",)


def test_interrupts_may_come_in_any_iterable() -> None:
    """A list or a tuple of interrupts serves."""
    state = GraphState()
    state.observe({}, ["a"])
    assert state.interrupts == ("a",)
