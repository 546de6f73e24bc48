"""`Registry`: the transformers of one scope, in order, their projections, and the scope's raw log.

Rules:

- Registration order is dispatch order, transformers with `before_builtins` first.
- The library's own transformers do nothing but fill projections. One of these is made when its first event arrives, or
  when its projection is asked for; most of them, in most of a run's many subgraphs, never are. For the gain see
  registrations.py. All other transformers are made at registration, as they may be watching from the start.
- Names of projections are known from the start; two transformers never contribute the same one.
- A transformer that is made after its scope has ended has seen no event: its projections end at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final, cast, final

import attrs

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.promise import Promise
from anyiostream.errors import (
    AsyncTransformerRefused,
    InvalidHook,
    InvalidProjection,
    ProjectionConflict,
)
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.mux.hooks import stage_of
from anyiostream.mux.late_observers import ObserverToCome
from anyiostream.mux.raw_log import RawLog
from anyiostream.mux.registrations import Plan, Readers, Registration, plan_for
from anyiostream.mux.run_state import RunState
from anyiostream.mux.scope import Scope
from anyiostream.mux.stages import Stage
from anyiostream.outcome import Outcome
from anyiostream.subgraphs import HandleMaker, LateObserver, SubgraphObserver
from anyiostream.transformer import (
    StreamEmitter,
    StreamTransformer,
    builtin_projections,
    catches_up,
)
from anyiostream.transformer_hooks import reason_for_async

__all__ = ["Registry"]

PROCESSING: Final = frozenset({"process", "aprocess"})
"""A transformer overrides one of these."""

MAX_METHODS: Final = 256
"""Methods whose readers are remembered: there are a dozen, and those that users' transformers make up."""


