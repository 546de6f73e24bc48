"""What objects of other packages say of themselves: their text, their fields, their items, whatever their methods do.

Their methods may raise anything or return nonsense. None of that is the reader's fault, so it is shown in place of the
value. Only Ctrl-C propagates: it is the user's.

What takes as long as the value is large, and cannot be stopped, is measured before it is asked for: an array by
`elements`, a model and an error's arguments by `Scales`.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
from collections import deque
from collections.abc import Callable, Sized, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from functools import partial
from types import FunctionType, SimpleNamespace
from typing import Any, Final, TypeVar, final
from urllib.parse import ParseResult, SplitResult

import attrs

from anyiostream.keyboard import is_interrupt

__all__ = [
    "BUILT_IN",
    "COLLECTIONS",
    "SCALARS",
    "Scales",
    "attempt",
    "dumped",
    "dumps",
    "elements",
    "exact",
    "fields_of",
    "is_light",
    "listed",
    "name_of",
    "ordered",
    "pass_on_interrupt",
    "represent",
    "shortened",
    "text_of",
    "told",
]

T = TypeVar("T")

LONG: Final = 10_000
"""Items of an error's arguments that are written out."""

LIGHT: Final = 200
"""Items of a model that need not be weighed."""

DEEP: Final = 100
"""Levels of a model that are measured; a deeper one counts as too large."""


class Shortened(reprlib.Repr):
    """The `repr` of the outer levels; an object's own would write out all that it consists of."""

    def repr_instance(self, x: object, level: int) -> str:  # noqa: ARG002 -- as it is called
        """Numbers as they are, and other objects by the name of their class."""
        return repr(x) if type(x) in LEAVES and type(x) is not bytes else f"<{name_of(x)}>"


shortened: Final = Shortened()
shortened.maxlevel = 2

SCALARS: Final[tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...]] = (
    ((str,), str.__str__),
    ((int,), int.__int__),
    ((float,), float.__float__),
    ((complex,), complex.__repr__),
    ((date, time), lambda moment: moment.isoformat()),
    ((timedelta,), timedelta.total_seconds),
    ((re.Pattern,), lambda pattern: pattern.pattern),
    ((ParseResult, SplitResult), lambda url: url.geturl()),
    ((SimpleNamespace,), vars),
)
"""Types -> a conversion to something nearer to JSON; the first match applies."""

COLLECTIONS: Final = (list, tuple, AbstractSet, deque, ValuesView, range)

BUILT_IN: Final = (dict, list, tuple, set, frozenset, deque, range)
"""Collections that give their items at once; asking another one for an item runs a method of its own."""

LEAVES: Final = frozenset({str, int, float, bool, bytes, type(None)})


def pass_on_interrupt(error: BaseException) -> None:
    """Raise what a foreign object's method has raised if it is the user's Ctrl-C, which may have come just then."""
    if not isinstance(error, Exception) and is_interrupt(error):
        raise error


def attempt(call: Callable[[], T]) -> T | None:
    """What a foreign object's method returns; `None` if it raises."""
    try:
        return call()
    except BaseException as exc:  # noqa: BLE001 -- whatever a foreign class raises, it is not this program's failure
        pass_on_interrupt(exc)
        return None


def told(call: Callable[[], Any]) -> Any:
    """What a foreign object's method returns, or a text that says what it raises."""
    try:
        return call()
    except BaseException as exc:  # noqa: BLE001 -- as in `attempt`
        pass_on_interrupt(exc)
        return f"<raises {name_of(exc)}>"


# --- texts ---


def text_of(error: BaseException) -> str:
    """The text of an exception, even of one whose `__str__` fails, or writes out arguments that have no end."""
    own = isinstance(getattr(type(error), "__str__", None), FunctionType)
    if not own and not isinstance(error, BaseExceptionGroup):  # which tells how many errors it has
        arguments = BaseException.args.__get__(error)  # type: ignore[attr-defined]
        if Scales(LONG).weigh(arguments) > LONG:
            return attempt(lambda: ", ".join(map(shortened.repr, arguments))) or ""
    return exact(attempt(lambda: str(error))) or exact(attempt(lambda: ", ".join(map(str, error.args)))) or ""


def represent(value: object) -> str:
    """The `repr`, even of an object whose own fails."""
    try:
        return repr(value)
    except BaseException as exc:  # noqa: BLE001 -- as in `attempt`
        pass_on_interrupt(exc)
        return f"<{name_of(value)}, whose repr raised {name_of(exc)}>"


def name_of(value: object) -> str:
    """The name of the class of `value`, whatever its metaclass says."""
    return str.__str__(type.__dict__["__name__"].__get__(type(value)))


def exact(text: Any) -> str | None:
    """`text` without what a subclass of `str` adds to it; `None` for what is no text."""
    if type(text) is str:
        return text
    return str.__str__(text) if issubclass(type(text), str) else None


