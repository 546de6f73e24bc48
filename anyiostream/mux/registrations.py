"""`Registration`: one transformer of a scope, made or still to be made; `Plan`: those of all scopes alike, made once.

Most runs, and all their subgraphs, have only the library's own transformers. What that list of classes leads to is
worked out once, as a `Plan`, and a registry is then filled without looking at any of them. Without plans, and with all
built-in transformers made at once, opening a run took 2.4 times as long, and making a handle 1.9 times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import compress, starmap
from operator import length_hint
from typing import TypeVar, cast, final

import attrs

from anyiostream.errors import InvalidHook, PrebuiltTransformer
from anyiostream.events import Namespace
from anyiostream.subgraphs import SubgraphObserver
from anyiostream.transformer import StreamTransformer, builtin_projections
from anyiostream.transformer_hooks import Hooks, hooks_of

T = TypeVar("T")

__all__ = ["Plan", "Readers", "Registration", "make_transformer", "plan_for"]


@final
@attrs.define(eq=False)
class Registration:
    """One transformer of a scope.

    Attributes:
        kind: Its class.
        hooks: The hooks that it overrides.
        transformer: The transformer, once it has been made.
        observer: Its observer of subgraphs, if it has one; before it has been made, what stands for it.
        handling: Whether a hook of it is running, so that it may emit events.
    """

    kind: type[StreamTransformer]
    hooks: Hooks
    transformer: StreamTransformer | None
    observer: SubgraphObserver | None = None
    handling: bool = False
    _call: Iterator[bool] = attrs.field(factory=partial(iter, (True,)))

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
    def ended(self) -> bool:
        """Whether its ending hook has been called."""
        return not length_hint(self._call)

    def end(self, hook: Callable[..., T], *args: object) -> T:
        """Call its ending hook, which has not been called yet.

        `KeyboardInterrupt` may come between any two lines of Python. A flag set before the call would lose the call,
        a flag set after it would repeat it. So one C expression does both: making the call uses up the only item of
        `_call`.
        """
        return next(starmap(hook, compress((args,), self._call)))

    def end_again(self) -> None:
        """The hook is a coroutine function whose coroutine has not been started: it counts as not called."""
        self._call = iter((True,))

    @property
    def observes(self) -> bool:
        """Whether it observes subgraphs, instead of being called with `tasks` events."""
        if self.transformer is None:
            return "subgraph_observer" in self.hooks.overridden
        return self.observer is not None

    @property
    def declared(self) -> StreamTransformer | type[StreamTransformer]:
        """Where its attributes are declared: on the transformer, or on its class."""
        return self.kind if self.transformer is None else self.transformer

    def reads(self, method: str, *, own: bool) -> bool:
        """Whether it is called for events of `method`, in its own scope or in one below."""
        declared = self.declared
        return (declared.methods is None or method in declared.methods) and (own or not declared.own_scope)


@final
@attrs.define(eq=False)
class Readers:
    """The transformers that are called for the events of one method, by their places in dispatch order.

    Attributes:
        before: The places before the first observer of subgraphs.
        after: The places behind it.
        tracked: Whether there is an observer, and the method is `tasks`.
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
        observing: The places of the observers of subgraphs.
        only_follows_tasks: As of the registry.
        readers: Method -> its readers, for events of the scopes below and of the scope itself; filled as events arrive.
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
        PrebuiltTransformer: `factory` is not a class or factory.
        InvalidHook: It does not make a transformer.
    """
    if isinstance(factory, StreamTransformer):
        raise PrebuiltTransformer(type(factory).__name__)
    if not callable(factory):
        raise PrebuiltTransformer(type(factory).__name__, callable_wanted=True)
    made: object = factory(scope)
    if not isinstance(made, StreamTransformer):
        raise InvalidHook(
            getattr(factory, "__name__", repr(factory)), f"made a {type(made).__name__}, not a transformer."
        )
    return made
