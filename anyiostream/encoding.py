"""JSON of anything: events hold what graphs produce, and that need not be JSON.

What JSON has no word for becomes the nearest thing that it has: models and dataclasses become objects, sets and tuples
arrays, exceptions their type and message, numbers that are none `null`, and everything else its `repr`. The text is
ASCII unless asked otherwise, so that no terminal and no encoding on the way can make anything else of it.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import attrs

__all__ = ["encode", "plain"]

DEEPEST: Final = 60
"""Levels of nesting below which values are shown by their `repr`; recursive structures end there as well."""

LONGEST: Final = 10_000
"""Bits of an integer beyond which it is shown in hexadecimal: Python refuses to write very long decimal ones."""


def encode(value: Any, *, ascii_only: bool = True) -> str:
    """`value` as one line of JSON. Never raises for what it is given."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=ascii_only, default=_one_level)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(plain(value), allow_nan=False, ensure_ascii=ascii_only)


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as JSON's types, copied."""
    if value is None or type(value) in {str, bool}:
        return value
    if isinstance(value, (int, float)) and not isinstance(value, Enum):
        return _number(value)
    if depth > DEEPEST:
        return represent(value)
    if isinstance(value, Mapping):
        return {_key(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    converted = _one_level(value)
    return converted if isinstance(converted, str) else plain(converted, depth + 1)


def represent(value: object) -> str:
    """The `repr`, also of what has none that works."""
    try:
        return repr(value)
    except Exception as exc:  # noqa: BLE001 -- whatever a foreign class raises, it is not this program's failure
        return f"<{type(value).__name__}, whose repr raised {type(exc).__name__}>"


def _number(value: float) -> float | str | None:
    if isinstance(value, int):
        return int(value) if value.bit_length() < LONGEST else hex(value)
    return float(value) if math.isfinite(value) else None


def _key(key: object) -> str:
    return key if type(key) is str else str(key) if isinstance(key, (str, int, float)) else represent(key)


def _one_level(value: Any) -> Any:
    """Something nearer to JSON than `value`, which is none of its types; its parts may still need the same."""
    for kinds, convert in CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    fields = _fields(value)
    return represent(value) if fields is None else fields


def _fields(value: Any) -> dict[str, Any] | None:
    if isinstance(value, type):
        return None
    try:
        if dataclasses.is_dataclass(value):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if attrs.has(type(value)):
            return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
        # Pydantic's, and so LangChain's messages.
        dump = getattr(value, "model_dump", None)
        dumped = dump() if callable(dump) else None
    except Exception:  # noqa: BLE001 -- as in `represent`
        return None
    return dumped if isinstance(dumped, dict) else None


def _error(error: BaseException) -> dict[str, str]:
    return {"type": type(error).__name__, "message": _text_of(error)}


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 -- as in `represent`
        return represent(error)


CONVERSIONS: Final[tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...]] = (
    ((Enum,), lambda member: member.value),
    ((str,), str.__str__),
    ((BaseException,), _error),
    ((bytes, bytearray, memoryview), lambda data: base64.b64encode(bytes(data)).decode("ascii")),
    ((date, time), lambda moment: moment.isoformat()),
    ((UUID, PurePath), str),
    ((Mapping,), dict),
    ((AbstractSet,), lambda items: sorted(items, key=represent)),
)
"""Types -> what is nearer to JSON; the first that fits counts."""
