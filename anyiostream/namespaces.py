"""Where a graph is among others, worked out from its namespace and from the tasks that have started. Pure.

Rules, as LangGraph writes namespaces:

- A graph that a task runs is at the namespace of the task's own graph and one segment more, `name:task_id`.
- Each further graph that the same task runs, in turn, at once, or because the task is tried again, has the number of
  that call as one more segment: `1`, `2`, ... They are siblings of the first, not inside it.
- A function of the functional API (`@task`) that a task calls is a task of the same graph. Its segment, and those of
  what it runs, come after its caller's: the graph around it is the one in which the call was started.
- So is a task that handles the error of another one (`add_node(..., error_handler=...)`): its segment comes after that
  of the task that failed. Only its result is reported.
- The namespace of a graph that keeps its own history has names without ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import attrs

from anyiostream.events import Namespace

__all__ = ["TaskCalls", "around", "checkpoint_path", "handles_error", "is_call", "task_path"]

PUSHED: Final = (("__pregel_push",), ["__pregel_push"])
"""What triggers a task that another one has called, or that a step has sent; in memory, and in JSON."""


HANDLERS: Final = ("__error_handler__", "__default_error_handler__")
"""What the names of tasks begin with that handle the errors of others."""


def task_path(namespace: Namespace) -> Namespace:
    """Where the task is that runs the graph at `namespace`: the namespace without the number of the call."""
    return namespace[:-1] if len(namespace) > 1 and namespace[-1].isdecimal() else namespace


def around(namespace: Namespace) -> Namespace:
    """The namespace of the graph around the one at `namespace`, as far as `namespace` alone tells."""
    return task_path(namespace)[:-1]


def checkpoint_path(metadata: Mapping[str, Any]) -> Namespace:
    """The segments of the checkpoint namespace of the task that a call is made in; empty outside a graph."""
    namespace = metadata.get("langgraph_checkpoint_ns")
    return tuple(namespace.split("|")) if isinstance(namespace, str) and namespace else ()


@final
@attrs.define(eq=False, init=False)
class TaskCalls:
    """The tasks in progress that other tasks of the run have called, those that have failed, and the graph of each."""

    _started_in: dict[str, Namespace]
    _failed_in: dict[str, Namespace]

    def __init__(self) -> None:
        self._started_in = {}
        self._failed_in = {}

    def note(self, namespace: Namespace, task: Mapping[str, Any]) -> bool:
        """A task has started in the graph at `namespace`; whether another task has called it."""
        task_id = task.get("id")
        if not is_call(task) or not isinstance(task_id, str):
            return False
        self._started_in[task_id] = namespace
        return True

    def forget(self, task_id: str) -> bool:
        """The task has ended; whether it was one of these."""
        return self._started_in.pop(task_id, None) is not None

    def fail(self, namespace: Namespace, task_id: str) -> None:
        """A task of the graph at `namespace` has failed; its error may be handled."""
        self._failed_in[task_id] = namespace

    def forget_failed(self, namespace: Namespace) -> None:
        """The graph at `namespace` has ended, or goes on: the errors of its tasks have been handled."""
        if self._failed_in:
            self._failed_in = {task: graph for task, graph in self._failed_in.items() if graph != namespace}

    def clear(self) -> None:
        """The run has ended."""
        self._started_in.clear()
        self._failed_in.clear()

    def around(self, namespace: Namespace) -> Namespace:
        """The namespace of the graph around the one at `namespace`."""
        path = task_path(namespace)
        if path and self._started_in:
            graph = self._started_in.get(path[-1].partition(":")[2])
            if graph is not None and path[: len(graph)] == graph:
                return graph
        graph = path[:-1]
        return self._failed_in.get(graph[-1].partition(":")[2], graph) if graph and self._failed_in else graph

    def outwards(self, namespace: Namespace) -> Iterator[Namespace]:
        """`namespace`, and where graphs around it may be, inner before outer."""
        while namespace:
            yield namespace
            namespace = self.around(namespace)
        yield namespace


def handles_error(task: Mapping[str, Any]) -> bool:
    """Whether a task handles the error of another one."""
    name = task.get("name")
    return isinstance(name, str) and name.startswith(HANDLERS)


def is_call(task: Mapping[str, Any]) -> bool:
    """Whether a task that starts has been called by another one.

    A step may have sent it instead. A called one is given positional and keyword arguments, a sent one anything.
    """
    given = task.get("input")
    return (
        task.get("triggers") in PUSHED
        and isinstance(given, (tuple, list))
        and len(given) == 2  # noqa: PLR2004 -- those two
        and isinstance(given[0], (tuple, list))
        and isinstance(given[1], dict)
    )
