"""The two event loops: parking a task, starting one, and looking at the clock, natively on each.

With `anyio.Event` in place of native parking, the lock-step pump costs more than twice as much per round trip.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyiostream.loops.interface import Loop

__all__ = ["current_loop", "in_loop", "on_trio"]


def current_loop() -> Loop:
    """The event loop that runs the calling task.

    Imports trio's side only if trio runs it.

    Raises:
        RuntimeError: No loop is running.
    """
    return _trio_loop()() if on_trio() else _asyncio_loop()()


# Even an import that has been done before takes longer than everything else here.


@cache
def _trio_loop() -> Callable[[], Loop]:
    from anyiostream.loops.trio_loop import TrioLoop  # noqa: PLC0415 -- trio only where it runs

    return TrioLoop


@cache
def _asyncio_loop() -> Callable[[], Loop]:
    from anyiostream.loops.asyncio_loop import AsyncioLoop  # noqa: PLC0415 -- likewise

    return AsyncioLoop


def on_trio() -> bool:
    """Whether trio runs the calling task. Does not import trio: if it runs, that has been done."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


def in_loop() -> bool:
    """Whether an event loop runs the caller. Imports none: if one runs, that has been done."""
    asyncio = sys.modules.get("asyncio")
    return on_trio() or (asyncio is not None and asyncio._get_running_loop() is not None)  # noqa: SLF001 -- public where it raises
