"""Scripts of runs with subgraphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from anyiostream import parts

from ..lanes import LOOPS

__all__ = ["ON_LOOPS", "nest", "side_by_side", "subgraph"]

ON_LOOPS = pytest.mark.parametrize("lane", LOOPS.values(), ids=LOOPS, indirect=True)
"""For rules of the async lane alone."""

Inside = Callable[[tuple[str, ...]], Iterable[Any]]


def subgraph(ident: str, inside: Inside, *, name: str = "sub", ns: tuple[str, ...] = (), **result: Any) -> list[Any]:
    """A subgraph with the given parts inside, as LangGraph streams it."""
    space = (*ns, f"{name}:{ident}")
    return [
        parts.task_start(ident, name, ns=ns),
        parts.task_start(f"in {ident}", "inner", ns=space),
        *inside(space),
        parts.task_result(f"in {ident}", "inner", ns=space),
        parts.task_result(ident, name, ns=ns, **result),
    ]


def nest(depth: int, ns: tuple[str, ...] = ()) -> list[Any]:
    """Subgraphs one inside the other, with a snapshot before and one after the inner one."""
    level = len(ns)
    if level == depth:
        return [parts.values(f"bottom {level}", ns=ns)]
    inner = subgraph(str(level + 1), lambda space: nest(depth, space), ns=ns)
    return [parts.values(f"before {level}", ns=ns), *inner, parts.values(f"after {level}", ns=ns)]


def side_by_side(count: int, snapshots: int) -> list[Any]:
    """Subgraphs that run at the same time, part by part in turn; the first ends first."""
    spaces = [(f"sub:{n}",) for n in range(count)]
    return [
        *(parts.task_start(str(n), "sub") for n in range(count)),
        *(parts.task_start(f"in {n}", "inner", ns=spaces[n]) for n in range(count)),
        *(parts.values((n, i), ns=spaces[n]) for i in range(snapshots) for n in range(count)),
        *(
            part
            for n in range(count)
            for part in (parts.task_result(f"in {n}", "inner", ns=spaces[n]), parts.task_result(str(n), "sub"))
        ),
        parts.values("end"),
    ]
