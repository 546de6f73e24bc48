"""`Router`: takes each part of the graph to the muxes that want it.

Rules:

- One router per run. It knows the mux of every namespace that has one, and keeps for each namespace a table of
  compiled routes, method -> callable. A namespace without a mux of its own shares the table of the nearest one above.
- Tables are filled as events arrive, and emptied when somebody starts or stops reading a raw log.
- Taking a part is the same for both lanes: it gives `None`, or a coroutine if hooks must be awaited.
- What a transformer emits while it handles an event is dispatched right after that hook, before the event goes on.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, final

import attrs

from anyiostream.events import (
    Namespace,
    ProtocolEvent,
    method_and_namespace,
)
from anyiostream.mux.routes import PayloadRoute, Route, Stage, StageKind, blame, keep_of, run_stages
from anyiostream.mux.taking import Take, taking_events, taking_payloads

if TYPE_CHECKING:
    from anyiostream.mux.mux import Mux
    from anyiostream.state import GraphState

__all__ = ["Router", "Table"]

INNER = "/inner"
"""Suffix of the key under which a table keeps the route below the root for events that open and end subgraphs."""

MAX_SHARED_TABLES = 4096
"""Namespaces without a mux that are remembered at a time; beyond it they are looked up anew."""


@final
@attrs.frozen(eq=False)
class Table:
    """The routes of one namespace.

    Attributes:
        takes: Method -> what takes a part through its route.
        routes: Method -> route for callers that have an event already.
    """

    takes: dict[str, Take] = attrs.field(factory=dict)
    routes: dict[str, Route] = attrs.field(factory=dict)

    def clear(self) -> None:
        """Compile them anew."""
        self.takes.clear()
        self.routes.clear()


@final
@attrs.define(eq=False)
class Router:
    """The routes of one run.

    Attributes:
        takes: Namespace -> method -> what takes such a part through its route. What it does not have, `take_of` has.
        seq: The `seq` of the last event of the root's raw log.
        namespace: Namespace of the event being dispatched.
        waits_for_children: Whether ending a subgraph may have to wait, for its hooks or its scheduled work.
    """

    takes: dict[Namespace, dict[str, Take]] = attrs.field(factory=dict)
    seq: int = 0
    namespace: Namespace = ()
    waits_for_children: bool = False
    _tables: dict[Namespace, Table] = attrs.field(factory=dict)
    _muxes: dict[Namespace, Mux] = attrs.field(factory=dict)
    _shared: dict[Namespace, Mux] = attrs.field(factory=dict)
    _begun: bool = False
    _emitted: list[ProtocolEvent] = attrs.field(factory=list)

    # --- which muxes there are ---

    def enter(self, mux: Mux) -> None:
        """`mux` is there from now on; its parent, if it has one, is there already."""
        self._muxes[mux.scope] = mux
        if mux.parent is not None:
            mux.parent.children[mux.scope] = mux
        depth = len(mux.scope)
        for namespace in [known for known in self._shared if known[:depth] == mux.scope]:
            self.forget(namespace)
        self._set_table(mux.scope, Table())

    def leave(self, mux: Mux) -> None:
        """`mux` has ended; events at its namespace go to its parent only."""
        if self._muxes.pop(mux.scope, None) is not None:
            del self._tables[mux.scope], self.takes[mux.scope]
            if mux.parent is not None:
                mux.parent.children.pop(mux.scope, None)
            for namespace in [known for known, owner in self._shared.items() if owner is mux]:
                self.forget(namespace)

    def forget(self, namespace: Namespace) -> None:
        """Nothing more is expected at a namespace that has no mux."""
        if self._shared.pop(namespace, None) is not None:
            self._tables.pop(namespace, None)
            self.takes.pop(namespace, None)

    def mux_at(self, namespace: Namespace) -> Mux | None:
        """The mux whose scope is `namespace`."""
        return self._muxes.get(namespace)

    def path(self, namespace: Namespace) -> list[Mux]:
        """The muxes from the root to the one nearest to `namespace`."""
        path = []
        mux: Mux | None = self._nearest(namespace)
        while mux is not None:
            path.append(mux)
            mux = mux.parent
        path.reverse()
        return path

    def recompile_from(self, mux: Mux) -> None:
        """Somebody has started or stopped reading something of `mux`: compile anew what passes through it."""
        pending = [mux]
        while pending:
            mux = pending.pop()
            table = self._tables.get(mux.scope)
            if table is not None:
                table.clear()
            mux.forget_stages()
            mux.below.clear()
            pending.extend(mux.children.values())

    # --- dispatch ---

    def take_of(self, part: object) -> tuple[Take, Any]:
        """What takes `part` through its route, and its data, after all checks.

        Raises:
            MalformedPart: It is no part.
        """
        method, namespace = method_and_namespace(part)
        assert isinstance(part, Mapping)
        self._begin()
        table = self._table(namespace)
        take = table.takes.get(method)
        if take is None:
            stages, state = self._stages(namespace, method)
            payload_route = PayloadRoute.of(stages, state)
            if payload_route is None:
                take = taking_events(self, Route.of(stages, state, waits=self.waits_for_children), method)
            else:
                log = self._root.events
                take = taking_payloads(self, payload_route, method, log.sink() if log.watched else None)
            table.takes[method] = take
        return take, part["data"]

    def dispatch_event(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Take an event through its route: `None`, or a coroutine that has to be awaited."""
        params = event["params"]
        namespace = tuple(params["namespace"])
        self._begin()
        method = event["method"]
        table = self._table(namespace)
        route = table.routes.get(method)
        if route is None:
            stages, state = self._stages(namespace, method)
            route = table.routes[method] = Route.of(stages, state, waits=self.waits_for_children)
        self.namespace = namespace
        if route.state is not None:
            route.state.observe(params["data"], params.get("interrupts", ()))
        return self.run(route, event)

    def dispatch_below_root(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Take an event that opens or ends subgraphs to the muxes below the root, as they are now."""
        namespace = tuple(event["params"]["namespace"])
        key = event["method"] + INNER
        table = self._table(namespace)
        route = table.routes.get(key)
        if route is None:
            path = self.path(namespace)
            stages = path[0].stages(path, 1, event["method"], namespace) if len(path) > 1 else []
            route = table.routes[key] = Route.of(stages, None, waits=self.waits_for_children)
        return self.run(route, event) if route.segments else None

    def emit(self, namespace: Namespace, event: ProtocolEvent) -> None:
        """Dispatch `event` after the hook that is running now."""
        event["params"]["namespace"] = list(namespace)
        self._emitted.append(event)

    # --- inside ---

    def _set_table(self, namespace: Namespace, table: Table) -> Table:
        self._tables[namespace] = table
        self.takes[namespace] = table.takes
        return table

    def _table(self, namespace: Namespace) -> Table:
        table = self._tables.get(namespace)
        if table is None:
            mux = self._nearest(namespace)
            if len(self._shared) >= MAX_SHARED_TABLES:
                for known in list(self._shared):
                    self.forget(known)
            self._shared[namespace] = mux
            table = self._set_table(namespace, mux.below)
        return table

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._root.follower.begin()

    @property
    def _root(self) -> Mux:
        return next(iter(self._muxes.values()))

    def _stages(self, namespace: Namespace, method: str) -> tuple[list[Stage], GraphState | None]:
        """What such an event passes through, and the state that takes note of it: that of the mux at `namespace`."""
        path = self.path(namespace)
        nearest = path[-1]
        state = nearest.state if method == "values" and nearest.scope == namespace else None
        return path[0].stages(path, 0, method, namespace), state

    def _nearest(self, namespace: Namespace) -> Mux:
        for depth in range(len(namespace), -1, -1):
            mux = self._muxes.get(namespace[:depth])
            if mux is not None:
                return mux
        # The root's own scope may be longer than the namespace, for a run inside a node of another run.
        return self._root

    def run(self, route: Route, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Take an event through the stages of its route: `None`, or a coroutine that has to be awaited."""
        if route.waits:
            return self._run_waiting(route, event)
        suppressed = 0
        for segment in route.segments:
            assert not isinstance(segment, Stage)
            suppressed = run_stages(segment, event, suppressed, self._after_hook)
        return None

    async def _run_waiting(self, route: Route, event: ProtocolEvent) -> None:
        suppressed = 0
        for segment in route.segments:
            if not isinstance(segment, Stage):
                suppressed = run_stages(segment, event, suppressed, self._after_hook)
                continue
            try:
                if segment.kind is StageKind.SUBGRAPHS:
                    waiting = segment.call(event)
                    if waiting is not None:
                        await waiting
                elif not keep_of(segment, await segment.call(event)):
                    suppressed |= segment.bit
                await self._after_async_hook()
            except BaseException as exc:
                blamed = blame(exc, segment.owner, segment.hook, event["method"], awaited=True)
                if blamed is exc:
                    raise
                raise blamed from exc

    def _after_hook(self) -> None:
        while self._emitted:
            namespace = self.namespace
            waiting = self.dispatch_event(self._emitted.pop(0))
            # Where hooks are awaited at all, those of transformers with an emitter are.
            assert waiting is None
            self.namespace = namespace

    async def _after_async_hook(self) -> None:
        while self._emitted:
            namespace = self.namespace
            waiting = self.dispatch_event(self._emitted.pop(0))
            if waiting is not None:
                await waiting
            self.namespace = namespace
