"""Scripts: lists of parts that stand for a graph, so that nothing but the streaming layer is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from anyiostream import parts

__all__ = [
    "Script",
    "custom",
    "four_projections",
    "message",
    "nested_subgraphs",
    "nothing",
    "parallel_subgraphs",
    "tokens",
    "values",
]

Part = Any
"""A `StreamPart`: both libraries read the same."""


@attrs.frozen
class Script:
    """What a workload's runs are made of, and what its readers must find.

    Attributes:
        parts: The parts of one run.
        items: Items that the readers get, all of them together, in all runs.
        runs: How many runs are opened, one after the other.
    """

    parts: list[Part]
    items: int
    runs: int = 1

    @property
    def units(self) -> int:
        """What costs are divided by: parts, or runs where these are empty."""
        return len(self.parts) * self.runs or self.runs


def custom(count: int, *, readers: int = 1) -> Script:
    """Custom data, all of which each of the readers gets."""
    return Script([parts.custom(n) for n in range(count)], count * readers)


def values(count: int) -> Script:
    """State snapshots of the root."""
    return Script([parts.values({"n": n}) for n in range(count)], count)


def message(call: int, deltas: int) -> Iterator[Part]:
    """One message, in pieces."""
    metadata = {"run_id": str(call), "langgraph_node": "model"}
    yield parts.messages({"event": "message-start", "role": "ai", "id": str(call)}, metadata)
    delta = {"type": "text-delta", "text": "token "}
    event = {"event": "content-block-delta", "index": 0, "delta": delta}
    for _ in range(deltas):
        yield parts.messages(event, metadata)
    block = {"type": "text", "text": "token " * deltas}
    yield parts.messages({"event": "content-block-finish", "index": 0, "content": block}, metadata)
    yield parts.messages({"event": "message-finish"}, metadata)


def tokens(count: int, *, deltas: int = 100) -> Script:
    """Messages of 100 pieces of text each; the readers count pieces."""
    calls = max(1, count // deltas)
    return Script([part for call in range(calls) for part in message(call, deltas)], calls * deltas)


def four_projections(count: int, *, deltas: int = 100) -> Script:
    """Snapshots, updates, custom data and pieces of messages in turn."""
    found: list[Part] = []
    calls = max(1, count // (4 * deltas))
    for call in range(calls):
        for n, piece in enumerate(message(call, deltas)):
            found.append(piece)
            if 0 < n <= deltas:
                found += [parts.custom(n), parts.values({"n": n}), parts.updates({"node": {"n": n}})]
    return Script(found, 4 * calls * deltas)


def nested_subgraphs(depth: int, *, inside: int = 100) -> Callable[[int], Script]:
    """Subgraphs one after the other, each `depth` deep, with `inside` snapshots in the innermost."""

    def make(count: int) -> Script:
        found: list[Part] = []
        chains = max(1, count // inside)
        for chain in range(chains):
            spaces = [tuple(f"sub:{chain}-{level}" for level in range(deep)) for deep in range(depth + 1)]
            found += [parts.task_start(f"{chain}", "inner", ns=space) for space in spaces[1:]]
            found += [parts.values({"n": n}, ns=spaces[depth]) for n in range(inside)]
            for level in range(depth - 1, -1, -1):
                found.append(parts.task_result(f"{chain}-{level}", "sub", ns=spaces[level]))
        return Script(found, chains * inside)

    return make


def parallel_subgraphs(count: int, *, subgraphs: int = 50) -> Script:
    """Subgraphs that are open together, with snapshots of each in turn."""
    spaces = [(f"sub:{n}",) for n in range(subgraphs)]
    found = [parts.task_start("in", "inner", ns=space) for space in spaces]
    turns = max(1, count // subgraphs)
    found += [parts.values({"n": n}, ns=space) for n in range(turns) for space in spaces]
    found += [parts.task_result(str(n), "sub") for n in range(subgraphs)]
    return Script(found, turns * subgraphs)


def nothing(count: int) -> Script:
    """Runs without a part."""
    return Script([], count, runs=count)
