"""Error texts as strangers may see them: without tracebacks and without paths of the server's file system."""

from __future__ import annotations

import re
from typing import Final

from anyiostream.tooling import visible

__all__ = ["LONGEST", "one_line", "redacted"]

LONGEST: Final = 1000
"""Characters of an error's text that go out."""

TRACEBACK = "Traceback (most recent call last)"

# Between quotes a path may have spaces in it: it ends where they do.
QUOTED = re.compile(r"""(['"`])(?:file:|~|\.{0,2}[\\/]|[A-Za-z]:[\\/]|\$\w+[\\/]|%\w+%[\\/])(?:(?!\1).)*\1""")

# Those of databases have three slashes, too, before a path.
FILE_URL = re.compile(r"(?:file:/+|[a-z][a-z0-9+.-]*:///+)[^\s'\"<>]*", re.IGNORECASE)

# A path begins where a word does, not inside one, in a URL (`https://host/x`) or in a fraction; also after a colon that
# ends a word (`cannot open:/srv/x`). One that begins nowhere in particular (`src/app/x.py`) is told by the name of a
# file at its end. Programs that join paths write more than one slash.
SEGMENT = r"[^\s/\\'\"<>:,;()\[\]{}]++"
PATH = re.compile(
    rf"(?<![\w/.\\-])(?<!:/)(?!(?<=:)//)(?:~\w*|\.{{1,2}}|\$\w+|%\w+%)?/++{SEGMENT}(?:[/\\]++{SEGMENT})*+/*+"
    rf"|(?<![\w\\])(?:[A-Za-z]:[\\/](?:[^\\/:*?\"<>|\n]+[\\/])*|\\\\|(?:~\w*|\.{{1,2}}|\$\w+|%\w+%)\\)[^\s'\"<>:,;()\[\]{{}}]*"
    rf"|(?<![\w:/.\\-]){SEGMENT}(?:[/\\]++{SEGMENT}(?=[/\\]))*[/\\]++[\w.-]*\w\.[A-Za-z]\w{{0,7}}(?![\w/])"
)


def redacted(text: str) -> str:
    """`text` up to a traceback that it may contain, with `<path>` for every path, and not too long."""
    text = text.partition(TRACEBACK)[0][: 2 * LONGEST].rstrip()
    text = QUOTED.sub(r"\1<path>\1", text)
    text = PATH.sub("<path>", FILE_URL.sub("<path>", text))
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def one_line(text: object) -> str:
    """A text made safe for a log: whatever would begin a new line, or move a terminal's cursor, is escaped."""
    return visible(str(text))
