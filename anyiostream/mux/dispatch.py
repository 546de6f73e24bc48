"""`Dispatch`: each part of a run to the scopes that want it.

The way of a part, each step with the word to search for:

1. `Pump.advance` (pump.py) pulls the part and looks up `dispatchers[namespace][method]` (`Tree.dispatchers`, which has
   the tables of each `Scope`). A missing dispatcher is compiled by `Dispatch.dispatcher_of`, once.
2. `_compile` collects the `passage`: the stages of all scopes from the root's to the part's (`Registry.stages`, which
   asks `stage_of` in hooks.py). It makes them one `Dispatcher` (dispatchers.py), of one of three forms:
   - `payload_dispatcher`, if no stage wants the event. It calls the route's `consumers`: for each transformer of kind
     PAYLOAD its `consumer()`.
   - `event_dispatcher` otherwise. It builds the event and gives it to `Dispatch.run`, and that to `call_stages`
     (hooks.py): `process` and `aprocess` of each transformer, and `RawLog.appender` for the log.
   - `task_dispatcher` for `tasks` parts of which only subgraphs are made. It calls `SubgraphFollower.follow`.
3. A `consumer()`, or a hook, ends in `StreamChannel.push`; where the transformer does nothing else, the `consumer()` is
   `StreamChannel.sink()`, which is what `push` calls: `put` of the reader's buffer.
4. The reader takes the item from there with its cursor's `take`.

Of a part that is at hand, or can be pulled at once, and of which 2. and 3. would come to no more than one `put`, a
reader with nothing to read takes the data, or the event, itself (`Pump.take_for`); `Buffer.feeder` is the dispatcher
by which it knows such a part.

Rules:

- Both lanes dispatch alike: a dispatcher returns `None`, or a coroutine if hooks must be awaited.
- An event that a transformer emits while it handles another one is dispatched right after that hook, before the event
  being handled goes on.
- A called task (`@task`) may write with its caller's namespace. What it writes is dispatched to the graph that it runs
  in. This is checked only after the first such call, so it costs nothing where tasks call no others.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, final

import attrs

from anyiostream.events import Namespace, ProtocolEvent, method_and_namespace
from anyiostream.inline import run_inline
from anyiostream.mux.dispatchers import event_dispatcher, payload_dispatcher, task_dispatcher
from anyiostream.mux.following import SubgraphFollower
from anyiostream.mux.hooks import blame, call_stages, keep_of
from anyiostream.mux.registry import Registry
from anyiostream.mux.run_state import RunState
from anyiostream.mux.stages import Dispatcher, Passage, PayloadRoute, Route, Stage, StageKind
from anyiostream.mux.tree import Tree
from anyiostream.subgraph_tracker import SubgraphTracker

__all__ = ["Dispatch"]

CALLS_MODES: Final = frozenset({"custom", "messages", "tools"})
"""Methods of what a task writes; a called task may write with its caller's namespace."""

BELOW_ROOT: Final = "/below the root"
"""Suffix of the method under which passages without the root's own stages are kept."""


