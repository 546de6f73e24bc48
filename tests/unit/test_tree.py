"""The tree: which scope an event belongs to, and which table of routes its namespace uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from anyiostream.mux.registry import Registry
from anyiostream.mux.run_state import RunState
from anyiostream.mux.scope import Scope
from anyiostream.mux.tree import MAX_SHARED, Tree
from anyiostream.subgraph_tracker import SubgraphTracker

NODE = ("node:1",)
DEEP = ("node:1", "deep:2")
OTHER = ("other:9",)


@pytest.fixture
def run(make_port: Any) -> RunState:
    """What the scopes of a run share."""
    port = make_port()
    return RunState(port)


@pytest.fixture
def make(run: RunState) -> Callable[..., Registry]:
    """Makes the registry of a scope, below another one if it is given."""

    def registry(namespace: tuple[str, ...], parent: Registry | None = None) -> Registry:
        above = None if parent is None else parent.scope
        return Registry(Scope(namespace, above, run.port.stamp), parent, run, None)  # type: ignore[arg-type]  # nothing is registered

    return registry


@pytest.fixture
def root(make: Any) -> Registry:
    """The registry of the root's scope."""
    made: Registry = make(())
    return made


@pytest.fixture
def tree(root: Registry) -> Tree:
    """A tree that has its root."""
    return Tree(root, SubgraphTracker())


def enter(tree: Tree, make: Any, namespace: tuple[str, ...], parent: Registry) -> Registry:
    """A scope that has entered."""
    registry: Registry = make(namespace, parent)
    tree.enter(registry)
    return registry


def test_a_namespace_belongs_to_the_nearest_scope(tree: Tree, make: Any, root: Registry) -> None:
    """That is the scope at the namespace, or the nearest one above."""
    child = enter(tree, make, NODE, root)
    assert tree.nearest(()) is root
    assert tree.nearest(NODE) is child
    assert tree.nearest(DEEP) is child
    assert tree.nearest(OTHER) is root


def test_outside_the_root_there_is_the_root(make: Any) -> None:
    """A run inside a node of another one may get events of namespaces that are not below its own."""
    root = make(NODE)
    assert Tree(root, SubgraphTracker(NODE)).nearest(()) is root


def test_a_scope_that_has_left_gets_nothing_more(tree: Tree, make: Any, root: Registry) -> None:
    """Its namespace belongs to the scope above again."""
    child = enter(tree, make, NODE, root)
    assert tree.dispatchers[NODE] is child.scope.dispatchers
    assert root.scope.children == {NODE: child.scope}
    tree.leave(child)
    assert tree.nearest(NODE) is root
    assert NODE not in tree.dispatchers
    assert root.scope.children == {}


def test_leaving_late_does_not_remove_a_successor(tree: Tree, make: Any, root: Registry) -> None:
    """A scope whose end goes on while another one uses its namespace may leave again."""
    first = enter(tree, make, NODE, root)
    tree.leave(first)
    second = enter(tree, make, NODE, root)
    tree.leave(first)
    assert tree.nearest(NODE) is second
    assert root.scope.children == {NODE: second.scope}


def test_the_root_stays(tree: Tree, root: Registry) -> None:
    """The root's scope is there as long as the run is."""
    tree.leave(root)
    assert tree.root is tree.nearest(()) is root
    assert tree.dispatchers[()] is root.scope.dispatchers


def test_a_namespace_without_a_scope_shares_a_table(tree: Tree, root: Registry) -> None:
    """All of them below one scope share that of the scope, until they are forgotten."""
    assert tree.share(NODE, root) is tree.share(OTHER, root) is root.scope.dispatchers_below
    assert tree.dispatchers[NODE] is tree.dispatchers[OTHER]
    tree.forget(NODE)
    assert NODE not in tree.dispatchers
    assert list(root.scope.sharing) == [OTHER]


def test_a_scope_that_enters_takes_the_namespaces_below_it(tree: Tree, make: Any, root: Registry) -> None:
    """Namespaces that shared the table of the scope above share it no more."""
    for namespace in (NODE, DEEP, OTHER):
        tree.share(namespace, root)
    child = enter(tree, make, NODE, root)
    assert tree.dispatchers[NODE] is child.scope.dispatchers
    assert DEEP not in tree.dispatchers
    assert list(root.scope.sharing) == [OTHER]


def test_a_scope_that_leaves_gives_back_the_namespaces_below_it(tree: Tree, make: Any, root: Registry) -> None:
    """What shared its table is looked up anew."""
    child = enter(tree, make, NODE, root)
    tree.share(DEEP, child)
    tree.leave(child)
    assert DEEP not in tree.dispatchers
    assert child.scope.sharing == {}


def test_namespaces_without_a_scope_do_not_pile_up(tree: Tree, root: Registry) -> None:
    """A bounded number of them is remembered."""
    for index in range(MAX_SHARED + 10):
        tree.share((f"n:{index}",), root)
    assert len(tree.dispatchers) <= MAX_SHARED + 1
    assert len(root.scope.sharing) <= MAX_SHARED


def test_the_first_call_compiles_all_routes_anew(tree: Tree, root: Registry) -> None:
    """From a task's first call on routes look at who has written something; a second call changes nothing."""
    for left in ({}, {"custom": print}):
        root.scope.dispatchers["custom"] = print  # type: ignore[assignment]  # never called
        tree.expect_calls()
        assert tree.any_calls
        assert root.scope.dispatchers == left
