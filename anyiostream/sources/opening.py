"""Which source a graph is."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

import attrs

from anyiostream.errors import NotAGraph, UnknownOption
from anyiostream.mux.mux import Mux
from anyiostream.sources.functions import DrivenFunction, HostedFunction
from anyiostream.sources.inbox import Gate
from anyiostream.sources.iterables import HostedIterator, IterableSource

if TYPE_CHECKING:
    from anyiostream.lanes.async_source import AsyncSource
    from anyiostream.lanes.sync_run import SyncSource

__all__ = ["GraphCall", "is_langgraph", "open_async_source", "open_sync_source"]

REFUSED_OPTIONS = {
    "stream_mode": "the modes are those that the registered transformers need; register a transformer for another one.",
    "subgraphs": "subgraphs are always streamed; read `run.subgraphs`, or ignore it.",
    "version": "the version of the stream's parts is not for choosing.",
}


@attrs.define(eq=False)
class GraphCall:
    """What `open_run` was given of a graph.

    Attributes:
        graph: The graph.
        given: Its input.
        config: LangGraph's configuration, or `None`.
        options: Further keyword arguments for LangGraph.
        prefetch: How many parts it may run ahead.
        is_langgraph: Whether it is a compiled LangGraph graph.
    """

    graph: Any
    given: Any
    config: Mapping[str, Any] | None
    options: Mapping[str, Any]
    prefetch: int
    is_langgraph: bool

    @property
    def name(self) -> str:
        """What the graph is called in messages."""
        name = getattr(self.graph, "__qualname__", None) or type(self.graph).__name__
        return f"the graph {name}"


def is_langgraph(graph: object) -> bool:
    """Whether it is a compiled LangGraph graph. Does not import LangGraph: if it is one, that has been done."""
    module = sys.modules.get("langgraph.pregel.protocol")
    return module is not None and isinstance(graph, module.PregelProtocol)


def check_options(call: GraphCall) -> None:
    """Refuse what the graph does not take.

    Raises:
        UnknownOption: And says why.
    """
    for option in call.options:
        if option in REFUSED_OPTIONS:
            raise UnknownOption(option, REFUSED_OPTIONS[option])
    if not call.is_langgraph:
        for option in ("config", *call.options) if call.config is not None else call.options:
            raise UnknownOption(option, f"{call.name} is no LangGraph graph, and only these take it.")


def open_async_source(call: GraphCall, mux: Mux) -> AsyncSource:
    """The graph as a source of the async lane.

    Raises:
        NotAGraph: It is none, or one for the sync lane.
    """
    graph = call.graph
    if call.is_langgraph:
        from anyiostream.sources.langgraph import open_async_graph  # noqa: PLC0415 -- an extra

        return open_async_graph(call, mux)
    function = _called(graph)
    if function is not None:
        if _awaits(function):
            _check_call(graph, "async", "input", "writer")
            return HostedFunction(graph, call.given, call.name, _gate(call, mux, barriers_below=True))
        if inspect.isasyncgenfunction(function):
            _check_call(graph, "async", "input")
            return HostedIterator(lambda: graph(call.given), call.name, _gate(call, mux))
    if _is_async_iterable(graph):
        return HostedIterator(lambda: graph, call.name, _gate(call, mux))
    iterable = _iterable(call, function, "async")
    if iterable is None:
        raise NotAGraph(graph, "async", _problem(graph))
    return IterableSource(iterable, call.name)


def _gate(call: GraphCall, mux: Mux, *, barriers_below: bool = False) -> Gate:
    return Gate(call.prefetch, root_depth=len(mux.scope), barriers_below=barriers_below)


def open_sync_source(call: GraphCall, mux: Mux) -> SyncSource:
    """The graph as a source of the sync lane.

    Raises:
        NotAGraph: It is none, or one for the async lane.
    """
    graph = call.graph
    if call.is_langgraph:
        from anyiostream.sources.langgraph import open_sync_graph  # noqa: PLC0415 -- an extra

        return open_sync_graph(call, mux)
    function = _called(graph)
    if function is not None and _awaits(function):
        _check_call(graph, "sync", "input", "writer")
        return DrivenFunction(graph, call.given, call.name)
    iterable = _iterable(call, function, "sync")
    if iterable is None:
        if _is_async_iterable(graph) or inspect.isasyncgenfunction(function):
            raise NotAGraph(graph, "sync", "it is asynchronous; use `async with open_run(...)`")
        raise NotAGraph(graph, "sync", _problem(graph))
    return IterableSource(iterable, call.name)


def _called(graph: Any) -> Any:
    """What is called when the graph is: itself, or its `__call__`; `None` if it cannot be."""
    if not callable(graph):
        return None
    if inspect.isroutine(graph) or hasattr(graph, "func"):
        return graph
    return type(graph).__call__


def _awaits(function: object) -> bool:
    return inspect.iscoroutinefunction(function)


def _iterable(call: GraphCall, function: Any, lane: str) -> Iterable[Any] | None:
    """The graph's parts, if it is an iterable of them or a generator function."""
    graph = call.graph
    if function is not None and inspect.isgeneratorfunction(function):
        _check_call(graph, lane, "input")
        return _Called(graph, call.given)
    return graph if _has(graph, "__iter__") and not isinstance(graph, (str, bytes, Mapping, type)) else None


def _is_async_iterable(graph: object) -> bool:
    return _has(graph, "__aiter__")


def _has(graph: object, method: str) -> bool:
    # As the abstract base classes see it; they take five times as long to look.
    return getattr(type(graph), method, None) is not None


def _problem(graph: object) -> str:
    if hasattr(graph, "compile") and hasattr(graph, "add_node"):
        return "it has not been compiled; pass graph.compile()"
    if inspect.iscoroutine(graph):
        graph.close()
        return "it is a coroutine; pass the function itself, without calling it"
    if inspect.isroutine(graph):
        return "it is a plain function; make it `async def`, or let it yield its parts"
    if isinstance(graph, Mapping):
        return "it is a mapping; if it is a part, pass a list of parts"
    return ""


def _check_call(graph: Any, lane: str, *arguments: str) -> None:
    """Raise `NotAGraph` if a function cannot be called with these arguments."""
    if isinstance(graph, FunctionType) and graph.__code__.co_argcount == len(arguments):
        return
    try:
        signature = inspect.signature(graph)
    except ValueError:
        return  # written in C, without a signature
    try:
        signature.bind(*arguments)
    except TypeError:
        problem = f"it is called as `graph({', '.join(arguments)})`, and takes `{signature}`"
        raise NotAGraph(graph, lane, problem) from None


class _Called(Iterable[Any]):
    """The iterable that a generator function returns, called when it is first wanted."""

    def __init__(self, function: Callable[[Any], Iterable[Any]], given: Any) -> None:
        self._function = function
        self._given = given

    def __iter__(self) -> Any:
        return iter(self._function(self._given))
