"""The two event loops: parking a task, starting one, and looking at the clock, natively on each.

With `anyio.Event` instead of native parking, the lock-step pump costs more than twice as much per round trip.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from anyiostream.foreign import is_of

if TYPE_CHECKING:
    import asyncio

    from anyiostream.loops.interface import Loop

__all__ = ["current_asyncio_task", "current_loop", "in_loop", "on_trio", "wanted_loop"]


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
    """Whether trio runs the calling task. Does not import trio: if it runs, it has been imported."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


def in_loop() -> bool:
    """Whether an event loop runs the caller. Imports none: if one runs, it has been imported."""
    return on_trio() or _on_asyncio()


def current_asyncio_task() -> asyncio.Task[Any] | None:
    """The task of asyncio that the caller runs in, if it runs in one."""
    return sys.modules["asyncio"].current_task() if _on_asyncio() else None


def wanted_loop(error: BaseException) -> bool:
    """Whether an event loop, or an async library, was looked for and not found."""
    return (
        is_of(error, "anyio", "NoEventLoopError")
        or is_of(error, "sniffio", "AsyncLibraryNotFoundError")
        or (type(error) is RuntimeError and str(error) in NO_LOOP)
    )


NO_LOOP: Final = frozenset({"no running event loop", "must be called from async context"})
"""What asyncio says, and what trio says: both raise a built-in class. `tests/unit/test_loops.py` fails when they reword
it."""


def _on_asyncio() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001 -- public where it raises
