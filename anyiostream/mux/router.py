"""`Router`: takes each part of the graph to the muxes that want it.

Rules:

- One router per run. It knows the mux of every namespace that has one, and keeps for each namespace a table of
  compiled routes, method -> callable. A namespace without a mux of its own shares the table of the nearest one above.
- Tables are filled as events arrive, and emptied when somebody starts or stops reading what the events pass through.
- Muxes that add nothing to what an event passes through above them share its compiled route, so that a subgraph costs
  no compilation but that of what is read of it.
- Taking a part is the same for both lanes: it gives `None`, or a coroutine if hooks must be awaited.
- What a transformer emits while it handles an event is dispatched right after that hook, before the event goes on.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, final

import attrs

from anyiostream.events import (
    Namespace,
    ProtocolEvent,
    method_and_namespace,
)
from anyiostream.mux.routes import Passage, PayloadRoute, Route, Stage, StageKind, blame, keep_of, run_stages
from anyiostream.mux.taking import Take, taking_events, taking_payloads, taking_tasks

if TYPE_CHECKING:
    from anyiostream.mux.mux import Mux

__all__ = ["Router"]

MAX_SHARED_TABLES = 4096
"""Namespaces without a mux that are remembered at a time; beyond it they are looked up anew."""


@final
@attrs.define(eq=False)
class Router:
    """The routes of one run.

    Attributes:
        takes: Namespace -> method -> what takes such a part through its route. What it does not have, `take_of` has.
        seq: The `seq` of the last event of the root's raw log.
        namespace: Namespace of the event being dispatched.
        waits_for_children: Whether ending a subgraph may have to wait, for its hooks or its scheduled work.
        only_follows_tasks: Whether `tasks` events are of no other use than to tell of subgraphs.
    """

    takes: dict[Namespace, dict[str, Take]] = attrs.field(factory=dict)
    seq: int = 0
    namespace: Namespace = ()
    waits_for_children: bool = False
    only_follows_tasks: bool = False
    _take_of_tasks: Take | None = None
    _muxes: dict[Namespace, Mux] = attrs.field(factory=dict)
    _shared: dict[Namespace, Mux] = attrs.field(factory=dict)
    _begun: bool = False
    _emitted: list[ProtocolEvent] = attrs.field(factory=list)

    # --- which muxes there are ---

    def enter(self, mux: Mux) -> None:
        """`mux` is there from now on; its parent, if it has one, is there already."""
        scope = mux.scope
        self._muxes[scope] = mux
        parent = mux.parent
        if parent is not None:
            parent.children[scope] = mux
            if parent.sharing:
                depth = len(scope)
                for namespace in [known for known in parent.sharing if known[:depth] == scope]:
                    self.forget(namespace)
        self.takes[scope] = mux.takes

    def leave(self, mux: Mux) -> None:
        """`mux` has ended; events at its namespace go to its parent only."""
        if self._muxes.pop(mux.scope, None) is not None:
            del self.takes[mux.scope]
            if mux.parent is not None:
                mux.parent.children.pop(mux.scope, None)
            for namespace in list(mux.sharing):
                self.forget(namespace)

    def forget(self, namespace: Namespace) -> None:
        """Nothing more is expected at a namespace that has no mux."""
        mux = self._shared.pop(namespace, None)
        if mux is not None:
            mux.sharing.pop(namespace, None)
            self.takes.pop(namespace, None)

    def mux_at(self, namespace: Namespace) -> Mux | None:
        """The mux whose scope is `namespace`."""
        return self._muxes.get(namespace)

    def nearest(self, namespace: Namespace) -> Mux:
        """The mux at `namespace`, or the nearest one above."""
        for depth in range(len(namespace), -1, -1):
            mux = self._muxes.get(namespace[:depth])
            if mux is not None:
                return mux
        # The root's own scope may be longer than the namespace, for a run inside a node of another run.
        return self._root

    def recompile_from(self, mux: Mux) -> None:
        """Somebody has started or stopped reading something of `mux`: compile anew what passes through it."""
        pending = [mux]
        while pending:
            mux = pending.pop()
            mux.forget_routes()
            pending.extend(mux.children.values())

    # --- dispatch ---

    def take_of(self, part: Any) -> tuple[Take, Any]:
        """What takes `part` through its route, and its data, after all checks.

        Raises:
            MalformedPart: It is no part.
        """
        method, namespace = method_and_namespace(part)
        self._begin()
        takes = self.takes.get(namespace)
        if method == "tasks" and self.only_follows_tasks:
            # The same everywhere. In a namespace of its own it may be the start of a subgraph that gets its own table.
            take = self._take_of_tasks
            if take is None:
                take = self._take_of_tasks = self._compile(self._root, method, own=False)
            if takes is not None:
                takes[method] = take
            return take, part["data"]
        mux = self.nearest(namespace)
        if takes is None:
            takes = self._share(namespace, mux)
        take = takes.get(method)
        if take is None:
            take = takes[method] = self._compile(mux, method, own=mux.scope == namespace)
        return take, part["data"]

    def dispatch_event(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Take an event through its route: `None`, or a coroutine that has to be awaited."""
        method, params = event["method"], event["params"]
        namespace = tuple(params["namespace"])
        self._begin()
        self.namespace = namespace
        mux = self.nearest(namespace)
        own = mux.scope == namespace
        if own and method == "values":
            mux.state.observe(params["data"], params.get("interrupts", ()))
        return self.run(self._route(mux.passage(method, own=own)), event)

    def dispatch_below_root(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Take an event that opens or ends subgraphs to the muxes below the root, as they are now."""
        namespace = tuple(event["params"]["namespace"])
        mux = self.nearest(namespace)
        route = self._route(mux.passage(event["method"], own=mux.scope == namespace, below_root=True))
        return self.run(route, event) if route.segments else None

    def emit(self, namespace: Namespace, event: ProtocolEvent) -> None:
        """Dispatch `event` after the hook that is running now."""
        event["params"]["namespace"] = list(namespace)
        self._emitted.append(event)

    # --- inside ---

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._root.follower.begin()

    @property
    def _root(self) -> Mux:
        return next(iter(self._muxes.values()))

    def _share(self, namespace: Namespace, mux: Mux) -> dict[str, Take]:
        if len(self._shared) >= MAX_SHARED_TABLES:
            for known in list(self._shared):
                self.forget(known)
        self._shared[namespace] = mux
        mux.sharing[namespace] = None
        self.takes[namespace] = mux.takes_below
        return mux.takes_below

    def _compile(self, mux: Mux, method: str, *, own: bool) -> Take:
        passage = mux.passage(method, own=own)
        state = mux.state if own and method == "values" else None
        if state is None and passage.take is not None:
            return passage.take
        stages = passage.stages
        route = PayloadRoute.of(stages)
        if route is not None:
            log = self._root.log
            take = taking_payloads(self, route, method, state, log.sink() if log is not None and log.watched else None)
        elif method == "tasks" and self.only_follows_tasks:
            take = taking_tasks(self, mux.follower.track)
        else:
            take = taking_events(self, self._route(passage), method, state)
        if state is None:
            passage.take = take
        return take

    def _route(self, passage: Passage) -> Route:
        if passage.route is None:
            passage.route = Route.of(passage.stages, waits=self.waits_for_children)
        return passage.route

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
