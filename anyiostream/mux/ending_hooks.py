"""Calling the `finalize` or the `fail` hooks of a mux's transformers, in order, each once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from anyiostream.ending import Ending
from anyiostream.inline import run_inline
from anyiostream.mux.port import RunPort
from anyiostream.mux.registrations import Registration
from anyiostream.mux.routes import blame
from anyiostream.transformer import StreamTransformer

__all__ = ["call_ending_hooks"]

EndSubgraphs = Callable[[Ending], Coroutine[Any, Any, None]]


async def call_ending_hooks(
    registrations: Iterable[Registration], port: RunPort, ending: Ending, end_subgraphs: EndSubgraphs | None
) -> list[BaseException]:
    """Call the hooks that have not been called yet: `finalize`, or `fail` if there is an error.

    If cancelled, it may be called again, and goes on where it was.

    Args:
        registrations: The transformers, in dispatch order.
        port: The run.
        ending: Why the mux ends.
        end_subgraphs: Ends what is open below, at the place of the transformer that shows it; the root's mux only.

    Returns:
        The errors of hooks, in order.
    """
    errors: list[BaseException] = []
    hook = "finalize" if ending.error is None else "fail"
    for registration in registrations:
        if registration.transformer is None or registration.ended:
            continue
        error = await _call_ending_hook(registration, registration.transformer, hook, port, ending, end_subgraphs)
        if error is not None:
            errors.append(error)
    return errors


async def _call_ending_hook(
    registration: Registration,
    transformer: StreamTransformer,
    hook: str,
    port: RunPort,
    ending: Ending,
    end_subgraphs: EndSubgraphs | None,
) -> BaseException | None:
    own = registration.hooks.ending(hook, is_async=port.is_async)
    hook = own or hook
    waiting = None
    try:
        if registration.observer is not None and end_subgraphs is not None:
            await end_subgraphs(ending)
        # Called once, even if it is cancelled.
        registration.ended = True
        if own is None:
            return None
        call = getattr(transformer, hook)
        waiting = call() if ending.error is None else call(ending.error)
        if waiting is not None:
            await _wait(f"{type(transformer).__name__}.{hook}()", waiting, port, ending)
    except BaseException as exc:
        if waiting is not None and port.is_cancellation(exc):
            raise
        blamed = blame(exc, transformer, hook)
        if blamed is not exc:
            blamed.__cause__ = exc
        return blamed
    return None


async def _wait(name: str, waiting: Coroutine[Any, Any, object], port: RunPort, ending: Ending) -> None:
    if not port.is_async:
        run_inline(waiting, name)
    elif ending.error is None:
        await waiting
    else:
        await port.with_grace(name, waiting)
