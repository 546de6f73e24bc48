"""How far a graph may run ahead, and who waits for permission."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import parts
from anyiostream.sources.gate import BARRIERS, Gate

TOKEN = parts.custom("token")
STEP = parts.values({})


class Waiter:
    """A parked producer."""

    def __init__(self, suspension: Any) -> None:
        self._suspension = suspension
        self.woken = 0

    def wake(self) -> None:
        """Note it."""
        self.woken += 1

    async def wait(self) -> None:
        """Suspend until the test goes on."""
        await self._suspension()


class Parking:
    """Makes waiters and keeps them."""

    def __init__(self, suspension: Any) -> None:
        self._suspension = suspension
        self.waiters: list[Waiter] = []

    def waiter(self) -> Waiter:
        """A wait of the current task."""
        self.waiters.append(Waiter(self._suspension))
        return self.waiters[-1]


@pytest.fixture
def parking(suspension: Any) -> Parking:
    """How producers wait here."""
    return Parking(suspension)


def gate(prefetch: int = 4, *, root_depth: int = 0, barriers_below: bool = False) -> Gate:
    """The gate of a graph that has begun, and whose first part has been taken."""
    made = Gate(prefetch, root_depth=root_depth, barriers_below=barriers_below)
    made.demand()
    made.produced(TOKEN, 1)
    made.taken(0)
    return made


# --- how far a graph may run ahead ---


def test_nothing_runs_before_somebody_wants_something() -> None:
    """A graph does not begin before the first demand, whatever it may run ahead."""
    new = Gate(4, root_depth=0, barriers_below=False)
    assert not new.open
    new.demand()
    assert new.open


def test_a_graph_may_run_prefetch_parts_ahead() -> None:
    """Without demand a graph goes on as long as fewer than `prefetch` parts wait."""
    ahead = gate(3)
    for count in range(1, 4):
        assert ahead.open
        ahead.produced(TOKEN, count)
    assert not ahead.open


def test_a_full_gate_opens_when_half_has_been_taken() -> None:
    """Not before: a graph that went on for each part taken would be woken for each."""
    ahead = gate(4)
    ahead.produced(TOKEN, 4)
    ahead.taken(3)
    assert not ahead.open
    ahead.taken(2)
    assert ahead.open


def test_what_comes_beside_a_superstep_does_not_open_it() -> None:
    """A branch that had permission already may put something behind the other branch's superstep."""
    step = gate()
    step.produced(STEP, 1)
    assert not step.produced(TOKEN, 2)
    step.taken(0)
    assert not step.open


def test_without_prefetch_a_graph_moves_on_demand_only() -> None:
    """`prefetch=0` is lock-step: one part per demand, however many were taken."""
    step = gate(0)
    assert not step.open
    step.demand()
    assert step.open
    step.produced(TOKEN, 1)
    assert not step.open
    step.taken(0)
    assert not step.open


@pytest.mark.parametrize("kind", sorted(BARRIERS))
def test_a_graph_stops_at_a_superstep(kind: str) -> None:
    """After a part that ends a superstep the graph waits for demand, although there is room."""
    step = gate()
    step.produced({"type": kind, "ns": (), "data": None}, 1)
    assert not step.open
    step.taken(0)
    assert not step.open
    step.demand()
    assert step.open


def test_a_graph_that_has_stopped_has_no_room() -> None:
    """Whoever asks for room only, as a burst does, stops with it; what is taken then does not matter."""
    step = gate()
    assert step.room
    step.produced(STEP, 1)
    assert (step.room, step.heeds) == (0, False)
    full = gate()
    full.produced(TOKEN, 4)
    assert (full.room, full.heeds) == (0, True)
    full.produced(STEP, 5)
    assert (full.room, full.heeds) == (0, False)


@pytest.mark.parametrize("kind", ["custom", "messages", "tools"])
def test_tokens_are_no_superstep(kind: str) -> None:
    """Tokens and custom data are read ahead."""
    step = gate()
    step.produced({"type": kind, "ns": (), "data": None}, 1)
    assert step.open


def test_one_demand_is_one_part_past_the_barrier() -> None:
    """Demand lets the graph go on to its next part; what that is decides how it goes on from there."""
    step = gate()
    step.produced(STEP, 1)
    step.demand()
    step.produced(STEP, 1)
    assert not step.open
    step.demand()
    step.produced(TOKEN, 1)
    assert step.open


def test_demand_counts_once_until_it_is_met() -> None:
    """Several readers that wait are one demand."""
    step = gate(0)
    step.demand()
    step.demand()
    step.produced(TOKEN, 1)
    assert not step.open


@pytest.mark.parametrize("barriers_below", [True, False])
def test_supersteps_below_the_root(barriers_below: bool) -> None:
    """A subgraph's superstep stops the graph only where `barriers_below` says so."""
    step = gate(barriers_below=barriers_below)
    step.produced(parts.values({}, ns=("node:1",)), 1)
    assert step.open is not barriers_below


