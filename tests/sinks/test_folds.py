"""What readers are sent amounts to what this package's projections show, also if they come late or come back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from anyiostream.wire import Draft

from .folds import differences, events_of, projected, read_by, read_ourselves
from .logs import LogMaker
from .readers import READERS, Readers
from .recorded import RECORDED
from .resuming import answered, kept, others, resumed

LOGS: dict[str, Callable[[], list[Draft]]] = {
    **RECORDED,
    **{f"seed {seed}": lambda seed=seed: LogMaker(seed).make() for seed in (3, 10, 12, 163)},
}
"""Logs of real graphs, and random ones; `nox -s sinks` has many more of these."""


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest) -> list[Draft]:
    """A whole log."""
    made: list[Draft] = LOGS[request.param]()
    return made


@pytest.mark.parametrize("reader", ["ai-6", "ai-7", "ag-ui"])
def test_what_is_folded_is_what_projections_show(readers: Readers, reader: str, log: list[Draft]) -> None:
    """Messages, tools and state, of every graph."""
    ours = projected(events_of(log))
    assert ours.messages
    (found,) = readers.read([{"protocol": reader, "body": answered(READERS[reader], log).decode()}])
    assert found["ok"], found
    assert differences(reader, ours, read_by(reader, found["folded"])) == []


@pytest.mark.protocol("langgraph")
def test_our_own_protocol_has_all_of_it(log: list[Draft]) -> None:
    """Read by this package's client."""
    assert projected(read_ourselves(answered("langgraph", log))) == projected(events_of(log))


@pytest.mark.parametrize("reader", READERS)
def test_resuming_at_every_place_gives_the_same(readers: Readers, reader: str, log: list[Draft]) -> None:
    """The turn is replayed from its start, compacted up to that place, and goes on from there."""
    bodies = list(resumed(READERS[reader], log))
    found = readers.read([{"protocol": reader, "body": body.decode()} for body in bodies])
    assert len({json.dumps(kept(each), sort_keys=True) for each in found}) == 1


def test_protocols_without_an_official_reader_resume_as_well(log: list[Draft]) -> None:
    """Our own, read by this package's client; plain text, byte by byte."""
    found: dict[str, list[object]] = {}
    for protocol, each in others(log):
        found.setdefault(protocol, []).append(each)
    for each in found.values():
        assert each == each[:1] * len(each)
