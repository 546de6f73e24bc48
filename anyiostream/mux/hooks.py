"""Calling the hooks of transformers as stages of a route, and naming the one that raised; for the end see ending_hooks.

Rules:

- A hook that is a plain function is called, and its result is not awaited. A hook of kind ASYNC_HOOK is awaited.
- An exception of a hook is raised as it is, with a note that names transformer, hook and method. Only exceptions that
  Python or an event loop would misread are replaced.
"""

from __future__ import annotations

from collections.abc import Callable

from anyiostream.errors import HookStopped, InvalidHook
from anyiostream.events import ProtocolEvent
from anyiostream.foreign import is_cancellation
from anyiostream.mux.registrations import Registration
from anyiostream.mux.stages import HOOK, LOG, PAYLOAD, Stage, StageKind
from anyiostream.transformer import PayloadTransformer, StreamTransformer

__all__ = ["blame", "call_stages", "keep_of", "stage_of"]


def stage_of(registration: Registration, transformer: StreamTransformer, bit: int, *, is_async: bool) -> Stage:
    """The stage that calls a transformer with each event, or with each payload if it needs no more.

    Args:
        registration: Its registration.
        transformer: The transformer.
        bit: The bit of its scope.
        is_async: Whether the run is on the async lane.
    """
    waits = is_async and "aprocess" in registration.hooks.awaited
    if "on_register" in registration.hooks.overridden:
        return _emitting_stage(registration, transformer, bit, is_async=is_async, waits=waits)
    if waits:
        return Stage(StageKind.ASYNC_HOOK, transformer.aprocess, bit, transformer, "aprocess")
    if isinstance(transformer, PayloadTransformer) and type(transformer).process is PayloadTransformer.process:
        return Stage(PAYLOAD, transformer.consumer(), bit, transformer, "consume")
    return Stage(HOOK, transformer.process, bit, transformer)


def _emitting_stage(
    registration: Registration, transformer: StreamTransformer, bit: int, *, is_async: bool, waits: bool
) -> Stage:
    def process(event: ProtocolEvent) -> bool:
        registration.handling = True
        try:
            return transformer.process(event)
        finally:
            registration.handling = False

    async def aprocess(event: ProtocolEvent) -> bool:
        registration.handling = True
        try:
            return await transformer.aprocess(event) if waits else transformer.process(event)
        finally:
            registration.handling = False

    # An emitted event may reach hooks that are awaited, or end a subgraph: dispatching it may have to wait.
    if is_async:
        return Stage(StageKind.ASYNC_HOOK, aprocess, bit, transformer, "aprocess" if waits else "process")
    return Stage(HOOK, process, bit, transformer)


def call_stages(
    stages: tuple[Stage, ...], event: ProtocolEvent, suppressed: int, after_hook: Callable[[], None]
) -> int:
    """Call stages that do not wait, in order; the bits of the scopes whose logs leave the event out after them."""
    stage = None
    try:
        for stage in stages:
            kind = stage.kind
            if kind is HOOK:
                keep = stage.call(event)
                if keep is not True and not keep_of(stage, keep):
                    suppressed |= stage.bit
                after_hook()
            elif kind is LOG:
                if not suppressed & stage.bit:
                    stage.call(event)
            elif kind is PAYLOAD:
                stage.call(event["params"]["data"])
            else:
                stage.call(event)
    except BaseException as exc:
        if stage is None:
            raise  # an interrupt, before the first was called
        blamed = blame(exc, stage.owner, stage.hook, event["method"])
        if blamed is exc:
            raise
        raise blamed from exc
    return suppressed


def keep_of(stage: Stage, answer: object) -> bool:
    """What a hook's return value means: whether the event stays in the log.

    Raises:
        InvalidHook: It is a coroutine, of a hook that is not awaited.
    """
    if hasattr(answer, "__await__"):
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        raise InvalidHook(
            f"{type(stage.owner).__name__}.{stage.hook}()",
            "returned a coroutine: it is called without await. Rename it to `aprocess`, which is awaited.",
        )
    return bool(answer)


def blame(
    exc: BaseException, owner: StreamTransformer | None, hook: str, method: str = "", *, awaited: bool = False
) -> BaseException:
    """The exception to raise for `exc`, which a hook raised: itself, with a note that names the hook.

    For exceptions that Python or the loop would misread it is a `HookStopped`, to be raised from `exc`; but a hook that
    was `awaited` may really have been cancelled.
    """
    if owner is None:
        return exc
    name = f"{type(owner).__name__}.{hook}()"
    if isinstance(exc, (StopIteration, StopAsyncIteration)) or (is_cancellation(exc) and not awaited):
        return HookStopped(name, type(exc).__name__)
    note = f"raised by {name}" + (f" while handling a {method!r} event" if method else "")
    if note not in getattr(exc, "__notes__", ()):
        exc.add_note(note)
    return exc
