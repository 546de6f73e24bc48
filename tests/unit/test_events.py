"""Parts and the events that wrap them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest

from anyiostream import MalformedPart, convert_to_protocol_event

PART: dict[str, Any] = {"type": "values", "ns": ("a:1", "b:2"), "data": {"n": 1}}


def test_an_event_wraps_a_part() -> None:
    """An event has the part's type as its method, and its namespace, as a list, and data as parameters."""
    event = convert_to_protocol_event(PART, clock=lambda: 1.5)
    assert event == {
        "type": "event",
        "method": "values",
        "params": {"namespace": ["a:1", "b:2"], "timestamp": 1500, "data": {"n": 1}},
    }


def test_an_event_has_no_number_yet() -> None:
    """The raw log numbers events; conversion does not."""
    assert "seq" not in convert_to_protocol_event(PART)


def test_data_is_not_copied() -> None:
    """The event's data is the part's own object."""
    assert convert_to_protocol_event(PART)["params"]["data"] is PART["data"]


def test_the_part_is_left_as_it_was() -> None:
    """Conversion changes nothing in the part, and shares no list with it."""
    part = {"type": "values", "ns": ["a:1"], "data": None}
    event = convert_to_protocol_event(part)
    event["params"]["namespace"].append("b:2")
    assert part == {"type": "values", "ns": ["a:1"], "data": None}


def test_the_default_clock_is_wall_clock_time_in_ms() -> None:
    """Without a clock of its caller's, an event carries whole ms since the epoch."""
    timestamp = convert_to_protocol_event(PART)["params"]["timestamp"]
    assert isinstance(timestamp, int)
    assert timestamp > 1_700_000_000_000


@pytest.mark.parametrize("interrupts", [(), ("stop",)])
def test_interrupts_are_carried_if_there_is_such_a_key(interrupts: tuple[str, ...]) -> None:
    """The parameters have `interrupts` exactly if the part has."""
    event = convert_to_protocol_event({**PART, "interrupts": interrupts})
    assert event["params"]["interrupts"] == interrupts
    assert "interrupts" not in convert_to_protocol_event(PART)["params"]


def test_any_mapping_is_a_part() -> None:
    """A part need not be a dict."""
    assert convert_to_protocol_event(MappingProxyType(PART))["method"] == "values"


@pytest.mark.parametrize("namespace", [(), [], ("a:1",), ["a:1"]])
def test_a_namespace_is_a_tuple_or_list(namespace: Any) -> None:
    """Both forms of a namespace become a list."""
    event = convert_to_protocol_event({**PART, "ns": namespace})
    assert event["params"]["namespace"] == list(namespace)


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (None, "mapping"),
        (("values", {}), "mapping"),
        ("values", "mapping"),
        ({"ns": (), "data": 1}, "'type'"),
        ({"type": "values", "data": 1}, "'ns'"),
        ({"type": "values", "ns": ()}, "'data'"),
        ({"type": 3, "ns": (), "data": 1}, "type is a string"),
        ({"type": "values", "ns": "a:1", "data": 1}, "namespace"),
        ({"type": "values", "ns": None, "data": 1}, "namespace"),
        ({"type": "values", "ns": ("a:1", 2), "data": 1}, "segment"),
    ],
)
def test_anything_else_is_refused(part: Any, problem: str) -> None:
    """What is no part raises `MalformedPart`, which says what is wrong and keeps the object."""
    with pytest.raises(MalformedPart, match=problem) as caught:
        convert_to_protocol_event(part)
    assert caught.value.part is part
