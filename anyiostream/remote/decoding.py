"""JSON, strictly: what clients send is refused if it is not."""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import Any, Final, NoReturn

from anyiostream.remote.refusals import Refusal

__all__ = ["decode"]

NODE: Final = re.compile(r'(?s)[^,\[{"]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^,\[{"]*+)*+[,\[{]|.+')
"""What stands before a value: a whole string, or anything else, JSON or not, in one go."""


def decode(raw: bytes | str, *, most: int, depth: int, nodes: int | None = None) -> Any:
    """The value that a client sent as JSON.

    Args:
        raw: What it sent.
        most: Bytes that it may have.
        depth: Levels that it may be nested.
        nodes: Values that it may have, which are counted before any is made; `None` for any number.

    Raises:
        Refusal: It is too large, not UTF-8, not JSON (`NaN` is not), too deep, has too many values, or names a key
            twice. HTTP status 413 or 400.
    """
    if len(raw) > most:
        raise Refusal("invalid_argument", f"the request has more than {most} bytes.", status=413)
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        if nodes is not None:
            _check_nodes(text, nodes)
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


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refusal("invalid_argument", "the request has a duplicate key.", status=400)
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise Refusal("invalid_argument", "the request has a number that is not finite: NaN or Infinity.", status=400)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_constant(text)
    return number


def _check_nodes(text: str, nodes: int) -> None:
    """Count what stands before values, and after the last one; an empty list or object counts for two."""
    if text.count(",") + text.count("[") + text.count("{") >= nodes and any(islice(NODE.finditer(text), nodes, None)):
        raise Refusal("invalid_argument", f"the request has more than {nodes} values.", status=413)


def _check_depth(value: Any, depth: int) -> None:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        children = (child for each in level for child in (each.values() if isinstance(each, dict) else each))
        level = [child for child in children if isinstance(child, (dict, list))]
    if level:
        raise _too_deep(depth)


def _too_deep(depth: int) -> Refusal:
    return Refusal("invalid_argument", f"the request is nested more than {depth} levels deep.", status=400)
