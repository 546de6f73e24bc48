"""Who has the pump, in every state."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from anyiostream.channels.latch import Latch
from anyiostream.driver.turn import FREE, ILLEGAL, TABLE, Act, Event, Holder, IllegalOrder, Turn

READERS = ("the first reader", "the second reader")

NAMES_READER = {Holder.WOKEN, Holder.FIRST, Holder.BOTH}
"""Who has the pump where the state names a reader."""

READER_STEPS = {Holder.NOBODY, Holder.WOKEN}
"""Who has the pump where a reader may step it."""

WAY_TO = {
    Holder.NOBODY: (),
    Holder.WOKEN: (Event.WOKE,),
    Holder.FIRST: (Event.RESERVED,),
    Holder.HOOKS: (Event.JOB,),
    Holder.BOTH: (Event.RESERVED, Event.JOB),
    Holder.CLOSED: (Event.CLOSE,),
}
"""Who has the pump -> what must have happened."""


def turn_in(holder: Holder) -> Turn:
    """A turn whose pump `holder` has; the first reader is named if one is."""
    turn = Turn()
    for event in WAY_TO[holder]:
        turn.decide(event, READERS[0] if event in {Event.WOKE, Event.RESERVED} else None)
    assert turn.state == (holder, READERS[0] if holder in NAMES_READER else None)
    return turn


def tell(turn: Turn, event: Event) -> Act:
    """What is decided on an event, which is about the second reader if it is about one that is not named yet."""
    return turn.decide(event, READERS[1] if event in {Event.WOKE, Event.RESERVED} else None)


@pytest.mark.parametrize("holder", Holder)
@pytest.mark.parametrize("event", Event)
def test_each_event_in_each_state_has_an_entry_or_a_reason(holder: Holder, event: Event) -> None:
    """The state becomes what the table says; an event that cannot happen is named, and changes nothing."""
    turn = turn_in(holder)
    before = turn.state
    if holder not in TABLE[event]:
        with pytest.raises(IllegalOrder, match=f"{event.name} while the pump is with {holder.name}: "):
            tell(turn, event)
        assert event in ILLEGAL
        assert turn.state == before
        return
    after, act = TABLE[event][holder]
    assert tell(turn, event) is act
    assert turn.state[0] is after
    if after not in NAMES_READER:
        assert turn.state[1] is None
    elif event in {Event.WOKE, Event.RESERVED}:
        assert turn.state[1] is READERS[1]
    else:
        assert turn.state[1] is READERS[0]


def test_every_reason_is_needed() -> None:
    """An event that may always happen has no reason why it may not."""
    assert {event for event in Event if len(TABLE[event]) < len(Holder)} == set(ILLEGAL)


@pytest.mark.parametrize("holder", Holder)
def test_at_most_one_has_the_pump(holder: Holder) -> None:
    """A reader may step, or the hook task is at work, or somebody goes first; never two of them."""
    may_step = turn_in(holder).decide(Event.STEP) is Act.STEP
    assert may_step == (holder in READER_STEPS)
    graph_steps = turn_in(holder).decide(Event.STOPS) is Act.STEP
    assert graph_steps == (holder is Holder.NOBODY)
    handed_on = turn_in(holder).decide(Event.LEFT) is Act.HAND_ON
    assert handed_on == (holder is Holder.NOBODY)


@pytest.mark.parametrize("holder", [each for each in Holder if each is not Holder.CLOSED])
def test_a_way_leads_from_each_state_to_one_in_which_readers_step(holder: Holder) -> None:
    """Whoever has the pump, some of what can still happen gives it back: nobody waits forever."""
    reached, pending = {holder}, [holder]
    while pending:
        here = pending.pop()
        # What surely happens: a reader that was woken runs, and a hook comes to its end.
        ahead = {TABLE[event][here][0] for event in (Event.RAN, Event.JOBS_DONE) if here in TABLE[event]}
        pending += ahead - reached
        reached |= ahead
    assert reached & READER_STEPS


def test_nothing_follows_a_shutdown() -> None:
    """Nobody gets the pump again, whatever happens."""
    for event in Event:
        turn = turn_in(Holder.CLOSED)
        if Holder.CLOSED in TABLE[event]:
            assert tell(turn, event) in {Act.WAIT, Act.PASS}
        assert turn.state[0] is Holder.CLOSED


def test_what_reserves_the_pump_releases_it() -> None:
    """On every way of four events, the pump is reserved while a reader goes first, and at no other time."""
    for way in itertools.product([each for each in Event if each is not Event.CLOSE], repeat=4):
        turn, reserved = Turn(), False
        for event in way:
            if turn.state[0] not in TABLE[event]:
                break
            act = tell(turn, event)
            reserved = act is Act.RESERVE or (reserved and act is not Act.RELEASE)
            assert reserved == (turn.state[0] in {Holder.FIRST, Holder.BOTH})


def test_a_free_pump_is_recognised_by_identity() -> None:
    """The state in which nobody has it is one object, whatever led there."""
    turn = turn_in(Holder.WOKEN)
    turn.decide(Event.RAN)
    assert turn.state is FREE
    turn.decide(Event.JOB)
    turn.decide(Event.JOBS_DONE)
    assert turn.state is FREE


def test_the_hand_over_that_the_driver_does_inline_is_that_of_the_table() -> None:
    """It sets the state itself where a reader is woken to step a free pump, and where that reader runs."""
    assert TABLE[Event.WOKE] == {Holder.NOBODY: (Holder.WOKEN, Act.PASS)}
    assert TABLE[Event.RAN][Holder.WOKEN] == (Holder.NOBODY, Act.PASS)


class Parked:
    """A parked reader."""

    task = None

    def __init__(self, *, woken: bool = False) -> None:
        self.woken = woken


def test_who_has_waited_longest_is_next() -> None:
    """One that has been woken already is passed over."""
    turn = Turn()
    waiting: Any = turn.waiting
    assert turn.next_reader() is None
    woken, first, second = Parked(woken=True), Parked(), Parked()
    for reader in (woken, first, second):
        waiting[reader] = Latch("something")
    next_one: Any = turn.next_reader()
    assert next_one is first
    first.woken = True
    next_one = turn.next_reader()
    assert next_one is second
    second.woken = True
    assert turn.next_reader() is None
