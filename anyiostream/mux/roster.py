"""`Roster`: the transformers of one mux, in order, and the projections that they contribute.

Rules:

- The library's own transformers do nothing but fill projections. Such a one is made when its first event is on its
  way, or when somebody asks for its projection; most of them, in most of a run's many subgraphs, are never made. All
  others are made with the mux, as they may be watching from the start.
- Which projections there are is known from the start: two transformers never contribute the same one.
- A transformer that is made after the mux has ended has seen no event: its projections end at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, final

import attrs

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.promise import Promise
from anyiostream.channels.unread import Ended
from anyiostream.ending import Ending
from anyiostream.errors import (
    AsyncTransformerRefused,
    InvalidHook,
    InvalidProjection,
    PrebuiltTransformer,
    ProjectionConflict,
)
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.mux.port import RunPort
from anyiostream.subgraphs import HandleMaker, SubgraphObserver
from anyiostream.transformer import (
    Hooks,
    Scheduler,
    StreamEmitter,
    StreamTransformer,
    builtin_projections,
    hooks_of,
    reason_for_async,
)

__all__ = ["Registration", "Roster", "make_transformer"]

PROCESSING: Final = frozenset({"process", "aprocess"})
"""A transformer overrides one of these."""


@final
@attrs.define(eq=False)
class Registration:
    """One transformer of a mux.

    Attributes:
        kind: Its class.
        hooks: What that overrides.
        transformer: The transformer, once it has been made.
        observer: What is told of subgraphs, if it wants to be, and has been made.
        ended: Whether its ending hook has been called.
        handling: Whether one of its hooks is running that may emit events.
    """

    kind: type[StreamTransformer]
    hooks: Hooks
    transformer: StreamTransformer | None
    observer: SubgraphObserver | None = None
    ended: bool = False
    handling: bool = False

    @classmethod
    def of(cls, transformer: StreamTransformer) -> Registration:
        """A transformer that has been made."""
        return cls(type(transformer), hooks_of(type(transformer)), transformer)

    @classmethod
    def by(cls, factory: object, scope: Namespace) -> Registration:
        """What `factory` makes for `scope`, made now unless that can wait.

        Raises:
            As `make_transformer`.
        """
        if isinstance(factory, type) and builtin_projections(factory):
            return cls(factory, hooks_of(factory), None)
        return cls.of(make_transformer(factory, scope))

    @property
    def observes(self) -> bool:
        """Whether it is told of subgraphs, instead of being called with `tasks` events."""
        if self.transformer is None:
            return "subgraph_observer" in self.hooks.overridden
        return self.observer is not None

    @property
    def declared(self) -> StreamTransformer | type[StreamTransformer]:
        """Where its attributes are declared: on the transformer, or on its class."""
        return self.kind if self.transformer is None else self.transformer

    def reads(self, method: str, *, own: bool) -> bool:
        """Whether it is called for events of `method`, of its own scope or of one below."""
        declared = self.declared
        return (declared.methods is None or method in declared.methods) and (own or not declared.own_scope)


@final
class Roster:
    """The transformers of one mux.

    Attributes:
        native_keys: Names of projections that are attributes of the run stream as well.
        registrations: The transformers, in dispatch order.
        any_async: Whether the mux's end may have to be awaited for the sake of its hooks.
        all_builtin: Whether none is the user's.
    """

    def __init__(
        self,
        port: RunPort,
        scope: Namespace,
        maker: HandleMaker,
        scheduler: Scheduler,
        *,
        forwarder: Callable[[str], Callable[[object], None]],
        recompile: Callable[[], None],
        emit: Callable[[Namespace, ProtocolEvent], None],
    ) -> None:
        """Make an empty roster.

        Args:
            port: What projections need of the run.
            scope: The mux's scope.
            maker: Makes the handles of subgraphs.
            scheduler: Runs what the transformers schedule.
            forwarder: Makes, for a method, what appends each item of a named channel to the raw log.
            recompile: Called when somebody starts or stops reading a projection.
            emit: Dispatches an event that a transformer synthesises.
        """
        self._port = port
        self._scope = scope
        self._maker = maker
        self._scheduler = scheduler
        self._forwarder = forwarder
        self._recompile = recompile
        self._emit = emit
        self._owners: dict[str, Registration] = {}
        self._projections: dict[str, Any] = {}
        self._all: dict[str, Any] | None = None
        self._observers: list[SubgraphObserver] | None = None
        self._retaining = False
        self._ending: Ending | None = None
        self.native_keys: Final[set[str]] = set()
        self.registrations: Final[list[Registration]] = []
        self.any_async = False
        self.all_builtin = True

    def register_all(self, factories: Sequence[object], transformers: Iterable[StreamTransformer]) -> None:
        """Register what the factories make, and transformers; of each, first those that want to be first.

        Raises:
            PrebuiltTransformer, InvalidProjection, ProjectionConflict, AsyncTransformerRefused, InvalidHook,
            AlreadyBound: As the names say.
        """
        if not transformers:
            # Most runs, and all their subgraphs, have nothing but the library's own. To register these by a list that
            # is made once takes a quarter off the cost of a mux.
            plan = _plan(factories)
            if plan is not None:
                self.registrations.extend(Registration(kind, hooks, None) for kind, hooks in plan.kinds)
                self._owners = dict(zip(plan.keys, map(self.registrations.__getitem__, plan.indices), strict=True))
                self.native_keys.update(plan.native_keys)
                return
        made = [Registration.by(factory, self._scope) for factory in factories]
        given = [Registration.of(transformer) for transformer in transformers]
        for registration in (*_ordered(made), *_ordered(given)):
            self._register(registration)

    def required_modes(self) -> list[str]:
        """The stream modes that the transformers need of the graph, each once, in order of first mention."""
        return list(dict.fromkeys(mode for each in self.registrations for mode in each.declared.required_stream_modes))

    def ready(self, registration: Registration) -> StreamTransformer:
        """Its transformer, made now if it has not been."""
        if registration.transformer is None:
            registration.transformer = registration.kind(self._scope)
            self._connect(registration, registration.transformer, registration.transformer.init())
        return registration.transformer

    def transformer_by_key(self, key: str) -> StreamTransformer | None:
        """The transformer that contributes the projection `key`."""
        registration = self._owners.get(key)
        return None if registration is None else self.ready(registration)

    def projection(self, key: str) -> Any:
        """The projection of that name.

        Raises:
            KeyError: There is none.
        """
        if key not in self._projections:
            self.ready(self._owners[key])
        return self._projections[key]

    def projections(self) -> dict[str, Any]:
        """Name -> channel, promise or other value, in order of registration."""
        if self._all is None:
            for registration in self.registrations:
                self.ready(registration)
            self._all = {key: self._projections[key] for key in self._owners}
        return self._all

    def observers(self) -> list[SubgraphObserver]:
        """Those to be told of subgraphs; made now."""
        if self._observers is None:
            for registration in self.registrations:
                if registration.observes:
                    self.ready(registration)
            self._observers = list(self.made_observers())
        return self._observers

    def made_observers(self) -> Iterator[SubgraphObserver]:
        """Those that have been made, and so may have been told of a subgraph."""
        return (each.observer for each in self.registrations if each.observer is not None)

    def made_channels(self) -> Iterator[StreamChannel[Any]]:
        """The channels among the projections, as far as they have been made."""
        return (each for each in self._projections.values() if isinstance(each, StreamChannel))

    def retain(self) -> None:
        """Keep the first items of each projection for a reader that is to come."""
        self._retaining = True
        for channel in self.made_channels():
            channel.retain()

    def end(self, ending: Ending) -> None:
        """End the projections."""
        self._ending = ending
        _end(self._projections.values(), ending)

    # --- inside ---

    def _register(self, registration: Registration) -> None:
        name, hooks, is_async = registration.kind.__name__, registration.hooks, self._port.is_async
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
            taken = {key: self._owners[key].kind.__name__ for key in keys if key in self._owners}
            raise ProjectionConflict(registration.kind.__name__, taken)
        self.registrations.append(registration)
        for key in keys:
            self._owners[key] = registration
        if registration.declared._native:  # noqa: SLF001 -- LangGraph's name for it
            self.native_keys.update(keys)

    def _connect(self, registration: Registration, transformer: StreamTransformer, projection: dict[str, Any]) -> None:
        registration.observer = transformer.subgraph_observer(self._maker)
        for key, value in projection.items():
            self._bind(key, value, native=transformer._native)  # noqa: SLF001 -- likewise
        transformer.connect(self._port)
        transformer.attach(self._scheduler)
        if "on_register" in registration.hooks.overridden:
            transformer.on_register(StreamEmitter(registration.kind.__name__, partial(self._emit_for, registration)))
        if self._ending is not None:
            _end(projection.values(), self._ending)

    def _bind(self, key: str, value: Any, *, native: bool) -> None:
        if isinstance(value, StreamChannel):
            method = None if value.name is None else value.name if native else f"custom:{value.name}"
            forward = None if method is None else self._forwarder(method)
            value.bind(self._port, key, forward=forward, on_watched=self._recompile)
            if self._retaining:
                value.retain()
        elif isinstance(value, Promise):
            value.bind(self._port, key)
        self._projections[key] = value

    def _emit_for(self, registration: Registration, namespace: Namespace, event: ProtocolEvent) -> bool:
        if registration.handling:
            self._emit(namespace, event)
        return registration.handling


@final
@attrs.frozen(eq=False)
class Plan:
    """The registrations that a list of the library's own transformers leads to.

    Attributes:
        kinds: The classes in dispatch order, and their hooks.
        keys: The projections, in order.
        indices: For each of them, the place of its transformer.
        native_keys: Those that are native.
    """

    kinds: tuple[tuple[type[StreamTransformer], Hooks], ...]
    keys: tuple[str, ...]
    indices: tuple[int, ...]
    native_keys: frozenset[str]


_plans: dict[tuple[type[StreamTransformer], ...], Plan | None] = {}


def _plan(factories: Sequence[object]) -> Plan | None:
    """The plan for `factories`, or `None` if they are not just the library's own classes, each once."""
    kinds: tuple[type[StreamTransformer], ...] = tuple(
        factory for factory in factories if isinstance(factory, type) and builtin_projections(factory)
    )
    if len(kinds) < len(factories):
        return None
    if kinds not in _plans:
        claims = [(key, place) for place, kind in enumerate(kinds) for key in builtin_projections(kind)]
        keys = tuple(key for key, _ in claims)
        _plans[kinds] = None
        if len(set(keys)) == len(keys):
            native = frozenset(key for key, place in claims if kinds[place]._native)  # noqa: SLF001 -- likewise
            hooks = tuple((kind, hooks_of(kind)) for kind in kinds)
            _plans[kinds] = Plan(hooks, keys, tuple(place for _, place in claims), native)
    return _plans[kinds]


def _end(projections: Iterable[Any], ending: Ending) -> None:
    ended = Ended.by(None if ending.quietly else ending.error)
    for projection in projections:
        if isinstance(projection, StreamChannel):
            projection.end(ended)
        elif isinstance(projection, Promise):
            if ending.error is None:
                projection.close()
            else:
                projection.fail(ending.error)


def _ordered(registrations: Sequence[Registration]) -> Iterator[Registration]:
    yield from (each for each in registrations if each.declared.before_builtins)
    yield from (each for each in registrations if not each.declared.before_builtins)


def make_transformer(factory: object, scope: Namespace) -> StreamTransformer:
    """A transformer for `scope`.

    Raises:
        PrebuiltTransformer: `factory` is no class or factory, or does not make a transformer.
    """
    if isinstance(factory, StreamTransformer):
        raise PrebuiltTransformer(type(factory).__name__)
    if not callable(factory):
        raise PrebuiltTransformer(type(factory).__name__, callable_wanted=True)
    made: object = factory(scope)
    if not isinstance(made, StreamTransformer):
        raise InvalidHook(getattr(factory, "__name__", repr(factory)), f"made a {type(made).__name__}, no transformer.")
    return made
