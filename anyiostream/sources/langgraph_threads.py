"""Which synchronous nodes of a LangGraph graph keep running in their threads when the graph is left.

LangGraph runs a synchronous node in a thread, and no thread can be cancelled: closing the graph does not wait for it.
All we can do is log it.

A task that has started and has no result need not be running: LangGraph reports no result for one that was done before
(answered, cached, or a sibling of one that failed). A running node is on the stack of a thread.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from types import CodeType, FrameType
from typing import Any, final

from anyiostream.events import Namespace, StreamPart

__all__ = ["ThreadWatch", "threaded_nodes"]

logger = logging.getLogger("anyiostream")


@final
class ThreadWatch:
    """Knows which nodes of a graph's own are in their threads, and logs them if the graph is left early."""

    def __init__(self, scope: Namespace, nodes: Mapping[str, Any], graph: str) -> None:
        """Nothing runs yet.

        Args:
            scope: The graph's namespace.
            nodes: Its nodes that run in threads, and their functions.
            graph: What it is called in messages.
        """
        self._scope = scope
        self._nodes = nodes
        self._graph = graph
        self._running: dict[str, str] = {}

    def note(self, part: StreamPart) -> None:
        """Note a `tasks` part of the graph's stream: a node has started, or has ended."""
        if part["ns"] == self._scope:
            task = part["data"]
            if "result" in task:
                self._running.pop(task["id"], None)
            elif task["name"] in self._nodes:
                self._running[task["id"]] = task["name"]

    def ended(self) -> None:
        """The stream has come to its natural end: nothing runs any more."""
        self._running.clear()

    def closed(self) -> None:
        """The stream has been closed: log the threads that it leaves behind."""
        for name in still_running({name: self._nodes[name] for name in self._running.values()}):
            logger.warning(
                "node %r of %s is synchronous: it cannot be stopped, and runs on in its thread until it returns",
                name,
                self._graph,
            )
        self._running.clear()


def threaded_nodes(graph: Any) -> dict[str, Any]:
    """The nodes of a compiled graph that LangGraph runs in threads, on the async lane: name -> function."""
    nodes: Mapping[str, Any] = getattr(graph, "nodes", None) or {}
    bound: dict[str, Any] = {name: getattr(node, "bound", None) for name, node in nodes.items()}
    return {name: each.func for name, each in bound.items() if _is_threaded(each)}


def still_running(nodes: Mapping[str, Any]) -> list[str]:
    """Which of these nodes a thread is in; one whose function is not written in Python may be."""
    running = {frame.f_code for top in _threads() for frame, _ in traceback.walk_stack(top)}
    return [name for name, function in nodes.items() if (code := _code_of(function)) is None or code in running]


def _threads() -> list[FrameType]:
    return list(sys._current_frames().values())  # noqa: SLF001 -- documented, and named so to be used with care


def _code_of(function: Any) -> CodeType | None:
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _is_threaded(bound: Any) -> bool:
    # LangGraph gives a plain function an asynchronous side: `partial(run_in_executor, None, function)`.
    function, asynchronous = getattr(bound, "func", None), getattr(bound, "afunc", None)
    return function is not None and isinstance(asynchronous, partial) and function in asynchronous.args
