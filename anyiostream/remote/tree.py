"""`RunTree`: which graphs a thread's run consists of, folded from its `lifecycle` events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import attrs

from anyiostream import Namespace
from anyiostream.tooling import around, task_path
from anyiostream.wire.drafts import Draft

__all__ = ["RunTree"]

MOST: Final = 1000
"""Subgraphs of a run that are remembered."""

NODE: Final = 500
"""Bytes that one takes besides its name."""


@final
@attrs.define(eq=False)
class RunTree:
    """The graphs of the last run, how each stands, and which it runs inside."""

    _name: str = ""
    _status: str = "started"
    _nodes: dict[Namespace, dict[str, Any]] = attrs.field(factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it takes, more or less."""
        return sum(NODE + sum(map(len, namespace)) for namespace in self._nodes)

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
            name = draft.data.get("graph_name") or task_path(draft.namespace)[-1].partition(":")[0]
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
            outer = around(namespace)
            while outer not in made:
                outer = around(outer)
            made[outer]["children"].append(shown)
        return root

    def dump(self) -> dict[str, Any]:
        """As JSON."""
        nodes = [[list(namespace), node] for namespace, node in self._nodes.items()]
        return {"name": self._name, "status": self._status, "nodes": nodes}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> RunTree:
        """From JSON."""
        nodes = {tuple(namespace): node for namespace, node in dumped["nodes"]}
        return cls(dumped["name"], dumped["status"], nodes)
