"""JSON of anything that goes out, always strict.

Outgoing data is the graph's own: messages, models, dataclasses, anything. It becomes the nearest JSON; an object
without a JSON form becomes its class's name, because a `repr` shows addresses and secrets.
"""

from __future__ import annotations

from typing import Any, Final

from anyiostream.tooling import CUT, Encoder, name_of
from anyiostream.wire.redaction import redacted

__all__ = ["encode", "plain"]

# `str.splitlines` breaks at these, and so do some readers of event streams.
LINE_SEPARATORS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def _opaque(value: object) -> str:
    return value.__name__ if isinstance(value, type) else f"<{name_of(value)}>"


WIRE: Final = Encoder(
    deepest=100,
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
    return text.encode("ascii") if text.isascii() else text.translate(LINE_SEPARATORS).encode("utf-8")
