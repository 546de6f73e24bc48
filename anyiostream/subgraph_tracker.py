"""`SubgraphTracker`: which subgraphs are open. A state machine fed with the payloads of `tasks` parts.

Rules, as in LangGraph:

- A subgraph starts with the first task event at its namespace, below the scope being watched. `namespaces` tells which
  graph is around it and which task runs it; a task may run several, which are siblings.
- It ends with the result of that task in the graph around it, which tells how. Subgraphs still open inside it end
  first, inner before outer.
- A subgraph in which one of LangGraph's own tasks has failed is broken: it ends as failed, whatever becomes of the task
  that runs it, and no later than the next subgraph that this task runs. Only if something more happens in the
  subgraph, the error has been handled.
- A task whose input is a tool call (or a list with one) names the tool call that caused the subgraphs it runs. Which of
  several calls caused one, nobody tells.
- A subgraph whose task metadata has `lc_agent_name` is an agent of that name.

Every look-up is by key, so that the cost of an event does not grow with the number of open subgraphs; a subgraph that
has ended is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, final

import attrs

from anyiostream.events import Namespace
from anyiostream.namespaces import TaskCalls, task_path
from anyiostream.subgraphs import LifecycleCause, Subgraph

__all__ = ["SubgraphTracker"]


@final
@attrs.define(eq=False, init=False)
class SubgraphTracker:
    """The open subgraphs below `scope`. The head of `subgraphs.py` says what is made of them."""

    scope: Namespace
    _open: dict[Namespace, Subgraph]
    _by_task: dict[tuple[Namespace, str], list[Subgraph]]
    _by_name: dict[tuple[Namespace, str], list[Subgraph]]
    _tool_calls: dict[str, str]
    _calls: TaskCalls
    _calling: dict[Namespace, None]  # in place of a set; see `RunState`

    def __init__(self, scope: Namespace = ()) -> None:
        self.scope = scope
        self._open = {}
        self._by_task = {}
        self._by_name = {}
        self._tool_calls = {}
        self._calls = TaskCalls()
        self._calling = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def any_calls(self) -> bool:
        """Whether a task has called another one, or has failed, in a graph that is open."""
        return bool(self._calling)

    def start(self, namespace: Namespace, data: Mapping[str, Any]) -> Subgraph | None:
        """Record that a task starts at `namespace`; returns the subgraph that this reveals, or `None`."""
        if data.get("input") is not None:
            self._note_tool_call(data)
        if data.get("triggers"):
            if self._calls.note(namespace, data):
                self._calling[namespace] = None
            else:
                self._calls.forget_failed(namespace)
        known = self._open.get(namespace)
        if known is not None:
            known.task_started()
            return None
        depth = len(self.scope)
        if len(namespace) <= depth or namespace[:depth] != self.scope:
            return None
        name, separator, task_id = task_path(namespace)[-1].partition(":")
        around = self._calls.around(namespace) if separator else self._around_nameless(namespace)
        metadata, has_steps = data.get("metadata"), bool(data.get("triggers"))
        agent = metadata.get("lc_agent_name") if metadata else None
        trigger = task_id if separator else None
        if agent is None:
            subgraph = Subgraph(namespace, name or None, trigger, None, parent=around, has_steps=has_steps)
        else:
            tool_call = self._tool_calls.get(task_id)
            cause: LifecycleCause | None = {"type": "toolCall", "tool_call_id": tool_call} if tool_call else None
            subgraph = Subgraph(namespace, agent, trigger, cause, is_agent=True, parent=around, has_steps=has_steps)
        self._open[namespace] = subgraph
        runs, key = self._run_by(subgraph)
        runs.setdefault(key, []).append(subgraph)
        parent = self._open.get(around)
        if parent is not None:
            parent.adopt(subgraph)
        return subgraph

    def broken_before(self, subgraph: Subgraph) -> list[Subgraph]:
        """The broken ones that the same task ran before `subgraph`, which has started: they end, inner before outer."""
        runs, key = self._run_by(subgraph)
        return self._end([each for each in runs[key] if each.failure is not None])

    def result(self, namespace: Namespace, data: Mapping[str, Any]) -> list[Subgraph]:
        """Record a task's result at `namespace`; returns the subgraphs that end with it, inner before outer."""
        task_id = data.get("id")
        if not isinstance(task_id, str):
            return []
        self._tool_calls.pop(task_id, None)
        called = self._calls.forget(task_id)
        graph = self._open.get(namespace)
        if graph is not None:
            graph.task_ended(data, called=called)
        if data.get("error") and not called and (graph is not None or namespace == self.scope):
            self._calls.fail(namespace, task_id)
            self._calling[namespace] = None
        outermost = self._by_task.get((namespace, task_id))
        if self._by_name:
            outermost = [*(outermost or ()), *self._by_name.get((namespace, str(data.get("name"))), ())]
        return self._end(outermost) if outermost else []

    def end_all(self) -> list[Subgraph]:
        """End all that are still open, inner before outer."""
        ended = sorted(self._open.values(), key=lambda subgraph: len(subgraph.namespace), reverse=True)
        for index in (self._open, self._by_task, self._by_name, self._tool_calls, self._calls, self._calling):
            index.clear()
        return ended

    def outwards(self, namespace: Namespace) -> Iterator[Namespace]:
        """`namespace`, and where graphs around it may be, inner before outer."""
        return self._calls.outwards(namespace)

    def writer_of(self, namespace: Namespace) -> Namespace:
        """The graph that has written something at `namespace`.

        That is the graph there; but what a called task writes comes with the namespace of the task that called it, and
        what a handler of errors writes with that of the task that failed. So if no graph is there, or none that does
        anything, it is the nearest one around it in which tasks have called or failed.
        """
        while self._calling and len(namespace) > len(self.scope):
            here = self._open.get(namespace)
            if here is not None and (here.under_way or here.failure is not None):
                break
            outer = self._calls.outwards(self._calls.around(namespace))
            graph = next((each for each in outer if each in self._open), self.scope)
            if graph not in self._calling:
                break
            namespace = graph
        return namespace

    def _run_by(self, subgraph: Subgraph) -> tuple[dict[tuple[Namespace, str], list[Subgraph]], tuple[Namespace, str]]:
        """The index, and the key in it, of the subgraphs that the same task runs."""
        if subgraph.trigger_call_id is not None:
            return self._by_task, (subgraph.parent, subgraph.trigger_call_id)
        return self._by_name, (subgraph.parent, task_path(subgraph.namespace)[-1])

    def _around_nameless(self, namespace: Namespace) -> Namespace:
        """The graph around one whose namespace has names without ids; the namespace of that graph may have ids."""
        names = task_path(namespace)[:-1]
        for graph in self._open:
            if len(graph) == len(names) and all(
                segment.partition(":")[0] == name for segment, name in zip(graph, names, strict=True)
            ):
                return graph
        return names

    def _end(self, outermost: list[Subgraph]) -> list[Subgraph]:
        ended: list[Subgraph] = []
        for outer in outermost:
            for inner in outer.inner_first():
                inner.failure = inner.failure or outer.failure
                ended.append(inner)
        for subgraph in ended:
            self._forget(subgraph)
        return ended

    def _note_tool_call(self, data: Mapping[str, Any]) -> None:
        task_id, given = data.get("id"), data["input"]
        if not isinstance(task_id, str):
            return
        calls = [given.get("tool_call")] if isinstance(given, dict) else given if isinstance(given, list) else ()
        ids = [call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str)]
        if len(ids) == 1:
            self._tool_calls[task_id] = ids[0]

    def _forget(self, subgraph: Subgraph) -> None:
        self._open.pop(subgraph.namespace, None)
        self._calling.pop(subgraph.namespace, None)
        self._calls.forget_failed(subgraph.namespace)
        runs, key = self._run_by(subgraph)
        left = [each for each in runs.get(key, ()) if each is not subgraph]
        if left:
            runs[key] = left
        else:
            runs.pop(key, None)
        parent = self._open.get(subgraph.parent)
        if parent is not None:
            parent.disown(subgraph)
