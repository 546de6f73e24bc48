"""What encoding costs has an end, whatever is encoded: work is counted, and what is left out is shown as such."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, RootModel, field_serializer

from anyiostream.encoding import CUT, LOCAL, NAME, OBJECT, SLOW, Encoder
from anyiostream.foreign import is_cancellation, leaves
from anyiostream.forms import text_of
from anyiostream.logged import loggable
from anyiostream.outcome import Outcome
from anyiostream.wire.jsonable import WIRE

MOST = 1000
"""Items, of the small encoders."""

LONGEST = 5000
"""Characters, likewise."""

SHARED = 60
"""Levels of what refers to each of its parts twice: nobody could write it down."""


@pytest.fixture(params=["local", "remote"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """An encoder that shows little."""
    return attrs.evolve({"local": LOCAL, "remote": WIRE}[request.param], most=MOST, longest=LONGEST)


def count(value: Any) -> int:
    """The items of a plain value, itself included."""
    if isinstance(value, dict):
        return 1 + sum(map(count, value.values()))
    return 1 + sum(map(count, value)) if isinstance(value, list) else 1


def characters(value: Any) -> int:
    """Those of its texts."""
    if isinstance(value, dict):
        return sum(len(key) + characters(item) for key, item in value.items())
    return sum(map(characters, value)) if isinstance(value, list) else len(value) if isinstance(value, str) else 0


def shared(make: Any, leaf: Any) -> Any:
    """Something each level of which refers to the next one twice."""
    for _ in range(SHARED):
        leaf = make(leaf)
    return leaf


class Pair(BaseModel):
    """A model of models. It counts what of it is dumped, and has enough some time."""

    model_config = ConfigDict(extra="allow")
    a: Any = None
    b: Any = None
    dumped: int = 0

    @field_serializer("dumped")
    def _count(self, _: int) -> int:
        DUMPED.append(1)
        assert len(DUMPED) < 20 * MOST
        return 0


DUMPED: list[int] = []


@dataclasses.dataclass(slots=True)
class Slotted:
    a: Any
    b: Any


@attrs.define
class Defined:
    a: Any
    b: Any


@pytest.mark.parametrize(
    "make",
    [
        lambda part: [part, part],
        lambda part: (part, part),
        lambda part: {"a": part, "b": part},
        lambda part: frozenset({(part, 1), (part, 2)}),
        lambda part: {(1, 2): part, "b": part},
        lambda part: Pair(a=part, b=part),
        lambda part: Pair(a=[part], c={"d": part}),
        lambda part: Pair(a=Slotted(part, part)),
        lambda part: Pair(a={"x": {part} if isinstance(part, str) else [part, part]}),
        lambda part: Slotted(part, part),
        lambda part: Defined(part, part),
        lambda part: RootModel[Any]([part, part]),
    ],
)
def test_shared_parts(encoder: Encoder, make: Any) -> None:
    """They are shown as often as they are referred to, within the bound; each model is dumped as often as shown."""
    DUMPED.clear()
    read = encoder.plain(shared(make, "leaf"))
    assert count(read) < 4 * MOST
    assert len(DUMPED) < 2 * MOST
    assert CUT in json.dumps(read)


def test_keys_that_share_their_parts(encoder: Encoder) -> None:
    """A set may be a key: it keeps its hash, so that it need not be gone through to be one."""
    key = shared(lambda part: frozenset({(part, 1), (part, 2)}), 1)
    DUMPED.clear()
    encoder.encode({key: 1, "model": Pair(a={key: 1})})
    assert len(DUMPED) <= 2


@pytest.mark.parametrize("size", [MOST, MOST + 1, 10 * MOST])
def test_what_fits_is_whole(encoder: Encoder, size: int) -> None:
    """The rest is cut, where it would stand."""
    whole = list(range(size))
    wanted = whole if size <= MOST else [*whole[:MOST], CUT]
    assert encoder.plain(whole) == wanted
    assert encoder.plain(tuple(whole)) == wanted
    rows = encoder.plain([{"id": n, "tags": ["a", "b"]} for n in range(size)])
    assert rows[: MOST // 6] == [{"id": n, "tags": ["a", "b"]} for n in range(MOST // 6)]
    assert rows[-1] == CUT
    assert CUT not in rows[:-1]
    mapping = encoder.plain(dict.fromkeys(map(str, whole), 1))
    assert mapping.pop(CUT, None) == (None if size <= MOST else CUT)
    assert MOST - 2 * OBJECT < len(mapping) <= MOST


def test_what_comes_after_a_large_value_is_there(encoder: Encoder) -> None:
    """As far as it has no parts itself: a mapping has room for its items before they are shown."""
    read = encoder.plain({"large": list(range(10 * MOST)), "status": "done", "n": 3, "more": [1]})
    assert read["large"][-1] == CUT
    assert {name: read[name] for name in ("status", "n", "more")} == {"status": "done", "n": 3, "more": CUT}


@pytest.mark.parametrize(
    "make",
    [
        lambda text: [text] * 100,
        lambda text: {"a": text, "b": [text, text]},
        lambda text: [{text: 1}, {text: 2}],
        lambda text: [type("Shown", (), {"__str__": lambda _: text})() for _ in range(9)],
        lambda text: [ValueError(text), text, text],
        lambda text: [text.encode(), bytearray(text.encode()), memoryview(text.encode())],
        lambda text: text.encode(),
        lambda text: [type("Text", (str,), {})(text)] * 3,
        lambda text: text * 2,
        lambda text: {(text, text): 1},
    ],
)
def test_texts(encoder: Encoder, make: Any) -> None:
    """All of a value's texts together have an end, however often the same one is referred to."""
    text = "x" * (LONGEST - 1000)
    read = encoder.plain(make(text))
    assert LONGEST / 4 < characters(read) < LONGEST + 1000
    assert CUT in json.dumps(read)


