"""How a graph is asked to stop at the end of its step, and how one that cannot says so.

LangGraph's graphs have a control for that; see `langgraph_drains.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from anyiostream.errors import CannotDrain

__all__ = ["Drain", "RequestDrain", "ask"]

RequestDrain = Callable[[str], None]
"""Asks a graph to stop at the end of its step, for the given reason. Callable from any thread."""


@final
class Drain:
    """Whether a function graph has been asked to stop.

    Attributes:
        reason: Why, as the first request says; `None` before.
    """

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason: str | None = None

    def request(self, reason: str) -> None:
        """Ask it to."""
        if self.reason is None:
            self.reason = reason


def ask(request: RequestDrain | None, name: str, reason: str) -> None:
    """Make a request to the graph called `name`.

    Raises:
        CannotDrain: It takes none: it has no steps.
    """
    if request is None:
        raise CannotDrain(
            name,
            "only LangGraph graphs and functions with a writer can. Stop it at once with `run.abort()`, or leave the "
            "run's block.",
        )
    request(reason)
