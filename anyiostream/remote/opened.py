"""`Opened`: which messages, tool calls and subgraphs of a run have begun and not ended, and their ends. Pure.

When a run goes on after its server has died, or cannot, what it had begun is ended in its log first: no viewer waits
for the rest of a message, or takes the next one for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, final

import attrs

from anyiostream import Namespace
from anyiostream.tooling import ENDS, tool_key
from anyiostream.wire.drafts import Draft

__all__ = ["Opened"]

MESSAGES: Final = "messages"
TOOLS: Final = "tools"
LIFECYCLE: Final = "lifecycle"

BEGINNINGS: Final = {MESSAGES: {"message-start"}, TOOLS: {"tool-started"}, LIFECYCLE: {"started", "running"}}

ENDINGS: Final = {
    MESSAGES: ENDS,
    TOOLS: {"tool-finished", "tool-error"},
    LIFECYCLE: {"completed", "failed", "interrupted"},
}

NAMES: Final = {MESSAGES: ("id", "run_id"), TOOLS: ("tool_call_id", "run_id"), LIFECYCLE: ("graph_name",)}
"""What an end repeats of a beginning; the first tells those of one namespace apart, if there are several."""

FAILURES: Final = {MESSAGES: ("error", "message"), TOOLS: ("tool-error", "message"), LIFECYCLE: ("failed", "error")}
"""The event that ends each early, and where it says why."""


@final
@attrs.define(eq=False)
class Opened:
    """What has begun, in order."""

    _open: dict[tuple[str, Namespace, str], dict[str, Any]] = attrs.field(factory=dict)

    def clear(self) -> None:
        """A run begins."""
        self._open.clear()

    def observe(self, draft: Draft) -> None:
        """Take note of an event."""
        method, data = draft.method, draft.data
        if method not in BEGINNINGS or not isinstance(data, dict):
            return
        event = data.get("event")
        if event in ENDINGS[method]:
            self._open.pop(self._key(draft), None)
        elif event in BEGINNINGS[method] and (method != LIFECYCLE or draft.namespace):
            names = {name: data[name] for name in NAMES[method] if name in data}
            self._open[self._key(draft)] = {"names": names, "extra": draft.extra}

    def ends(self, reason: str, timestamp: int) -> Iterator[Draft]:
        """The events that end all of it: messages first, then calls, then subgraphs, inner ones before outer ones."""
        kinds = list(BEGINNINGS)
        order = sorted(self._open.items(), key=lambda item: (kinds.index(item[0][0]), -len(item[0][1])))
        for (method, namespace, _), kept in order:
            event, where = FAILURES[method]
            yield Draft(method, namespace, {"event": event, **kept["names"], where: reason}, timestamp, kept["extra"])

    def dump(self) -> list[Any]:
        """As JSON."""
        return [[method, list(namespace), name, kept] for (method, namespace, name), kept in self._open.items()]

    @classmethod
    def load(cls, dumped: list[Any]) -> Opened:
        """From JSON."""
        return cls({(method, tuple(namespace), name): kept for method, namespace, name, kept in dumped})

    @staticmethod
    def _key(draft: Draft) -> tuple[str, Namespace, str]:
        if draft.method == TOOLS:
            return draft.method, draft.namespace, tool_key(draft.data)
        name = "" if draft.method == LIFECYCLE else str(draft.data.get(NAMES[draft.method][0]))
        return draft.method, draft.namespace, name
