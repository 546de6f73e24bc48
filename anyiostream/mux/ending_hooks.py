"""Calling the ending hooks of transformers: either `finalize` or `fail` of each, once, even if interrupted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from anyiostream.inline import run_inline
from anyiostream.mux.hooks import blame
from anyiostream.mux.ports import TaskPort
from anyiostream.mux.registrations import Registration
from anyiostream.outcome import Outcome
from anyiostream.transformer import StreamTransformer

__all__ = ["call_ending_hooks"]

EndSubgraphs = Callable[[Outcome], Coroutine[Any, Any, None]]


async def call_ending_hooks(
    registrations: Iterable[Registration], tasks: TaskPort | None, outcome: Outcome, end_subgraphs: EndSubgraphs | None
) -> list[BaseException]:
    """Call the hooks that have not been called yet: `finalize`, or `fail` if there is an error.

    If cancelled, it may be called again, and continues where it stopped.

    Args:
        registrations: The transformers, in dispatch order.
        tasks: What awaits hooks; `None` on the sync lane.
        outcome: How the mux ends.
        end_subgraphs: Ends the open subgraphs, at the place of the transformer that shows them; the root's mux only.

    Returns:
        The errors of hooks, in order.
    """
    errors: list[BaseException] = []
    hook = "finalize" if outcome.error is None else "fail"
    for registration in registrations:
        if registration.transformer is None or registration.ended:
            continue
        if registration.observer is not None and end_subgraphs is not None:
            try:
                await end_subgraphs(outcome)
            except Exception as exc:  # noqa: BLE001 -- an error of another hook; this transformer's is called all the same
                errors.append(exc)
        error = await _call_ending_hook(registration, registration.transformer, hook, tasks, outcome)
        if error is not None:
            errors.append(error)
    return errors


async def _call_ending_hook(
    registration: Registration,
    transformer: StreamTransformer,
    hook: str,
    tasks: TaskPort | None,
    outcome: Outcome,
) -> BaseException | None:
    own = registration.hooks.ending(hook, is_async=tasks is not None)
    hook = own or hook
    waiting = None
    try:
        if own is None:
            registration.end(_nothing)
            return None
        # Called once, even if it is cancelled.
        waiting = registration.end(getattr(transformer, hook), *(() if outcome.error is None else (outcome.error,)))
        if waiting is not None:
            await _wait(f"{type(transformer).__name__}.{hook}()", waiting, tasks, outcome)
    except BaseException as exc:
        if inspect.iscoroutine(waiting) and inspect.getcoroutinestate(waiting) == inspect.CORO_CREATED:
            waiting.close()
            registration.end_again()
        if not registration.ended or (waiting is not None and tasks is not None and tasks.is_cancellation(exc)):
            # The next call continues here.
            raise
        blamed = blame(exc, transformer, hook)
        if blamed is not exc:
            blamed.__cause__ = exc
        return blamed
    return None


def _nothing() -> None:
    """A stand-in for a hook that is not overridden."""


async def _wait(name: str, waiting: Coroutine[Any, Any, object], tasks: TaskPort | None, outcome: Outcome) -> None:
    if tasks is None:
        run_inline(waiting, name)
    elif outcome.error is None:
        await waiting
    else:
        await tasks.with_grace(name, waiting)
