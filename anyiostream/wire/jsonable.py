"""JSON of anything that goes out, always strict.

Outgoing data is the graph's own: messages, models, dataclasses, anything. It becomes the nearest JSON; an object
without a JSON form becomes its class's name, because a `repr` shows addresses and secrets.
"""

from __future__ import annotations

import json
from typing import Any, Final

from anyiostream.tooling import CUT, Encoder, name_of
from anyiostream.wire.redaction import redacted

__all__ = ["encode", "kept", "plain", "shown"]

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
    text = _written(value)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # not every reader of JSON takes lone surrogates
        return _on_one_line(WIRE.whole(text)).encode("utf-8")


def kept(value: Any) -> bytes:
    """The same for what is kept to be used again: `json.loads` makes of it just what was there. Never raises."""
    return _written(value).encode("utf-8", "backslashreplace")  # as JSON writes lone surrogates, too


def shown(value: bytes) -> bytes:
    """What was `kept`, as `encode` has it."""
    return encode(json.loads(value)) if b"\\ud" in value else value


def _written(value: Any) -> str:
    try:
        text = WIRE.written(value)
    except (TypeError, ValueError, RecursionError):
        text = WIRE.written(WIRE.plain(value))
    return _on_one_line(text)


def _on_one_line(text: str) -> str:
    if not text.isascii():
        for each in LINE_SEPARATORS:
            text = text.replace(each, f"\\u{ord(each):04x}")
    return text
