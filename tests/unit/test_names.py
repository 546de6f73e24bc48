"""Keys that look alike: nothing that they stand for is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyiostream.encoding import CUT, LOCAL, NAME, READABLE
from anyiostream.wire import jsonable

from ..thorough import THOROUGH

ENCODE = {
    "ascii": LOCAL.encode,
    "readable": READABLE.encode,
    "wire": lambda value: jsonable.encode(jsonable.plain(value)).decode(),
}

LOW = "\udfff"
"""Half a character. (Linters take all halves for one where they are keys.)"""

TEXTS = st.text(st.characters(exclude_categories=[]) | st.sampled_from("\ud800\udfff\\u(2) 1"), max_size=8)
KEYS = TEXTS | st.integers(0, 3) | st.none() | st.booleans() | st.tuples(st.integers(0, 1))


class Same:
    """A key whose text is another key's."""

    def __str__(self) -> str:
        return "same"


class Pairs(Mapping[Any, Any]):
    """A mapping that has one key more than once, as headers do."""

    def __init__(self, *pairs: tuple[Any, Any]) -> None:
        self._pairs = pairs

    def __getitem__(self, key: Any) -> Any:
        return dict(self._pairs)[key]

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def items(self) -> Any:
        return list(self._pairs)


@pytest.fixture(params=ENCODE)
def read(request: pytest.FixtureRequest) -> Any:
    """What a reader has of a value; no key comes twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return lambda value: json.loads(ENCODE[request.param](value), object_pairs_hook=once)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({Same(): 1, Same(): 2, "same": 3}, {"same (2)": 1, "same (3)": 2, "same": 3}),
        ({Same(): 1, Same(): 2}, {"same": 1, "same (2)": 2}),
        ({Same(): 1, Same(): 2, "same": 3, "same (2)": 4}, {"same (3)": 1, "same (4)": 2, "same": 3, "same (2)": 4}),
        ({1: "c", "1": "b"}, {"1 (2)": "c", "1": "b"}),
        ({"1": "b", 1: "c"}, {"1": "b", "1 (2)": "c"}),
        ({(1,): 1, "(1,)": 2}, {"(1,) (2)": 1, "(1,)": 2}),
        ([{"x": {1: "c", "1": "b"}, 1: 2}], [{"x": {"1 (2)": "c", "1": "b"}, "1": 2}]),
        (Pairs(("a", 1), ("b", 2), ("a", 3)), {"a": 1, "b": 2, "a (2)": 3}),
        ({Same(): 1, "same" + "x" * NAME: 2}, {"same": 1, "same" + "x" * NAME: 2}),
    ],
)
def test_keys_that_look_alike_are_all_shown(read: Any, value: Any, expected: Any) -> None:
    """With numbers; a text is its own name, wherever it stands."""
    assert read(value) == expected
    assert list(read(value)) == list(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"\ud800": 1, LOW: 2}, {"?": 1, "? (2)": 2}),
        ({"\ud800": 1, "?": 2}, {"? (2)": 1, "?": 2}),
        ({"a": ["\ud800", "x\udfff", "é\ud800"]}, {"a": ["?", "x?", "é?"]}),
        ("\ud800", "?"),
        ({"é": "\\\ud800"}, {"é": "\\?"}),
    ],
)
@pytest.mark.parametrize("way", ["readable", "wire"])
def test_halves_of_characters_are_shown(way: str, value: Any, expected: Any) -> None:
    """As Python writes them: each is another text, and UTF-8 has them all."""
    assert json.loads(ENCODE[way](value).encode()) == expected


def test_many_that_look_alike_take_no_time() -> None:
    """Each finds its number at once."""
    shown = LOCAL.plain({Same(): n for n in range(50_000)})
    assert (len(shown), shown["same (50000)"]) == (50_000, 49_999)


def test_what_is_left_out_hides_nothing(read: Any) -> None:
    """A key that is called like it keeps its value."""
    value = {CUT: 1, **{str(n): [[]] * 10 for n in range(130_000)}}
    shown = read(value)
    assert shown[CUT] == 1


@settings(max_examples=50 * THOROUGH, deadline=None)
@given(st.dictionaries(KEYS, st.integers()), st.sampled_from(sorted(ENCODE)))
def test_nothing_is_lost(value: dict[Any, int], way: str) -> None:
    """As many values as there were, in their order, and texts have their own names, unless UTF-8 has none for them."""
    shown = json.loads(ENCODE[way](value))
    assert list(shown.values()) == list(value.values())
    for key, item in value.items():
        if isinstance(key, str) and (way == "ascii" or key.encode(errors="replace").decode() == key):
            assert shown.get(key) == item or way == "ascii"  # Python's reader puts two halves together
