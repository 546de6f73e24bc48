"""The state of a graph, as its `values` parts show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import attrs

__all__ = ["GraphState"]


@final
@attrs.define(eq=False)
class GraphState:
    """The last snapshot at one scope, kept whether or not `values` has a reader.

    Attributes:
        latest: The last snapshot, or `None`.
        interrupts: The interrupts seen so far, in order, each once.
        paused: Whether the graph was interrupted, even if it asked no question, as at a breakpoint.
    """

    latest: Any = None
    interrupts: tuple[Any, ...] = ()
    paused: bool = False

    @property
    def interrupted(self) -> bool:
        """Whether the graph waits: for answers, or to be told to go on."""
        return self.paused or bool(self.interrupts)

    def observe(self, data: Any, interrupts: Iterable[Any]) -> None:
        """Note a snapshot and the interrupts that came with it."""
        self.latest = data
        if interrupts:
            for each in interrupts:
                if not any(_is_same(each, known) for known in self.interrupts):
                    self.interrupts = (*self.interrupts, each)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two interrupts ask the same question.

    Their values may be anything, arrays for example, which cannot be compared like other values.
    """
    if one is other:
        return True
    ids = getattr(one, "id", None), getattr(other, "id", None)
    if isinstance(ids[0], str) and isinstance(ids[1], str) and ids[0] != ids[1]:
        return False
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 -- whatever comparing a graph's own values raises
        return ids[0] is not None and ids[0] == ids[1]