def test_many_short_keys(encoder: Encoder) -> None:
    """They are not counted by themselves; each belongs to an item, which is."""
    read = encoder.plain([{"k" * NAME: 1} for _ in range(10 * MOST)])
    assert characters(read) < MOST * (NAME + 1)


def test_long_integers(encoder: Encoder) -> None:
    """The longer a number is, the longer it takes to be written."""
    bits = 3000
    read = encoder.plain([1 << bits] * MOST)
    assert sum(type(each) is int for each in read) <= MOST * SLOW // bits + 1
    assert read[-1] == CUT
    for sign in (1, -1):
        huge = encoder.plain(sign * (0xABC << 1_000_000))
        assert huge.startswith("-0xabc" if sign < 0 else "0xabc")
        assert huge.endswith(CUT)
        assert LONGEST - 10 < len(huge) < LONGEST + 10
    long = 0xABC << 12_000
    first, second = encoder.plain([long, -long])  # of which the second one no longer fits
    assert first == hex(long)
    assert hex(-long).startswith(second.removesuffix(CUT))
    assert second.endswith(CUT)


class Counting:
    """An array that counts what it gives."""

    given = 0

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Counting:
        if isinstance(index, slice):
            return Counting(len(range(*index.indices(self.shape[0]))), *self.shape[1:])
        if index >= self.shape[0]:
            raise IndexError
        Counting.given += 1
        return Counting(*self.shape[1:])

    def tolist(self) -> Any:
        if not self.shape:
            return 1
        Counting.given += self.shape[0]
        return [Counting(*self.shape[1:]).tolist() for _ in range(self.shape[0])]


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (3, 10**9), (1, 1, 1, 10**9), (10**9, 1)])
def test_arrays(encoder: Encoder, shape: tuple[int, ...]) -> None:
    """Of one that is too large only the beginning is asked for."""
    Counting.given = 0
    read = encoder.plain(Counting(*shape))
    assert Counting.given <= 2 * MOST
    assert count(read) <= 2 * MOST
    assert CUT in json.dumps(read)


def test_arrays_of_numpy(encoder: Encoder) -> None:
    """As `tolist` has them, as far as they fit."""
    flat = np.arange(2 * MOST)
    read = encoder.plain(flat)
    assert read[:900] == list(range(900))
    assert read[-1] == CUT
    assert encoder.plain(flat[:900]) == list(range(900))
    rows = encoder.plain(flat.reshape(2, MOST))
    assert rows[0][:900] == list(range(900))
    assert encoder.plain(np.float64(1.5)) == 1.5
    assert encoder.plain(np.array(2)) == 2


class Endless(Mapping[str, int]):
    """Counts what it is asked for."""

    asked = 0

    def __getitem__(self, key: str) -> int:
        Endless.asked += 1
        return 1

    def __iter__(self) -> Iterator[str]:
        n = 0
        while True:
            n += 1
            yield str(n)

    def __len__(self) -> int:
        return 1


