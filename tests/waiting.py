"""Waiting in tests: for what happens, never for a time; and the one figure of what counts as hanging.

A test that needs time to pass has a virtual clock (`anyiostream.testing.run_seeded`, trio's autojump clock).
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.lowlevel
import sniffio
import trio.testing

__all__ = ["PATIENCE", "blocked", "impatience", "turns", "until"]

PYPROJECT: Final = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))

PATIENCE: Final[float] = PYPROJECT["tool"]["pytest"]["ini_options"]["timeout"] * 0.8
"""s after which something hangs, on any machine; a little less than what pytest allows a test."""


async def blocked() -> None:
    """Wait until every other task of this event loop waits for something; on asyncio without AnyIO's nap."""
    if sniffio.current_async_library() == "trio":
        await trio.testing.wait_all_tasks_blocked()
        return
    current = asyncio.current_task()
    while any(runs(task) for task in asyncio.all_tasks() if task is not current):
        await asyncio.sleep(0)


def runs(task: asyncio.Task[object]) -> bool:
    """Whether a task takes a step in this turn of the loop, or in the next one."""
    waiter = task._fut_waiter  # type: ignore[attr-defined]  # noqa: SLF001 -- as AnyIO finds out
    return waiter is None or waiter.done()


@asynccontextmanager
async def impatience() -> AsyncIterator[anyio.CancelScope]:
    """A block with a deadline, which passes as soon as no task of the loop can go on by itself, and no sooner."""
    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(PATIENCE) as scope:

            async def expire() -> None:
                await blocked()
                scope.deadline = anyio.current_time()

            tasks.start_soon(expire)
            yield scope
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what happens in another thread, or on its event loop."""
    while not condition():
        await anyio.sleep(0.001)


async def turns(count: int = 10) -> None:
    """Let the others run, `count` times: what runs on although it should not shows."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()
