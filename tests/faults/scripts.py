"""What the graphs of the battery produce: one tree of steps, given by every kind of source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import attrs

from anyiostream import parts

__all__ = ["TREES", "Branch", "Say", "flatten", "said"]


@attrs.frozen
class Say:
    """One part: a snapshot or a custom item."""

    kind: Literal["values", "custom"]
    data: Any


@attrs.frozen
class Branch:
    """A subgraph, and what it says."""

    name: str
    steps: tuple[Say | Branch, ...]


Steps = Sequence[Say | Branch]


def _values(number: int) -> Say:
    return Say("values", {"n": number})


def _custom(number: int) -> Say:
    return Say("custom", number)


TREES: Final[dict[str, Steps]] = {
    "flat": (_values(1), _custom(2), _custom(3), _values(4), _custom(5), _values(6), _custom(7), _values(8)),
    "long": tuple(_values(n) if n % 8 == 1 else _custom(n) for n in range(1, 42)),
    "one": (
        _values(1),
        _custom(2),
        Branch("inner", (_values(3), _custom(4), _values(5))),
        _custom(6),
        _values(7),
    ),
    "two": (
        _values(1),
        Branch("outer", (_values(2), Branch("inner", (_values(3), _custom(4), _values(5))), _values(6))),
        _custom(7),
        Branch("last", (_values(8),)),
        _values(9),
    ),
}
"""Name -> the graph's steps."""


def flatten(steps: Steps, path: tuple[str, ...] = ()) -> Iterator[Any]:
    """The parts of all steps, in order, as LangGraph would make them."""
    for step in steps:
        if isinstance(step, Say):
            yield {"values": parts.values, "custom": parts.custom}[step.kind](step.data, ns=path)
            continue
        inner = (*path, f"{step.name}:{step.name}-id")
        yield parts.task_start(f"{step.name}-id", step.name, ns=path)
        yield parts.task_start(f"in-{step.name}", step.name, ns=inner)
        yield from flatten(step.steps, inner)
        yield parts.task_result(f"in-{step.name}", step.name, ns=inner)
        yield parts.task_result(f"{step.name}-id", step.name, ns=path)


def said(steps: Steps, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """What is said, in order, as (names of the subgraphs from the outside in, kind, data)."""
    for step in steps:
        if isinstance(step, Say):
            yield path, step.kind, step.data
        else:
            yield from said(step.steps, (*path, step.name))
