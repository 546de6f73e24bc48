"""Stages and routes: what is called, in which order, for the events of one method at one namespace. Data only.

A route is compiled when the first such event arrives and kept with its namespace, so that dispatching costs one
look-up however deep the namespace is, however many subgraphs are open, and however many transformers read something
else. It visits the scopes from the root to the namespace the way LangGraph nests them: a child's transformers run at
the place of its parent's `SubgraphTransformer`.

Two forms:

- If no transformer wants the event itself, the route is a tuple of `consumers`, called with the payload alone; only
  if the root's raw log has a reader is an event built, after them (`PayloadRoute`). Without this form reading an
  iterable took twice as long, and tokens 1.5 times as long.
- Otherwise it is a tuple of `Stage`s (`Route`). Each belongs to one scope, identified by a bit: a transformer that
  suppresses the event sets its scope's bit, and that scope's raw log then leaves the event out.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, final

import attrs

from anyiostream.transformer import StreamTransformer

__all__ = ["HOOK", "LOG", "PAYLOAD", "ROOT_BIT", "Dispatcher", "Passage", "PayloadRoute", "Route", "Stage", "StageKind"]

ROOT_BIT: Final = 1
"""The bit of the root's scope."""

Dispatcher = Callable[[Any, Any], Coroutine[Any, Any, None] | None]
"""A compiled route: dispatches a part, given with its data. `None`, or a coroutine that has to be awaited."""


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
    """Called with the event, even if it is suppressed; the answer, if there is one, is awaited."""


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
        bit: The bit of its scope.
        owner: The transformer, to be named if the call raises.
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

    Scopes that add nothing to the passage of the scope above share it, and with it what was compiled from it, so that
    a subgraph costs no compilation but that of what is read of it.

    Attributes:
        before: The stages on the way in.
        after: The stages on the way out.
        dispatcher: What dispatches a part through them, once compiled; for namespaces whose state is not kept.
        route: The route of an event through them, once compiled.
    """

    before: tuple[Stage, ...] = ()
    after: tuple[Stage, ...] = ()
    dispatcher: Dispatcher | None = None
    route: Route | None = None

    def around(self, before: tuple[Stage, ...], after: tuple[Stage, ...]) -> Passage:
        """With the stages of a scope further in."""
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
        segments: The stages: tuples of those that never wait, and single stages that may.
        waits: Whether there are stages that may wait.
    """

    segments: tuple[tuple[Stage, ...] | Stage, ...]
    waits: bool

    @classmethod
    def of(cls, stages: Sequence[Stage], *, waits: bool) -> Route:
        """The route for `stages`, in order of their calls.

        Args:
            stages: The stages.
            waits: Whether stages of kind SUBGRAPHS may have to wait.
        """
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
        # The root's log comes last. It is the only log that an event without readers passes through.
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
