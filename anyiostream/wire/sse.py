"""Server-sent events: one frame of an event stream."""

from __future__ import annotations

from typing import Final

from anyiostream.errors import InvalidBound

__all__ = ["checked_heartbeat", "frame", "id_frame"]

FIELD_ENDS: Final = str.maketrans("", "", "\r\n\0")
"""What would end a field of an event, or spoil its id."""


def checked_heartbeat(seconds: float) -> float:
    """Seconds of silence before a heartbeat, which have to be a number above 0.

    Raises:
        InvalidBound: They are not.
    """
    # Not a number is not above 0 either.
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not seconds > 0:
        raise InvalidBound("heartbeat", seconds, "a positive number, in s, or math.inf")
    return seconds


def frame(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event. `data` is one line."""
    assert b"\n" not in data
    assert b"\r" not in data
    place = b"" if event_id is None else b"\nid: " + _field(event_id)
    return b"event: " + _field(event) + b"\ndata: " + data + place + b"\n\n"


def id_frame(event_id: str) -> bytes:
    """A place without an event: readers that lose the connection now send it when they come back."""
    return b"id: " + _field(event_id) + b"\n\n"


def _field(value: str) -> bytes:
    return value.translate(FIELD_ENDS).encode("utf-8", "replace")
