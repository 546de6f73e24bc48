"""What the counterparts share.

Each test takes one scenario through both libraries. Ours has to keep the rule that its docstring states; for theirs it
asserts, by `still`, that the defect shows, so that the comparison stays true of the LangGraph that is installed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import anyio
import anyio.lowlevel
import sniffio

from anyiostream import parts

from ..conformance.adapter import ASYNC, Lab, Script

__all__ = [
    "Lazy",
    "Victim",
    "in_turn",
    "outcome_of",
    "plain",
    "prefix",
    "siblings",
    "snapshots",
    "still",
    "turns",
    "without_trio",
    "work",
]

without_trio: Final = tuple(lab for lab in ASYNC if lab.lane != "trio")
"""The async lane, where tasks are asyncio's."""


def still(shown: object, what: str) -> None:
    """Assert that the original shows its defect."""
    assert shown, f"langgraph.stream no longer shows this defect, so the comparison has to change: {what}"


def snapshots(count: int, start: int = 0) -> list[Any]:
    """So many states."""
    return [parts.values({"v": n}) for n in range(start, start + count)]


def prefix(count: int) -> list[dict[str, int]]:
    """What a reader of `values` gets of `snapshots`."""
    return [{"v": n} for n in range(count)]


def plain(lab: Lab, **hooks: Any) -> Any:
    """A transformer class with these hooks and no projection."""

    def init(self: Any) -> dict[str, Any]:
        return {}

    def process(self: Any, event: Any) -> bool:
        return True

    return type("Plain", (lab.api.StreamTransformer,), {"init": init, "process": process, **hooks})


class Lazy(Script):
    """A graph whose parts are made when they are pulled, so that it keeps none of them."""

    def __init__(self, make: Callable[[], Iterable[Any]], **options: Any) -> None:
        super().__init__((), **options)
        self._parts = make()  # type: ignore[assignment]  # an iterator does for what reads it


async def turns(count: int) -> None:
    """Let the others run, `count` times."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def outcome_of(awaitable: Awaitable[Any]) -> Any:
    """What it returns, or the exception."""
    try:
        return await awaitable
    except Exception as exc:
        return exc


class Victim:
    """A task that the test cancels: natively on asyncio, by its scope on trio.

    Attributes:
        outcome: `"cancelled"`, `("returned", value)`, an exception, or `None` while it runs.
    """

    def __init__(self, tasks: anyio.abc.TaskGroup, call: Callable[[], Awaitable[Any]]) -> None:
        self.outcome: Any = None
        self._call = call
        self._task: asyncio.Task[Any] | None = None
        self._scope = anyio.CancelScope()
        if sniffio.current_async_library() == "asyncio":
            self._task = asyncio.create_task(self._run())
        else:
            tasks.start_soon(self._run_in_scope)

    def cancel(self) -> None:
        """Cancel it once."""
        if self._task is None:
            self._scope.cancel()
        else:
            self._task.cancel()

    async def ended(self) -> Any:
        """Wait for its outcome."""
        while self.outcome is None:
            await anyio.lowlevel.checkpoint()
        return self.outcome

    async def _run(self) -> None:
        try:
            value = await self._call()
            # Where cancellation is a state, it may come at the next checkpoint; where it is an event, never again.
            await anyio.lowlevel.checkpoint()
            self.outcome = ("returned", value)
        except Exception as exc:
            self.outcome = exc
        except BaseException:
            self.outcome = "cancelled"
            raise

    async def _run_in_scope(self) -> None:
        with self._scope:
            await self._run()


def work(call: Callable[[], Any]) -> int:
    """Lines of Python that `call` executes: a measure of work that no busy machine changes."""
    lines = 0

    def count(frame: Any, event: str, arg: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


def siblings(count: int) -> Iterator[Any]:
    """`count` subgraphs that are open at once and then end."""
    for n in range(count):
        yield parts.task_start(f"t{n}", "child")
        yield parts.task_start(f"i{n}", "inner", ns=(f"child:t{n}",))
    for n in range(count):
        yield parts.task_result(f"t{n}", "child")


def in_turn(count: int) -> Iterator[Any]:
    """`count` subgraphs, one after the other."""
    for n in range(count):
        yield parts.task_start(f"t{n}", "child")
        yield parts.task_start(f"i{n}", "inner", ns=(f"child:t{n}",))
        yield parts.values({"v": n}, ns=(f"child:t{n}",))
        yield parts.task_result(f"t{n}", "child")
