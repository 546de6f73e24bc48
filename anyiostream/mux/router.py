"""`Router`: takes each part of the graph to the muxes that want it.

Rules:

- One router per run. It knows the mux of every namespace that has one, and keeps for each namespace a table of
  routes, method -> route. A namespace without a mux of its own shares the table of the nearest one above.
- Tables are filled as events arrive, and emptied when somebody starts or stops reading a raw log.
- `dispatch` is one function for both lanes: it returns `None`, or a coroutine if hooks must be awaited.
- What a transformer emits while it handles an event is dispatched right after that hook, before the event goes on.
"""

from __future__ import annotations

from collections.abc import Coroutine
from time import time_ns
from typing import TYPE_CHECKING, Any, final

import attrs

from anyiostream.events import (
    Namespace,
    ProtocolEvent,
    ProtocolEventParams,
    method_and_namespace,
)
from anyiostream.mux.routes import Route, Stage, StageKind, blame, keep_of, run_stages

if TYPE_CHECKING:
    from anyiostream.mux.mux import Mux

__all__ = ["Router"]

INNER = "/inner"
"""Suffix of the key under which a table keeps the route below the root for events that open and end subgraphs."""

AS_EVENT = "/event"
"""Suffix of the key under which a table keeps the route of a method for callers that have an event already."""

MAX_SHARED_TABLES = 4096
"""Namespaces without a mux that are remembered at a time; beyond it they are looked up anew."""


