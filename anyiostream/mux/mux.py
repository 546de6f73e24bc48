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

import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Final, final

import attrs

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.outbox import current_outbox
from anyiostream.channels.promise import Promise
from anyiostream.ending import Ending
from anyiostream.errors import (
    AsyncTransformerRefused,
    ChildrenRefused,
    InvalidHook,
    InvalidProjection,
    PrebuiltTransformer,
    ProjectionConflict,
)
from anyiostream.events import Namespace, ProtocolEvent, synthetic_event
from anyiostream.inline import run_inline
from anyiostream.mux.follower import SubgraphFollower
from anyiostream.mux.port import RunPort
from anyiostream.mux.router import Router
from anyiostream.mux.routes import ROOT_BIT, Stage, StageKind, blame
from anyiostream.mux.scheduling import Nursery
from anyiostream.state import GraphState
from anyiostream.subgraphs import Handle, Subgraph, SubgraphObserver
from anyiostream.transformer import (
    PayloadTransformer,
    StreamEmitter,
    StreamTransformer,
    TransformerFactory,
    is_builtin,
    overrides,
    reason_for_async,
)

__all__ = ["Mux"]


@final
@attrs.define(eq=False)
class _Registered:
    """A transformer and how to call it."""

    transformer: StreamTransformer
    async_hooks: frozenset[str]
    observer: SubgraphObserver | None
    ended: bool = False
    handling: bool = False

    def ending_hook(self, hook: str) -> str:
        """`hook`, or its async variant where that is what the transformer overrides."""
        return "a" + hook if "a" + hook in self.async_hooks else hook


