"""JSON, strictly: what clients send is refused if it is not, what they get always is.

Outgoing data is the graph's own: messages, models, dataclasses, anything. It becomes what its reader can have of it;
an object without a plain form becomes its class's name, because a `repr` shows addresses and secrets.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any, Final, NoReturn

import attrs

from anyiostream.remote.redaction import redacted
from anyiostream.remote.refusals import Refusal

__all__ = ["decode", "encode", "plain"]

DEEPEST: Final = 100
"""Levels of nesting that go out; what is deeper is cut off, with an ellipsis in its place."""

TEXTUAL = (uuid.UUID, decimal.Decimal, pathlib.PurePath)

NO_FORM: Final = object()

# `str.splitlines` breaks at these, and so do some readers of event streams.
LINE_SEPARATORS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def encode(value: Any) -> bytes:
    """`value`, which is plain, as JSON on one line."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if text.isascii():
        return text.encode("ascii")
    # A lone surrogate has no UTF-8; it becomes a question mark.
    return text.translate(LINE_SEPARATORS).encode("utf-8", "replace")


def decode(raw: bytes | str, *, most: int, depth: int) -> Any:
    """The value that a client sent as JSON.

    Args:
        raw: What it sent.
        most: Bytes that it may have.
        depth: Levels that it may be nested.

    Raises:
        Refusal: It is too large, not UTF-8, not JSON (`NaN` is not), too deep, or names a key twice. HTTP status 413
            or 400.
    """
    if len(raw) > most:
        raise Refusal("invalid_argument", f"the request has more than {most} bytes.", status=413)
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        value = json.loads(
            text, object_pairs_hook=_without_repetition, parse_constant=_refuse_constant, parse_float=_finite
        )
        text.encode("utf-8")
    except RecursionError:
        raise _too_deep(depth) from None
    except UnicodeError:
        raise Refusal("invalid_argument", "the request is not UTF-8.", status=400) from None
    except ValueError:
        raise Refusal("invalid_argument", "the request is not JSON.", status=400) from None
    _check_depth(value, depth)
    return value


def plain(value: Any) -> Any:
    """`value` as JSON can show it: mappings, lists, strings, finite numbers, booleans and `None`."""
    return _plain(value, DEEPEST, ())


def _plain(value: Any, left: int, inside: tuple[int, ...]) -> Any:  # noqa: C901, PLR0911 -- one line per kind
    if value is None or isinstance(value, (bool, str, int, float)):
        return _scalar(value)
    if left == 0 or id(value) in inside:
        return "..."
    left, inside = left - 1, (*inside, id(value))
    if isinstance(value, Mapping):
        return {_key(key): _plain(each, left, inside) for key, each in value.items()}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [_plain(each, left, inside) for each in value]
    if isinstance(value, enum.Enum):
        return _plain(value.value, left, inside)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, TEXTUAL):
        return str(value)
    if isinstance(value, BaseException):
        return redacted(f"{type(value).__name__}: {value}")
    if isinstance(value, type):
        return value.__name__
    try:
        shown = _object(value)
    except Exception:  # noqa: BLE001 -- the graph's own objects: one that cannot be shown must not end the run
        shown = NO_FORM
    return f"<{type(value).__name__}>" if shown is NO_FORM else _plain(shown, left, inside)


def _object(value: Any) -> Any:
    """What an object consists of: the fields of a model or a class, or the items of a collection."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump()
    names = _fields(value)
    if names is not None:
        return {name: getattr(value, name, None) for name in names}
    if isinstance(value, Iterable) and hasattr(value, "__len__"):
        return list(value)
    return NO_FORM


def _scalar(value: Any) -> Any:
    """A scalar of JSON's own type: a subclass may have a form of its own, an enumeration's member has its value."""
    if value is None or type(value) in {bool, str, int}:
        return value
    if isinstance(value, enum.Enum):
        return _scalar(value.value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str.__str__(value) if isinstance(value, str) else int(value)


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    return key if isinstance(key, str) else str(key)


def _fields(value: Any) -> list[str] | None:
    if is_dataclass(value):
        return [each.name for each in fields(value)]
    if attrs.has(type(value)):
        return [each.name for each in attrs.fields(type(value)) if not each.name.startswith("_")]
    return None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refusal("invalid_argument", "the request names a key twice.", status=400)
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise Refusal("invalid_argument", "the request has a number that is none: NaN or Infinity.", status=400)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_constant(text)
    return number


def _check_depth(value: Any, depth: int) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        children = (child for each in level for child in (each.values() if isinstance(each, dict) else each))
        level = [child for child in children if isinstance(child, (dict, list))]
    if level:
        raise _too_deep(depth)


def _too_deep(depth: int) -> Refusal:
    return Refusal("invalid_argument", f"the request is nested more than {depth} levels deep.", status=400)
