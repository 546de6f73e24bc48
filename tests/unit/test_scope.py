"""Scopes: the levels of a run's tree, and what is compiled for them."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from anyiostream.mux.scope import Scope
from anyiostream.mux.stages import ROOT_BIT, Passage

NODE = ("node:1",)
DEEP = ("node:1", "deep:2")


@pytest.fixture
def levels() -> tuple[Scope, Scope, Scope]:
    """A root, a scope below it, and one below that."""
    stamp = count(1).__next__
    root = Scope((), None, stamp)
    child = Scope(NODE, root, stamp)
    deep = Scope(DEEP, child, stamp)
    root.children[NODE], child.children[DEEP] = child, deep
    return root, child, deep


def compile_routes(scope: Scope) -> None:
    """Put something into each table of a scope."""
    scope.dispatchers["custom"] = scope.dispatchers_below["custom"] = lambda part, data: None
    scope.passages["custom"] = scope.passages_below["custom"] = Passage()


def compiled(scope: Scope) -> list[Any]:
    """The tables of a scope that have something in them."""
    tables = (scope.dispatchers, scope.dispatchers_below, scope.passages, scope.passages_below)
    return [table for table in tables if table]


def test_each_level_has_a_bit_of_its_own(levels: Any) -> None:
    """By its bit a stage belongs to one of the scopes that an event passes through."""
    assert [scope.bit for scope in levels] == [ROOT_BIT, 2 * ROOT_BIT, 4 * ROOT_BIT]


def test_a_lineage_begins_with_that_of_the_scope_above(levels: Any) -> None:
    """So what is below a scope is found by comparing beginnings, whichever scope is asked first."""
    root, child, deep = levels
    assert root.lineage == ()
    assert deep.lineage[:1] == child.lineage
    assert len(deep.lineage) == 2


def test_a_later_scope_of_the_same_namespace_has_another_lineage(levels: Any) -> None:
    """A namespace may be used again; a lineage is not."""
    root, child, _ = levels
    later = Scope(NODE, root, child._stamp)  # noqa: SLF001 -- the run's one counter
    assert later.lineage != child.lineage


def test_each_scope_has_a_state_of_its_own(levels: Any) -> None:
    """A snapshot of one graph is not one of another."""
    root, child, _ = levels
    child.state.observe({"n": 1}, ())
    assert (root.state.latest, child.state.latest) == (None, {"n": 1})


def test_a_change_reaches_this_scope_and_those_below(levels: Any) -> None:
    """Routes visit the scopes above, so that a change makes stale what is below, and nothing above."""
    root, child, deep = levels
    for scope in levels:
        compile_routes(scope)
    child.routes_changed()
    assert compiled(child) == compiled(deep) == []
    assert len(compiled(root)) == 4


def test_a_scope_that_has_ended_forgets_nothing(levels: Any) -> None:
    """Its channels end, and lose their readers, when no more events come."""
    _, child, _ = levels
    compile_routes(child)
    child.ended = True
    child.routes_changed()
    assert len(compiled(child)) == 4


def test_forgetting_is_no_recursion() -> None:
    """A tree of thousands of levels is emptied."""
    root = above = Scope((), None, count(1).__next__)
    for level in range(3000):
        namespace = (*above.namespace, f"n:{level}")
        above.children[namespace] = below = Scope(namespace, above, above._stamp)  # noqa: SLF001 -- likewise
        above = below
    compile_routes(root)
    compile_routes(above)
    root.routes_changed()
    assert compiled(above) == []
