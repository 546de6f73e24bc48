"""Whatever a graph emits can be shown, by every encoder: what foreign objects do is theirs, and never an error."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import json
import re
import signal
import types
import urllib.parse
import uuid
import zoneinfo
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import AnyUrl, BaseModel, Field, RootModel, SecretStr, computed_field, field_serializer

from anyiostream.encoding import encode, plain
from anyiostream.wire import jsonable

from ..thorough import THOROUGH

PLAIN = {"local": plain, "remote": jsonable.plain}


def shown(value: Any, where: str) -> Any:
    """What a reader gets of `value`."""
    if where == "remote":
        return json.loads(jsonable.encode(jsonable.plain(value)))
    assert encode(value).isascii()
    encode(value, ascii_only=False).encode("utf-8")
    return json.loads(encode(value))


@pytest.fixture(params=PLAIN)
def where(request: pytest.FixtureRequest) -> str:
    """For whom values are encoded."""
    return str(request.param)


class Scalar:
    """As numpy's: a number inside of an object."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def item(self) -> Any:
        return self._value


class Array(Scalar):
    """As numpy's."""

    def tolist(self) -> Any:
        return self._value

    def item(self) -> Any:
        raise ValueError("can only convert an array of size 1")


class LongDouble:
    """Its `tolist` answers itself, as numpy's does."""

    def tolist(self) -> Any:
        return self

    def __str__(self) -> str:
        return "1.5"


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


class Name(enum.StrEnum):
    A = "a"


class Deep(enum.Enum):
    PAIR = (1, dt.timedelta(seconds=1))


class Model(BaseModel):
    url: AnyUrl = AnyUrl("https://example.org/x")
    took: dt.timedelta = dt.timedelta(seconds=1.5)
    ip: ipaddress.IPv6Address = ipaddress.IPv6Address("::1")
    key: SecretStr = SecretStr("s3cret")
    hidden: str = Field("s3cret", exclude=True)


class Failing(Model):
    """Cannot dump itself; its fields are there all the same."""

    number: int = 1

    @field_serializer("number")
    def _fail(self, _: int) -> int:
        raise RuntimeError("no")


class FailingField(BaseModel):
    good: int = 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def bad(self) -> int:
        raise RuntimeError("no")


class Holder(BaseModel):
    said: list[BaseMessage]


@dataclasses.dataclass(repr=False)
class Part:
    good: int
    bad: int = dataclasses.field(default=2, init=False)

    def __getattribute__(self, name: str) -> Any:
        if name == "bad":
            raise KeyError(name)
        return super().__getattribute__(name)


@attrs.define
class Plate:
    number: Any


