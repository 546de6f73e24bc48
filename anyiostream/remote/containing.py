"""A run's end is its own: whatever a graph raises ends its run, and nothing else of the server. So is a request's.

Any `BaseException` may come out of a node, a transformer, a hook: from `sys.exit()` in a library, from a framework that
ends its tests by one, from another event loop's cancellation. Two things that look like it are the server's own:

- Its cancellation. The scope, or the task, shows which it is: a graph can raise the exception, but it does not cancel
  what is around its run.
- Ctrl-C. The interpreter raises it wherever its main thread happens to be, which may be a node. Its origin tells it
  from an interrupt that a graph raises (`anyiostream/keyboard.py`).

On asyncio that is not enough. A task that ends with `SystemExit` or `KeyboardInterrupt` ends the loop, whoever awaits
it, and so does a callback; a graph's tasks and callbacks are made by libraries. So in those that are made inside a run
or a request these become `TaskExit`, which asyncio treats like any error. trio has no such rule.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import partial
from typing import Any, Final, final

import anyio
import sniffio

from anyiostream.remote.assistants import run_context
from anyiostream.tooling import is_interrupt, leaves, loggable, name_of, text_of
from anyiostream.wire.redaction import one_line

__all__ = ["TaskExit", "contained_tasks", "done_apart", "in_request", "pass_on_own"]

logger = logging.getLogger(__name__)

FINALISER: Final = "async_generator_athrow"
"""The type of what asyncio makes a task of when an asynchronous generator is left to the garbage collector: a graph's
is collected wherever that happens to be at work."""

SCHEDULES: Final = {"call_soon": 0, "call_soon_threadsafe": 0, "call_at": 1, "call_later": 1}
"""Methods of event loops that schedule a callback -> its place among their arguments."""

in_request: ContextVar[bool] = ContextVar("in_request", default=False)
"""Set in what answers a request, and in tasks that it makes."""


@final
class TaskExit(BaseException):
    """A task of a run's or of a request's has ended with `SystemExit` or `KeyboardInterrupt`, which is its cause."""

    def __init__(self, error: BaseException) -> None:
        text = text_of(error)
        super().__init__(f"{name_of(error)}: {text}" if text else name_of(error))


async def pass_on_own(error: BaseException, what: str) -> None:
    """Raise what is the server's own; return if `error` is a graph's. Called where it has been caught.

    Args:
        error: What was raised.
        what: What was being cancelled, for the log, if a graph has raised something meanwhile.
    """
    if is_interrupt(error):
        raise error
    stopped = anyio.current_effective_deadline() == -math.inf
    if not stopped and not _is_cancelled_natively():
        return
    cancelled = anyio.get_cancelled_exc_class()
    if all(isinstance(each, cancelled) for each in leaves(error)):
        raise error
    logger.warning("%s was cancelled, and raised something else", what, exc_info=loggable(error))
    if stopped:
        await anyio.sleep_forever()  # which raises the cancellation
    raise asyncio.CancelledError


async def done_apart(what: str, work: Callable[..., Awaitable[None]], *given: Any) -> None:
    """Do something in the background, whose failure is nobody else's: a store may raise anything. It is logged.

    Args:
        what: What is being done, for the log.
        work: Does it.
        given: What it is given.
    """
    try:
        await work(*given)
    except BaseException as exc:
        await pass_on_own(exc, what)
        error, text = name_of(exc), one_line(text_of(exc))
        logger.exception(
            "%s has failed with %s: %s. Mend what has raised it, such as the store",
            what, error, text, exc_info=loggable(exc),
        )  # fmt: skip


def _is_cancelled_natively() -> bool:
    """Whether the task is being cancelled by asyncio, as the main task is for Ctrl-C, which no scope knows."""
    task = asyncio.current_task() if sniffio.current_async_library() == "asyncio" else None
    return task is not None and task.cancelling() > 0


@contextmanager
def contained_tasks() -> Generator[None]:
    """A block in which, on asyncio, no task or callback that is made inside a run or a request ends the loop."""
    if sniffio.current_async_library() != "asyncio":
        yield
        return
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        context: Context | None = options.get("context")
        if _is_foreign(context) or type(coroutine).__name__ == FINALISER:
            coroutine = Contained(coroutine)
        make: Callable[..., Any] = before or _make_task
        return make(loop, coroutine, **options)

    loop.set_task_factory(make_task)
    try:
        with _contained_callbacks(loop):
            yield
    finally:
        if loop.get_task_factory() is make_task:
            loop.set_task_factory(before)


@contextmanager
def _contained_callbacks(loop: asyncio.AbstractEventLoop) -> Generator[None]:
    before = {name: vars(loop).get(name) for name in SCHEDULES}
    ours = {name: _contained(getattr(loop, name), place) for name, place in SCHEDULES.items()}
    for name, schedule in ours.items():
        setattr(loop, name, schedule)
    try:
        yield
    finally:
        for name, schedule in ours.items():
            if vars(loop).get(name) is schedule:  # and not that of another server in this loop, which calls ours
                delattr(loop, name)
                if (inner := before[name]) is not None:
                    setattr(loop, name, inner)


def _contained(schedule: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A function that schedules a callback, which is at that place among its arguments."""

    def contained(*given: Any, context: Context | None = None, **named: Any) -> Any:
        callback: Any = named.get("callback") if len(given) <= place else given[place]
        # What takes a task's steps is contained already, and by far the most frequent.
        if not isinstance(getattr(callback, "__self__", None), asyncio.Future) and _is_foreign(context):
            apart = partial(_call, callback)
            if len(given) <= place:
                named["callback"] = apart
            else:
                given = (*given[:place], apart, *given[place + 1 :])
        return schedule(*given, context=context, **named)

    return contained


def _call(callback: Callable[..., Any], *given: Any) -> None:
    try:
        callback(*given)
    except (SystemExit, KeyboardInterrupt) as exc:
        if is_interrupt(exc):
            raise
        raise TaskExit(exc) from exc


def _is_foreign(context: Context | None) -> bool:
    """Whether a task of this context is made inside a run or a request."""
    if context is None:
        return run_context.get(None) is not None or in_request.get()
    return context.get(run_context) is not None or context.get(in_request, False)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **options)


@final
class Contained(Coroutine[Any, Any, Any]):
    """A coroutine that ends with `TaskExit` where it would end the loop.

    An object rather than a coroutine round the other one: that would not begin it, if it is cancelled before.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __getattr__(self, name: str) -> Any:
        """What asyncio and AnyIO ask of a coroutine: whether it is suspended, its frame, its name."""
        return getattr(self._coroutine, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        """Await the coroutine."""
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Take a step."""
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as exc:
            if is_interrupt(exc):
                raise
            raise TaskExit(exc) from exc

    def throw(self, *error: Any) -> Any:
        """Take a step with an exception."""
        try:
            return self._coroutine.throw(*error)
        except (SystemExit, KeyboardInterrupt) as exc:
            if is_interrupt(exc):
                raise
            raise TaskExit(exc) from exc

    def close(self) -> None:
        """End it."""
        self._coroutine.close()
