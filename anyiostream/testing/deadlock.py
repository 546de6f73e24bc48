"""`Deadlock`: how a seeded loop ends a program in which nothing can ever run again."""

from __future__ import annotations

from types import CodeType

from anyiostream.errors import AnyioStreamError

__all__ = ["Deadlock", "describe_frame"]


class Deadlock(AnyioStreamError, RuntimeError):
    """Nothing in the program can ever run again.

    Attributes:
        waiting: For each task, its name and where it waits.
    """

    def __init__(self, waiting: tuple[str, ...]) -> None:
        super().__init__(
            "nothing can ever run again: no task is ready, and no deadline is ahead. Waiting: "
            + ("; ".join(waiting) or "no task that is known")
            + ". If a thread was to wake them, give it time with `patience`."
        )
        self.waiting = waiting


def describe_frame(code: CodeType, line: int) -> str:
    """Where a task waits."""
    return f" in {code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{line})"
