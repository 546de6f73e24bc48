"""A process that has imported everything, and whose children are servers: they are up in a tenth of a second of CPU.

It reads lines: for each it starts a server, with the line's arguments, and says its process id. Words `NAME=VALUE` at
the beginning of a line are for the server's environment.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from contextlib import suppress

import anyio.lowlevel
import anyio.streams.tls
import hypercorn.asyncio
import hypercorn.trio
import langgraph.graph
import langgraph.types

import anyiostream.remote.app

from ..store import saver

__all__ = ["main"]

IMPORTED = (
    anyio.streams.tls, hypercorn.asyncio, hypercorn.trio, langgraph.graph, langgraph.types, anyiostream.remote.app,
    saver,
)  # fmt: skip

MOST = 16
"""Children that may be alive at a time."""


def main() -> None:
    """Have children until the input ends."""
    from anyiostream.cli.main import main as command_line

    for backend in ("asyncio", "trio"):  # whose adapters are imported where they run first
        anyio.run(anyio.lowlevel.checkpoint, backend=backend)
    with suppress(ImportError):
        importlib.import_module("anyiostream.page")  # if it is there, `serve` imports it
    gc.freeze()  # what there is by now is shared with the children
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaped by the system
    children: list[int] = []
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            words = line.split()
            while "=" in words[0]:
                name, _, value = words.pop(0).partition("=")
                os.environ[name] = value
            os._exit(command_line(["serve", *words]))
        children.append(child)
        print(child, flush=True)
    for child in children[-MOST:]:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
