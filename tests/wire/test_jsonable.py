"""What goes out is JSON, always."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import math
import uuid
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from langchain_core.messages import AIMessage

from anyiostream.wire.jsonable import encode, plain


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


@attrs.define
class Slotted:
    name: str
    _secret: str = "hidden"


class Collection:
    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[int]:
        return iter((1, 2))


class Broken:
    """It cannot say what it is."""

    def model_dump(self) -> Any:
        raise ValueError("no")


class Model:
    def model_dump(self) -> Any:
        return {"inside": Point(1)}


class Opaque:
    """Its repr would show an address."""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (math.nan, None),
        (math.inf, None),
        ((1, 2), [1, 2]),
        ({1: "a", Colour.RED: "b"}, {"1": "a", "red": "b"}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Point(1, Point(2)), {"x": 1, "y": {"x": 2, "y": None}}),
        (Slotted("n"), {"name": "n"}),
        (b"\x00\x01", "AAE="),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Collection(), [1, 2]),
        (Model(), {"inside": {"x": 1, "y": None}}),
        (Broken(), "<Broken>"),
        (Opaque(), "<Opaque>"),
        (Opaque, "Opaque"),
        (ValueError("no /etc/passwd"), "ValueError: no <path>"),
    ],
)
def test_any_object_has_a_plain_form(value: Any, shown: Any) -> None:
    """Known kinds as they are meant; unknown ones by their class's name, never by their repr."""
    assert plain(value) == shown


def test_messages_are_shown_as_models() -> None:
    """A LangChain message is its fields, with its type."""
    shown = plain({"messages": [AIMessage("hi", id="1")]})
    assert shown["messages"][0]["type"] == "ai"
    assert shown["messages"][0]["content"] == "hi"


def test_a_circle_is_cut() -> None:
    """An object inside itself ends in an ellipsis, also where each level refers to it twice."""
    circle: dict[str, Any] = {}
    circle["a"] = circle["b"] = circle
    assert plain(circle) == {"a": "...", "b": "..."}


def test_what_is_very_deep_is_cut() -> None:
    """Nesting has an end, so that encoding does."""
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    encode(plain(deep))


def test_one_object_twice_is_shown_twice() -> None:
    """Only circles are cut."""
    shared = [1]
    assert plain([shared, shared]) == [[1], [1]]


@pytest.mark.parametrize("text", ["a\nb\r\nc", "\x85", "\u2028\u2029", "\ud800", "ä€😀"])
def test_json_is_one_line_of_utf8(text: str) -> None:
    """Whatever a string holds, the encoded event is one line for every reader, and UTF-8."""
    encoded = encode({"text": text})
    assert len(encoded.decode("utf-8").splitlines()) == 1
    assert json.loads(encoded)["text"] == text.replace("\ud800", "?")
