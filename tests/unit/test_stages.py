"""Stages and routes: what is called for an event, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from anyiostream import ProtocolEvent, StreamTransformer
from anyiostream.mux.stages import PayloadRoute, Route, Stage, StageKind


class Mine(StreamTransformer):
    """A transformer to blame."""

    def init(self) -> dict[str, Any]:
        """No projections."""
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Keeps the event."""
        return True


def stage(kind: StageKind, call: Callable[[Any], Any] = print, bit: int = 1) -> Stage:
    """A stage of a transformer."""
    owner = None if kind in {StageKind.LOG, StageKind.SUBGRAPHS} else Mine()
    return Stage(kind, call, bit, owner)


def test_payloads_alone_make_consumers() -> None:
    """Where no transformer wants the event, a route is the calls with the payload, in order, and their owners."""
    first, second, log = stage(StageKind.PAYLOAD), stage(StageKind.PAYLOAD), stage(StageKind.LOG)
    route = PayloadRoute.of([first, second, log])
    assert route is not None
    assert route.consumers == (first.call, second.call)
    assert route.owners == (first.owner, second.owner)
    assert route.logged


def test_a_route_that_leads_nowhere_is_empty() -> None:
    """A method that nobody reads has no consumers, and counts in the log if there is a log at all."""
    nowhere, counted = PayloadRoute.of([]), PayloadRoute.of([stage(StageKind.LOG)])
    assert nowhere is not None
    assert counted is not None
    assert nowhere.consumers == counted.consumers == ()
    assert not nowhere.logged
    assert counted.logged


@pytest.mark.parametrize("kind", [StageKind.HOOK, StageKind.ASYNC_HOOK, StageKind.SUBGRAPHS])
def test_one_stage_that_wants_the_event_makes_stages(kind: StageKind) -> None:
    """As soon as one stage wants the event, there is no shorter form."""
    assert PayloadRoute.of([stage(StageKind.PAYLOAD), stage(kind), stage(StageKind.LOG)]) is None


def test_the_log_of_a_subgraph_makes_stages() -> None:
    """Such a log has an event only if it is read, and the root's log has the same one."""
    assert PayloadRoute.of([stage(StageKind.LOG, bit=2), stage(StageKind.LOG)]) is None


def test_stages_that_wait_stand_alone() -> None:
    """Runs of plain stages stay together; a stage that may have to be awaited is a segment by itself."""
    plain = [stage(StageKind.HOOK) for _ in range(4)]
    waits = stage(StageKind.ASYNC_HOOK)
    route = Route.of([plain[0], plain[1], waits, plain[2], waits, waits, plain[3]], waits=False)
    assert route.segments == ((plain[0], plain[1]), waits, (plain[2],), waits, waits, (plain[3],))
    assert route.waits
    assert not Route.of(plain, waits=False).waits


@pytest.mark.parametrize("waits", [True, False])
def test_subgraphs_are_awaited_only_where_their_end_may_wait(waits: bool) -> None:
    """A SUBGRAPHS stage is plain unless ending a subgraph may have to wait."""
    route = Route.of([stage(StageKind.SUBGRAPHS)], waits=waits)
    assert route.waits is waits
