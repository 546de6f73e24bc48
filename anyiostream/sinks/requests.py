"""Checks of what front ends send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from anyiostream.sinks.sink import MalformedRequest

__all__ = ["digest_of", "listed", "mapping_of", "text_of"]


def digest_of(body: Any) -> str | None:
    """By which a request is known if it is sent again: the same for the same body; `None` if it is no JSON."""
    try:
        written = json.dumps(body, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None
    return sha256(written.encode()).hexdigest()


def mapping_of(protocol: str, name: str, given: Any) -> Mapping[str, Any]:
    """`given`, which has to be an object.

    Raises:
        MalformedRequest: It is not.
    """
    if not isinstance(given, Mapping):
        raise MalformedRequest(protocol, f"{name} must be an object.")
    return given


def listed(protocol: str, name: str, given: Any) -> list[Mapping[str, Any]]:
    """`given`, which has to be a list of objects.

    Raises:
        MalformedRequest: It is not.
    """
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise MalformedRequest(protocol, f"{name} must be a list of objects.")
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