Pair = collections.namedtuple("Pair", "x y")  # noqa: PYI024 -- any named tuple

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Scalar(0.5), 0.5),
        (Scalar(True), True),
        (Scalar(float("nan")), None),
        (Array([1, [2.5, float("inf")]]), [1, [2.5, None]]),
        (Array(7), 7),
        (LongDouble(), "1.5"),
        ({Array(7): Scalar(8)}, {"7": 8}),
        (dt.timedelta(seconds=90), 90.0),
        (dt.datetime(2026, 1, 2, tzinfo=BERLIN), "2026-01-02T00:00:00+01:00"),
        (BERLIN, "Europe/Berlin"),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (ipaddress.ip_interface("::1/64"), "::1/64"),
        (httpx.URL("https://example.org/x?y=1"), "https://example.org/x?y=1"),
        (AnyUrl("https://example.org/x"), "https://example.org/x"),
        (urllib.parse.urlparse("https://example.org/x"), "https://example.org/x"),
        (urllib.parse.urlsplit("https://example.org/x"), "https://example.org/x"),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (PurePosixPath("a/b"), "a/b"),
        (decimal.Decimal("1.10"), "1.10"),
        (decimal.Decimal("NaN"), "NaN"),
        (fractions.Fraction(1, 3), "1/3"),
        (1j, "1j"),
        (re.compile("a+"), "a+"),
        (Level.LOW | Level.HIGH, 3),
        (Name.A, "a"),
        (Deep.PAIR, [1, 1.0]),
        ({Name.A: 1, Level.HIGH: 2, None: 3, True: 4, 2.5: 5}, {"a": 1, "2": 2, "None": 3, "True": 4, "2.5": 5}),
        (Pair(1, 2), [1, 2]),
        (collections.deque([1, 2], 5), [1, 2]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        ({"a": 1}.values(), [1]),
        (collections.UserDict(a=1), {"a": 1}),
        (collections.UserString("text"), "text"),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (types.SimpleNamespace(a=1), {"a": 1}),
        (range(3), [0, 1, 2]),
        ({3, 20, 1}, [1, 3, 20]),
        (memoryview(b"\x00\xff"), "AP8="),
        (RootModel[list[int]]([1, 2]), [1, 2]),
        (Model(), {"url": "https://example.org/x", "took": 1.5, "ip": "::1", "key": "**********"}),
        (Failing(), {"url": "https://example.org/x", "took": 1.5, "ip": "::1", "key": "**********", "number": 1}),
        (FailingField(), {"good": 1}),
        (Part(1), {"good": 1, "bad": "<raises KeyError>"}),
        (Plate(Plate(dt.timedelta(1))), {"number": {"number": 86400.0}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_and_texts(value: Any, expected: Any, where: str) -> None:
    """What has a number, fields, items or a text is shown by these, by itself and inside of something else."""
    assert shown(value, where) == expected
    assert shown([{"deep": value}], where) == [{"deep": expected}]


@pytest.mark.parametrize("value", [10**5000, -(10**5000), 1 << 20_000], ids=["large", "negative", "power"])
def test_integers_of_any_size(value: int, where: str) -> None:
    """Beyond what Python writes in decimal they are hexadecimal, also as keys; the digits are all there."""
    assert int(shown(value, where), 16) == value
    assert [int(key, 16) for key in shown({value: 1}, where)] == [value]


def test_integers_are_numbers_as_far_as_the_process_allows(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the process's to set."""
    value = 10**1000
    assert shown(value, where) == value
    monkeypatch.setattr("sys.get_int_max_str_digits", lambda: 640)
    assert shown(value, where) == hex(value)


def test_messages_keep_what_their_class_adds(where: str) -> None:
    """Also in a model whose field is of the class that all messages share."""
    call = {"name": "f", "args": {"x": 1}, "id": "1", "type": "tool_call"}
    message = AIMessage("hi", tool_calls=[call])
    assert shown(message, where)["tool_calls"] == [call]
    assert shown(Holder(said=[message]), where)["said"][0]["tool_calls"] == [call]


# --- what raises, lies, or never ends ---

RAISED = [RuntimeError, SystemExit, GeneratorExit, MemoryError, RecursionError, KeyboardInterrupt]
RAISED += [type("Own", (BaseException,), {})]


def raising(error: type[BaseException]) -> Iterator[Any]:
    """Objects whose methods raise `error`."""

    def fail(*_: Any) -> Any:
        raise error("no")

    for base in (dict, list, tuple, set, str, int, float, bytes, object, Exception, Mapping, collections.UserList):
        hooks = ["__str__", "__repr__", "__iter__", "__len__", "items", "keys", "values", "__getitem__", "isoformat"]
        hooks += ["model_dump", "dict", "tolist", "item", "__bool__", "__eq__", "bit_length", "__int__", "__float__"]
        body = dict.fromkeys(hooks, fail)
        kind = type("Bad", (base,), {**body, "__hash__": lambda _: 1})
        try:
            yield kind()
        except BaseException:
            continue
    yield type("NoClass", (), {"__class__": property(fail)})()
    yield type("NoName", (type,), {"__name__": property(fail)})("Class", (), {})()
    yield type("NoAttribute", (), {"__getattribute__": fail})()


@pytest.mark.parametrize("error", RAISED)
def test_whatever_raises(error: type[BaseException], where: str) -> None:
    """Becomes a text, as a value and as a key, and its neighbours stay."""
    values = list(raising(error))
    assert len(values) > 10
    for value in values:
        read = shown({"before": 1, "v": value, "after": [value, 2]}, where)
        assert (read["before"], read["after"][1]) == (1, 2)
        read = shown({value: 1} if _hashable(value) else {}, where)
        assert list(read.values()) in ([1], [])


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except BaseException:
        return False
    return True


def test_a_dictionary_that_denies_its_items(where: str) -> None:
    """Has them all the same."""
    denying = type("Denying", (dict,), {"items": lambda _: 1 / 0, "__iter__": lambda _: 1 / 0})
    assert shown(denying(a=1), where) == {"a": 1}


def test_a_mapping_with_one_bad_value(where: str) -> None:
    """Shows the others."""

    class Lazy(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            if key == "bad":
                raise LookupError(key)
            return 1

        def __iter__(self) -> Iterator[str]:
            return iter(["good", "bad"])

        def __len__(self) -> int:
            return 2

    assert shown(Lazy(), where) == {"good": 1, "bad": "<raises LookupError>"}


def test_texts_that_are_none(where: str) -> None:
    """`__str__` and `__repr__` may answer something else, or a subclass with a mind of its own."""
    odd = type("Odd", (str,), {"__str__": lambda _: 1, "isascii": lambda _: 1 / 0})
    assert shown(odd("x"), where) == "x"
    for answer in (1, None, odd("x")):
        value = type("Bad", (), {"__str__": lambda _, answer=answer: answer, "__repr__": lambda _: 1})()
        assert isinstance(shown(value, where), str)


def test_nesting_and_circles_end(where: str) -> None:
    """Lists, objects that make new ones for ever, models inside themselves."""
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep]
    endless = type("Endless", (), {"model_dump": lambda self: {"a": type(self)(), "b": type(self)()}})
    circle: dict[str, Any] = {}
    circle["again"] = [circle, Plate(circle)]
    loop = types.SimpleNamespace()
    loop.loop = loop
    for value in (deep, circle, loop):
        shown({"v": value, "after": 1}, where)
    PLAIN[where](endless())
    while isinstance(deep, list):
        deep = deep[0]  # which would be too deep for the interpreter to clear at once


def test_a_dictionary_that_changes_meanwhile(where: str) -> None:
    """As one does that a node in a thread goes on with."""
    grown: dict[str, Any] = {}

    class Growing:
        def model_dump(self) -> Any:
            if len(grown) < 5:
                grown[str(len(grown))] = 1
            return {"x": 1}

    grown["first"] = Growing()
    grown["second"] = 2
    read = PLAIN[where](grown)
    assert (read["first"], read["second"]) == ({"x": 1}, 2)


@pytest.mark.parametrize("text", ["\ud800", "a\r\nevent: x\r\n\r\ndata: {}\u2028\x85\x00", "\U0001f469\u200d"])
def test_any_text(text: str, where: str) -> None:
    """Is written in one line, and halves of characters do no harm, in keys either."""
    assert shown({text: text}, where) in ({text: text}, {"?": "?"})


def test_what_is_opaque_shows_no_secret_to_strangers() -> None:
    """Its class's name; its `repr` is for the program's own user."""
    value = type("Lock", (), {"__repr__": lambda _: "<Lock secret=hunter2>"})()
    assert shown(value, "remote") == "<Lock>"
    assert shown(value, "local") == "<Lock secret=hunter2>"
    assert "hunter2" not in json.dumps(shown({(value, 1): value}, "remote"))
    for opaque in (lambda: 1, (x for x in "ab"), threading_lock(), object()):
        assert str(shown(opaque, "remote")).startswith("<")


def threading_lock() -> Any:
    """Something of the interpreter's."""
    import threading

    return threading.Lock()


BAD = [each for error in RAISED for each in raising(error)]
"""Which Hypothesis must not see, since it asks values for their `repr`."""


@dataclasses.dataclass
class Holding:
    """Turns out to be one of `BAD`."""

    place: int

    def model_dump(self) -> Any:
        return BAD[self.place]


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(9_000, 20_000).map(lambda bits: (1 << bits) - 1)
    | st.floats()
    | st.complex_numbers()
    | st.decimals()
    | st.fractions()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs", "Cc", "Zl"]))
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.ip_addresses()
    | st.builds(Scalar, st.floats())
    | st.sampled_from([Name.A, Deep.PAIR, Model(), Failing(), Part(1), object(), ValueError("x"), int])
)

VALUES = st.recursive(
    LEAVES | st.builds(Holding, st.integers(0, len(BAD) - 1)),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(LEAVES.filter(_hashable), inner)
        | st.builds(Plate, inner)
        | st.builds(Array, st.lists(inner))
        | st.builds(collections.deque, st.lists(inner))
        | st.builds(collections.UserDict, st.dictionaries(st.text(), inner))
        | st.builds(ValueError, inner)
    ),
    max_leaves=20,
)


@settings(max_examples=25 * THOROUGH)
@example("\u2028\ud800")
@given(VALUES)
def test_every_value(value: Any) -> None:
    """Is JSON for both, in one line."""
    for where in PLAIN:
        shown([1, value, {"v": value}], where)
    assert len(jsonable.encode([value]).decode("utf-8").splitlines()) == 1


def test_a_class_whose_name_is_none(where: str) -> None:
    """A metaclass may say anything."""
    nameless = type("Nameless", (type,), {"__name__": 5})("Class", (), {})
    assert [type(each) for each in shown([nameless, nameless()], where)] == [str, str]


def test_ctrl_c_is_not_the_values(where: str) -> None:
    """It ends the program wherever it comes. What a value raises of the same class is the value's own."""

    def interrupted(_: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        for _ in range(1000):
            pass

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            shown(type("Busy", (), {"__str__": interrupted})(), where)
    finally:
        signal.signal(signal.SIGINT, before)
