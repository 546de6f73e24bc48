"""`Mux`: one scope's transformers, their projections, and its raw log.

Rules:

- The root's mux is made with the run. A child's is made when its subgraph starts, if somebody could see it; it ends
  with the subgraph and is then forgotten.
- Registration order is dispatch order, transformers with `before_builtins` first.
- A mux ends once: each transformer gets exactly one of `finalize` and `fail`, after its last event; then the channels
  and promises end; then the raw log does.
- Hooks that are plain functions are called plainly. `end` is a coroutine because some are not; where all are plain
  and nothing is scheduled it does not suspend.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.outbox import current_outbox
from anyiostream.channels.unread import Ended
from anyiostream.ending import Ending
from anyiostream.errors import ChildrenRefused
from anyiostream.events import Namespace, ProtocolEvent, synthetic_event
from anyiostream.inline import run_inline
from anyiostream.mux.follower import SubgraphFollower
from anyiostream.mux.port import RunPort
from anyiostream.mux.roster import Registration, Roster
from anyiostream.mux.router import Router, Table
from anyiostream.mux.routes import ROOT_BIT, Stage, StageKind, blame
from anyiostream.mux.scheduling import Nursery
from anyiostream.state import GraphState
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import PayloadTransformer, StreamTransformer, TransformerFactory

__all__ = ["Mux"]


@final
class Mux:
    """The transformers of one scope.

    Attributes:
        scope: Namespace it works at.
        parent: The mux above, `None` for the root's.
        router: The run's router.
        nursery: Scheduled work of the run.
        events: The raw log.
        roster: Its transformers, and their projections.
        state: The state of the graph at this scope.
        handle: The run stream over it, if it is a child.
        follower: Follows the run's subgraphs.
        children: The muxes directly below.
        below: Routes for namespaces below that have no mux of their own.
    """

    def __init__(
        self,
        port: RunPort,
        *,
        factories: Sequence[TransformerFactory] | None = None,
        transformers: Sequence[StreamTransformer] = (),
        scope: Namespace = (),
        parent: Mux | None = None,
    ) -> None:
        """Make the transformers and register them.

        Raises:
            PrebuiltTransformer, InvalidProjection, ProjectionConflict, AsyncTransformerRefused, InvalidHook,
            AlreadyBound: As the names say.
        """
        self.scope: Final = scope
        self.parent: Final = parent
        self.router: Final[Router] = parent.router if parent is not None else Router()
        self.nursery: Final[Nursery] = parent.nursery if parent is not None else Nursery(port)
        self.events: Final[StreamChannel[ProtocolEvent]] = StreamChannel()
        self.events.bind(port, "events", on_watched=self._recompile)
        self.state: Final = GraphState()
        self.children: Final[dict[Namespace, Mux]] = {}
        self.below: Final = Table()
        self.ended = False
        self.handle: Handle | None = None
        self._port = port
        self._factories = factories
        self.follower: Final[SubgraphFollower] = (
            parent.follower if parent is not None else SubgraphFollower(self.router, scope)
        )
        self._bit = ROOT_BIT if parent is None else parent.child_bit()
        self._around: dict[str, tuple[list[Stage], list[Stage]]] = {}
        self.roster: Final = Roster(
            port,
            scope,
            self,
            self.nursery.for_scope(scope),
            forwarder=self._forwarder,
            recompile=self._recompile,
            emit=self.router.emit,
        )
        self.router.enter(self)
        self.roster.register_all(factories or (), transformers)
        if port.is_async and (self.roster.any_async or not self.roster.all_builtin):
            # Transformers may schedule work, which the end of a subgraph then waits for.
            self.router.waits_for_children = True

    def child_bit(self) -> int:
        """The bit by which routes tell this mux's children."""
        return self._bit << 1

    @property
    def extensions(self) -> dict[str, Any]:
        """Projection name -> channel, promise or other value, over all transformers."""
        return self.roster.projections()

    def made_channels(self) -> list[StreamChannel[Any]]:
        """The raw log, and the channels of the projections that somebody or something has asked for."""
        return [self.events, *self.roster.made_channels()]

    @property
    def shows_children(self) -> bool:
        """Whether transformers of the user's are registered for subgraphs too, so that these need a mux."""
        return not self.roster.all_builtin

    @property
    def can_show_children(self) -> bool:
        """Whether a child can be made: instances cannot be cloned to its scope."""
        return self._factories is not None

    def make_child(self, scope: Namespace) -> Mux:
        """The mux of a subgraph, with transformers of its own made by the same factories.

        Raises:
            ChildrenRefused: This mux was made from instances.
            Whatever a transformer raises.
        """
        if self._factories is None:
            raise ChildrenRefused
        return Mux(self._port, factories=self._factories, scope=scope, parent=self)

    def open_handle(self, subgraph: Subgraph, channel: StreamChannel[Any]) -> Handle:
        """The handle of a subgraph directly below that has started; `channel` is where its reader will get it.

        The mux and the handle are made at the first call; a second projection shows the same handle.
        """
        child = self.router.mux_at(subgraph.namespace)
        if child is None:
            child = self.make_child(subgraph.namespace)
            child.handle = self._port.open_handle(child, subgraph)
        if channel.watched:
            child.roster.retain()
            self._port.hold(channel)
        assert child.handle is not None
        return child.handle

    # --- the raw log ---

    def _forwarder(self, method: str) -> Callable[[object], None]:
        def forward(item: object) -> None:
            if self.events.watched:
                outbox = current_outbox.get(None)
                if outbox is None:
                    namespace = self.scope
                else:
                    namespace = self.router.namespace if outbox.scope is None else outbox.scope
                self._append(synthetic_event(method, namespace, item))
            elif self.parent is None:
                self.router.seq += 1

        return forward

    def _append(self, event: ProtocolEvent) -> None:
        if self.parent is None:
            self.router.seq += 1
            event["seq"] = self.router.seq
        self.events.push(event)

    def _appender(self) -> Callable[[ProtocolEvent], None]:
        """`_append`, as fast as it can be until somebody starts or stops reading the log."""
        put, router = self.events.sink(), self.router
        if self.parent is not None:
            return put

        def append(event: ProtocolEvent) -> None:
            event["seq"] = router.seq = router.seq + 1
            put(event)

        return append

    # --- routes ---

    def stages(self, path: Sequence[Mux], level: int, method: str, namespace: Namespace) -> list[Stage]:
        """What an event passes through, from the mux at `path[level]` on inwards.

        Args:
            path: The muxes from the root to the event.
            level: Where to begin.
            method: The event's method.
            namespace: Where it happened.
        """
        # From the innermost mux outwards, so that deep nesting needs no deep recursion.
        inner: list[Stage] = []
        for mux in reversed(path[level:]):
            inner = mux._own_stages(method, mux.scope == namespace, inner)  # noqa: SLF001 -- of its own class
        return inner

    def _own_stages(self, method: str, own: bool, inner: list[Stage]) -> list[Stage]:  # noqa: FBT001
        if own:
            before, after = self._stages_around(method, own=True)
        else:
            # The same for every namespace below.
            around = self._around.get(method)
            if around is None:
                around = self._around[method] = self._stages_around(method, own=False)
            before, after = around
        return [*before, *inner, *after]

    def _stages_around(self, method: str, *, own: bool) -> tuple[list[Stage], list[Stage]]:
        """The stages of this mux before those of its children, and after them."""
        before: list[Stage] = []
        after: list[Stage] = []
        stages, tracked = before, False
        for registration in self.roster.registrations:
            if registration.observes:
                # Children come at the first observer's place. On the way to it a `tasks` event starts and ends
                # subgraphs; below the root that has been done.
                if method == "tasks" and self.parent is None and not tracked:
                    stages.append(Stage(StageKind.SUBGRAPHS, self.follower.track, self._bit))
                stages = after
                tracked = tracked or method == "tasks"
            elif registration.reads(method, own=own):
                stages.append(self._stage(registration))
        if not tracked and (self.parent is None or self.events.watched):
            stages.append(Stage(StageKind.LOG, self._appender(), self._bit))
        return before, after

    def forget_stages(self) -> None:
        """Somebody has started or stopped reading the raw log, or a projection: compile the stages anew."""
        self._around.clear()

    def _recompile(self) -> None:
        self.router.recompile_from(self)

    def _stage(self, registration: Registration) -> Stage:
        transformer, bit = self.roster.ready(registration), self._bit
        waits = self._port.is_async and "aprocess" in registration.hooks.awaited
        if "on_register" in registration.hooks.overridden:
            return self._emitting_stage(registration, transformer, waits=waits)
        if waits:
            return Stage(StageKind.ASYNC_HOOK, transformer.aprocess, bit, transformer, "aprocess")
        if isinstance(transformer, PayloadTransformer) and type(transformer).process is PayloadTransformer.process:
            return Stage(StageKind.PAYLOAD, transformer.consumer(), bit, transformer, "consume")
        return Stage(StageKind.HOOK, transformer.process, bit, transformer)

    def _emitting_stage(self, registration: Registration, transformer: StreamTransformer, *, waits: bool) -> Stage:
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

        # What it emits may have to wait, for others' hooks or for a subgraph's end.
        if self._port.is_async:
            return Stage(StageKind.ASYNC_HOOK, aprocess, self._bit, transformer, "aprocess" if waits else "process")
        return Stage(StageKind.HOOK, process, self._bit, transformer)

    # --- the end ---

    @property
    def must_wait(self) -> bool:
        """Whether ending this mux now has to wait for hooks or scheduled work."""
        return self.roster.any_async or self.nursery.busy(self.scope)

    async def end(self, ending: Ending) -> tuple[Ending, list[BaseException]]:
        """Drain or cancel scheduled work, call the hooks, end the projections and the log.

        Idempotent. If cancelled, it may be called again, and goes on where it was.

        Returns:
            The ending as it became: a good one is made a bad one by scheduled work that fails, or by the first hook
            that raises. And the other errors of hooks, in order.
        """
        if self.ended:
            return ending, []
        if ending.error is None:
            await self.nursery.drain(self.scope)
            if self._port.interjected is not None:
                ending = Ending(self._port.interjected)
        if ending.error is not None:
            await self.nursery.cancel(self.scope)
        errors: list[BaseException] = []
        hook = "finalize" if ending.error is None else "fail"
        for registration in self.roster.registrations:
            if registration.transformer is not None and not registration.ended:
                error = await self._call_ending_hook(registration, registration.transformer, hook, ending)
                if error is not None:
                    errors.append(error)
        if errors and ending.error is None:
            ending = Ending(errors.pop(0))
        self.ended = True
        self.roster.end(ending)
        self.events.end(Ended.by(None if ending.quietly else ending.error))
        if self.parent is not None:
            self.router.leave(self)
        return ending, errors

    async def _call_ending_hook(
        self, registration: Registration, transformer: StreamTransformer, hook: str, ending: Ending
    ) -> BaseException | None:
        own = registration.hooks.ending(hook, is_async=self._port.is_async)
        hook = own or hook
        waiting = None
        try:
            if registration.observer is not None and self.parent is None:
                await self.follower.end_all(ending)
            # Called once, even if it is cancelled.
            registration.ended = True
            if own is None:
                return None
            if ending.error is None:
                waiting = getattr(transformer, hook)()
            else:
                waiting = getattr(transformer, hook)(ending.error)
            if waiting is not None:
                await self._wait_for_hook(f"{type(transformer).__name__}.{hook}()", waiting, ending)
        except BaseException as exc:
            if waiting is not None and self._port.is_cancellation(exc):
                raise
            blamed = blame(exc, transformer, hook)
            if blamed is not exc:
                blamed.__cause__ = exc
            return blamed
        return None

    async def _wait_for_hook(self, name: str, waiting: Coroutine[Any, Any, object], ending: Ending) -> None:
        if not self._port.is_async:
            run_inline(waiting, name)
        elif ending.error is None:
            await waiting
        else:
            await self._port.with_grace(name, waiting)
