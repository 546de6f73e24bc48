"""Which failure of a subgraph caused that of its run."""

from __future__ import annotations

import gc
import weakref

from anyiostream import SubgraphFailed
from anyiostream.failed_subgraphs import KEPT, FailedSubgraphs


def test_the_error_of_the_run_is_the_cause_of_those_that_describe_it() -> None:
    """Others keep what they have."""
    subgraphs = FailedSubgraphs()
    same, other = SubgraphFailed(repr(ValueError("no"))), SubgraphFailed(repr(ValueError("another")))
    subgraphs.add(same)
    subgraphs.add(other)
    error = ValueError("no")
    subgraphs.explain(error)
    assert same.__cause__ is error
    assert other.__cause__ is None


def test_the_latest_are_kept() -> None:
    """So that a run of many subgraphs does not grow."""
    subgraphs = FailedSubgraphs()
    errors = [SubgraphFailed(repr(ValueError("no"))) for _ in range(KEPT + 1)]
    for each in errors:
        subgraphs.add(each)
    subgraphs.explain(ValueError("no"))
    assert [each.__cause__ is None for each in errors] == [True, *[False] * KEPT]


def test_a_failure_that_nobody_holds_is_forgotten() -> None:
    """It is not kept alive, and the failure of the run explains those that are left."""
    subgraphs = FailedSubgraphs()
    dropped, held = SubgraphFailed("no"), SubgraphFailed("no")
    subgraphs.add(dropped)
    subgraphs.add(held)
    known = weakref.ref(dropped)
    del dropped
    gc.collect()
    assert known() is None
    error = ValueError("no")
    subgraphs.explain(error)
    assert held.__cause__ is error
