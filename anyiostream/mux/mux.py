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

from collections.abc import Callable, Sequence
from typing import Any, Final, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.outbox import current_outbox
from anyiostream.channels.unread import Ended
from anyiostream.ending import Ending
from anyiostream.errors import ChildrenRefused
from anyiostream.events import Namespace, ProtocolEvent, synthetic_event
from anyiostream.mux.ending_hooks import call_ending_hooks
from anyiostream.mux.follower import SubgraphFollower
from anyiostream.mux.port import RunPort
from anyiostream.mux.registrations import Registration
from anyiostream.mux.roster import Roster
from anyiostream.mux.router import Router
from anyiostream.mux.routes import ROOT_BIT, Passage, Stage, StageKind
from anyiostream.mux.scheduling import Nursery
from anyiostream.mux.taking import Take
from anyiostream.state import GraphState
from anyiostream.subgraphs import Handle, Subgraph, SubgraphObserver
from anyiostream.transformer import PayloadTransformer, StreamTransformer, TransformerFactory

__all__ = ["Mux"]

BELOW_ROOT: Final = "/below the root"
"""Suffix of the method under which passages are kept that leave the root's own stages out."""


@final
class Mux:
    """The transformers of one scope.

    Attributes:
        scope: Namespace it works at.
        parent: The mux above, `None` for the root's.
        router: The run's router.
        nursery: Scheduled work of the run.
        log: The raw log, once somebody has asked for it.
        roster: Its transformers, and their projections.
        state: The state of the graph at this scope.
        handle: The run stream over it, if it is a child.
        follower: Follows the run's subgraphs.
        children: The muxes directly below.
        takes: Compiled routes of its scope, by method.
        takes_below: Those of namespaces below that have no mux of their own.
        sharing: These namespaces.
    """

    __slots__ = (
        "_around",
        "_bit",
        "_ended",
        "_factories",
        "_observers",
        "_own",
        "_port",
        "children",
        "follower",
        "handle",
        "log",
        "nursery",
        "parent",
        "roster",
        "router",
        "scope",
        "sharing",
        "state",
        "takes",
        "takes_below",
    )

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
        self.log: StreamChannel[ProtocolEvent] | None = None
        self.state: Final = GraphState()
        self.children: Final[dict[Namespace, Mux]] = {}
        self.takes: Final[dict[str, Take]] = {}
        self.takes_below: Final[dict[str, Take]] = {}
        self.sharing: Final[dict[Namespace, None]] = {}
        self.handle: Handle | None = None
        self._port = port
        self._factories = factories
        self._observers: tuple[tuple[SubgraphObserver, ...], tuple[SubgraphObserver, ...]] | None = None
        self._own: dict[str, Passage] = {}
        self._around: dict[str, Passage] = {}
        self._ended: Ended | None = None
        self.router: Final[Router] = Router() if parent is None else parent.router
        self.nursery: Final[Nursery] = Nursery(port) if parent is None else parent.nursery
        self.follower: Final[SubgraphFollower] = (
            SubgraphFollower(self.router, scope) if parent is None else parent.follower
        )
        self._bit = ROOT_BIT if parent is None else parent.child_bit()
        self.roster: Final = Roster(self, port)
        self.router.enter(self)
        if parent is not None and self.roster.register_as(parent.roster):
            return
        self.roster.register_all(factories or (), transformers)
        if parent is None:
            self.router.only_follows_tasks = self.roster.only_follows_tasks
        if port.is_async and (self.roster.any_async or not self.roster.all_builtin):
            # Transformers may schedule work, which the end of a subgraph then waits for.
            self.router.waits_for_children = True

    @property
    def events(self) -> StreamChannel[ProtocolEvent]:
        """The raw log; most subgraphs' are never made."""
        log = self.log
        if log is None:
            log = self.log = StreamChannel()
            log.bind(self._port, "events", on_watched=self._log_watched)
            if self._ended is not None:
                log.end(self._ended)
        return log

    def child_bit(self) -> int:
        """The bit by which routes tell this mux's children."""
        return self._bit << 1

    @property
    def extensions(self) -> dict[str, Any]:
        """Projection name -> channel, promise or other value, over all transformers."""
        return self.roster.projections()

    def made_channels(self) -> list[StreamChannel[Any]]:
        """The raw log and the channels of the projections, as far as somebody or something has asked for them."""
        made = list(self.roster.made_channels())
        return made if self.log is None else [self.log, *made]

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

    def forwarder(self, method: str) -> Callable[[object], None]:
        """What appends each item of a named channel to the raw log, as events of `method`."""

        def forward(item: object) -> None:
            log = self.log
            if log is not None and log.watched:
                outbox = current_outbox.get(None)
                if outbox is None:
                    namespace = self.scope
                else:
                    namespace = self.router.namespace if outbox.scope is None else outbox.scope
                self._append(log, synthetic_event(method, namespace, item))
            elif self.parent is None:
                self.router.seq += 1

        return forward

    def _append(self, log: StreamChannel[ProtocolEvent], event: ProtocolEvent) -> None:
        if self.parent is None:
            self.router.seq += 1
            event["seq"] = self.router.seq
        log.push(event)

    def _appender(self) -> Callable[[ProtocolEvent], None]:
        """`_append`, as fast as it can be until somebody starts or stops reading the log."""
        put, router = self.events.sink(), self.router
        if self.parent is not None:
            return put

        def append(event: ProtocolEvent) -> None:
            event["seq"] = router.seq = router.seq + 1
            put(event)

        return append

    def _log_watched(self) -> None:
        if self.log is not None and self.log.watched:
            # What they push is in the log as well.
            self.roster.make_observers()
        self.recompile()

    # --- subgraphs ---

    def observers(self, *, direct: bool) -> tuple[SubgraphObserver, ...]:
        """Those to be told of subgraphs, from the root's on inwards.

        Args:
            direct: Of the subgraphs directly below this scope, or of those further down.
        """
        observers = self._observers
        if observers is None:
            above = () if self.parent is None else self.parent.observers(direct=False)
            own = self.roster.observers()
            distant = [each for each in own if not each.children_only]
            observers = self._observers = ((*above, *distant), (*above, *own))
        return observers[direct]

    # --- routes ---

    def passage(self, method: str, *, own: bool, below_root: bool = False) -> Passage:
        """What an event passes through.

        Args:
            method: The event's method.
            own: Whether it happened at this scope; otherwise below, where no other mux is nearer.
            below_root: Leave the root's own stages out.
        """
        if not own:
            return self._passage_around(method, below_root=below_root)
        key = method + BELOW_ROOT if below_root else method
        passage = self._own.get(key)
        if passage is None:
            outer = Passage()
            if self.parent is not None:
                outer = self.parent._passage_around(method, below_root=below_root)  # noqa: SLF001 -- of its own class
            stages = self._stages_around(method, own=True, below_root=below_root)
            passage = self._own[key] = outer.around(*stages)
        return passage

    def _passage_around(self, method: str, *, below_root: bool) -> Passage:
        """For every namespace below; that of the mux above, if this one adds nothing."""
        key = method + BELOW_ROOT if below_root else method
        # Not by recursion, which deep nesting would break.
        missing: list[Mux] = []
        mux: Mux | None = self
        while mux is not None and key not in mux._around:  # noqa: SLF001 -- of its own class
            missing.append(mux)
            mux = mux.parent
        passage = Passage() if mux is None else mux._around[key]  # noqa: SLF001
        for mux in reversed(missing):
            stages = mux._stages_around(method, own=False, below_root=below_root)  # noqa: SLF001
            passage = mux._around[key] = passage.around(*stages)  # noqa: SLF001
        return passage

    def _stages_around(
        self, method: str, *, own: bool, below_root: bool
    ) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
        """The stages of this mux before those of its children, and after them."""
        if below_root and self.parent is None:
            return (), ()
        roster = self.roster
        readers = roster.readers(method, own=own)
        before = tuple([self._stage(roster.registration(place)) for place in readers.before])
        after = tuple([self._stage(roster.registration(place)) for place in readers.after])
        if self.parent is None:
            if readers.tracked:
                # Children come at the first observer's place. On the way to it a `tasks` event starts and ends
                # subgraphs; below the root that has been done.
                return (*before, Stage(StageKind.SUBGRAPHS, self.follower.track_event, self._bit)), after
            return before, (*after, Stage(StageKind.LOG, self._appender(), self._bit))
        if self.log is not None and self.log.watched and not readers.tracked:
            after = (*after, Stage(StageKind.LOG, self._appender(), self._bit))
        return before, after

    def forget_routes(self) -> None:
        """Somebody has started or stopped reading the raw log, or a projection: compile everything anew."""
        self.takes.clear()
        self.takes_below.clear()
        self._own.clear()
        self._around.clear()

    def recompile(self) -> None:
        """Somebody has started or stopped reading a projection."""
        # Whatever passes through has been compiled from what is kept here.
        if (self._own or self._around) and not self.ended:
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
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended is not None

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
            if self.nursery:
                await self.nursery.drain(self.scope)
            if self._port.interjected is not None:
                ending = Ending(self._port.interjected)
        if ending.error is not None and self.nursery:
            await self.nursery.cancel(self.scope)
        end_subgraphs = self.follower.end_all if self.parent is None else None
        errors = await call_ending_hooks(self.roster.used(), self._port, ending, end_subgraphs)
        if errors and ending.error is None:
            ending = Ending(errors.pop(0))
        self.end_silently(ending)
        return ending, errors

    @property
    def ends_silently(self) -> bool:
        """Whether a good end takes no more than `end_silently`: no hook is to be called, nothing to be waited for."""
        return (
            self.parent is not None
            and self.roster.ends_silently
            and not self.children
            and not self.nursery
            and self._port.interjected is None
        )

    def end_silently(self, ending: Ending) -> None:
        """End the projections and the log. Hooks and scheduled work are done."""
        self._ended = Ended.by(None if ending.quietly else ending.error)
        self.roster.end(self._ended, ending)
        if self.log is not None:
            self.log.end(self._ended)
        if self.parent is not None:
            self.router.leave(self)
