"""Run a coroutine that must not suspend: how the sync lane runs code that is written once for both lanes."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from anyiostream.errors import ForeignAwait

__all__ = ["run_inline"]

T = TypeVar("T")


def run_inline(coro: Coroutine[Any, Any, T], what: str) -> T:
    """The result of `coro`, run here and now.

    Raises:
        ForeignAwait: It suspended; it has been closed, and `what` names it.
        BaseException: Whatever it raised.
    """
    try:
        awaited = coro.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coro.close()
    raise ForeignAwait(what, awaited)
