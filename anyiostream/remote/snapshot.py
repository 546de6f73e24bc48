"""`ThreadSnapshot`: the state of a thread as `GET /threads/{id}/state` shows it, folded from its events. Pure.

What is still to do:

- A task that has started, until its result comes; one that asks its user, until the run goes on. What a task calls is
  part of it.
- For a task that need not run, because it was done before an interrupt, or is cached, LangGraph reports no result, only
  an update, which says that it is an old one.
- Where a graph stops at a breakpoint, its last checkpoint names the tasks of the step that has not begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import attrs

from anyiostream.tooling import is_call
from anyiostream.wire.drafts import Draft
from anyiostream.wire.encoder import WireInterrupt
from anyiostream.wire.jsonable import plain

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
    interrupts: dict[str, WireInterrupt] = attrs.field(factory=dict)
    _tasks: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    @property
    def waits(self) -> bool:
        """Whether the graph waits for its user, with a question or at a breakpoint."""
        return bool(self.interrupts) or self.status == "interrupted"

    def begin(self) -> None:
        """A run begins."""
        self.status = "running"
        self.interrupts = {}
        self._tasks = {}

    def expect(self, checkpoint: Any) -> None:
        """The root has saved a checkpoint, in the format of `get_state()`: it has the tasks of the next step."""
        tasks = checkpoint.get("tasks") if isinstance(checkpoint, Mapping) else None
        if not isinstance(tasks, (list, tuple)):
            return
        self._tasks = {}
        for task in tasks:
            if isinstance(task, Mapping) and isinstance(task.get("id"), str) and "result" not in task:
                self._keep(task)

    def observe(self, draft: Draft) -> None:
        """Take note of an event."""
        if draft.namespace:
            return
        if draft.method == "values":
            self.values = draft.data
        elif draft.method == "tasks" and isinstance(draft.data, dict) and isinstance(draft.data.get("id"), str):
            self._observe_task(draft.data)
        elif draft.method == "updates" and isinstance(draft.data, dict):
            self._observe_update(draft.data)
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

    def dump(self) -> dict[str, Any]:
        """As JSON, without the values."""
        interrupts = [[each.interrupt_id, list(each.namespace), each.value] for each in self.interrupts.values()]
        return {"status": self.status, "interrupts": interrupts, "tasks": self._tasks}

    @classmethod
    def load(cls, dumped: Mapping[str, Any], values: Any) -> ThreadSnapshot:
        """From JSON, and the values."""
        asked = {each[0]: WireInterrupt(each[0], tuple(each[1]), each[2]) for each in dumped["interrupts"]}
        return cls(values, dumped["status"], asked, dumped["tasks"])

    def _observe_task(self, data: Mapping[str, Any]) -> None:
        if "result" not in data or data.get("interrupts"):
            if not is_call(data):
                self._keep(data)
        else:
            self._tasks.pop(data["id"], None)

    def _observe_update(self, update: Mapping[str, Any]) -> None:
        metadata = update.get("__metadata__")
        if not isinstance(metadata, Mapping) or not metadata.get("cached"):
            return
        for task_id, task in self._tasks.items():
            if task["name"] in update and not task["interrupts"]:
                del self._tasks[task_id]
                return

    def _keep(self, task: Mapping[str, Any]) -> None:
        task_id, interrupts = task["id"], plain(task.get("interrupts") or [])
        self._tasks[task_id] = {"id": task_id, "name": task.get("name"), "interrupts": interrupts}
