"""`AsyncioGraph`: a graph that is an async function for asyncio only, as agents of most frameworks are.

Rules:

- On asyncio it runs on the run's own loop; on trio on an asyncio loop beside it, as LangGraph's graphs do (`hosts.py`).
- It owns what a framework starts for it: if it is left early, the tasks that the framework has started in it are
  cancelled and awaited, even those that the framework itself forgets. A task that is being cancelled already is not
  cancelled again, which would interrupt its clean-up.
- Tasks that a program starts in its own tools, for work that outlives the run, are the program's, and left alone.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import Context, ContextVar
from types import AsyncGeneratorType
from typing import Any, Final, TypeVar

import anyio

from anyiostream.sources.writer import GraphWriter

__all__ = ["AsyncioGraph", "close_anyhow", "entered", "owned_tasks"]

T = TypeVar("T")

_owner: Final[ContextVar[object]] = ContextVar("anyiostream_task_owner")


class AsyncioGraph:
    """A graph that runs on asyncio only, wherever its run is read. Subclasses implement `produce`.

    ```python
    import asyncio

    import trio

    from anyiostream import open_run
    from anyiostream.sources.asyncio_graph import AsyncioGraph


    class Sleeper(AsyncioGraph):
        async def produce(self, given, writer):
            await asyncio.sleep(0)
            await writer.custom("slept on asyncio")
            return given


    async def main() -> None:
        async with open_run(Sleeper(), "all well") as run:
            assert await run.output() == "all well"


    trio.run(main)
    ```

    Attributes:
        framework: The package whose tasks it owns, or `""`.
        drains: Whether `produce` looks for a request to stop: `writer.drain_if_requested()`.
    """

    framework: str = ""
    drains: bool = True

    async def __call__(self, given: Any, writer: GraphWriter) -> Any:
        """Produce, and leave no task of the framework behind."""
        async with owned_tasks(self.framework):
            return await self.produce(given, writer)

    async def produce(self, given: Any, writer: GraphWriter) -> Any:
        """The graph itself: what it returns, unless `None`, is the last snapshot."""
        raise NotImplementedError


@asynccontextmanager
async def owned_tasks(framework: str) -> AsyncGenerator[None]:
    """A block that ends the tasks a framework has started in it, if it is left by an exception.

    Waits for them, whatever happens.

    Args:
        framework: The name of its package.
    """
    owner = object()
    token = _owner.set(owner)
    try:
        yield
    except BaseException:
        with anyio.CancelScope(shield=True):
            await _end_tasks(owner, framework)
        raise
    finally:
        _owner.reset(token)


@asynccontextmanager
async def entered(block: AbstractAsyncContextManager[T], *holders: type) -> AsyncGenerator[T]:
    """A framework's block. A cancellation stays one, whatever the framework raises on the way out.

    If it is left by an exception, the async generators that the framework has left open in the block's value are
    closed: otherwise the loop would close them in a task, whenever they are collected.

    Args:
        block: The block.
        holders: The framework's classes whose objects hold such generators; the value is one of these, or a generator.
    """
    cancelled: asyncio.CancelledError | None = None
    held: list[AsyncGenerator[Any]] = []
    try:
        async with block as value:
            try:
                yield value
            except BaseException as exc:
                held = _generators_in(value, holders)
                if isinstance(exc, asyncio.CancelledError):
                    cancelled = exc
                raise
    except Exception:
        if cancelled is None:
            raise
        raise cancelled from None
    finally:
        for generator in held:
            await close_anyhow(generator)


async def close_anyhow(iterator: AsyncGenerator[Any]) -> None:
    """Close it after a failure or a cancellation; its own errors are dropped in favour of that."""
    with anyio.CancelScope(shield=True), suppress(Exception):
        await iterator.aclose()


async def _end_tasks(owner: object, framework: str) -> None:
    """End them, whatever happens."""
    left: set[asyncio.Task[Any]]
    while left := set(_tasks_of(owner, framework)):
        # One at a time, and none while another ends: cancelling a task that awaits a cancelled one cancels that one
        # again.
        if not any(task.cancelling() for task in left):
            next(iter(left)).cancel()
        with suppress(asyncio.CancelledError):  # the run is left already; another cancellation shortens nothing
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)


def _generators_in(value: object, holders: tuple[type, ...]) -> list[AsyncGenerator[Any]]:
    """The async generators that an object of a framework holds, directly or not, each before those that it iterates.

    A generator that iterates another one leaves it open when it is closed itself (PEP 533).
    """
    found: dict[int, object] = {}
    pending: list[object] = [value]
    while pending:
        each = pending.pop()
        if id(each) in found:
            continue
        if isinstance(each, AsyncGeneratorType):
            found[id(each)] = each
            pending += gc.get_referents(each)  # what it waits for, among others
        elif isinstance(each, holders):
            found[id(each)] = each
            pending += vars(each).values()
    return [each for each in found.values() if isinstance(each, AsyncGeneratorType)]


def _tasks_of(owner: object, framework: str) -> Iterator[asyncio.Task[Any]]:
    """The tasks of this loop that a framework has started, directly or not, in the block of `owner`."""
    home = tuple(getattr(sys.modules.get(framework), "__path__", ()))
    current = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not current and _file_of(task).startswith(home) and _context_of(task).get(_owner) is owner:
            yield task


def _file_of(task: asyncio.Task[Any]) -> str:
    """Where the code of its coroutine is: in the framework's package, or in the program's."""
    code = getattr(task.get_coro(), "cr_code", None)
    return "" if code is None else str(code.co_filename)


def _context_of(task: asyncio.Task[Any]) -> Context:
    if hasattr(task, "get_context"):
        return task.get_context()  # type: ignore[no-any-return]  # from Python 3.12
    # Before 3.12 only the garbage collector can find a task's context.
    return next((each for each in gc.get_referents(task) if isinstance(each, Context)), Context())
