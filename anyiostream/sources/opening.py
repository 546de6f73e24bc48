"""Chooses the source for a graph."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from anyiostream.driver.hosting import AsyncSource
from anyiostream.errors import NotAGraph
from anyiostream.events import Namespace
from anyiostream.source import SyncSource
from anyiostream.sources.compiled import PLAIN
from anyiostream.sources.drains import RequestDrain
from anyiostream.sources.functions import DrivenFunction, FunctionRoutine
from anyiostream.sources.gate import Gate
from anyiostream.sources.graph_call import GraphCall
from anyiostream.sources.hosted import Execution, HostedSource, Routine
from anyiostream.sources.iterables import IterableSource, IteratorRoutine
from anyiostream.sources.lookalikes import called, holds_parts, problem_of, wraps, wrong_call

__all__ = ["open_async_source", "open_sync_source"]

Modes = Callable[[], list[str]]
"""Returns the stream modes that the registered transformers need."""


def open_async_source(call: GraphCall, scope: Namespace, modes: Modes) -> AsyncSource:
    """The graph as a source of the async lane.

    Raises:
        NotAGraph: It is not a graph, or is one for the sync lane.
    """
    graph = call.graph
    if call.is_langgraph:
        from anyiostream.sources.langgraph import open_async_graph  # noqa: PLC0415 -- an extra

        return open_async_graph(call, scope, modes())
    _check_wrapping(graph, "async")
    function = called(graph)
    if function is not None:
        if _awaits(function):
            _check_call(graph, "async", "input", "writer")
            routine = FunctionRoutine(graph, call.given, call.name)
            if _is_asyncio_only(graph):
                from anyiostream.sources.hosts import asyncio_source  # noqa: PLC0415 -- only where it is needed

                return asyncio_source(_execution(routine, call, scope, routine.request_drain if graph.drains else None))
            return HostedSource(_execution(routine, call, scope, routine.request_drain))
        if inspect.isasyncgenfunction(function):
            _check_call(graph, "async", "input")
            return _iterated(lambda: graph(call.given), call, scope)
    if _is_async_iterable(graph):
        return _iterated(lambda: graph, call, scope)
    iterable = _iterable(call, function, "async")
    if iterable is None:
        raise NotAGraph(graph, "async", problem_of(graph))
    return IterableSource(iterable, call.name)


def _iterated(begin: Callable[[], Any], call: GraphCall, scope: Namespace) -> AsyncSource:
    gate = Gate(call.prefetch, root_depth=len(scope), barriers_below=False)
    return HostedSource(Execution(IteratorRoutine(begin), call.name, gate))


def _execution(routine: Routine, call: GraphCall, scope: Namespace, request_drain: RequestDrain | None) -> Execution:
    gate = Gate(call.prefetch, root_depth=len(scope), barriers_below=True)
    return Execution(routine, call.name, gate, request_drain=request_drain)


def _is_asyncio_only(graph: object) -> bool:
    """Whether it is an `AsyncioGraph`: if it is, their module has been imported."""
    module = sys.modules.get("anyiostream.sources.asyncio_graph")
    return module is not None and isinstance(graph, module.AsyncioGraph)


def open_sync_source(call: GraphCall, scope: Namespace, modes: Modes) -> SyncSource:
    """The graph as a source of the sync lane.

    Raises:
        NotAGraph: It is not a graph, or is one for the async lane.
    """
    graph = call.graph
    if call.is_langgraph:
        from anyiostream.sources.langgraph import open_sync_graph  # noqa: PLC0415 -- an extra

        return open_sync_graph(call, scope, modes())
    _check_wrapping(graph, "sync")
    function = called(graph)
    if function is not None and _awaits(function):
        if _is_asyncio_only(graph):
            raise NotAGraph(graph, "sync", "it runs on asyncio only; use `async with open_run(...)`")
        _check_call(graph, "sync", "input", "writer")
        return DrivenFunction(graph, call.given, call.name)
    iterable = _iterable(call, function, "sync")
    if iterable is None:
        if _is_async_iterable(graph) or inspect.isasyncgenfunction(function):
            raise NotAGraph(graph, "sync", "it is asynchronous; use `async with open_run(...)`")
        raise NotAGraph(graph, "sync", problem_of(graph))
    return IterableSource(iterable, call.name)


def _awaits(function: object) -> bool:
    return inspect.iscoroutinefunction(function)


def _iterable(call: GraphCall, function: Any, lane: str) -> Iterable[Any] | None:
    """The graph's parts, if it is an iterable of them or a generator function."""
    graph = call.graph
    if function is not None and inspect.isgeneratorfunction(function):
        _check_call(graph, lane, "input")
        return _Called(graph, call.given)
    return graph if holds_parts(graph) else None


def _is_async_iterable(graph: object) -> bool:
    return _has(graph, "__aiter__")


def _has(graph: object, method: str) -> bool:
    # As the abstract base classes see it; they take five times as long to look.
    return getattr(type(graph), method, None) is not None


def _check_wrapping(graph: object, lane: str) -> None:
    """Raise `NotAGraph` if it only wraps a graph: its own attributes make it look like one."""
    problem = "" if type(graph) in PLAIN else wraps(graph)
    if problem:
        raise NotAGraph(graph, lane, problem)


def _check_call(graph: Any, lane: str, *arguments: str) -> None:
    """Raise `NotAGraph` if a function cannot be called with these arguments."""
    problem = wrong_call(graph, *arguments)
    if problem:
        raise NotAGraph(graph, lane, problem)


class _Called(Iterable[Any]):
    """The iterable that a generator function returns, called when it is first wanted."""

    def __init__(self, function: Callable[[Any], Iterable[Any]], given: Any) -> None:
        self._function = function
        self._given = given

    def __iter__(self) -> Any:
        return iter(self._function(self._given))
