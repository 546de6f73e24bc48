"""How nested graphs ended, where LangGraph's stream does not say.

Tasks of a graph that is left have no result: it was cancelled (a timeout round `await inner.ainvoke(...)`, a sibling
that failed), or its stream was not read to its end (`break`). Nor has a task that hands over to a node of the graph
around it (`Command(graph=Command.PARENT)`), so the stream alone cannot tell the two apart. And a graph may fail
although none of its tasks has: it took too many steps, or two of its nodes wrote the same key. LangChain's callbacks
learn all this.

Rules:

- A graph has ended well if its end was reported, or if it ended with one of LangGraph's own signals: a hand-over, an
  interrupt. If an error was reported, it has failed. Otherwise it was left.
- Its end is shown when the task that runs it has its result, without an error: then all of the graph's output is in the
  stream, and the node has gone on without it. Such a part is like a task's result, at the graph's namespace.
- A graph is known from the first of its tasks that starts; one that has not come that far is not in the stream either.

It relies on this, which is not documented; each has a test in `tests/subgraphs/test_left.py`:

- LangGraph: a task's own run has a tag `graph:step:<n>`, and no run inside it has; its parent is the run of its graph.
- LangGraph: `langgraph_path` of a task that another one has called has four members, the last of which is `True`, and
  the second the caller's path (`langgraph.pregel._messages` reads it like this).
- LangChain: `var_child_runnable_config` is set where a node's function runs, and is not outside of nodes.
- LangGraph: the end of a graph, or its error, is reported before the task that runs it has its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, final
from uuid import UUID

import attrs
from langgraph.errors import GraphBubbleUp

from anyiostream import parts
from anyiostream.events import Namespace, StreamPart
from anyiostream.foreign import is_cancellation
from anyiostream.forms import text_of
from anyiostream.namespaces import checkpoint_path, handles_error, is_call, task_path

__all__ = ["CUT_OFF", "NestedGraphs", "graph_of"]

CUT_OFF: Final = "it was cancelled before it ended"

TASK_TAG: Final = "graph:step:"

CALLED: Final = 4
"""Length of the path of a task that another one called."""


def graph_of(path: Namespace, metadata: Mapping[str, Any]) -> Namespace:
    """The namespace of the graph that a task is part of: without its own segment, and those of tasks that called it."""
    drop = 1
    within: Any = metadata.get("langgraph_path") or ()
    while len(within) == CALLED and within[-1] is True:
        drop += 1
        within = within[1]
    return path[:-drop]


@final
@attrs.define(eq=False)
class NestedGraph:
    """A graph that runs, or has ended badly.

    Attributes:
        namespace: Its namespace.
        error: What it ended with, if it has.
    """

    namespace: Namespace
    error: BaseException | None = None

    @property
    def run_by(self) -> str:
        """The id of the task that runs it; where the namespace has none, the name of its node."""
        return task_path(self.namespace)[-1].rpartition(":")[2]

    def ended(self, run_id: UUID) -> StreamPart:
        """What the stream does not say."""
        # Cancelled, closed, or still at work although its node has ended: in each case it was left.
        error = self.error
        problem = (text_of(error) or type(error).__name__) if isinstance(error, Exception) else None
        name = task_path(self.namespace)[-1].partition(":")[0]
        return parts.task_result(
            str(run_id), name, error=problem or CUT_OFF, aborted=problem is None, ns=self.namespace
        )


@final
class NestedGraphs:
    """The graphs that the nodes of one graph run."""

    __slots__ = ("_broken", "_by_runner", "_called", "_depth", "_graphs")

    def __init__(self) -> None:
        self._graphs: dict[UUID, NestedGraph] = {}
        self._by_runner: dict[str, dict[UUID, NestedGraph]] = {}
        self._broken: set[Namespace] = set()
        self._called: set[str] = set()
        self._depth: int | None = None

    # --- what LangChain tells ---

    def started(self, parent_run_id: UUID | None, tags: Sequence[str], metadata: Mapping[str, Any]) -> None:
        """Something starts; perhaps a task of a graph."""
        if parent_run_id is None or parent_run_id in self._graphs:
            return
        for tag in tags:
            if tag.startswith(TASK_TAG):
                namespace = graph_of(checkpoint_path(metadata), metadata)
                if namespace:
                    self._graphs[parent_run_id] = graph = NestedGraph(namespace)
                    self._by_runner.setdefault(graph.run_by, {})[parent_run_id] = graph
                return

    def failed(self, run_id: UUID, error: BaseException) -> None:
        """Something has failed, or was left; perhaps a graph."""
        graph = self._graphs.get(run_id)
        if graph is not None:
            graph.error = error
            if isinstance(error, GraphBubbleUp):
                self.forget(run_id)

    def forget(self, run_id: UUID) -> None:
        """Something has ended well; perhaps a graph."""
        graph = self._graphs.pop(run_id, None)
        if graph is not None:
            runs = self._by_runner[graph.run_by]
            del runs[run_id]
            if not runs:
                del self._by_runner[graph.run_by]

    # --- what the stream asks ---

    @property
    def any_noted(self) -> bool:
        """Whether parts about tasks are to be looked at: a graph runs, or this is the first one."""
        return bool(self._by_runner or self._broken or self._called) or self._depth is None

    def before(self, namespace: Namespace, task: Mapping[str, Any]) -> Iterator[StreamPart]:
        """How the graphs that a task has run ended, to be shown before a part about the task."""
        if self._depth is None:
            self._depth = len(namespace)  # a stream begins with a task of its own graph
        if "result" not in task:
            if is_call(task):
                self._called.add(task["id"])
            elif self._broken:
                self._broken.discard(namespace)  # what failed was tried again
            return
        called = task["id"] in self._called
        self._called.discard(task["id"])
        if task.get("error"):
            # A task that another one has called does not fail its graph: the caller may catch the error.
            if not called:
                self._failed(namespace, task)
        elif self._by_runner and not task.get("interrupts"):
            for graph in self._run_by(namespace, task):
                yield from self._left(graph.namespace)

    def rest(self) -> Iterator[StreamPart]:
        """The same, when the stream has come to its end."""
        for runs in list(self._by_runner.values()):
            for graph in list(runs.values()):
                if len(graph.namespace) > (self._depth or 0):
                    yield from self._left(graph.namespace)

    # --- inside ---

    def _failed(self, namespace: Namespace, task: Mapping[str, Any]) -> None:
        """A task has failed, and its graph with it."""
        if is_cancellation(task["error"]):
            # With its graph, which was left; perhaps while it handled the error of another task.
            if handles_error(task):
                self._broken.discard(namespace)
        else:
            self._broken.add(namespace)

    def _run_by(self, namespace: Namespace, task: Mapping[str, Any]) -> list[NestedGraph]:
        runs = self._by_runner.get(task["id"])
        if runs:
            return list(runs.values())
        # Nodes of the same name are in other graphs, too.
        named = self._by_runner.get(task["name"], {}).values()
        return [each for each in named if len(task_path(each.namespace)) == len(namespace) + 1]

    def _left(self, namespace: Namespace) -> Iterator[StreamPart]:
        """The graph at a namespace, after those inside it."""
        depth = len(namespace)
        inside = [each for each in self._graphs.items() if each[1].namespace[:depth] == namespace]
        for run_id, graph in sorted(inside, key=lambda each: -len(each[1].namespace)):
            self.forget(run_id)
            if graph.namespace not in self._broken:
                yield graph.ended(run_id)
            self._broken.discard(graph.namespace)
