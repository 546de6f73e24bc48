"""`Deadlock`: how a seeded loop ends a program in which nothing can ever run again."""

from __future__ import annotations

import asyncio
from types import CodeType
from typing import Any

from anyiostream import AnyioStreamError

__all__ = ["Deadlock", "describe_asyncio_task", "describe_frame"]


class Deadlock(AnyioStreamError, RuntimeError):
    """Nothing in the program can ever run again.

    ```python
    async def main():
        await anyio.Event().wait()

    try:
        run_seeded(main)
    except Deadlock as exc:
        print(exc.waiting)
    ```

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


def describe_asyncio_task(task: asyncio.Task[Any]) -> str:
    """A task's name, and the innermost line that it waits in."""
    awaited: Any = task.get_coro()
    place = ""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None:
            place = describe_frame(frame.f_code, frame.f_lineno)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return f"{task.get_name()}{place}"
