"""A process that has imported everything, and whose children are servers: they are up at once.

It reads lines: for each it starts a server, with the line's arguments, and says its process id.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

import hypercorn.asyncio
import hypercorn.trio
import langgraph.graph
import langgraph.types

import anyiostream.remote.app

__all__ = ["main"]

IMPORTED = (hypercorn.asyncio, hypercorn.trio, langgraph.graph, langgraph.types, anyiostream.remote.app)


MOST = 16
"""Children that may be alive at a time."""


def main() -> None:
    """Have children until the input ends."""
    from anyiostream.cli.main import main as command_line

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaped by the system
    children: list[int] = []
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os._exit(command_line(["serve", *line.split()]))
        children.append(child)
        print(child, flush=True)
    for child in children[-MOST:]:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
