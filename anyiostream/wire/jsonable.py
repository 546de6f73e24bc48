"""JSON of anything that goes out, always strict.

Outgoing data is the graph's own: messages, models, dataclasses, anything. It becomes the nearest JSON; an object
without a JSON form becomes its class's name, because a `repr` shows addresses and secrets.
"""

from __future__ import annotations

from typing import Any, Final

from anyiostream.tooling import CUT, Encoder, name_of
from anyiostream.wire.redaction import redacted

__all__ = ["encode", "plain"]

LINE_SEPARATORS = ("\x85", "\u2028", "\u2029")
"""`str.splitlines` breaks at these, and so do some readers of event streams."""


def _opaque(value: object) -> str:
    return value.__name__ if isinstance(value, type) else f"<{name_of(value)}>"


WIRE: Final = Encoder(
    deepest=100,
    most=250_000,
    longest=16 * 2**20,
    ascii_only=False,
    separators=(",", ":"),
    private=False,
    opaque=_opaque,
    cut=lambda _: CUT,
    error=lambda error, text: redacted(f"{name_of(error)}: {text}"),
)
"""For strangers."""

plain: Final = WIRE.plain
"""A value as JSON can show it: mappings, lists, strings, finite numbers, booleans and `None`. Never raises."""


def encode(value: Any) -> bytes:
    """`value`, which should be plain, as JSON on one line, in UTF-8. Never raises."""
    try:
        text = WIRE.written(value)
    except (TypeError, ValueError, RecursionError):
        text = WIRE.encode(value)
    if not text.isascii():
        for each in LINE_SEPARATORS:
            text = text.replace(each, f"\\u{ord(each):04x}")
    return text.encode("utf-8", "replace")  # a lone surrogate has no UTF-8; it becomes a question mark