@final
@attrs.define(eq=False)
class Router:
    """The routes of one run.

    Attributes:
        seq: The `seq` of the last event of the root's raw log.
        namespace: Namespace of the event being dispatched.
        waits_for_children: Whether ending a subgraph may have to wait, for its hooks or its scheduled work.
    """

    seq: int = 0
    namespace: Namespace = ()
    waits_for_children: bool = False
    _tables: dict[Namespace, dict[str, Route]] = attrs.field(factory=dict)
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
        self._tables[mux.scope] = {}

    def leave(self, mux: Mux) -> None:
        """`mux` has ended; events at its namespace go to its parent only."""
        if self._muxes.pop(mux.scope, None) is not None:
            del self._tables[mux.scope]
            if mux.parent is not None:
                mux.parent.children.pop(mux.scope, None)
            for namespace in [known for known, owner in self._shared.items() if owner is mux]:
                self.forget(namespace)

    def forget(self, namespace: Namespace) -> None:
        """Nothing more is expected at a namespace that has no mux."""
        if self._shared.pop(namespace, None) is not None:
            self._tables.pop(namespace, None)

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

    def recompile_at(self, namespace: Namespace) -> None:
        """Somebody has started or stopped reading a projection: compile the routes of its scope anew."""
        table = self._tables.get(namespace)
        if table is not None:
            table.clear()

    def recompile_from(self, mux: Mux) -> None:
        """Somebody has started or stopped reading the raw log of `mux`: compile anew what passes through it."""
        pending = [mux]
        while pending:
            mux = pending.pop()
            table = self._tables.get(mux.scope)
            if table is not None:
                table.clear()
            mux.below.clear()
            pending.extend(mux.children.values())

    # --- dispatch ---

    def dispatch(  # noqa: C901 -- the hot path: a call costs more than most of what is done here
        self, part: Any
    ) -> Coroutine[Any, Any, None] | None:
        """Take a part through its route.

        Returns:
            `None` if that is done, or a coroutine that does it, if hooks must be awaited.

        Raises:
            MalformedPart: It is no part.
            BaseException: Whatever a hook raised, with a note that names the hook.
        """
        try:
            method = part["type"]
            namespace = part["ns"]
            data = part["data"]
            route = self._tables[namespace][method]
        except (KeyError, TypeError, IndexError, AttributeError):
            method, namespace = method_and_namespace(part)
            data = part["data"]
            route = self._route(namespace, method)
        self.namespace = namespace
        state = route.state
        if state is not None:
            # As state.observe does, without the call: a values part is the commonest there is.
            state.latest = data
            interrupts = part.get("interrupts")
            if interrupts:
                state.observe(data, interrupts)
        consumers = route.consumers
        if consumers is not None:
            consume = None
            try:
                for consume in consumers:
                    consume(data)
            except BaseException as exc:
                # None, if an interrupt came before the first was called.
                owners = (owner for call, owner in zip(consumers, route.owners, strict=True) if call is consume)
                owner = next(owners, None)
                blamed = blame(exc, owner, "consume", method)
                if blamed is exc:
                    raise
                raise blamed from exc
            if route.logged:
                self.seq += 1
                if route.log is not None:
                    # Here and below as convert_to_protocol_event does, whose checks the look-ups above have made.
                    params: ProtocolEventParams = {
                        "namespace": [*namespace],
                        "timestamp": time_ns() // 1_000_000,
                        "data": data,
                    }
                    if "interrupts" in part:
                        params["interrupts"] = part["interrupts"]
                    route.log({"type": "event", "method": method, "params": params, "seq": self.seq})
            return None
        params = {"namespace": [*namespace], "timestamp": time_ns() // 1_000_000, "data": data}
        if "interrupts" in part:
            params["interrupts"] = part["interrupts"]
        event: ProtocolEvent = {"type": "event", "method": method, "params": params}
        segments = route.segments
        if len(segments) == 1 and type(segments[0]) is tuple:
            run_stages(segments[0], event, 0, self._after_hook)
            return None
        return self._run(route, event)

    def dispatch_event(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """As `dispatch`, for an event."""
        params = event["params"]
        namespace = tuple(params["namespace"])
        route = self._route(namespace, event["method"], as_event=True)
        self.namespace = namespace
        if route.state is not None:
            route.state.observe(params["data"], params.get("interrupts", ()))
        return self._run(route, event)

    def dispatch_below_root(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Take an event that opens or ends subgraphs to the muxes below the root, as they are now."""
        namespace = tuple(event["params"]["namespace"])
        key = event["method"] + INNER
        table = self._table(namespace)
        route = table.get(key)
        if route is None:
            path = self.path(namespace)
            stages = path[0].stages(path, 1, event["method"], namespace) if len(path) > 1 else []
            route = table[key] = Route.of_events(stages, None, waits=self.waits_for_children)
        return self._run(route, event) if route.segments else None

    def emit(self, namespace: Namespace, event: ProtocolEvent) -> None:
        """Dispatch `event` after the hook that is running now."""
        event["params"]["namespace"] = list(namespace)
        self._emitted.append(event)

    # --- inside ---

    def _table(self, namespace: Namespace) -> dict[str, Route]:
        table = self._tables.get(namespace)
        if table is None:
            mux = self._nearest(namespace)
            if len(self._shared) >= MAX_SHARED_TABLES:
                for known in list(self._shared):
                    self.forget(known)
            self._shared[namespace] = mux
            table = self._tables[namespace] = mux.below
        return table

    def _route(self, namespace: Namespace, method: str, *, as_event: bool = False) -> Route:
        if not self._begun:
            self._begun = True
            next(iter(self._muxes.values())).follower.begin()
        table = self._table(namespace)
        key = method + AS_EVENT if as_event else method
        route = table.get(key)
        if route is None:
            path = self.path(namespace)
            stages = path[0].stages(path, 0, method, namespace)
            own = path[-1] if path[-1].scope == namespace else None
            state = own.state if own is not None and method == "values" else None
            if as_event:
                route = Route.of_events(stages, state, waits=self.waits_for_children)
            else:
                log = path[0].events.sink() if path[0].events.watched else None
                route = Route.of(stages, state, waits=self.waits_for_children, log=log)
            table[key] = route
        return route

    def _nearest(self, namespace: Namespace) -> Mux:
        for depth in range(len(namespace), -1, -1):
            mux = self._muxes.get(namespace[:depth])
            if mux is not None:
                return mux
        # The root's own scope may be longer than the namespace, for a run inside a node of another run.
        return next(iter(self._muxes.values()))

    def _run(self, route: Route, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
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