@final
class Mux:
    """The transformers of one scope.

    Attributes:
        scope: Namespace it works at.
        parent: The mux above, `None` for the root's.
        router: The run's router.
        nursery: Scheduled work of the run.
        events: The raw log.
        extensions: Projection name -> channel, promise or other value, over all transformers.
        native_keys: Names that are attributes of the run stream as well.
        state: The state of the graph at this scope.
        handle: The run stream over it, if it is a child.
        follower: Follows the run's subgraphs.
        subgraph_observers: The transformers that it tells of subgraphs below this scope.
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
        self.events.bind(port, "events", on_watched=partial(self.router.recompile_from, self))
        self.extensions: Final[dict[str, Any]] = {}
        self.native_keys: Final[set[str]] = set()
        self.state: Final = GraphState()
        self.children: Final[dict[Namespace, Mux]] = {}
        self.below: Final[dict[str, Any]] = {}
        self.ended = False
        self.handle: Handle | None = None
        self._port = port
        self._factories = factories
        self._owners: dict[str, StreamTransformer] = {}
        self._registered: list[_Registered] = []
        self.follower: Final[SubgraphFollower] = (
            parent.follower if parent is not None else SubgraphFollower(self.router, scope)
        )
        self.subgraph_observers: Final[list[SubgraphObserver]] = []
        self._bit = ROOT_BIT if parent is None else parent.child_bit()
        self._any_async = False
        made = [make_transformer(factory, scope) for factory in factories or ()]
        self.router.enter(self)
        for transformer in (*_ordered(made), *_ordered(transformers)):
            self._register(transformer)

    def child_bit(self) -> int:
        """The bit by which routes tell this mux's children."""
        return self._bit << 1

    def transformer_by_key(self, key: str) -> StreamTransformer | None:
        """The transformer that contributed the projection `key`."""
        return self._owners.get(key)

    def transformers(self) -> Iterator[StreamTransformer]:
        """The transformers, in dispatch order."""
        return (registered.transformer for registered in self._registered)

    def required_modes(self) -> list[str]:
        """The stream modes that the transformers need of the graph, each once, in order of first mention."""
        return list(dict.fromkeys(mode for each in self.transformers() for mode in each.required_stream_modes))

    @property
    def shows_children(self) -> bool:
        """Whether transformers of the user's are registered for subgraphs too, so that these need a mux."""
        return not all(is_builtin(each) for each in self.transformers())

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
            child.retain()
            self._port.hold(channel)
        assert child.handle is not None
        return child.handle

    def retain(self) -> None:
        """Keep the first items of each projection for a reader that is to come."""
        for value in self.extensions.values():
            if isinstance(value, StreamChannel):
                value.retain()

    # --- registration ---

    def _register(self, transformer: StreamTransformer) -> None:
        name = type(transformer).__name__
        reason = reason_for_async(transformer)
        if reason is not None and not self._port.is_async:
            raise AsyncTransformerRefused(name, reason)
        if not (overrides(transformer, "process") or overrides(transformer, "aprocess")):
            raise InvalidHook(name, "must override process() or aprocess(), whichever its work needs.")
        projection = transformer.init()
        if not isinstance(projection, dict):
            raise InvalidProjection(name, type(projection).__name__)
        taken = {key: type(self._owners[key]).__name__ for key in projection if key in self._owners}
        if taken:
            raise ProjectionConflict(name, taken)
        hooks = ("aprocess", "afinalize", "afail") if self._port.is_async else ()
        observer = transformer.subgraph_observer(self)
        registered = _Registered(
            transformer, frozenset(hook for hook in hooks if overrides(transformer, hook)), observer
        )
        self._registered.append(registered)
        if observer is not None:
            self.subgraph_observers.append(observer)
        if self._port.is_async and not is_builtin(transformer):
            # It may schedule work, which the end of a subgraph then waits for.
            self.router.waits_for_children = True
        if registered.async_hooks or (
            self._port.is_async
            and any(inspect.iscoroutinefunction(getattr(type(transformer), hook)) for hook in ("finalize", "fail"))
        ):
            self._any_async = True
            self.router.waits_for_children = True
        self._bind(projection, native=transformer._native)  # noqa: SLF001 -- LangGraph's name for it
        for key in projection:
            self._owners[key] = transformer
        transformer.connect(self._port)
        transformer.attach(self.nursery.for_scope(self.scope))
        if overrides(transformer, "on_register"):
            transformer.on_register(
                StreamEmitter(name, lambda namespace, event: self._emit(registered, namespace, event))
            )

    def _bind(self, projection: dict[str, Any], *, native: bool) -> None:
        for key, value in projection.items():
            if isinstance(value, StreamChannel):
                method = None if value.name is None else value.name if native else f"custom:{value.name}"
                value.bind(
                    self._port,
                    key,
                    forward=None if method is None else self._forwarder(method),
                    on_watched=partial(self.router.recompile_at, self.scope),
                )
            elif isinstance(value, Promise):
                value.bind(self._port, key)
            self.extensions[key] = value
            if native:
                self.native_keys.add(key)

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

    def _emit(self, registered: _Registered, namespace: Namespace, event: ProtocolEvent) -> bool:
        if not registered.handling:
            return False
        self.router.emit(namespace, event)
        return True

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
        stages: list[Stage] = []
        tracked = False
        for registered in self._registered:
            transformer = registered.transformer
            if registered.observer is not None:
                # Children come at the first observer's place. On the way to it a `tasks` event starts and ends
                # subgraphs; below the root that has been done.
                if method == "tasks" and self.parent is None and not tracked:
                    stages.append(Stage(StageKind.SUBGRAPHS, self.follower.track, self._bit))
                else:
                    stages += inner
                inner = []
                tracked = tracked or method == "tasks"
            elif _reads(transformer, method, own=own):
                stages.append(self._stage(registered))
        if not tracked and (self.parent is None or self.events.watched):
            stages.append(Stage(StageKind.LOG, self._appender(), self._bit))
        return stages

    def _stage(self, registered: _Registered) -> Stage:
        transformer, bit = registered.transformer, self._bit
        waits = "aprocess" in registered.async_hooks
        if overrides(transformer, "on_register"):
            return self._emitting_stage(registered, waits=waits)
        if waits:
            return Stage(StageKind.ASYNC_HOOK, transformer.aprocess, bit, transformer, "aprocess")
        if isinstance(transformer, PayloadTransformer) and type(transformer).process is PayloadTransformer.process:
            return Stage(StageKind.PAYLOAD, transformer.consumer(), bit, transformer, "consume")
        return Stage(StageKind.HOOK, transformer.process, bit, transformer)

    def _emitting_stage(self, registered: _Registered, *, waits: bool) -> Stage:
        transformer = registered.transformer

        def process(event: ProtocolEvent) -> bool:
            registered.handling = True
            try:
                return transformer.process(event)
            finally:
                registered.handling = False

        async def aprocess(event: ProtocolEvent) -> bool:
            registered.handling = True
            try:
                return await transformer.aprocess(event) if waits else transformer.process(event)
            finally:
                registered.handling = False

        # What it emits may have to wait, for others' hooks or for a subgraph's end.
        if self._port.is_async:
            return Stage(StageKind.ASYNC_HOOK, aprocess, self._bit, transformer, "aprocess" if waits else "process")
        return Stage(StageKind.HOOK, process, self._bit, transformer)

    # --- the end ---

    @property
    def must_wait(self) -> bool:
        """Whether ending this mux now has to wait for hooks or scheduled work."""
        return self._any_async or self.nursery.busy(self.scope)

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
        for registered in self._registered:
            if not registered.ended:
                error = await self._call_ending_hook(registered, ending)
                if error is not None:
                    errors.append(error)
        if errors and ending.error is None:
            ending = Ending(errors.pop(0))
        self.ended = True
        self._end_projections(ending)
        if self.parent is not None:
            self.router.leave(self)
        return ending, errors

    async def _call_ending_hook(self, registered: _Registered, ending: Ending) -> BaseException | None:
        transformer = registered.transformer
        hook = registered.ending_hook("finalize" if ending.error is None else "fail")
        waiting = None
        try:
            if registered.observer is not None and self.parent is None:
                await self.follower.end_all(ending)
            # Called once, even if it is cancelled.
            registered.ended = True
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

    def _end_projections(self, ending: Ending) -> None:
        channels = [value for value in self.extensions.values() if isinstance(value, (StreamChannel, Promise))]
        for projection in (*channels, self.events):
            if ending.error is None or (ending.quietly and isinstance(projection, StreamChannel)):
                projection.close()
            else:
                projection.fail(ending.error)


def _ordered(transformers: Sequence[StreamTransformer]) -> Iterator[StreamTransformer]:
    yield from (each for each in transformers if each.before_builtins)
    yield from (each for each in transformers if not each.before_builtins)


def _reads(transformer: StreamTransformer, method: str, *, own: bool) -> bool:
    return (transformer.methods is None or method in transformer.methods) and (own or not transformer.own_scope)


def make_transformer(factory: object, scope: Namespace) -> StreamTransformer:
    """A transformer for `scope`.

    Raises:
        PrebuiltTransformer: `factory` is no class or factory, or does not make a transformer.
    """
    if isinstance(factory, StreamTransformer):
        raise PrebuiltTransformer(type(factory).__name__)
    if not callable(factory):
        raise PrebuiltTransformer(type(factory).__name__, callable_wanted=True)
    made = factory(scope)
    if not isinstance(made, StreamTransformer):
        raise InvalidHook(getattr(factory, "__name__", repr(factory)), f"made a {type(made).__name__}, no transformer.")
    return made
