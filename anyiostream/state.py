"""The state of a graph, as its `values` parts show it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import attrs

__all__ = ["GraphState"]


@final
@attrs.define(eq=False)
class GraphState:
    """The last snapshot at one scope, kept whether or not anybody reads `values`.

    Attributes:
        latest: The last snapshot, or `None`.
        interrupts: The interrupts seen so far, in order, each once.
    """

    latest: Any = None
    interrupts: list[Any] = attrs.field(factory=list)

    def observe(self, data: Any, interrupts: Iterable[Any]) -> None:
        """Take note of a snapshot and the interrupts that came with it."""
        self.latest = data
        if interrupts:
            for each in interrupts:
                if each not in self.interrupts:
                    self.interrupts.append(each)
