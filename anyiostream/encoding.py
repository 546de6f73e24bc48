"""JSON for any object: events hold whatever graphs produce, which need not be JSON.

A value that JSON cannot express becomes the nearest one that it can. Models and dataclasses become objects, sets and
tuples arrays, other libraries' numbers numbers, NaN and infinities `null`, durations seconds, and an object with a
textual form that text. How errors and all other objects are shown is up to each `Encoder`.

Encoding never fails. Values are a graph's own objects: they may contain themselves, change while they are read, or
never end, and their methods may raise anything or return nonsense. None of that is the reader's fault, so it is shown
in place of the value. Only `KeyboardInterrupt` propagates: it may be the user's.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
import reprlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from enum import Enum
from functools import partial
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final, TypeVar, final
from urllib.parse import ParseResult, SplitResult

import attrs

__all__ = ["CUT", "Encoder", "encode", "name_of", "plain", "represent", "text_of"]

T = TypeVar("T")

LONGEST: Final = 10_000
"""Bits of an integer beyond which it is shown in hexadecimal: Python refuses to write very long decimal ones."""

MOST: Final = 1_000_000
"""The most items shown of one value, nested ones included: a small value may refer to the same item many times."""

OBJECT: Final = 10
"""How many items an object counts as: it takes longer to convert, and may return new objects for ever."""

CUT: Final = "..."
"""Shown in place of what is left out."""

SHORT: Final = 1 << 1000
"""Integers below it can be written in decimal, whatever the process's limit is."""

shortened: Final = reprlib.Repr()
shortened.maxlevel = 2


@final
@attrs.frozen
class Encoder:
    """How values are shown.

    Attributes:
        deepest: Levels of nesting that are shown; structures that contain themselves end before.
        ascii_only: Whether JSON is ASCII. Otherwise it can be written as UTF-8.
        separators: As for `json.dumps`.
        private: Whether the fields of attrs classes that begin with an underscore are shown.
        opaque: The text for an object that has no form of its own. It may raise.
        cut: The text for a structure that is too deep, or contains itself. It may raise.
        error: The form of an exception, given the exception and its text.
    """

    deepest: int
    ascii_only: bool
    separators: tuple[str, str]
    private: bool
    opaque: Callable[[object], str]
    cut: Callable[[object], str]
    error: Callable[[BaseException, str], Any]
    _json: json.JSONEncoder = attrs.field(init=False, repr=False, eq=False)

    @_json.default
    def _make_json(self) -> json.JSONEncoder:
        # Made once, where `json.dumps` would make one for each call. What is plain contains itself nowhere.
        return json.JSONEncoder(
            allow_nan=False, check_circular=False, ensure_ascii=self.ascii_only, separators=self.separators
        )

    def encode(self, value: Any) -> str:
        """`value` as one line of JSON."""
        return self.written(self.plain(value))

    def written(self, value: Any) -> str:
        """`value`, which is plain, as one line of JSON.

        Raises:
            ValueError, TypeError, RecursionError: It is not plain.
        """
        text = self._json.encode(value)
        # A lone surrogate has no UTF-8; it becomes a question mark.
        return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

    def plain(self, value: Any) -> Any:
        """`value` as JSON's types, copied: mappings, lists, strings, finite numbers, booleans and `None`."""
        if value is None or type(value) in {str, bool}:
            return value
        try:
            return Walk(self).show(value, 0)
        except RecursionError:
            return self.left_out(value)

    def left_out(self, value: object) -> str:
        """The text for a structure that is not shown."""
        return exact(attempt(lambda: self.cut(value))) or CUT

    def unknown(self, value: object) -> str:
        """The text for an object without a form."""
        return exact(attempt(lambda: self.opaque(value))) or f"<{name_of(value)}>"


