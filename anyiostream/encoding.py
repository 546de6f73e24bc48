"""JSON for any object: events hold whatever graphs produce, which need not be JSON.

A value that JSON cannot express becomes the nearest one that it can. Models and dataclasses become objects, sets and
tuples arrays, other libraries' numbers numbers, NaN and infinities `null`, durations seconds, and an object with a
textual form that text. How errors and all other objects are shown is up to each `Encoder`.

Encoding never fails. Values are a graph's own objects: they may contain themselves, change while they are read, or
never end, and their methods may raise anything or return nonsense (`forms`).

Encoding ends soon. A value can be small and still refer to one of its parts more often than anybody could write down.
So an `Encoder` shows so many items of a value, and so many characters, wherever they come from. What is left out is
shown as `...`, where it would stand.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from enum import Enum
from functools import partial
from itertools import islice
from typing import Any, Final, final

import attrs

from anyiostream.forms import (
    BUILT_IN,
    COLLECTIONS,
    SCALARS,
    Scales,
    attempt,
    dumped,
    dumps,
    elements,
    exact,
    fields_of,
    is_light,
    listed,
    name_of,
    ordered,
    pass_on_interrupt,
    represent,
    shortened,
    text_of,
    told,
)
from anyiostream.names import Name, distinct, whole

__all__ = ["CUT", "Encoder", "encode", "plain"]

LONGEST: Final = 10_000
"""Bits of an integer beyond which it is shown in hexadecimal: Python refuses to write very long decimal ones."""

SHORT: Final = 1 << 64
"""Integers below it are written as fast as any item."""

SLOW: Final = 16
"""Bits of a longer one that count as an item: writing it takes the longer, the longer it is."""

NAME: Final = 64
"""Characters of a key that are not counted: its item is."""

OBJECT: Final = 10
"""How many items an object counts as, and an item of a foreign collection: they take longer, and may have no end."""

SHARE: Final = 4
"""A list with more than one in so many of the items that are left is gone through one by one: it ends where they do."""

CUT: Final = "..."
"""Shown in place of what is left out."""


@final
@attrs.frozen
class Encoder:
    """How values are shown.

    Attributes:
        deepest: Levels of nesting that are shown; structures that contain themselves end before.
        most: Items that are shown of one value, at all levels together; an object counts as ten.
        longest: Characters that are shown of one value, all its texts together.
        ascii_only: Whether JSON is ASCII. Otherwise it can be written as UTF-8.
        separators: As for `json.dumps`.
        private: Whether the fields of attrs classes that begin with an underscore are shown.
        opaque: The text for an object that has no form of its own. It may raise.
        cut: The text for a structure that is too deep, or contains itself. It may raise.
        error: The form of an exception, given the exception and its text.
    """

    deepest: int
    most: int
    longest: int
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
        return self.whole(self.written(self.plain(value)))

    def whole(self, text: str) -> str:
        """JSON as it can be written in UTF-8, which has no lone surrogates: a question mark is shown for each."""
        return whole(text, self.written)

    def written(self, value: Any) -> str:
        """`value`, which is plain, as one line of JSON; lone surrogates are as they were.

        Raises:
            ValueError, TypeError, RecursionError: It is not plain.
        """
        return self._json.encode(value)

    def plain(self, value: Any) -> Any:
        """`value` as JSON's types, copied: mappings, lists, strings, finite numbers, booleans and `None`."""
        if value is None or type(value) is bool or (type(value) is str and len(value) <= self.longest):
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

    __slots__ = ("_encoder", "_inside", "_left", "_names", "_room", "_scales")

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._inside: set[int] = set()
        self._left = encoder.most
        self._room = encoder.longest
        self._names = 0  # keys so far that are not their own names
        self._scales: Scales | None = None

    def show(self, value: Any, depth: int) -> Any:
        """The plain form of `value`, which is `depth` levels down."""
        kind = type(value)
        if kind is str:
            room = self._room - len(value)
            if room < 0:
                return self._beginning(value)
            self._room = room
            return value
        if value is None or kind is bool:
            return value
        if kind is int:
            return value if -SHORT < value < SHORT else self._number(value)
        if kind is float:
            return value if math.isfinite(value) else None
        if self._left <= 0:
            return CUT
        inside, key = self._inside, id(value)
        if depth > self._encoder.deepest or key in inside:
            return self._encoder.left_out(value)
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

    # --- texts and numbers ---

    def _beginning(self, text: str) -> str:
        """As much of a text as there is room for."""
        room, self._room = self._room, 0
        return text[:room] + CUT

    def _number(self, value: int) -> int | str:
        """A long integer, as a number if it can be written in decimal."""
        if self._left <= 0:
            return CUT
        bits, limit = value.bit_length(), sys.get_int_max_str_digits()
        if bits < (LONGEST if limit == 0 else min(LONGEST, 3 * limit)):  # at least 3.3 bits are a digit
            self._left -= bits // SLOW
            return value
        digits = bits // 4 + len("-0x") + 1
        if digits <= self._room:
            self._room -= digits
            return hex(value)
        room, self._room = self._room, 0
        first = hex(abs(value) >> 4 * (digits - max(room, 0)))  # its first digits, as many as fit
        return "-" * (value < 0) + first + CUT

    def _bytes(self, data: bytes | bytearray | memoryview) -> str:
        size = self._room // 4 * 3
        left_out = len(data) > size or memoryview(data).nbytes > size
        if left_out:
            data = bytes(data)[:size] if isinstance(data, memoryview) else memoryview(data)[:size]
        text = base64.b64encode(bytes(data)).decode("ascii")
        self._room -= len(text)
        return text + CUT if left_out else text

    # --- collections ---

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        depth += 1
        self._left -= len(value)
        names = self._names
        try:
            shown = {
                key if type(key) is str and len(key) <= NAME else self._key(key): self.show(item, depth)
                for key, item in value.items()
            }
        except RecursionError:
            raise
        except RuntimeError:
            # Another thread has changed it meanwhile; copying it is atomic.
            return self._pairs(value.copy().items(), depth)
        return shown if self._names == names else distinct(shown)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int, each: int = 1) -> dict[str, Any]:
        """The object that consists of `pairs`, as many of them as may be shown."""
        names = self._names
        shown: dict[Any, Any] = {}
        for key, item in pairs:
            if self._left <= 0:
                shown[self._name(CUT)] = CUT
                break
            self._left -= each
            name = self._key(key)
            shown[self._name(name) if name in shown else name] = self.show(item, depth)
        return shown if self._names == names else distinct(shown)

    def _items(self, items: Sequence[Any], depth: int, each: int = 1) -> list[Any]:
        depth += 1
        shown: list[Any]
        if len(items) * each * SHARE <= self._left:
            self._left -= len(items) * each
            shown = [self.show(item, depth) for item in items]
            while self._left <= 0 and shown[-2:] == [CUT, CUT]:
                del shown[-1]
            return shown
        shown = []
        for item in items:
            if self._left <= 0:
                shown.append(CUT)
                break
            self._left -= each
            shown.append(self.show(item, depth))
        return shown

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        """Its items; if it cannot tell them, its values one by one; and a dictionary's own, whatever it says."""
        each, most = self._most(value)
        pairs = attempt(lambda: list(islice(value.items(), most)))
        if pairs is None:
            keys = attempt(lambda: list(islice(iter(value), most)))
            if keys is not None:
                pairs = [(key, told(partial(value.__getitem__, key))) for key in keys]
            elif isinstance(value, dict):
                pairs = list(islice(dict.items(value), most))
        return self._unknown(value) if pairs is None else self._pairs(pairs, depth + 1, each)

    def _collection(self, value: Iterable[Any], depth: int) -> Any:
        each, most = self._most(value)
        items = attempt(lambda: list(islice(value, most)))
        if items is None:
            for kind in (list, tuple, set, frozenset):
                if isinstance(value, kind):
                    items = list(islice(kind.__iter__(value), most))  # type: ignore[arg-type]
        if items is None:
            return self._unknown(value)
        shown = self._items(items, depth, each)
        return ordered(shown) if isinstance(value, (set, frozenset)) else shown

    def _most(self, value: object) -> tuple[int, int]:
        """What each item of a collection counts as, and how many to ask for: one more than there is room for."""
        each = 1 if isinstance(value, BUILT_IN) else OBJECT
        return each, max(self._left, 0) // each + 2

    def _key(self, key: Any) -> Any:
        """The name of a key; a text is its own."""
        shown = self.show(key, self._encoder.deepest - 1)
        if type(shown) is str:
            return shown if shown is key else self._name(shown)
        return self._name(repr(tuple(shown) if isinstance(key, tuple) else shown))

    def _name(self, text: str) -> Name:
        self._names += 1
        return Name(text)

    # --- everything else ---

    def _unknown(self, value: object) -> Any:
        return self.show(self._encoder.unknown(value), 0)

    def _other(self, value: Any, depth: int) -> Any:
        try:
            return self._converted(value, depth)
        except BaseException as exc:  # noqa: BLE001 -- as in `attempt`
            pass_on_interrupt(exc)
            return self._unknown(value)

    def _converted(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.show(value.value, depth + 1)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(value)
        for kinds, convert in SCALARS:
            if isinstance(value, kinds):
                return self.show(convert(value), depth + 1)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, COLLECTIONS):
            return self._collection(value, depth)
        if isinstance(value, BaseException):
            return self.show(self._encoder.error(value, text_of(value)), depth)
        if isinstance(value, type):
            return self._unknown(value)
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        # `None`, an error, or one more object of the same kind, are no form.
        shown = attempt(partial(dumped, value)) if dumps(value) and not self._too_heavy(value) else None
        if shown is None or type(shown) is type(value):
            shown = attempt(partial(self._listed, value))
        if shown is not None and type(shown) is not type(value):
            return self.show(shown, depth + 1)
        fields = fields_of(value, private=self._encoder.private)
        if fields is not None:
            return self._pairs(((name, told(partial(getattr, value, name))) for name in fields), depth + 1)
        own_text = getattr(type(value), "__str__", None) is not object.__str__
        text = exact(attempt(partial(str, value))) if own_text else None
        if text is not None:
            return self.show(text, depth)
        if isinstance(value, Iterable) and isinstance(value, Sized):
            return self._collection(value, depth)
        return self._unknown(value)

    def _too_heavy(self, model: Any) -> bool:
        """Whether a model's dump would have more items than may be shown: it is shown field by field."""
        if is_light(model):
            return False
        if self._scales is None:
            self._scales = Scales(self._encoder.most)
        return self._scales.weigh(model) > self._left

    def _listed(self, array: Any) -> Any:
        """An array; one that is too large as its beginning, of numbers or of arrays."""
        if not callable(getattr(type(array), "tolist", None)) or elements(array) <= self._left:
            return listed(array)
        flat = len(getattr(array, "shape", (1,))) == 1
        return listed(array[: self._left + 1]) if flat else list(islice(array, self._most(array)[1]))


LOCAL: Final = Encoder(
    deepest=60,
    most=1_000_000,
    longest=256 * 2**20,
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