@final
@attrs.define(eq=False, repr=False)  # what it holds leads to the whole tree
class Registry:
    """The transformers of one scope.

    Attributes:
        scope: The scope.
        parent: The registry of the scope above; `None` for the root's.
        native_keys: Names of projections that are attributes of the run stream as well.
        any_async: Whether ending the scope may have to wait for hooks.
        ends_silently: Whether no transformer that has been made has an ending hook.
        all_builtin: Whether every transformer is the library's own.
        only_follows_tasks: Whether no transformer is called with `tasks` events, though some observe subgraphs.
    """

    scope: Scope
    parent: Registry | None
    _run: RunState
    _maker: HandleMaker
    native_keys: AbstractSet[str] = frozenset()
    any_async: bool = False
    ends_silently: bool = True
    all_builtin: bool = True
    only_follows_tasks: bool = False
    _log: RawLog | None = None
    _plan: Plan | None = None
    _registrations: list[Registration | None] = attrs.field(init=False)
    _owners: dict[str, int] = attrs.field(init=False)
    _projections: dict[str, Any] = attrs.field(factory=dict)
    _all: dict[str, Any] | None = None
    _readers: tuple[dict[str, Readers], dict[str, Readers]] = attrs.field(init=False)
    _observers: tuple[tuple[SubgraphObserver, ...], tuple[SubgraphObserver, ...]] | None = None
    _retaining: bool = False
    _outcome: Outcome | None = None

    @property
    def log(self) -> RawLog:
        """The raw log, made when it is first needed; most subgraphs' never are."""
        log = self._log
        if log is None:
            log = self._log = RawLog(self.scope, self._run, self._log_watched)
            if self._outcome is not None:
                log.end(self._outcome)
        return log

    @property
    def log_watched(self) -> bool:
        """Whether the raw log has a reader."""
        return self._log is not None and self._log.watched

    # --- registration ---

    def register(self, factories: Sequence[object], transformers: Iterable[StreamTransformer]) -> None:
        """Register what the factories make, then transformers; of each, those with `before_builtins` first.

        Raises:
            PrebuiltTransformer, InvalidProjection, ProjectionConflict, AsyncTransformerRefused, InvalidHook,
            AlreadyBound: As the names say.
        """
        parent = self.parent
        # Below a scope that follows a plan every scope follows the same one.
        plan = parent._plan if parent is not None else None  # noqa: SLF001 -- of its own class
        if plan is None and not transformers:
            plan = plan_for(factories)
        if plan is not None:
            self._plan = plan
            self._registrations = [None] * len(plan.kinds)
            self._owners, self._readers = plan.owners, plan.readers
            self.native_keys, self.only_follows_tasks = plan.native_keys, plan.only_follows_tasks
            return
        self._registrations, self._owners, self._readers = [], {}, ({}, {})
        namespace = self.scope.namespace
        made = [Registration.by(factory, namespace) for factory in factories]
        given = [Registration.of(transformer) for transformer in transformers]
        for registration in (*_ordered(made), *_ordered(given)):
            self._register(registration)

    def required_modes(self) -> list[str]:
        """The stream modes that the transformers need of the graph, each once, in order of first mention."""
        return list(dict.fromkeys(mode for each in self._every() for mode in each.declared.required_stream_modes))

    def used(self) -> list[Registration]:
        """The transformers that have been made, or whose observer notes what they will show."""
        return [each for each in self._registrations if each is not None]

    # --- stages ---

    def readers(self, method: str, *, own: bool) -> Readers:
        """The transformers that are called for events of `method`, of this scope or of those below."""
        known = self._readers[own]
        readers = known.get(method)
        if readers is None:
            readers = Readers.of(self._every(), method, own=own)
            if len(known) < MAX_METHODS:
                known[method] = readers
        return readers

    def stages(self, places: Iterable[int]) -> tuple[Stage, ...]:
        """The stages of the transformers at these places in dispatch order."""
        bit, is_async = self.scope.bit, self._run.port.is_async
        stages = []
        for place in places:
            registration = self._registration(place)
            stages.append(stage_of(registration, self._made(registration), bit, is_async=is_async))
        return tuple(stages)

    # --- projections ---

    def transformer_by_key(self, key: str) -> StreamTransformer | None:
        """The transformer that contributes the projection `key`."""
        place = self._owners.get(key)
        return None if place is None else self._made(self._registration(place))

    def projection(self, key: str) -> Any:
        """The projection of that name.

        Raises:
            KeyError: No transformer contributes it.
        """
        if key not in self._projections:
            self._made(self._registration(self._owners[key]))
        return self._projections[key]

    def projections(self) -> dict[str, Any]:
        """Name -> channel, promise or other value, in order of registration."""
        if self._all is None:
            for registration in self._every():
                self._made(registration)
            self._all = {key: self._projections[key] for key in self._owners}
        return self._all

    def made_channels(self) -> Iterator[StreamChannel[Any]]:
        """The channels among the projections that have been made."""
        return (each for each in self._projections.values() if isinstance(each, StreamChannel))

    def retain(self) -> None:
        """Keep the first items of each projection for a future reader."""
        self._retaining = True
        if self._projections:
            for channel in self.made_channels():
                channel.retain()

    def end(self, outcome: Outcome) -> None:
        """End the projections, then the raw log."""
        self._outcome = outcome
        _end(self._projections.values(), outcome)
        if self._log is not None:
            self._log.end(outcome)

    # --- observers of subgraphs ---

    def observers(self, *, direct: bool) -> tuple[SubgraphObserver, ...]:
        """The observers of this scope and of those above that are concerned, from the root's inwards.

        Args:
            direct: With subgraphs directly below this scope; otherwise with those further down.
        """
        observers = self._observers
        if observers is None:
            above = () if self.parent is None else self.parent.observers(direct=False)
            own = self._own_observers()
            distant = [each for each in own if not each.children_only]
            observers = self._observers = ((*above, *distant), (*above, *own))
        return observers[direct]

    def made_observers(self) -> Iterator[SubgraphObserver]:
        """The observers of this scope that may have been called."""
        return (each.observer for each in self.used() if each.observer is not None)

    # --- inside ---

    def _every(self) -> list[Registration]:
        return [self._registration(place) for place in range(len(self._registrations))]

    def _registration(self, place: int) -> Registration:
        registration = self._registrations[place]
        if registration is None:
            assert self._plan is not None
            kind, hooks = self._plan.kinds[place]
            registration = self._registrations[place] = Registration(kind, hooks, None)
        return registration

    def _made(self, registration: Registration) -> StreamTransformer:
        """Its transformer, made now if it has not been."""
        transformer = registration.transformer
        if transformer is None:
            stand_in = registration.observer
            transformer = registration.transformer = registration.kind(self.scope.namespace)
            projection = transformer.init()
            self._connect(registration, transformer, projection)
            if isinstance(stand_in, ObserverToCome):
                stand_in.has_come(cast("LateObserver", registration.observer))
                registration.observer = stand_in
            if self._outcome is not None:
                _end(projection.values(), self._outcome)
        return transformer

    def _own_observers(self) -> list[SubgraphObserver]:
        if self._plan is not None:
            return [self._observer(self._registration(place)) for place in self._plan.observing]
        return [self._observer(each) for each in self._every() if each.observes]

    def _observer(self, registration: Registration) -> SubgraphObserver:
        if registration.observer is None:
            port = self._run.port
            if self._retaining and catches_up(registration.kind):
                registration.observer = ObserverToCome(port.stamp, port.maxlen)
            else:
                self._made(registration)
        assert registration.observer is not None
        return registration.observer

    def _log_watched(self) -> None:
        if self.log_watched:
            # The log shows what observers push as well, as it happens.
            for registration in self._every():
                if registration.observes:
                    self._made(registration)
        self.scope.routes_changed()

    def _register(self, registration: Registration) -> None:
        name, hooks, is_async = registration.kind.__name__, registration.hooks, self._run.port.is_async
        transformer = registration.transformer
        if transformer is None:
            keys: Iterable[str] = builtin_projections(registration.kind)
            self._claim(registration, keys)
        else:
            reason = None if is_async else reason_for_async(transformer)
            if reason is not None:
                raise AsyncTransformerRefused(name, reason)
            if hooks.overridden.isdisjoint(PROCESSING):
                raise InvalidHook(name, "must override process() or aprocess(), whichever its work needs.")
            projection = transformer.init()
            if not isinstance(projection, dict):
                raise InvalidProjection(name, type(projection).__name__)
            self._claim(registration, projection)
            self._connect(registration, transformer, projection)
            self.any_async = self.any_async or (is_async and hooks.ends_async)
            self.all_builtin = self.all_builtin and bool(builtin_projections(registration.kind))

    def _claim(self, registration: Registration, keys: Iterable[str]) -> None:
        if not self._owners.keys().isdisjoint(keys):
            owners = {key: self._registration(place) for key, place in self._owners.items()}
            taken = {key: owners[key].kind.__name__ for key in keys if key in owners}
            raise ProjectionConflict(registration.kind.__name__, taken)
        for key in keys:
            self._owners[key] = len(self._registrations)
        self._registrations.append(registration)
        if registration.declared._native:  # noqa: SLF001 -- LangGraph's name for it
            self.native_keys |= set(keys)

    def _connect(self, registration: Registration, transformer: StreamTransformer, projection: dict[str, Any]) -> None:
        run = self._run
        registration.observer = transformer.subgraph_observer(self._maker)
        # An observer's projections are on no route.
        on_watched = self.scope.routes_changed if registration.observer is None else None
        for key, value in projection.items():
            self._bind(key, value, on_watched, native=transformer._native)  # noqa: SLF001 -- likewise
        transformer.connect(run.port)
        transformer.watch_tasks(run.task_ends)
        transformer.watch_state(self.scope.state)
        self.ends_silently = self.ends_silently and not registration.hooks.ends
        if not builtin_projections(registration.kind):
            # The library's own transformers schedule nothing.
            transformer.attach(run.scheduler(self.scope))
        if "on_register" in registration.hooks.overridden:
            transformer.on_register(StreamEmitter(registration.kind.__name__, partial(self._emit_for, registration)))

    def _bind(self, key: str, value: Any, on_watched: Callable[[], None] | None, *, native: bool) -> None:
        port = self._run.port
        if isinstance(value, StreamChannel):
            method = None if value.name is None else value.name if native else f"custom:{value.name}"
            forward = None if method is None else self.log.forwarder(method)
            value.bind(port, key, forward=forward, on_watched=on_watched, retain=self._retaining)
        elif isinstance(value, Promise):
            value.bind(port, key)
        self._projections[key] = value

    def _emit_for(self, registration: Registration, namespace: Namespace, event: ProtocolEvent) -> bool:
        """Let `event` be dispatched after the hook that is running now; whether that is one of `registration`'s."""
        if registration.handling:
            event["params"]["namespace"] = list(namespace)
            self._run.emit(event)
        return registration.handling


def _end(projections: Iterable[Any], outcome: Outcome) -> None:
    for projection in projections:
        if isinstance(projection, StreamChannel):
            projection.end(outcome)
        elif isinstance(projection, Promise):
            if outcome.error is None:
                projection.close()
            else:
                projection.fail(outcome.error)


def _ordered(registrations: Sequence[Registration]) -> Iterator[Registration]:
    yield from (each for each in registrations if each.declared.before_builtins)
    yield from (each for each in registrations if not each.declared.before_builtins)
