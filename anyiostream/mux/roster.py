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

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.promise import Promise
from anyiostream.channels.unread import Ended
from anyiostream.ending import Ending
from anyiostream.errors import (
    AsyncTransformerRefused,
    InvalidHook,
    InvalidProjection,
    ProjectionConflict,
)
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.mux.port import RunPort
from anyiostream.mux.registrations import Plan, Readers, Registration, plan_for
from anyiostream.subgraphs import LateObserver, ObserverToCome, SubgraphObserver
from anyiostream.transformer import (
    StreamEmitter,
    StreamTransformer,
    builtin_projections,
    catches_up,
    reason_for_async,
)

if TYPE_CHECKING:
    from anyiostream.mux.mux import Mux

__all__ = ["Roster"]

PROCESSING: Final = frozenset({"process", "aprocess"})
"""A transformer overrides one of these."""

MAX_METHODS: Final = 256
"""Methods for which it is remembered who reads them: there are a dozen, and those that users' transformers make up."""


@final
class Roster:
    """The transformers of one mux.

    Attributes:
        native_keys: Names of projections that are attributes of the run stream as well.
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
        "_plan",
        "_port",
        "_projections",
        "_readers",
        "_registrations",
        "_retaining",
        "all_builtin",
        "any_async",
        "ends_silently",
        "native_keys",
        "only_follows_tasks",
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
        self._plan: Plan | None = None
        self._registrations: list[Registration | None] = []
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
            plan = plan_for(factories)
            if plan is not None:
                self._follow(plan)
                return
        scope = self._mux.scope
        made = [Registration.by(factory, scope) for factory in factories]
        given = [Registration.of(transformer) for transformer in transformers]
        for registration in (*_ordered(made), *_ordered(given)):
            self._register(registration)

    def register_as(self, other: Roster) -> bool:
        """Register the same as the roster of the mux above, if all are the library's own; whether that is so."""
        if other._plan is None:
            return False
        self._follow(other._plan)
        return True

    def _follow(self, plan: Plan) -> None:
        self._plan = plan
        self._registrations = [None] * len(plan.kinds)
        self._owners, self._readers = plan.owners, plan.readers
        self.native_keys, self.only_follows_tasks = plan.native_keys, plan.only_follows_tasks

    @property
    def registrations(self) -> list[Registration]:
        """The transformers, in dispatch order."""
        return [self.registration(place) for place in range(len(self._registrations))]

    def registration(self, place: int) -> Registration:
        """The transformer at a place in dispatch order."""
        registration = self._registrations[place]
        if registration is None:
            assert self._plan is not None
            kind, hooks = self._plan.kinds[place]
            registration = self._registrations[place] = Registration(kind, hooks, None)
        return registration

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
        return None if place is None else self.ready(self.registration(place))

    def projection(self, key: str) -> Any:
        """The projection of that name.

        Raises:
            KeyError: There is none.
        """
        if key not in self._projections:
            self.ready(self.registration(self._owners[key]))
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
        if self._plan is not None:
            return [self._observer(self.registration(place)) for place in self._plan.observing]
        return [self._observer(each) for each in self.registrations if each.observes]

    def make_observers(self) -> None:
        """Make those that are told of subgraphs, so that they push what they are told of as it happens."""
        for registration in self.registrations:
            if registration.observes:
                self.ready(registration)

    def made_observers(self) -> Iterator[SubgraphObserver]:
        """Those that may have been told of a subgraph."""
        return (each.observer for each in self.used() if each.observer is not None)

    def used(self) -> list[Registration]:
        """The transformers that have been made, or have somebody take notes for them."""
        return [each for each in self._registrations if each is not None]

    def made_channels(self) -> Iterator[StreamChannel[Any]]:
        """The channels among the projections, as far as they have been made."""
        return (each for each in self._projections.values() if isinstance(each, StreamChannel))

    def retain(self) -> None:
        """Keep the first items of each projection for a reader that is to come."""
        self._retaining = True
        if self._projections:
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
            owners = {key: self.registration(place) for key, place in self._owners.items()}
            taken = {key: owners[key].kind.__name__ for key in keys if key in owners}
            raise ProjectionConflict(registration.kind.__name__, taken)
        for key in keys:
            self._owners[key] = len(self._registrations)
        self._registrations.append(registration)
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
