"""JSON of anything."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections import OrderedDict
from datetime import date
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from anyiostream import PendingInterrupt
from anyiostream.encoding import encode, plain

from ..thorough import THOROUGH


class Broken:
    """Has no repr that works."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    inner: Any = None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
        ({"b", "a"}, ["a", "b"]),
        (float("nan"), None),
        ([float("inf")], [None]),
        (b"\x00\xff", "AP8="),
        (date(2026, 1, 2), "2026-01-02"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (PurePosixPath("a/b"), "a/b"),
        (Colour.RED, "red"),
        ({"level": Level.HIGH, "nan": float("nan")}, {"level": 3, "nan": None}),
        (Point(1, {2}), {"x": 1, "inner": [2]}),
        (PendingInterrupt("why?", "i1"), {"value": "why?", "id": "i1"}),
        (ValueError("no"), {"type": "ValueError", "message": "no"}),
        (OrderedDict(a=1), {"a": 1}),
        (Broken(), "<Broken, whose repr raised RuntimeError>"),
        (Point, repr(Point)),
    ],
)
def test_what_is_no_json_becomes_the_nearest_thing_that_is(value: Any, expected: Any) -> None:
    """By itself, and inside of something else."""
    assert json.loads(encode(value)) == expected
    assert json.loads(encode([{"deep": value}])) == [{"deep": expected}]


def test_integers_that_python_refuses_to_write() -> None:
    """Are hexadecimal."""
    assert json.loads(encode([1 << 50_000])) == [hex(1 << 50_000)]


def test_messages_are_objects() -> None:
    """LangChain's messages are shown by their fields."""
    assert json.loads(encode({"messages": [AIMessage("hi")]}))["messages"][0]["content"] == "hi"


def test_recursion_ends() -> None:
    """A value that contains itself ends in its repr."""
    loop: list[Any] = []
    loop.append(loop)
    assert "[[...]]" in encode(loop)


def test_text_is_ascii_unless_asked_otherwise() -> None:
    """So that no terminal acts upon it, and halves of characters can be encoded."""
    assert encode("é\x9b\ud800") == '"\\u00e9\\u009b\\ud800"'
    assert encode("é", ascii_only=False) == '"é"'


def test_slots_and_attrs() -> None:
    """Classes of attrs are shown by their fields."""

    @attrs.frozen
    class Pair:
        a: int
        b: Any

    assert plain(Pair(1, Pair(2, None))) == {"a": 1, "b": {"a": 2, "b": None}}


@settings(max_examples=25 * THOROUGH)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_left_alone(value: Any) -> None:
    """What is JSON already comes out as it went in, by either way."""
    assert json.loads(encode(value)) == value
    assert plain(value) == value