@final
@attrs.define(eq=False, repr=False)  # what it holds leads to the whole tree
class Dispatch:
    """Dispatches the parts and events of one run.

    Attributes:
        tree: The scopes, and the dispatchers of what has been compiled; a missing one is added by `dispatcher_of`.
    """

    tree: Tree
    _follower: SubgraphFollower
    _tracker: SubgraphTracker
    _run: RunState
    _begun: bool = False
    _dispatcher_of_tasks: Dispatcher | None = None

    @property
    def run_state(self) -> RunState:
        """What is updated with each part."""
        return self._run

    def dispatcher_of(self, part: Any) -> tuple[Dispatcher, Any]:
        """The dispatcher of a part that has none in the tables, and the part's data, after all checks.

        Raises:
            MalformedPart: It is not a part.
        """
        method, namespace = method_and_namespace(part)
        if not self._begun:
            self._begin()
        tree = self.tree
        table = tree.dispatchers.get(namespace)
        if method == "tasks" and tree.root.only_follows_tasks:
            # The same for all namespaces. No table is shared for it: the part may be the start of a subgraph, which
            # gets a table of its own.
            dispatcher = self._dispatcher_of_tasks
            if dispatcher is None:
                dispatcher = self._dispatcher_of_tasks = task_dispatcher(self._run, self._follower.follow)
            if table is not None:
                table[method] = dispatcher
            return dispatcher, part["data"]
        registry = tree.nearest(namespace)
        if table is None:
            table = tree.share(namespace, registry)
        dispatcher = table.get(method)
        if dispatcher is None:
            dispatcher = self._compile(registry, method, own=registry.scope.namespace == namespace)
            if tree.any_calls and method in CALLS_MODES and namespace != tree.root.scope.namespace:
                dispatcher = self._dispatcher_of_written(dispatcher)
            table[method] = dispatcher
        return dispatcher, part["data"]

    def dispatch_event(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Dispatch an event that was not made from a part: `None`, or a coroutine that has to be awaited."""
        method, params = event["method"], event["params"]
        namespace = tuple(params["namespace"])
        if not self._begun:
            self._begin()
        self._run.namespace = namespace
        registry = self.tree.nearest(namespace)
        own = registry.scope.namespace == namespace
        if own and method == "values":
            registry.scope.state.observe(params["data"], params.get("interrupts", ()))
        return self.run(self._route(self._passage(registry, method, own=own)), event)

    def run(self, route: Route, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Run an event through the stages of its route: `None`, or a coroutine that has to be awaited."""
        if route.waits:
            return self._run_waiting(route, event)
        suppressed = 0
        for segment in route.segments:
            assert not isinstance(segment, Stage)
            suppressed = call_stages(segment, event, suppressed, self._after_hook)
        return None

    # --- compiling ---

    def _compile(self, registry: Registry, method: str, *, own: bool) -> Dispatcher:
        passage = self._passage(registry, method, own=own)
        state = registry.scope.state if own and method == "values" else None
        if state is None and passage.dispatcher is not None:
            return passage.dispatcher
        route = PayloadRoute.of(passage.stages)
        if route is None:
            dispatcher = event_dispatcher(self._run, self._route(passage), method, state, self.run)
        else:
            root = self.tree.root
            put = root.log.channel.sink() if root.log_watched else None
            dispatcher = payload_dispatcher(self._run, route, method, state, put)
        if state is None:
            passage.dispatcher = dispatcher
        return dispatcher

    def _dispatcher_of_written(self, dispatcher: Dispatcher) -> Dispatcher:
        """`dispatcher`, for parts that the graph at their namespace has written; else that of the graph that has."""
        writer_of = self._tracker.writer_of

        def dispatch_written(part: Any, data: Any) -> Coroutine[Any, Any, None] | None:
            namespace = tuple(part["ns"])
            writer = writer_of(namespace)
            if writer == namespace:
                return dispatcher(part, data)
            moved = {**part, "ns": writer}
            return self.dispatcher_of(moved)[0](moved, data)

        return dispatch_written

    def _route(self, passage: Passage) -> Route:
        if passage.route is None:
            passage.route = Route.of(passage.stages, waits=self.tree.ends_may_wait)
        return passage.route

    def _passage(self, registry: Registry, method: str, *, own: bool, below_root: bool = False) -> Passage:
        """The stages of an event.

        Args:
            registry: That of the nearest scope.
            method: The event's method.
            own: Whether the event is at the namespace of that scope; otherwise it is below.
            below_root: Leave the root's own stages out.
        """
        if not own:
            return self._passage_below(registry, method, below_root=below_root)
        passages, key = registry.scope.passages, _key(method, below_root=below_root)
        passage = passages.get(key)
        if passage is None:
            outer = Passage()
            if registry.parent is not None:
                outer = self._passage_below(registry.parent, method, below_root=below_root)
            passage = passages[key] = outer.around(*self._stages(registry, method, own=True, below_root=below_root))
        return passage

    def _passage_below(self, registry: Registry, method: str, *, below_root: bool) -> Passage:
        """The same for every namespace below; that of the scope above, if this one adds nothing."""
        key = _key(method, below_root=below_root)
        # A loop, because recursion would limit how deep graphs can be nested.
        missing: list[Registry] = []
        above: Registry | None = registry
        while above is not None and key not in above.scope.passages_below:
            missing.append(above)
            above = above.parent
        passage = Passage() if above is None else above.scope.passages_below[key]
        for each in reversed(missing):
            stages = self._stages(each, method, own=False, below_root=below_root)
            passage = each.scope.passages_below[key] = passage.around(*stages)
        return passage

    def _stages(
        self, registry: Registry, method: str, *, own: bool, below_root: bool
    ) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
        """The stages of one scope before those of its children, and after them."""
        is_root = registry.parent is None
        if is_root:
            if below_root:
                return (), ()
        elif not below_root and self.tree.root.readers(method, own=False).tracked:
            # The root's stage for subgraphs has dispatched it to this scope.
            return (), ()
        readers, bit = registry.readers(method, own=own), registry.scope.bit
        before = registry.stages(readers.before) if readers.before else ()
        after = registry.stages(readers.after) if readers.after else ()
        if readers.tracked:
            # Children come at the first observer's place. On the way to it a `tasks` event starts and ends subgraphs;
            # below the root that has been done. The log leaves such events out.
            return ((*before, Stage(StageKind.SUBGRAPHS, self._follow, bit)) if is_root else before), after
        if is_root or registry.log_watched:
            after = (*after, Stage(StageKind.LOG, registry.log.appender(), bit))
        return before, after

    # --- running ---

    def _begin(self) -> None:
        self._begun = True
        self._follower.begin()

    def _follow(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Start or end subgraphs by a `tasks` event, then dispatch it to the scopes below the root, as they are now."""
        params = event["params"]
        waiting = self._follower.follow(tuple(params["namespace"]), params["data"])
        return self._dispatch_below_root(event) if waiting is None else self._dispatch_later(waiting, event)

    async def _dispatch_later(self, waiting: Coroutine[Any, Any, None], event: ProtocolEvent) -> None:
        await waiting
        below = self._dispatch_below_root(event)
        if below is not None:
            await below

    def _dispatch_below_root(self, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        namespace: Namespace = tuple(event["params"]["namespace"])
        registry = self.tree.nearest(namespace)
        own = registry.scope.namespace == namespace
        route = self._route(self._passage(registry, event["method"], own=own, below_root=True))
        return self.run(route, event) if route.segments else None

    async def _run_waiting(self, route: Route, event: ProtocolEvent) -> None:
        suppressed = 0
        for segment in route.segments:
            if not isinstance(segment, Stage):
                suppressed = call_stages(segment, event, suppressed, self._after_hook)
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
        if self._run.emitted:
            # Where any hook is awaited, those of transformers with an emitter are, and this is not called for them.
            run_inline(self._after_async_hook(), "an emitted event")

    async def _after_async_hook(self) -> None:
        run = self._run
        while run.emitted:
            namespace = run.namespace
            waiting = self.dispatch_event(run.next_emitted())
            if waiting is not None:
                await waiting
            run.namespace = namespace


def _key(method: str, *, below_root: bool) -> str:
    """The key of a passage in the dictionaries of its scope."""
    return method + BELOW_ROOT if below_root else method
