"""Registrations: one transformer of a mux each, made or still to be made, and the plan for those of every mux alike.

Most runs, and all their subgraphs, have nothing but the library's own transformers. What that list of classes leads to
is worked out once (`Plan`), and a mux is then made without looking at any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, final

import attrs

from anyiostream.errors import InvalidHook, PrebuiltTransformer
from anyiostream.events import Namespace
from anyiostream.subgraphs import SubgraphObserver
from anyiostream.transformer import Hooks, StreamTransformer, builtin_projections, hooks_of

__all__ = ["Plan", "Readers", "Registration", "make_transformer", "plan_for"]


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
@attrs.frozen(eq=False)
class Plan:
    """The registrations that a list of the library's own transformers leads to.

    Attributes:
        kinds: The classes in dispatch order, and their hooks.
        owners: Projection -> the place of its transformer, in order.
        native_keys: Those that are native.
        observing: The places of the transformers that are told of subgraphs.
        only_follows_tasks: As of the roster.
        readers: Method -> who is called for events of the scopes below, and of the scope itself; filled as they come.
    """

    kinds: tuple[tuple[type[StreamTransformer], Hooks], ...]
    owners: dict[str, int]
    native_keys: frozenset[str]
    observing: tuple[int, ...]
    only_follows_tasks: bool
    readers: tuple[dict[str, Readers], dict[str, Readers]] = attrs.field(factory=lambda: ({}, {}))


_plans: dict[tuple[type[StreamTransformer], ...], Plan | None] = {}


def plan_for(factories: Sequence[object]) -> Plan | None:
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
        observing = tuple(place for place, each in enumerate(registrations) if each.observes)
        read = any(each.reads("tasks", own=True) for each in registrations if not each.observes)
        hooks = tuple((each.kind, each.hooks) for each in registrations)
        _plans[kinds] = Plan(hooks, owners, native, observing, bool(observing) and not read)
    return _plans[kinds]


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
