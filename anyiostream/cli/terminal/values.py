"""Values, counts and times as a terminal shows them: on one line, printable. Pure."""

from __future__ import annotations

from typing import Any, Final

from rich.text import Text

from anyiostream.cli.terminal.text import one_line
from anyiostream.tooling import encode

__all__ = ["LONGEST_VALUE", "arguments_line", "count", "duration", "labelled", "value_line"]

LONGEST_VALUE: Final = 400
"""Characters of one value that are shown on its line."""


def duration(seconds: float) -> str:
    """A time span, for people."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 -- s in a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def value_line(value: Any, most: int) -> str:
    """A value on one line: text as it is, all else as JSON."""
    return one_line(value if isinstance(value, str) else encode(value, ascii_only=False), most)


def arguments_line(given: Any) -> str:
    """The arguments of a call."""
    if isinstance(given, dict):
        return one_line(", ".join(f"{key}={value_line(value, 100)}" for key, value in given.items()), LONGEST_VALUE)
    return "" if given is None else value_line(given, LONGEST_VALUE)


def labelled(label: str, text: str, *, style: str) -> Text:
    """Text after a word that says what it is."""
    return Text.assemble((f"{label} ", style), text)


def count(number: int, noun: str) -> str:
    """So many of them."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
