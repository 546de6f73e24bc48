"""The level of a run that a LangGraph node opens: the node's namespace, whichever call of that node it is.

The first graph that a node runs is at the node's own namespace; each further one has the number of the call as one more
segment. A run's scope is known before its graph is numbered. So the parts of a further graph are moved to the node's
namespace, too: its first part, its own snapshot, shows the number.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any, final

from anyiostream.events import Namespace

__all__ = ["Level", "own_level"]


@final
class Level:
    """Moves parts to the scope of the run."""

    def __init__(self, scope: Namespace) -> None:
        """Move them to `scope`, which is not the root's."""
        self._scope = scope
        self._numbered: Namespace | None = None

    def moved(self, part: Any) -> Any:
        """The part, at the run's own level."""
        namespace, depth = part["ns"], len(self._scope)
        numbered = self._numbered
        if numbered is None:
            below = namespace[depth : depth + 1]
            is_numbered = namespace[:depth] == self._scope and bool(below) and below[0].isdecimal()
            numbered = self._numbered = (*self._scope, *below) if is_numbered else self._scope
        if len(numbered) == depth or namespace[: depth + 1] != numbered:
            return part
        return {**part, "ns": (*self._scope, *namespace[depth + 1 :])}


def own_level(parts: Generator[Any], scope: Namespace) -> Generator[Any]:
    """The parts of a graph at the level of a run whose scope is `scope`. Closing it closes `parts`."""
    if not scope:
        yield from parts
        return
    level = Level(scope)
    with closing(parts):
        for part in parts:
            yield level.moved(part)
