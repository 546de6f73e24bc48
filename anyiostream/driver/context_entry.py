"""Entering the context of a run, in which its parts are pulled and dispatched.

Only one caller at a time can enter a context, whatever thread it is in. Python enforces that itself, without waiting
and without a lock that an interrupt could leave held. So everything that must not run concurrently runs inside the
context. If entry is refused, all that remains is to find out who is inside.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol, TypeVar

from anyiostream.errors import RunBusy, RunWaitsForItself

__all__ = ["Enterable", "enter", "entry_refused", "occupied"]

T = TypeVar("T")


class Enterable(Protocol):
    """A run."""

    @property
    def context(self) -> Context:
        """Where hooks run."""
        ...

    def is_inside(self) -> bool:
        """Whether the caller is a hook, or the graph, of this run."""
        ...


def enter(run: Enterable, what: str, call: Callable[..., T], *args: Any) -> T:
    """The result of `call`, made in the run's context; `what` names it in messages.

    Raises:
        RunWaitsForItself: The caller is inside the run already.
        RunBusy: Another thread is.
        BaseException: Whatever the call raises.
    """
    try:
        return run.context.run(call, *args)
    except RuntimeError as exc:
        if not entry_refused(exc):
            raise
    raise occupied(run, what)


def entry_refused(error: RuntimeError) -> bool:
    """Whether `Context.run` raised the error itself, because the context is entered already.

    Ask where it was caught, in the function that has called `Context.run`. An error raised further down has a traceback
    with more than one frame; only a full stack is detected before a frame is entered.
    """
    traceback = error.__traceback__
    return traceback is not None and traceback.tb_next is None and not isinstance(error, RecursionError)


def occupied(run: Enterable, what: str) -> RunWaitsForItself | RunBusy:
    """The exception for a caller whose entry was refused."""
    return RunWaitsForItself("code inside the run", what) if run.is_inside() else RunBusy(what)
