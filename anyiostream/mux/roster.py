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
from collections.abc import Set as AbstractSet
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs

from anyiostream.channels.buffer import Ended
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.promise import Promise
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
from anyiostream.subgraphs import LateObserver, ObserverToCome, SubgraphObserver
from anyiostream.transformer import (
    Hooks,
    StreamEmitter,
    StreamTransformer,
    builtin_projections,
    catches_up,
    hooks_of,
    reason_for_async,
)

if TYPE_CHECKING:
    from anyiostream.mux.mux import Mux

__all__ = ["Registration", "Roster", "make_transformer"]

PROCESSING: Final = frozenset({"process", "aprocess"})
"""A transformer overrides one of these."""

MAX_METHODS: Final = 256
"""Methods for which it is remembered who reads them: there are a dozen, and those that users' transformers make up."""


@final
@attrs.define(eq=False)
class Registration:
    """One transformer of a mux.

    Attributes:
        kind: Its class.
        hooks: What that overrides.
        transformer: The transformer, once it has been made.
        observer: What is told of subgraphs, if it wants to be; before it has been made, what notes them for it.
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
@attrs.define(eq=False)
class Readers:
    """Who is called for the events of one method.

    Attributes:
        before: The places of those before the first that is told of subgraphs.
        after: The places of those behind it.
        tracked: Whether there is such a one, and the events are those that subgraphs are told from.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    tracked: bool

    @classmethod
    def of(cls, registrations: Sequence[Registration], method: str, *, own: bool) -> Readers:
        """Those among `registrations`, for events of their own scope or of those below."""
        places: tuple[list[int], list[int]] = ([], [])
        observed = False
        for place, registration in enumerate(registrations):
            if registration.observes:
                observed = True
            elif registration.reads(method, own=own):
                places[observed].append(place)
        return cls(tuple(places[False]), tuple(places[True]), observed and method == "tasks")


@final
class Roster:
    """The transformers of one mux.

    Attributes:
        native_keys: Names of projections that are attributes of the run stream as well.
        registrations: The transformers, in dispatch order.
        any_async: Whether the mux's end may have to be awaited for the sake of its hooks.
        ends_silently: Whether none of those that have been made has a hook to be called at the mux's end.
        all_builtin: Whether none is the user's.
        only_follows_tasks: Whether `tasks` events are of no other use to them than to be told of subgraphs.
    """

    __slots__ = (
        "_all",
        "_end",
        "_mux",
        "_owners",
        "_port",
        "_projections",
        "_readers",
        "_retaining",
        "all_builtin",
        "any_async",
        "ends_silently",
        "native_keys",
        "only_follows_tasks",
        "registrations",
    )

    def __init__(self, mux: Mux, port: RunPort) -> None:
        """Make the empty roster of `mux`."""
        self._mux = mux
        self._port = port
        self._owners: dict[str, int] = {}
        self._projections: dict[str, Any] = {}
        self._all: dict[str, Any] | None = None
        self._readers: tuple[dict[str, Readers], dict[str, Readers]] = ({}, {})
        self._retaining = False
        self._end: tuple[Ended, Ending] | None = None
        self.native_keys: AbstractSet[str] = frozenset()
        self.registrations: Final[list[Registration]] = []
        self.any_async = False
        self.ends_silently = True
        self.all_builtin = True
        self.only_follows_tasks = False

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
                self.registrations.extend([Registration(kind, hooks, None) for kind, hooks in plan.kinds])
                self._owners, self._readers = plan.owners, plan.readers
                self.native_keys, self.only_follows_tasks = plan.native_keys, plan.only_follows_tasks
                return
        scope = self._mux.scope
        made = [Registration.by(factory, scope) for factory in factories]
        given = [Registration.of(transformer) for transformer in transformers]
        for registration in (*_ordered(made), *_ordered(given)):
            self._register(registration)

    def readers(self, method: str, *, own: bool) -> Readers:
        """Who is called for events of `method`, of this scope or of those below."""
        known = self._readers[own]
        readers = known.get(method)
        if readers is None:
            readers = Readers.of(self.registrations, method, own=own)
            if len(known) < MAX_METHODS:
                known[method] = readers
        return readers

    def required_modes(self) -> list[str]:
        """The stream modes that the transformers need of the graph, each once, in order of first mention."""
        return list(dict.fromkeys(mode for each in self.registrations for mode in each.declared.required_stream_modes))

    def ready(self, registration: Registration) -> StreamTransformer:
        """Its transformer, made now if it has not been."""
        transformer = registration.transformer
        if transformer is None:
            stand_in = registration.observer
            transformer = registration.transformer = registration.kind(self._mux.scope)
            projection = transformer.init()
            self._connect(registration, transformer, projection)
            if isinstance(stand_in, ObserverToCome):
                stand_in.has_come(cast("LateObserver", registration.observer))
                registration.observer = stand_in
            if self._end is not None:
                _end(projection.values(), *self._end)
        return transformer

    def transformer_by_key(self, key: str) -> StreamTransformer | None:
        """The transformer that contributes the projection `key`."""
        place = self._owners.get(key)
        return None if place is None else self.ready(self.registrations[place])

    def projection(self, key: str) -> Any:
        """The projection of that name.

        Raises:
            KeyError: There is none.
        """
        if key not in self._projections:
            self.ready(self.registrations[self._owners[key]])
        return self._projections[key]

    def projections(self) -> dict[str, Any]:
        """Name -> channel, promise or other value, in order of registration."""
        if self._all is None:
            for registration in self.registrations:
                self.ready(registration)
            self._all = {key: self._projections[key] for key in self._owners}
        return self._all

    def observers(self) -> list[SubgraphObserver]:
        """Those to be told of subgraphs below."""
        return [self._observer(registration) for registration in self.registrations if registration.observes]

    def make_observers(self) -> None:
        """Make those that are told of subgraphs, so that they push what they are told of as it happens."""
        for registration in self.registrations:
            if registration.observes:
                self.ready(registration)

    def made_observers(self) -> Iterator[SubgraphObserver]:
        """Those that may have been told of a subgraph."""
        return (each.observer for each in self.registrations if each.observer is not None)

    def made_channels(self) -> Iterator[StreamChannel[Any]]:
        """The channels among the projections, as far as they have been made."""
        return (each for each in self._projections.values() if isinstance(each, StreamChannel))

    def retain(self) -> None:
        """Keep the first items of each projection for a reader that is to come."""
        self._retaining = True
        for channel in self.made_channels():
            channel.retain()

    def end(self, ended: Ended, ending: Ending) -> None:
        """End the projections; with `ended`, what their readers get."""
        self._end = ended, ending
        _end(self._projections.values(), ended, ending)

    # --- inside ---

    def _observer(self, registration: Registration) -> SubgraphObserver:
        if registration.observer is None:
            if self._retaining and catches_up(registration.kind):
                # Most handles' `lifecycle` is never read: to note what it would show takes a tenth of making it.
                registration.observer = ObserverToCome(self._port.stamp, self._port.maxlen)
            else:
                self.ready(registration)
        assert registration.observer is not None
        return registration.observer

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
            owners = {key: self.registrations[place] for key, place in self._owners.items()}
            taken = {key: owners[key].kind.__name__ for key in keys if key in owners}
            raise ProjectionConflict(registration.kind.__name__, taken)
        for key in keys:
            self._owners[key] = len(self.registrations)
        self.registrations.append(registration)
        if registration.declared._native:  # noqa: SLF001 -- LangGraph's name for it
            self.native_keys |= set(keys)

    def _connect(self, registration: Registration, transformer: StreamTransformer, projection: dict[str, Any]) -> None:
        registration.observer = transformer.subgraph_observer(self._mux)
        # No route leads to what is told of subgraphs.
        on_watched = self._mux.recompile if registration.observer is None else None
        for key, value in projection.items():
            self._bind(key, value, on_watched, native=transformer._native)  # noqa: SLF001 -- likewise
        transformer.connect(self._port)
        self.ends_silently = self.ends_silently and not registration.hooks.ends
        if not builtin_projections(registration.kind):
            # The library's own schedule nothing.
            transformer.attach(self._mux.nursery.for_scope(self._mux.scope))
        if "on_register" in registration.hooks.overridden:
            transformer.on_register(StreamEmitter(registration.kind.__name__, partial(self._emit_for, registration)))

    def _bind(self, key: str, value: Any, on_watched: Callable[[], None] | None, *, native: bool) -> None:
        if isinstance(value, StreamChannel):
            method = None if value.name is None else value.name if native else f"custom:{value.name}"
            forward = None if method is None else self._mux.forwarder(method)
            value.bind(self._port, key, forward=forward, on_watched=on_watched, retain=self._retaining)
        elif isinstance(value, Promise):
            value.bind(self._port, key)
        self._projections[key] = value

    def _emit_for(self, registration: Registration, namespace: Namespace, event: ProtocolEvent) -> bool:
        if registration.handling:
            self._mux.router.emit(namespace, event)
        return registration.handling


