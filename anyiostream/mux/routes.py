"""Routes: what is called, in which order, for the events of one method at one namespace.

A route is compiled when the first such event arrives and kept with its namespace, so that dispatching costs one
look-up however deep the namespace is, however many subgraphs are open, and however many transformers read something
else. It visits the muxes from the root to the namespace the way LangGraph nests them: a child's transformers run at
the place of its parent's `SubgraphTransformer`.

Two forms:

- If no transformer wants the event itself, the route is a tuple of `consumers`, called with the payload alone; only
  if somebody reads the root's raw log an event is built, after them (`PayloadRoute`).
- Otherwise it is a tuple of `Stage`s (`Route`). Each belongs to one mux, told by a bit: a transformer that suppresses
  the event sets its mux's bit, and that mux's raw log then leaves the event out.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final, final

import attrs

from anyiostream.errors import HookStopped, InvalidHook
from anyiostream.events import ProtocolEvent
from anyiostream.transformer import StreamTransformer

__all__ = ["ROOT_BIT", "Passage", "PayloadRoute", "Route", "Stage", "StageKind", "blame"]


ROOT_BIT: Final = 1
"""The bit of the root's mux."""


@final
class StageKind(enum.Enum):
    """What a stage is called with, and what its answer means."""

    PAYLOAD = enum.auto()
    """Called with the event's data."""
    HOOK = enum.auto()
    """Called with the event; a false answer suppresses it."""
    ASYNC_HOOK = enum.auto()
    """As HOOK, but its answer is awaited."""
    LOG = enum.auto()
    """Called with the event unless it is suppressed."""
    SUBGRAPHS = enum.auto()
    """Called with the event, whatever comes of it; the answer, if any, is awaited."""


# Looking a member up in its class takes longer than the rest of a stage that has nothing to do.
PAYLOAD: Final = StageKind.PAYLOAD
HOOK: Final = StageKind.HOOK
LOG: Final = StageKind.LOG


@final
@attrs.define(eq=False)
class Stage:
    """One call of a route.

    Attributes:
        kind: How it is called.
        call: The callable.
        bit: The bit of its mux.
        owner: The transformer, for the blame when it raises.
        hook: The hook's name, likewise.
    """

    kind: StageKind
    call: Callable[[Any], Any]
    bit: int
    owner: StreamTransformer | None = None
    hook: str = "process"


@final
@attrs.define(eq=False)
class Passage:
    """The stages of an event on its way in to its namespace, and on its way out again.

    Where muxes add nothing to that of the mux above they share it, and with it what has been compiled from it.

    Attributes:
        before: The stages on the way in.
        after: The stages on the way out.
        take: What takes a part through them, once it has been compiled; for namespaces whose state nobody keeps.
        route: The same for events.
    """

    before: tuple[Stage, ...] = ()
    after: tuple[Stage, ...] = ()
    take: Callable[[Any, Any], Any] | None = None
    route: Route | None = None

    def around(self, before: tuple[Stage, ...], after: tuple[Stage, ...]) -> Passage:
        """With the stages of a mux further in."""
        return Passage((*self.before, *before), (*after, *self.after)) if before or after else self

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All of them, in order."""
        return (*self.before, *self.after)


@final
@attrs.define(eq=False)
class Route:
    """The stages for one method at one namespace.

    Attributes:
        segments: The stages, in runs that do not wait, and single stages that may.
        waits: Whether there are such.
    """

    segments: tuple[tuple[Stage, ...] | Stage, ...]
    waits: bool

    @classmethod
    def of(cls, stages: Sequence[Stage], *, waits: bool) -> Route:
        """The route for `stages`, in order of their calls; `waits`: whether those of kind SUBGRAPHS may have to."""
        segments = _segments(stages, waits=waits)
        return cls(segments, any(isinstance(segment, Stage) for segment in segments))


@final
@attrs.define(eq=False)
class PayloadRoute:
    """What to call for one method at one namespace if no transformer wants the event itself.

    Attributes:
        consumers: What to call with the payload.
        owners: The transformer of each consumer.
        logged: Whether the event has a `seq` of the root's raw log.
    """

    consumers: tuple[Callable[[Any], object], ...]
    owners: tuple[StreamTransformer, ...]
    logged: bool

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> PayloadRoute | None:
        """The route for `stages`, or `None` if one of them wants the event."""
        # The root's log, which is the only one that events without readers pass through, comes last.
        logged = bool(stages) and stages[-1].kind is LOG and stages[-1].bit == ROOT_BIT
        payloads = stages[:-1] if logged else stages
        for stage in payloads:
            if stage.kind is not PAYLOAD:
                return None
        owners = tuple([stage.owner for stage in payloads if stage.owner is not None])
        return cls(tuple([stage.call for stage in payloads]), owners, logged)


def _segments(stages: Sequence[Stage], *, waits: bool) -> tuple[tuple[Stage, ...] | Stage, ...]:
    segments: list[tuple[Stage, ...] | Stage] = []
    plain: list[Stage] = []
    for stage in stages:
        if stage.kind is StageKind.ASYNC_HOOK or (waits and stage.kind is StageKind.SUBGRAPHS):
            if plain:
                segments.append(tuple(plain))
                plain = []
            segments.append(stage)
        else:
            plain.append(stage)
    if plain:
        segments.append(tuple(plain))
    return tuple(segments)


def run_stages(stages: tuple[Stage, ...], event: ProtocolEvent, suppressed: int, after_hook: Callable[[], None]) -> int:
    """Call a run of stages that do not wait; which muxes suppress the event after them, as bits."""
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
    """What a hook's answer means, or `InvalidHook` if it forgot to wait for itself."""
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
    if isinstance(exc, (StopIteration, StopAsyncIteration)) or (type(exc).__name__ == "CancelledError" and not awaited):
        return HookStopped(name, type(exc).__name__)
    note = f"raised by {name}" + (f" while handling a {method!r} event" if method else "")
    if note not in getattr(exc, "__notes__", ()):
        exc.add_note(note)
    return exc
