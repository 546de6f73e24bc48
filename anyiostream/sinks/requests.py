"""Checks of what front ends send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from anyiostream.sinks.sink import MalformedRequest

__all__ = ["digest_of", "items_of", "listed", "mapping_of", "text_of"]


def digest_of(body: Any) -> str | None:
    """By which a request is known if it is sent again: the same for the same body; `None` if it is no JSON."""
    try:
        written = json.dumps(body, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None
    return sha256(written.encode()).hexdigest()


def mapping_of(protocol: str, name: str, given: Any, *, needed: bool = True) -> Mapping[str, Any]:
    """`given`, which has to be an object; without `needed` it may be missing, and is empty then.

    Raises:
        MalformedRequest: It is not.
    """
    if given is None and not needed:
        return {}
    if not isinstance(given, Mapping):
        raise MalformedRequest(protocol, f"{name} must be an object.")
    return given


def listed(protocol: str, name: str, given: Any, *, needed: bool = True) -> list[Mapping[str, Any]]:
    """`given`, which has to be a list of objects; without `needed` it may be missing, and is empty then.

    Raises:
        MalformedRequest: It is not.
    """
    if given is None and not needed:
        return []
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise MalformedRequest(protocol, f"{name} must be a list of objects.")
    return given


def items_of(protocol: str, name: str, given: Any) -> list[Any]:
    """`given`, which has to be a list of anything, or missing.

    Raises:
        MalformedRequest: It is neither.
    """
    if given is None:
        return []
    if not isinstance(given, list):
        raise MalformedRequest(protocol, f"{name} must be a list.")
    return given


def text_of(protocol: str, name: str, given: Any, *, needed: bool = True) -> str | None:
    """`given`, which has to be a string, and not an empty one; without `needed` it may be missing.

    Raises:
        MalformedRequest: It is not.
    """
    if given is None and not needed:
        return None
    if not isinstance(given, str) or not given:
        raise MalformedRequest(protocol, f"{name} must be a string.")
    return given
