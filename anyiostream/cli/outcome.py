"""`Outcome`: how a run ended, for whoever reports it, and what a report is made of."""

from __future__ import annotations

import traceback
from itertools import islice
from typing import Any, Protocol, final

import attrs

from anyiostream import ProtocolEvent, RunStatistics
from anyiostream.tooling import leaves

__all__ = ["EXIT_CODES", "STOPPED", "Outcome", "Output", "OutputClosed", "in_short"]

EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 3, "drained": 1, "aborted": 1}
"""How a run ended -> exit code."""

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


TOLD = 10
"""Errors of a group that are told."""


def in_short(error: BaseException) -> str:
    """An error with its type, and its notes; a group says little by itself, so the errors in it follow."""
    text = "".join(traceback.format_exception_only(error)).strip()
    if not isinstance(error, BaseExceptionGroup):
        return text
    return f"{text}: {'; '.join(map(in_short, islice(leaves(error), TOLD)))}"


class OutputClosed(Exception):
    """Nobody reads what the program writes any more."""


class Output(Protocol):
    """Shows a run."""

    @property
    def backlog(self) -> bool:
        """Whether the reader should `flush` before it reads on."""
        ...

    def event(self, event: ProtocolEvent) -> None:
        """The run has an event. Does not block.

        Raises:
            OutputClosed: Nobody reads what is written.
        """

    def statistics(self, statistics: RunStatistics) -> None:
        """The run has statistics. Does not block."""

    def flush(self) -> None:
        """Write what has not been written. May block.

        Raises:
            OutputClosed: Nobody reads what is written.
        """

    def result(self, outcome: Outcome) -> None:
        """The run has ended.

        Raises:
            OutputClosed: Nobody reads what is written.
        """


@final
@attrs.define
class Outcome:
    """How a run ended.

    Attributes:
        status: `"completed"`, `"failed"`, `"interrupted"`, `"drained"` or `"aborted"`.
        output: The final state, if it has one.
        interrupts: What the graph waits for its user with.
        error: The exception that it failed with.
        stopped: Whether the user stopped it.
        unread: Whether it was stopped because nobody reads what is written.
    """

    status: str = "aborted"
    output: Any = None
    interrupts: list[Any] = attrs.field(factory=list)
    error: BaseException | None = None
    stopped: bool = False
    unread: bool = False

    @property
    def exit_code(self) -> int:
        """What the process tells its caller."""
        return STOPPED if self.stopped else EXIT_CODES[self.status]

    @property
    def error_text(self) -> str | None:
        """The error with its type, its notes, and those in it."""
        return None if self.error is None else in_short(self.error)
