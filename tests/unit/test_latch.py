"""Latches."""

from __future__ import annotations

from typing import Any

from anyiostream.channels.latch import Latch


def test_a_latch_starts_closed_and_opens_for_good() -> None:
    """`ready` is 0 until `open`, and 1 after it however often that is called."""
    latch = Latch("the end")
    assert latch.ready == 0
    latch.open()
    latch.open()
    assert latch.ready == 1
    assert latch.name == "the end"


def test_opening_wakes_each_parked_reader_once(make_reader: Any) -> None:
    """Every parked reader is woken by the first `open`, and by no later one."""
    latch = Latch("the end")
    readers = [make_reader() for _ in range(3)]
    for reader in readers:
        latch.park(reader)
    latch.open()
    latch.open()
    assert [reader.woken for reader in readers] == [1, 1, 1]


def test_readers_are_woken_in_the_order_they_came() -> None:
    """Who waits longest is woken first."""
    latch = Latch("the end")
    woken: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def wake(self) -> None:
            woken.append(self.name)

    for name in "abc":
        latch.park(Named(name))
    latch.open()
    assert woken == ["a", "b", "c"]


def test_a_reader_that_has_left_is_not_woken(make_reader: Any) -> None:
    """`unpark` takes a reader off the list, and does nothing for one that is not on it."""
    latch = Latch("the end")
    stays, leaves = make_reader(), make_reader()
    latch.park(stays)
    latch.park(leaves)
    latch.unpark(leaves)
    latch.unpark(leaves)
    latch.open()
    assert (stays.woken, leaves.woken) == (1, 0)


def test_parking_twice_wakes_once(make_reader: Any) -> None:
    """A reader is on the list at most once."""
    latch = Latch("the end")
    reader = make_reader()
    latch.park(reader)
    latch.park(reader)
    latch.open()
    assert reader.woken == 1


def test_a_woken_reader_may_park_again_elsewhere(make_reader: Any) -> None:
    """Waking may call back into the latch without disturbing the others."""
    latch = Latch("the end")

    class Leaver:
        def wake(self) -> None:
            latch.unpark(other)

    other = make_reader()
    latch.park(Leaver())
    latch.park(other)
    latch.open()
    assert other.woken == 1
