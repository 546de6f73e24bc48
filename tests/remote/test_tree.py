"""The tree of a thread's run."""

from __future__ import annotations

from typing import Any

from anyiostream.remote import Limits, MemoryLog
from anyiostream.remote.ledger import Ledger
from anyiostream.remote.tree import RunTree
from anyiostream.wire.drafts import Draft


def lifecycle(event: str, *namespace: str, **facts: Any) -> Draft:
    """An event of a graph's lifecycle."""
    return Draft("lifecycle", namespace, {"event": event, **facts}, 0)


def test_it_counts_towards_what_a_thread_keeps() -> None:
    """More or less: a thousand subgraphs with long names are not nothing."""
    tree = RunTree()
    tree.begin("g")
    assert tree.size == 0
    for n in range(2000):
        tree.observe(Draft("lifecycle", (f"{n}:" + "x" * 1000,), {"event": "started"}, 1))
    assert 10**6 < tree.size < 2 * 10**6
    ledger = Ledger(MemoryLog("t", Limits()))
    ledger.fold.tree = tree
    assert ledger.size >= tree.size
    tree.begin("g")
    assert tree.size == 0


def test_further_calls_of_a_subgraph_are_siblings() -> None:
    """They have the name of their node; what runs inside one is below that one."""
    tree = RunTree()
    tree.begin("graph")
    for namespace in (("a:1",), ("a:1", "1"), ("a:1", "1", "b:2"), ("called:5", "c:6")):
        tree.observe(lifecycle("started", *namespace))
    tree.observe(lifecycle("failed", "a:1"))
    first, second, other = tree.shown()["children"]
    assert (first["graph_name"], first["status"], first["children"]) == ("a", "failed", [])
    assert (second["graph_name"], second["status"]) == ("a", "started")
    assert [(each["graph_name"], each["namespace"]) for each in second["children"]] == [("b", ["a:1", "1", "b:2"])]
    assert other["namespace"] == ["called:5", "c:6"]
