"""`RunTree`: which graphs a thread's run consists of, folded from its `lifecycle` events. Pure."""

from __future__ import annotations

from typing import Any, Final, final

import attrs

from anyiostream.events import Namespace
from anyiostream.remote.log import Draft

__all__ = ["RunTree"]

MOST: Final = 1000
"""Subgraphs of a run that are remembered."""


@final
@attrs.define(eq=False)
class RunTree:
    """The graphs of the last run, how each stands, and which it runs inside."""

    _name: str = ""
    _status: str = "started"
    _nodes: dict[Namespace, dict[str, Any]] = attrs.field(factory=dict)

    def begin(self, graph_name: str) -> None:
        """A run of `graph_name` begins."""
        self._name, self._status = graph_name, "started"
        self._nodes = {}

    def observe(self, draft: Draft) -> None:
        """Take note of an event."""
        if draft.method != "lifecycle" or not isinstance(draft.data, dict):
            return
        status = draft.data.get("event", "started")
        if not draft.namespace:
            self._status = status
        elif draft.namespace in self._nodes:
            self._nodes[draft.namespace]["status"] = status
        elif len(self._nodes) < MOST:
            name = draft.data.get("graph_name") or draft.namespace[-1].partition(":")[0]
            self._nodes[draft.namespace] = {"status": status, "graph_name": name}

    def shown(self) -> dict[str, Any]:
        """The tree, as the protocol has it."""
        root: dict[str, Any] = {
            "namespace": [],
            "status": self._status,
            "graph_name": self._name,
            "children": [],
        }
        made: dict[Namespace, dict[str, Any]] = {(): root}
        for namespace, node in self._nodes.items():
            shown = made[namespace] = {"namespace": list(namespace), **node, "children": []}
            above = namespace[:-1]
            while above not in made:
                above = above[:-1]
            made[above]["children"].append(shown)
        return root
