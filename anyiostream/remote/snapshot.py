"""`ThreadSnapshot`: the state of a thread as `GET /threads/{id}/state` shows it, folded from its events. Pure."""

from __future__ import annotations

from typing import Any, final

import attrs

from anyiostream.remote.log import Draft
from anyiostream.remote.wire import PendingInterrupt

__all__ = ["ThreadSnapshot"]


@final
@attrs.define(eq=False)
class ThreadSnapshot:
    """Where a thread stands.

    Clients take a thread without `next` and `tasks` for one whose last run has ended, and read its `values`.

    Attributes:
        values: The root's last snapshot, plain; `None` if there was none.
        status: How the last run stands, as its last `lifecycle` event has it; `None` before the first one.
        interrupts: What the graph waits for its user with, by id.
    """

    values: Any = None
    status: str | None = None
    interrupts: dict[str, PendingInterrupt] = attrs.field(factory=dict)
    _tasks: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    def begin(self) -> None:
        """A run begins."""
        self.status = "running"
        self.interrupts = {}
        self._tasks = {}

    def observe(self, draft: Draft) -> None:
        """Take note of an event."""
        if draft.namespace:
            return
        if draft.method == "values":
            self.values = draft.data
        elif draft.method == "tasks" and isinstance(draft.data, dict) and isinstance(draft.data.get("id"), str):
            self._observe_task(draft.data)
        elif draft.root_event is not None:
            self.status = draft.root_event
            if draft.root_event in {"completed", "failed"}:
                self._tasks = {}

    def shown(self, *, running: bool) -> dict[str, Any]:
        """The answer to a request for the state, while a run is under way, or while none is."""
        tasks = list(self._tasks.values())
        if running and not tasks:
            # Between two steps: not ended all the same.
            tasks = [{"id": "", "name": "__start__", "interrupts": []}]
        if self.interrupts and not any(task["interrupts"] for task in tasks):
            pending = [{"id": each.interrupt_id, "value": each.value} for each in self.interrupts.values()]
            tasks = [{"id": "", "name": "__interrupt__", "interrupts": pending}]
        return {"values": self.values, "next": [task["name"] for task in tasks], "tasks": tasks}

    def _observe_task(self, data: dict[str, Any]) -> None:
        interrupts = data.get("interrupts") or []
        if "result" not in data or interrupts:
            self._tasks[data["id"]] = {"id": data["id"], "name": data.get("name"), "interrupts": interrupts}
        else:
            self._tasks.pop(data["id"], None)