def test_collections_without_an_end(encoder: Encoder) -> None:
    """Items that a method makes count as objects do."""
    Endless.asked = 0
    read = encoder.plain(Endless())
    assert Endless.asked <= MOST / OBJECT + 2
    assert MOST / OBJECT - 10 < len(read) <= MOST / OBJECT + 1
    assert read[CUT] == CUT
    endless = type("Endless", (), {"__len__": lambda _: 1, "__iter__": lambda _: iter(int, 1)})
    read = encoder.plain(endless())
    assert MOST / OBJECT - 10 < len(read) <= MOST / OBJECT + 1
    assert encoder.plain(range(10**12))[:900] == list(range(900))


def test_a_list_that_grows_while_it_is_shown(encoder: Encoder) -> None:
    """By one item for each that is shown."""
    growing: list[Any] = []
    item = type("Item", (), {"__str__": lambda self: str(growing.append(self))})()
    growing.append(item)
    assert len(encoder.plain(growing)) <= MOST / OBJECT + 2


def test_objects_that_make_objects(encoder: Encoder) -> None:
    """For ever, and twice each."""
    made = []

    class Maker:
        def model_dump(self) -> Any:
            made.append(1)
            return {"a": Maker(), "b": Maker()}

    encoder.plain(Maker())
    assert len(made) <= MOST / OBJECT + 1


def test_the_text_of_an_error_that_has_no_end() -> None:
    """Python writes out an error's arguments."""
    endless = shared(lambda part: [part, part], 1)
    for error in (ValueError(endless), KeyError(endless), RuntimeError("state", {"a": endless}), OSError(endless)):
        assert 0 < len(text_of(error)) < 1000
    assert text_of(ValueError([1, 2])) == "[1, 2]"
    assert text_of(ValueError("a", 1)) == "('a', 1)"
    assert text_of(KeyError("a")) == "'a'"
    own = type("Own", (Exception,), {"__str__": lambda _: "short"})
    assert text_of(own(endless)) == "short"


GRAPHS = st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=3), min_size=1, max_size=40)
"""For each list in turn, which of those before it it consists of."""


@given(GRAPHS, st.sampled_from(["lists", "mappings", "models", "slotted"]), st.integers(1, 200))
def test_any_graph_is_whole_or_says_that_it_is_not(edges: list[list[int]], kind: str, most: int) -> None:
    """Whatever refers to whatever: all of it if it fits; else as much as fits, and a sign where some is left out."""
    made: list[Any] = [7]
    sizes = [1]
    for refers in edges:
        parts = [made[each % len(made)] for each in refers]
        fields = {f"f{n}": part for n, part in enumerate(parts)}
        if kind == "lists":
            made.append(parts)
        elif kind == "mappings":
            made.append(fields)
        elif kind == "slotted":
            made.append(Slotted(parts, parts[0]))
        else:
            made.append(Pair(**fields))
        # Saturated: there may be very many.
        sizes.append(min(10**6, 1 + sum(sizes[each % len(sizes)] for each in refers)))
    DUMPED.clear()
    text = attrs.evolve(WIRE, most=most).encode(made[-1])
    read = json.loads(text)
    assert count(read) <= 12 * (most + OBJECT)
    if kind in {"lists", "mappings"}:
        assert CUT in text or count(read) == sizes[-1]
        assert sizes[-1] > most or CUT not in text


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_group_that_refers_to_its_errors_very_often(kind: type[BaseException]) -> None:
    """Is gone through once, however deep it is, and is not written to a log: Python would not come to an end."""
    one = kind("leaf")
    group = shared(lambda part: BaseExceptionGroup("g", [part, part]), one)
    assert list(leaves(group)) == [one]
    assert not is_cancellation(group)
    assert loggable(group) is None
    assert Outcome.by(group).message == "g (2 sub-exceptions)"
    deep: BaseException = one
    for _ in range(5000):
        deep = BaseExceptionGroup("g", [deep])
    assert list(leaves(deep)) == [one]
    several = BaseExceptionGroup("g", [ValueError(1), BaseExceptionGroup("h", [TypeError(2), ValueError(3)])])
    assert [each.args for each in leaves(several)] == [(1,), (2,), (3,)]


def test_what_is_written_to_a_log() -> None:
    """All but what has no end: a group, a cause, an argument."""
    endless = shared(lambda part: [part, part], 1)
    for error in (ValueError("x"), ExceptionGroup("g", [ValueError("x")] * 3), chained(ValueError("x"))):
        assert loggable(error) is error
    for error in (ValueError(endless), ExceptionGroup("g", [ValueError(endless)]), chained(ValueError(endless))):
        assert loggable(error) is None


def chained(cause: Exception) -> Exception:
    """An error with a cause."""
    try:
        raise RuntimeError("effect") from cause
    except RuntimeError as exc:
        return exc