@final
class Walk:
    """Goes through one value."""

    __slots__ = ("_encoder", "_inside", "_left")

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._inside: set[int] = set()
        self._left = MOST

    def show(self, value: Any, depth: int) -> Any:
        """The plain form of `value`, which is `depth` levels down."""
        kind = type(value)
        if kind is str or value is None or kind is bool:
            return value
        if kind is int:
            return value if -SHORT < value < SHORT else number(value)
        if kind is float:
            return value if math.isfinite(value) else None
        inside, key = self._inside, id(value)
        if depth > self._encoder.deepest or key in inside or self._left <= 0:
            return CUT if self._left <= 0 else self._encoder.left_out(value)
        inside.add(key)
        shown: Any
        if kind is dict and len(value) <= self._left:
            shown = self._dict(value, depth)
        elif kind is list or kind is tuple:
            shown = self._items(value, depth)
        else:
            self._left -= OBJECT
            shown = self._other(value, depth)
        inside.discard(key)
        return shown

    # --- collections ---

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        depth += 1
        self._left -= len(value)
        try:
            return {key if type(key) is str else self._key(key): self.show(item, depth) for key, item in value.items()}
        except RecursionError:
            raise
        except RuntimeError:
            # Another thread has changed it meanwhile; copying it is atomic.
            return self._pairs(value.copy().items(), depth)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        """The object that consists of `pairs`, as many of them as may be shown."""
        shown: dict[str, Any] = {}
        for key, item in pairs:
            if self._left <= 0:
                shown[CUT] = CUT
                break
            self._left -= 1
            shown[self._key(key)] = self.show(item, depth)
        return shown

    def _items(self, items: Sequence[Any], depth: int) -> list[Any]:
        depth += 1
        if len(items) > self._left:
            left, self._left = self._left, 0
            return [*(self.show(item, self._encoder.deepest + 1) for item in items[:left]), CUT]
        self._left -= len(items)
        return [self.show(item, depth) for item in items]

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        """Its items; if it cannot tell them, its values one by one; and a dictionary's own, whatever it says."""
        most = self._left + 1
        pairs = attempt(lambda: list(islice(value.items(), most)))
        if pairs is None:
            keys = attempt(lambda: list(islice(iter(value), most)))
            if keys is not None:
                pairs = [(key, told(partial(value.__getitem__, key))) for key in keys]
            elif isinstance(value, dict):
                pairs = list(dict.items(value))
        return self._encoder.unknown(value) if pairs is None else self._pairs(pairs, depth + 1)

    def _collection(self, value: Iterable[Any], depth: int) -> Any:
        most = self._left + 1
        items = attempt(lambda: list(islice(value, most)))
        if items is None and isinstance(value, (list, tuple)):
            items = list((list if isinstance(value, list) else tuple).__iter__(value))  # type: ignore[arg-type]
        if items is None and isinstance(value, (set, frozenset)):
            items = list((set if isinstance(value, set) else frozenset).__iter__(value))  # type: ignore[arg-type]
        if items is None:
            return self._encoder.unknown(value)
        shown = self._items(items, depth)
        return ordered(shown) if isinstance(value, (set, frozenset)) else shown

    def _key(self, key: Any) -> str:
        shown = self.show(key, self._encoder.deepest - 1)
        if type(shown) is str:
            return shown
        return repr(tuple(shown) if isinstance(key, tuple) else shown)

    # --- everything else ---

    def _other(self, value: Any, depth: int) -> Any:
        try:
            return self._converted(value, depth)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- whatever a foreign class raises, it is not this program's failure
            return self._encoder.unknown(value)

    def _converted(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.show(value.value, depth + 1)
        for kinds, convert in SCALARS:
            if isinstance(value, kinds):
                return self.show(convert(value), depth + 1)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, COLLECTIONS):
            return self._collection(value, depth)
        if isinstance(value, BaseException):
            return self._encoder.error(value, text_of(value))
        if isinstance(value, type):
            return self._encoder.unknown(value)
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        for form in FORMS:
            shown = attempt(partial(form, value))
            if shown is not None and type(shown) is not kind:
                return self.show(shown, depth + 1)
        fields = self._fields(value)
        if fields is not None:
            return self._pairs(((name, told(partial(getattr, value, name))) for name in fields), depth + 1)
        own_text = getattr(kind, "__str__", None) is not object.__str__
        text = exact(attempt(partial(str, value))) if own_text else None
        if text is not None:
            return text
        if isinstance(value, Iterable) and isinstance(value, Sized):
            return self._collection(value, depth)
        return self._encoder.unknown(value)

    def _fields(self, value: Any) -> list[str] | None:
        kind = type(value)
        if dataclasses.is_dataclass(kind):
            return [field.name for field in dataclasses.fields(kind)]
        if attrs.has(kind):
            names = [field.name for field in attrs.fields(kind)]
            return names if self._encoder.private else [name for name in names if not name.startswith("_")]
        # Of a pydantic model that could not dump itself.
        fields = getattr(kind, "model_fields", None)
        if isinstance(fields, dict):
            return [name for name, field in fields.items() if not getattr(field, "exclude", False)]
        return None


