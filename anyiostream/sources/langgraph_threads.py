"""Which synchronous nodes of a LangGraph graph run on in their threads when the graph is left.

LangGraph runs a synchronous node in a thread, and no thread can be cancelled: closing the graph does not wait for it.
All that can be done is to say so.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, final

from anyiostream.events import Namespace

__all__ = ["StreamWithThreads", "threaded_nodes"]

logger = logging.getLogger("anyiostream")


@final
class StreamWithThreads(AsyncIterator[Any]):
    """A graph's stream that logs, when it is closed early, which nodes of the graph's own were in their threads."""

    def __init__(self, stream: AsyncIterator[Any], scope: Namespace, nodes: frozenset[str], graph: str) -> None:
        """Watch a stream.

        Args:
            stream: The stream; its parts pass through as they are.
            scope: The graph's namespace.
            nodes: Its nodes that run in threads.
            graph: What it is called in messages.
        """
        self._stream = stream
        self._scope = scope
        self._nodes = nodes
        self._graph = graph
        self._running: dict[str, str] = {}

    async def __anext__(self) -> Any:
        """The next part."""
        part = await anext(self._stream)
        if part["type"] == "tasks" and part["ns"] == self._scope:
            self._note(part["data"])
        return part

    async def aclose(self) -> None:
        """Close the stream, and tell of the threads that it leaves behind."""
        aclose = getattr(self._stream, "aclose", None)
        try:
            if aclose is not None:
                await aclose()
        finally:
            for name in self._running.values():
                logger.warning(
                    "node %r of %s is synchronous: it cannot be stopped, and runs on in its thread until it returns",
                    name,
                    self._graph,
                )
            self._running.clear()

    def _note(self, task: Mapping[str, Any]) -> None:
        if "result" in task:
            self._running.pop(task["id"], None)
        elif task["name"] in self._nodes:
            self._running[task["id"]] = task["name"]


def threaded_nodes(graph: Any) -> frozenset[str]:
    """The nodes of a compiled graph that LangGraph runs in threads, on the async lane."""
    nodes: Mapping[str, Any] = getattr(graph, "nodes", None) or {}
    return frozenset(name for name, node in nodes.items() if _is_threaded(getattr(node, "bound", None)))


def _is_threaded(bound: Any) -> bool:
    # LangGraph gives a plain function an asynchronous side: `partial(run_in_executor, None, function)`.
    function, asynchronous = getattr(bound, "func", None), getattr(bound, "afunc", None)
    return function is not None and isinstance(asynchronous, partial) and function in asynchronous.args
