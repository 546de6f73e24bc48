"""Observers of subgraphs that are not there yet."""

from __future__ import annotations

from typing import Any

from anyiostream.mux.late_observers import ObserverToCome
from anyiostream.outcome import COMPLETED, Outcome
from anyiostream.subgraphs import Subgraph


class Late:
    """Notes what it is told."""

    children_only = False

    def __init__(self) -> None:
        self.told: list[Any] = []

    def catch_up(self, notes: Any, missed: int) -> None:
        """What was before."""
        self.told.append(([(stamp, each.namespace, outcome) for stamp, each, outcome in notes], missed))

    def subgraph_started(self, subgraph: Subgraph) -> None:
        """One has started."""
        self.told.append(("started", subgraph.namespace))

    def run_started(self) -> None:
        """The run has."""

    def end_open(self, outcome: Outcome) -> None:
        """The scope ends."""
        self.told.append(("open", outcome))

    def subgraph_ended(self, subgraph: Subgraph, outcome: Outcome, *, by_result: bool) -> None:
        """One has ended."""
        self.told.append(("ended", subgraph.namespace, outcome, by_result))


ONE, END = Subgraph(("sub:1",), "sub", "1", None), COMPLETED


def test_an_observer_to_come_takes_notes_until_it_has_come() -> None:
    """Of subgraphs that a task runs, in order, with stamps; then it hands on what it is told."""
    stamps = iter(range(1, 9))
    stand_in, late = ObserverToCome(stamps.__next__, 3), Late()
    stand_in.subgraph_started(ONE)
    stand_in.subgraph_started(Subgraph(("nameless",), None, None, None))
    stand_in.subgraph_ended(ONE, END, by_result=True)
    stand_in.end_open(END)
    stand_in.has_come(late)
    stand_in.subgraph_started(ONE)
    stand_in.subgraph_ended(ONE, END, by_result=True)
    stand_in.end_open(END)
    assert late.told == [
        ([(1, ONE.namespace, None), (2, ONE.namespace, END)], 0),
        ("started", ONE.namespace),
        ("ended", ONE.namespace, END, True),
        ("open", END),
    ]


def test_an_observer_to_come_gives_up_what_is_too_much() -> None:
    """It keeps how much that was."""
    stand_in, late = ObserverToCome(iter(range(9)).__next__, 3), Late()
    for _ in range(5):
        stand_in.subgraph_started(ONE)
    stand_in.has_come(late)
    assert late.told == [([], 5)]