# --- what foreign objects say ---


def attempt(call: Callable[[], T]) -> T | None:
    """What a foreign object's method returns; `None` if it raises."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 -- as in `Walk`
        return None


def told(call: Callable[[], Any]) -> Any:
    """What a foreign object's method returns, or a text that says what it raises."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 -- as in `Walk`
        return f"<raises {name_of(exc)}>"


def text_of(error: BaseException) -> str:
    """The text of an exception, even of one whose `__str__` fails."""
    return exact(attempt(lambda: str(error))) or exact(attempt(lambda: ", ".join(map(str, error.args)))) or ""


def represent(value: object) -> str:
    """The `repr`, even of an object whose own fails."""
    try:
        return repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 -- as in `Walk`
        return f"<{name_of(value)}, whose repr raised {name_of(exc)}>"


def name_of(value: object) -> str:
    """The name of the class of `value`, whatever its metaclass says."""
    return str.__str__(type.__dict__["__name__"].__get__(type(value)))


def exact(text: str | None) -> str | None:
    """`text` without what a subclass of `str` adds to it."""
    return text if text is None or type(text) is str else str.__str__(text)


def number(value: int) -> int | str:
    """A long integer, as a number if it can be written in decimal."""
    limit = sys.get_int_max_str_digits()
    longest = LONGEST if limit == 0 else min(LONGEST, 3 * limit)  # at least 3.3 bits are a digit
    return value if value.bit_length() < longest else hex(value)


def ordered(items: list[Any]) -> list[Any]:
    """The plain items of a set, in an order that does not change from one process to another."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=repr)


def _listed(value: Any) -> Any:
    """An array of numbers, or a number, of numpy and its like."""
    tolist = getattr(type(value), "tolist", None)
    if callable(tolist):
        return tolist(value)
    item = getattr(type(value), "item", None)
    single = item(value) if callable(item) else None
    return single if isinstance(single, (bool, int, float, complex, str)) else None


def _dumped(value: Any) -> Any:
    """What a model of pydantic, and so a message of LangChain, consists of."""
    kind = type(value)
    dump = getattr(kind, "model_dump", None) or (hasattr(kind, "__fields__") and getattr(kind, "dict", None))
    if not callable(dump):
        return None
    # As it is, not as the class that a field is declared with: a message in a list of `BaseMessage` has tool calls.
    dumped = attempt(partial(dump, value, serialize_as_any=True))
    return dump(value) if dumped is None else dumped


FORMS: Final[tuple[Callable[[Any], Any], ...]] = (_dumped, _listed)
"""How objects are asked for their form. `None`, an error, or one more object of the same kind, does not count."""

SCALARS: Final[tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...]] = (
    ((str,), str.__str__),
    ((int,), int.__int__),
    ((float,), float.__float__),
    ((complex,), complex.__repr__),
    ((bytes, bytearray, memoryview), lambda data: base64.b64encode(bytes(data)).decode("ascii")),
    ((date, time), lambda moment: moment.isoformat()),
    ((timedelta,), timedelta.total_seconds),
    ((re.Pattern,), lambda pattern: pattern.pattern),
    ((ParseResult, SplitResult), lambda url: url.geturl()),
    ((SimpleNamespace,), vars),
)
"""Types -> a conversion to something nearer to JSON; the first match applies."""

COLLECTIONS: Final = (list, tuple, AbstractSet, deque, ValuesView, range)


LOCAL: Final = Encoder(
    deepest=60,
    ascii_only=True,
    separators=(", ", ": "),
    private=True,
    opaque=represent,
    cut=shortened.repr,
    error=lambda error, text: {"type": name_of(error), "message": text},
)
"""For the user of the program: objects without a form are shown by their `repr`."""

READABLE: Final = attrs.evolve(LOCAL, ascii_only=False)

plain: Final = LOCAL.plain
"""`value` as JSON's types, copied."""


def encode(value: Any, *, ascii_only: bool = True) -> str:
    """`value` as one line of JSON.

    ASCII unless asked otherwise, so that no terminal and no encoding on the way can make anything else of it.
    """
    return (LOCAL if ascii_only else READABLE).encode(value)
