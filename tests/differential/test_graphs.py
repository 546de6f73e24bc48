"""Real LangGraph graphs show through `open_run` what they show through LangGraph's own `stream_events`."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import pytest

from ..conformance.adapter import OURS, Lab
from .graphs import CASES, Case
from .observing import drill, survey

TREE = "the tree of subgraphs"

DIFFERENCES: dict[str, set[str]] = {
    "static_interrupts": {"interrupted"},
    "handled_failure_of_a_subgraph": {"raw log", "lifecycle", "subgraphs", TREE},
}
"""What ours shows otherwise, on purpose: a case, and the observations of it. `docs/differences.md` says how and why."""

LOOKS = 50
"""Pairs of runs on threads. Where one in three agrees, 50 differ in one test of a thousand million."""

VIEWS: dict[str, Callable[..., Any]] = {"survey": survey, "drill": drill}


def observed(lab: Lab, case: Case, view: str) -> Any:
    """What the view shows of the graph's runs in that lab."""
    seen: list[Any] = []

    async def main() -> None:
        seen.append(await VIEWS[view](lab, case.build(lab.is_async)))

    lab.run(main)
    return seen[0]


@functools.cache
def expected(case: Case, view: str, *, is_async: bool) -> Any:
    """What the original shows."""
    return observed(Lab("theirs", "asyncio" if is_async else "sync"), case, view)


def compared(lab: Lab, case: Case, view: str, agree: Callable[[Any, Any], bool] = operator.eq) -> tuple[Any, Any]:
    """What ours and the original show.

    On the sync lane LangGraph runs the tasks of a superstep on threads, whose order is not for any library to say: both
    are looked at there until they agree, or have differed in `LOOKS` pairs of runs.
    """
    for _ in range(1 if lab.is_async else LOOKS):
        got, want = observed(lab, case, view), expected(case, view, is_async=lab.is_async)
        if agree(got, want):
            break
        expected.cache_clear()
    return got, want


def different(got: list[dict[str, Any]], want: list[dict[str, Any]]) -> set[str]:
    """The observations in which two surveys differ."""
    return {name for ours, theirs in zip(got, want, strict=True) for name in theirs if ours[name] != theirs[name]}


@pytest.mark.parametrize("lab", OURS, ids=lambda lab: lab.lane)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_projections(case: Case, lab: Lab) -> None:
    """The raw log, the projections, the handles, the output and the interrupts are the original's."""
    known = DIFFERENCES.get(str(case), set()) - {TREE}
    got, want = compared(lab, case, "survey", lambda got, want: different(got, want) == known)
    assert [set(each) for each in got] == [set(each) for each in want]
    assert different(got, want) == known


@pytest.mark.parametrize("lab", OURS, ids=lambda lab: lab.lane)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_subgraphs(case: Case, lab: Lab) -> None:
    """The tree of subgraphs, each read while it runs, is the original's: paths, status, values, raw logs, outputs."""
    differs = TREE in DIFFERENCES.get(str(case), set())
    got, want = compared(lab, case, "drill", lambda got, want: (got != want) is differs)
    assert (got != want) is differs


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_graphs_are_deterministic(case: Case, is_async: bool) -> None:
    """Two runs of a graph through the original show the same, so that a difference is one of libraries."""
    lab = Lab("theirs", "asyncio" if is_async else "sync")
    for view in VIEWS:
        got, want = compared(lab, case, view)
        assert got == want


@pytest.mark.parametrize("case", CASES, ids=str)
def test_namespaces_of_forwards(case: Case) -> None:
    """A subgraph's start is forwarded with the subgraph's namespace, the one difference between the raw logs."""
    lab = Lab("ours", "sync")
    logged: list[Any] = []

    async def main() -> None:
        built = case.build(lab.is_async)
        async with lab.open_graph(built.graph, built.given[0], config=built.config, **built.options) as run:
            logged.extend((await lab.outcome(run))[0])

    lab.run(main)
    for each in logged:
        if each["method"] == "lifecycle" and each["params"]["data"]["event"] == "started":
            assert each["params"]["namespace"] == each["params"]["data"]["namespace"]
