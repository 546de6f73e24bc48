"""What providers' formats have in common: a stream of server-sent events, and a whole reply as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import attrs

from .script import Cut, Gate, HttpError, Reply

__all__ = ["Format", "Frame", "Place", "frame"]

Frame: TypeAlias = bytes | Cut | Gate
"""Bytes of an event, or what happens between two of them."""


@attrs.frozen
class Place:
    """Which call of which model a reply is for; ids are made of it, so that they are the same in every run."""

    model: str
    number: int
    request: Mapping[str, Any]

    def id(self, prefix: str) -> str:
        """An id of this reply."""
        return f"{prefix}_{self.model}_{self.number}"


class Format(Protocol):
    """A provider's format."""

    def stream(self, reply: Reply, place: Place) -> Iterator[Frame]:
        """The reply as events."""
        ...

    def whole(self, reply: Reply, place: Place) -> dict[str, Any]:
        """The reply at once."""
        ...

    def error(self, error: HttpError) -> dict[str, Any]:
        """The body of a refusal."""
        ...


def frame(data: Mapping[str, Any] | str, event: str | None = None) -> bytes:
    """A server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()