def ordered(items: list[Any]) -> list[Any]:
    """The plain items of a set, in an order that does not change from one process to another."""
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=repr)


# --- arrays and models ---


def listed(value: Any) -> Any:
    """An array of numbers, or a number, of numpy and its like."""
    tolist = getattr(type(value), "tolist", None)
    if callable(tolist):
        return tolist(value)
    item = getattr(type(value), "item", None)
    single = item(value) if callable(item) else None
    return single if isinstance(single, (bool, int, float, complex, str)) else None


def elements(value: Any) -> int:
    """How many numbers `listed` would give, as far as the array says."""
    shape = attempt(lambda: value.shape)
    if isinstance(shape, tuple) and all(isinstance(length, int) for length in shape):
        return math.prod(shape)
    return attempt(lambda: len(value)) or 0 if isinstance(value, Sized) else 0


def dumps(value: Any) -> Callable[..., Any] | None:
    """The method by which a model says what it consists of; `None` if it is no model."""
    kind = type(value)
    dump = getattr(kind, "model_dump", None) or (hasattr(kind, "__fields__") and getattr(kind, "dict", None))
    return dump if callable(dump) else None


def dumped(value: Any) -> Any:
    """What a model of pydantic, and so a message of LangChain, consists of."""
    dump = dumps(value)
    if dump is None:
        return None
    # As it is, not as the class that a field is declared with: a message in a list of `BaseMessage` has tool calls.
    shown = attempt(partial(dump, value, serialize_as_any=True))
    return dump(value) if shown is None else shown


def fields_of(value: Any, *, private: bool) -> list[str] | None:
    """The names of an object's fields; `None` if its class declares none."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
        return names if private else [name for name in names if not name.startswith("_")]
    # Of a pydantic model that could not dump itself, or is too large for that.
    fields = getattr(kind, "model_fields", None)
    if isinstance(fields, dict):
        declared = [name for name, field in fields.items() if not getattr(field, "exclude", False)]
        return [*declared, *(attempt(lambda: list(value.__pydantic_extra__)) or ())]
    return None


def is_light(model: Any) -> bool:
    """Whether a model has few items, all in dictionaries, lists and models, as most have: it need not be weighed."""
    try:
        return _has_few(model)
    except Exception:  # noqa: BLE001 -- as in `attempt`
        return False


def _has_few(model: Any) -> bool:
    found, pending = 0, [model]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is dict and all(type(key) is str for key in value):
            parts = value.values()
        elif kind is list or kind is tuple:
            parts = value
        elif hasattr(kind, "__pydantic_serializer__"):
            parts = value.__dict__.values()
            if value.__pydantic_extra__:
                pending.append(value.__pydantic_extra__)
        else:
            return False
        found += len(parts)
        if found > LIGHT:
            return False
        for part in parts:
            if type(part) not in LEAVES:
                pending.append(part)  # noqa: PERF401 -- most are leaves
    return True


@final
class Scales:
    """Counts the items that a model's dump would have, shared parts as often as they are referred to.

    Each part is looked at once. So a model takes little time to weigh whose dump would take for ever.

    Args:
        most: Weights beyond it are not told apart; so many items are looked at.
    """

    __slots__ = ("_left", "_most", "_weights")

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        # With what has been weighed: otherwise another object might have its id.
        self._weights: dict[int, tuple[int, object]] = {}

    def weigh(self, value: object, depth: int = 0) -> int:
        """The items of `value`, itself included."""
        if type(value) in LEAVES:
            return 1
        known = self._weights.get(id(value))
        if known is not None:
            return known[0]
        parts = attempt(partial(_parts, value))
        if not parts:
            return 1
        self._left -= len(parts)
        if self._left < 0 or depth > DEEP:
            return self._most + 1
        self._weights[id(value)] = 1, value  # inside itself
        weight = 1
        for part in parts:
            weight += 1 if type(part) in LEAVES else self.weigh(part, depth + 1)
            if weight > self._most:
                break
        self._weights[id(value)] = weight, value
        return weight


def _parts(value: Any) -> Any:
    """What a dump goes into."""
    if isinstance(value, dict):
        return [*dict.values(value), *(key for key in dict.keys(value) if type(key) is not str)]
    if isinstance(value, BUILT_IN) and not isinstance(value, range):
        return value
    kind = type(value)
    if isinstance(value, type):
        return None
    if isinstance(value, BaseException):
        inside = value.exceptions if isinstance(value, BaseExceptionGroup) else value.args
        return [*inside, value.__cause__, value.__context__]
    if hasattr(kind, "__pydantic_serializer__") or hasattr(kind, "__fields__"):
        return [*vars(value).values(), getattr(value, "__pydantic_extra__", None)]
    if dataclasses.is_dataclass(kind):
        return [getattr(value, field.name, None) for field in dataclasses.fields(kind)]
    return None