@final
@attrs.frozen(eq=False)
class Plan:
    """The registrations that a list of the library's own transformers leads to.

    Attributes:
        kinds: The classes in dispatch order, and their hooks.
        owners: Projection -> the place of its transformer, in order.
        native_keys: Those that are native.
        only_follows_tasks: As of the roster.
        readers: Method -> who is called for events of the scopes below, and of the scope itself; filled as they come.
    """

    kinds: tuple[tuple[type[StreamTransformer], Hooks], ...]
    owners: dict[str, int]
    native_keys: frozenset[str]
    only_follows_tasks: bool
    readers: tuple[dict[str, Readers], dict[str, Readers]] = attrs.field(factory=lambda: ({}, {}))


_plans: dict[tuple[type[StreamTransformer], ...], Plan | None] = {}


def _plan(factories: Sequence[object]) -> Plan | None:
    """The plan for `factories`, or `None` if they are not just the library's own classes, each once."""
    kinds = cast("tuple[type[StreamTransformer], ...]", tuple(factories))
    try:
        return _plans[kinds]
    except (KeyError, TypeError):  # not seen yet, or not hashable
        pass
    if not all(isinstance(kind, type) and builtin_projections(kind) for kind in kinds):
        return None
    claims = [(key, place) for place, kind in enumerate(kinds) for key in builtin_projections(kind)]
    owners = dict(claims)
    _plans[kinds] = None
    if len(owners) == len(claims):
        native = frozenset(key for key, place in claims if kinds[place]._native)  # noqa: SLF001 -- likewise
        registrations = [Registration(kind, hooks_of(kind), None) for kind in kinds]
        observed = any(each.observes for each in registrations)
        read = any(each.reads("tasks", own=True) for each in registrations if not each.observes)
        _plans[kinds] = Plan(
            tuple((each.kind, each.hooks) for each in registrations), owners, native, observed and not read
        )
    return _plans[kinds]


def _end(projections: Iterable[Any], ended: Ended, ending: Ending) -> None:
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
