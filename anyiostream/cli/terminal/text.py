"""Text of unknown origin, made fit for a terminal.

What a model says may hold escape sequences that retitle the window, fill the clipboard or rewrite what was shown
before. So each character that a terminal would act upon, rather than show, is replaced by one that is shown.
"""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len, chop_cells

__all__ = ["one_line", "printable", "shortened", "tail", "wrapped"]

ACTED_UPON: Final = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f"  # C0 controls, of which newline and tab stay
    "\x80-\x9f"  # C1 controls: \x9b begins a sequence as ESC [ does
    "\u2028\u2029"  # line and paragraph separators
    "\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c"  # directions: text that displays in another order
    "\ud800-\udfff"  # lone surrogates, which no encoding accepts
    "\ufff9-\ufffb\ufeff"
    "\U000e0000-\U000e007f"  # tags: invisible, and yet read by models
    "]"
)

PICTURES: Final = 0x2400
"""Where the pictures of the C0 controls begin: U+241B shows ESC."""

DELETE: Final = 0x7F

WORD: Final = re.compile(r"\s*\S+\s*?(?=\s\S|$)|\s+$")
"""A word with the spaces before it."""


def printable(text: str) -> str:
    """`text` with visible characters in place of those that a terminal would act upon. Newlines and tabs stay."""
    return ACTED_UPON.sub(_picture, text.replace("\r\n", "\n"))


def one_line(text: str, most: int) -> str:
    """`text` as a single printable line of at most `most` characters."""
    # Cut before it is searched: it may be megabytes.
    return " ".join(printable(shortened(text, most)).split())


def shortened(text: str, most: int) -> str:
    """The beginning of `text`, with an ellipsis if that is not all of it."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def tail(text: str, width: int, lines: int) -> list[str]:
    """The last `lines` lines of `text` in a column of `width` cells, printable; fewer if it has fewer."""
    if lines < 1 or width < 2:  # noqa: PLR2004 -- a wide character takes two
        return []
    recent = printable(text[-width * lines - 1 :]).expandtabs(4)
    rows: list[str] = []
    for line in recent.split("\n"):
        rows += wrapped(line, width)
    while rows and not rows[-1].strip():
        rows.pop()
    return rows[-lines:]


def wrapped(line: str, width: int) -> list[str]:
    """`line`, which is printable, in rows of at most `width` cells, broken between words where it can be."""
    if cell_len(line) <= width:
        return [line]
    rows: list[str] = []
    row = ""
    for word in WORD.findall(line):
        if cell_len(row + word.rstrip()) <= width:
            row += word
            continue
        if row.strip():
            rows.append(row.rstrip())
        *whole, row = chop_cells(word.lstrip(), width) if cell_len(word.strip()) > width else [word.lstrip()]
        rows += whole
    return [*rows, row.rstrip()] if row.strip() or not rows else rows


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < ord(" "):
        return chr(PICTURES + code)
    return "\u2421" if code == DELETE else "\ufffd"
