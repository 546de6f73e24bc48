"""Server-sent events: one frame of an event stream."""

from __future__ import annotations

from typing import Final

__all__ = ["frame", "id_frame"]

FIELD_ENDS: Final = str.maketrans("", "", "\r\n\0")
"""What would end a field of an event, or spoil its id."""


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
