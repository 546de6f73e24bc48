"""`Scope`: one level of a run's tree of graphs, its place in it, and what has been compiled for it.

Rules:

- The root's scope is made with the run, a subgraph's with its mux. A subgraph without a mux has no scope: its events
  are events below the nearest scope above.
- A scope keeps compiled routes and knows nothing of the transformers that they were compiled from. The registry of a
  scope knows the scope, not the other way round.
- A route visits every scope from the root's to its own. So whatever makes the routes of a scope stale makes those of
  all scopes below it stale, and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs

from anyiostream.events import Namespace
from anyiostream.mux.stages import ROOT_BIT, Dispatcher, Passage
from anyiostream.state import GraphState

__all__ = ["Lineage", "Scope"]

Lineage = tuple[int | str, ...]
"""Identifies a scope among all scopes of its run, past ones included; begins with the lineage of the scope above."""


@final
@attrs.define(eq=False, repr=False, init=False)  # what it holds leads to the whole tree
class Scope:
    """One level of the tree.

    Attributes:
        namespace: The namespace of its graph.
        parent: The scope above; `None` for the root's.
        state: The state of its graph.
        children: The scopes directly below that have not ended.
        ended: Whether its mux has ended.
        dispatchers: Method -> compiled route of events at its namespace.
        dispatchers_below: The same for namespaces below that have no scope.
        sharing: The namespaces that use `dispatchers_below` now.
        passages: Method -> the stages of events at its namespace.
        passages_below: The same for namespaces below, those with a scope included.
        bit: Identifies it in routes.
    """

    namespace: Namespace
    parent: Scope | None
    state: GraphState
    children: dict[Namespace, Scope]
    ended: bool
    dispatchers: dict[str, Dispatcher]
    dispatchers_below: dict[str, Dispatcher]
    sharing: dict[Namespace, None]
    passages: dict[str, Passage]
    passages_below: dict[str, Passage]
    bit: int
    _stamp: Callable[[], int]
    _lineage: Lineage | None

    # In full, because one is made for each subgraph: what attrs generates calls a factory for each dictionary, and
    # takes twice the opcodes. The same in `Tree`, `SubgraphTracker` and `TaskCalls`, which each run has.
    def __init__(self, namespace: Namespace, parent: Scope | None, stamp: Callable[[], int]) -> None:
        """A scope below `parent`; `stamp` returns a number that increases with each call."""
        self.namespace = namespace
        self.parent = parent
        self.state = GraphState()
        self.children = {}
        self.ended = False
        self.dispatchers = {}
        self.dispatchers_below = {}
        self.sharing = {}
        self.passages = {}
        self.passages_below = {}
        self.bit = ROOT_BIT if parent is None else parent.bit << 1
        self._stamp = stamp
        self._lineage = None

    @property
    def lineage(self) -> Lineage:
        """Distinguishes this scope from every other of its run, also from a later one with the same namespace."""
        if self._lineage is None:
            self._lineage = () if self.parent is None else (*self.parent.lineage, self._stamp())
        return self._lineage

    def routes_changed(self) -> None:
        """A reader of something of this scope has come or gone: forget the routes of this scope and of those below.

        Does nothing while nothing is compiled: a route is kept with the passages that it was compiled from, so that
        without passages there are no routes here or below.
        """
        if (self.passages or self.passages_below) and not self.ended:
            self.forget_routes()

    def forget_routes(self) -> None:
        """Forget what has been compiled for this scope and for those below; the next event compiles it anew."""
        pending: list[Scope] = [self]
        while pending:
            scope = pending.pop()
            scope.dispatchers.clear()
            scope.dispatchers_below.clear()
            scope.passages.clear()
            scope.passages_below.clear()
            pending.extend(scope.children.values())
