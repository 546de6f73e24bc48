"""`Tree`: the scopes of one run, by namespace, and the compiled routes to them.

Rules:

- The tree is created with its root, which never leaves. The other scopes enter when their subgraph starts and leave
  when it has ended.
- The pump looks routes up in `dispatchers`: namespace -> method -> dispatcher. A namespace with a scope has the
  scope's own table; any other shares that of the nearest scope above.
- Tables are filled as events arrive, and emptied when a reader of what their events pass through comes or goes.
"""

from __future__ import annotations

from typing import final

import attrs

from anyiostream.events import Namespace
from anyiostream.mux.registry import Registry
from anyiostream.mux.stages import Dispatcher
from anyiostream.subgraph_tracker import SubgraphTracker

__all__ = ["MAX_SHARED", "Tree"]

MAX_SHARED = 4096
"""Namespaces without a scope that are remembered at a time; beyond it they are looked up anew."""


@final
@attrs.define(eq=False, repr=False, init=False)  # what it holds leads to the whole tree
class Tree:
    """The scopes of one run.

    Attributes:
        root: The registry of the root's scope.
        ends_may_wait: Whether ending a subgraph may have to wait, for its hooks or its scheduled work.
        any_calls: Whether a task has called another one. What a called task writes may come with the namespace of its
            caller; while there are no calls, that costs nothing.
        dispatchers: Namespace -> method -> compiled route; what is missing here has to be compiled.
    """

    root: Registry
    ends_may_wait: bool
    any_calls: bool
    dispatchers: dict[Namespace, dict[str, Dispatcher]]
    _tracker: SubgraphTracker
    _registries: dict[Namespace, Registry]
    _shared: dict[Namespace, Registry]

    def __init__(self, root: Registry, tracker: SubgraphTracker) -> None:
        """A tree of which nothing but the root has entered."""
        namespace = root.scope.namespace
        self.root = root
        self.ends_may_wait = self.any_calls = False
        self.dispatchers = {namespace: root.scope.dispatchers}
        self._tracker = tracker
        self._registries = {namespace: root}
        self._shared = {}

    def enter(self, registry: Registry) -> None:
        """A scope below the root joins; the scope above it is there already."""
        scope = registry.scope
        parent = scope.parent
        assert parent is not None
        namespace = scope.namespace
        self._registries[namespace] = registry
        parent.children[namespace] = scope
        if parent.sharing:
            depth = len(namespace)
            for shared in [known for known in parent.sharing if known[:depth] == namespace]:
                self.forget(shared)
        self.dispatchers[namespace] = scope.dispatchers

    def leave(self, registry: Registry) -> None:
        """A scope has ended; events at its namespace reach the scopes above only. The root stays."""
        scope = registry.scope
        namespace = scope.namespace
        # It may have left before, and another one may have its namespace now.
        if scope.parent is not None and self._registries.get(namespace) is registry:
            del self._registries[namespace]
            self.dispatchers.pop(namespace, None)  # not there if an interrupt cut its entry off
            scope.parent.children.pop(namespace, None)
            for shared in list(scope.sharing):
                self.forget(shared)

    def nearest(self, namespace: Namespace) -> Registry:
        """The registry of the scope at `namespace`, or of the nearest one above."""
        registry = self._registries.get(namespace)
        if registry is not None:
            return registry
        for graph in self._tracker.outwards(namespace):
            registry = self._registries.get(graph)
            if registry is not None:
                return registry
        # The root's own namespace may be the longer one, for a run inside a node of another run.
        return self.root

    def share(self, namespace: Namespace, registry: Registry) -> dict[str, Dispatcher]:
        """Let a namespace without a scope use the table that `registry`'s scope has for those below it."""
        if len(self._shared) >= MAX_SHARED:
            for known in list(self._shared):
                self.forget(known)
        scope = registry.scope
        self._shared[namespace] = registry
        scope.sharing[namespace] = None
        self.dispatchers[namespace] = scope.dispatchers_below
        return scope.dispatchers_below

    def forget(self, namespace: Namespace) -> None:
        """Nothing more is expected at a namespace without a scope."""
        registry = self._shared.pop(namespace, None)
        if registry is not None:
            registry.scope.sharing.pop(namespace, None)
            self.dispatchers.pop(namespace, None)

    def let_ends_wait(self) -> None:
        """From now on ending a subgraph may have to wait."""
        self.ends_may_wait = True

    def expect_calls(self) -> None:
        """A task has called another one: compile all routes anew, for what called tasks write."""
        if not self.any_calls:
            self.any_calls = True
            self.root.scope.forget_routes()
