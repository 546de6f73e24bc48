"""Error texts as strangers may see them: without tracebacks and without paths of the server's file system."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LONGEST", "redacted"]

LONGEST: Final = 1000
"""Characters of an error's text that go out."""

TRACEBACK = "Traceback (most recent call last)"

# A path begins where a word does, not inside one, in a URL (`https://host/x`) or in a fraction.
PATH = re.compile(r"(?<![\w:/.\\-])(?:~?(?:/[^\s/'\"<>:,;()\[\]{}]+)+/?|(?:[A-Za-z]:\\|\\\\)[^\s'\"<>:,;()\[\]{}]*)")

FILE_URL = re.compile(r"file:/+[^\s'\"<>]*")


def redacted(text: str) -> str:
    """`text` up to a traceback that it may contain, with `<path>` for every path, and not too long."""
    text = text.partition(TRACEBACK)[0].rstrip()
    text = PATH.sub("<path>", FILE_URL.sub("<path>", text))
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