def test_the_roots_own_level_may_be_deep() -> None:
    """For a run inside a node the supersteps of its own level count."""
    step = gate(root_depth=1)
    step.produced(parts.values({}, ns=("node:1",)), 1)
    assert not step.open
    step.demand()
    step.produced(parts.values({}, ns=("node:1", "deep:2")), 1)
    assert step.open


@pytest.mark.parametrize("part", [None, 3, "custom", {}, {"type": "values"}, {"type": "values", "ns": 3}])
def test_what_is_no_part_stops_the_graph(part: Any) -> None:
    """Something that will fail the run is not read past."""
    step = gate()
    step.produced(part, 1)
    assert not step.open


# --- waiting for permission ---


def test_permission_is_given_at_once_where_there_is_room(parking: Parking, drive: Any) -> None:
    """A graph that may advance does not wait."""
    assert drive(gate().permission(parking)).result is True
    assert parking.waiters == []


def test_demand_wakes_a_waiting_graph(parking: Parking, drive: Any) -> None:
    """A graph waits for demand, is woken by it once, and may then go on."""
    step = gate(0)
    waiting = drive(step.permission(parking))
    assert not waiting.done
    step.demand()
    step.demand()
    assert parking.waiters[0].woken == 1
    assert waiting.step().result is True


def test_a_graph_is_woken_when_half_has_been_taken(parking: Parking, drive: Any) -> None:
    """Taking parts wakes the graph at half its read-ahead, not at each part."""
    ahead = gate(4)
    ahead.produced(TOKEN, 4)
    waiting = drive(ahead.permission(parking))
    ahead.taken(3)
    assert parking.waiters[0].woken == 0
    ahead.taken(2)
    assert parking.waiters[0].woken == 1
    assert waiting.step().result is True


def test_each_part_taken_lets_one_of_those_who_have_one(parking: Parking, drive: Any) -> None:
    """As long as somebody waits the gate has to be told, although it is open."""
    ahead = gate(4)
    ahead.produced(TOKEN, 4)
    waiting = [drive(ahead.permission(parking, offering=True)) for _ in range(3)]
    for taken in range(3):
        assert ahead.heeds
        ahead.taken(2 - taken)
        assert [each.woken for each in parking.waiters] == [1] * (taken + 1) + [0] * (2 - taken)
    assert not ahead.heeds
    assert all(each.step().result for each in waiting)


def test_demand_lets_those_who_wait_at_an_open_gate(parking: Parking, drive: Any) -> None:
    """Nothing may be left to be taken that would let them."""
    ahead = gate(2)
    ahead.produced(TOKEN, 2)
    waiting = [drive(ahead.permission(parking, offering=True)) for _ in range(2)]
    ahead.taken(0)
    ahead.demand()
    assert all(each.step().result for each in waiting)


def test_taking_does_not_wake_past_a_barrier(parking: Parking, drive: Any) -> None:
    """Where the graph waits at a superstep, only demand wakes it."""
    ahead = gate(4)
    ahead.produced(STEP, 1)
    waiting = drive(ahead.permission(parking))
    ahead.taken(0)
    assert parking.waiters[0].woken == 0
    assert not waiting.done
    ahead.demand()
    assert waiting.step().done


def test_stopping_wakes_all_and_refuses(parking: Parking, drive: Any) -> None:
    """After `stop` everybody that waits gets a no, and so does whoever asks later."""
    step = gate(0)
    waiting = [drive(step.permission(parking)) for _ in range(3)]
    step.stop()
    assert [waiter.woken for waiter in parking.waiters] == [1, 1, 1]
    assert [each.step().result for each in waiting] == [False, False, False]
    assert drive(step.permission(parking)).result is False


def test_who_was_woken_for_nothing_waits_again(parking: Parking, drive: Any) -> None:
    """A graph that is woken and may not advance after all goes on waiting."""
    step = gate(0)
    waiting = drive(step.permission(parking))
    assert not waiting.step().done
    step.demand()
    assert waiting.step().done


def test_a_cancelled_waiter_leaves_the_queue(parking: Parking, drive: Any) -> None:
    """Demand goes to those who still wait."""
    step = gate(0)
    leaves, stays = drive(step.permission(parking)), drive(step.permission(parking))
    leaves.cancel()
    step.demand()
    assert [waiter.woken for waiter in parking.waiters] == [0, 1]
    assert stays.step().result is True


def test_a_waiter_cancelled_after_it_was_woken_passes_it_on(parking: Parking, drive: Any) -> None:
    """A permission is not lost with the one that it was meant for."""
    step = gate(0)
    leaves, stays = drive(step.permission(parking)), drive(step.permission(parking))
    step.demand()
    leaves.cancel()
    assert parking.waiters[1].woken == 1
    assert stays.step().result is True
