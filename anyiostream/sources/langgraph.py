"""Sources that are compiled LangGraph graphs. Imported only for these.

Rules:

- The graph is run through its public `stream` and `astream`, with exactly the stream modes that the registered
  transformers need, and with subgraphs.
- Model tokens are requested as content-block events, by a configuration key that LangGraph offers for that; if a
  version lacks the key, they come as message chunks, and the messages projection reads those.
- A graph that pauses ends its stream like one that has completed. Its source raises `GraphInterrupt` there; see
  `langgraph_pauses.py`.
- LangGraph is for asyncio only. On trio the graph runs on an asyncio loop beside it; see `hosts.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from langgraph.config import get_config

from anyiostream.driver.hosting import AsyncSource
from anyiostream.errors import WrongLane
from anyiostream.events import Namespace
from anyiostream.foreign import only_runs_async
from anyiostream.projections.messages.langchain import assemble_ai_message
from anyiostream.source import SyncSource
from anyiostream.sources.gate import Gate
from anyiostream.sources.graph_call import GraphCall
from anyiostream.sources.hosted import Execution
from anyiostream.sources.hosts import asyncio_source
from anyiostream.sources.iterables import IterableSource
from anyiostream.sources.langgraph_drains import Drains
from anyiostream.sources.langgraph_failures import show_failures_inline
from anyiostream.sources.langgraph_level import own_level
from anyiostream.sources.langgraph_pauses import PauseWatch
from anyiostream.sources.langgraph_routine import GraphRoutine
from anyiostream.sources.langgraph_threads import ThreadWatch, threaded_nodes
from anyiostream.sources.langgraph_tools import asking_tools
from anyiostream.sources.langgraph_transformers import adapt_transformers
from anyiostream.transformer import TransformerFactory

CONTENT_BLOCKS_KEY: str | None
try:
    from langgraph._internal import _constants

    CONTENT_BLOCKS_KEY = _constants.CONFIG_KEY_STREAM_MESSAGES_V2  # pyright: ignore[reportConstantRedefinition]  # either here
except (ImportError, AttributeError):  # pragma: no cover -- a LangGraph without such a key streams message chunks
    CONTENT_BLOCKS_KEY = None  # pyright: ignore[reportConstantRedefinition]  # or here

__all__ = ["callers_namespace", "compiled_transformers", "open_async_graph", "open_sync_graph"]

NAMESPACE_SEPARATOR = "|"
COORDINATES = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
"""Keys by which a configuration addresses its own checkpoints, rather than those of the node it is used in."""


def open_async_graph(call: GraphCall, scope: Namespace, modes: list[str]) -> AsyncSource:
    """The graph as a source of the async lane, on the loop that is running."""
    gate = Gate(call.prefetch, root_depth=len(scope), barriers_below=False)
    threaded = threaded_nodes(call.graph)
    watch = PauseWatch()
    config = watch.watched(_config(call))
    drains = Drains(call)
    options = {**call.options, **drains.options}

    def start() -> AsyncIterator[Any]:
        stream: AsyncIterator[Any] = call.graph.astream(
            call.given, config, stream_mode=modes, subgraphs=True, version="v2", **options
        )
        return stream

    routine = GraphRoutine(
        start,
        watch.outcome,
        scope=scope,
        told=drains.told(),
        threads=ThreadWatch(scope, threaded, call.name) if threaded else None,
        shown=_shown(call.graph, modes),
    )
    return asyncio_source(Execution(routine, call.name, gate, assemble_ai_message, drains.request))


def open_sync_graph(call: GraphCall, scope: Namespace, modes: list[str]) -> SyncSource:
    """The graph as a source of the sync lane."""
    drains = Drains(call)
    return IterableSource(_stream(call, scope, modes, drains), call.name, assemble_ai_message, drains.request)


def compiled_transformers(graph: Any) -> Sequence[TransformerFactory]:
    """The transformers that were compiled into the graph."""
    return adapt_transformers(getattr(graph, "stream_transformers", None) or ())


def callers_namespace(call: GraphCall) -> tuple[str, ...]:
    """The namespace of the node that the run is opened in, unless its configuration addresses another place."""
    given = {**_configurable(getattr(call.graph, "config", None)), **_configurable(call.config)}
    if not any(given.get(key) for key in COORDINATES):
        with suppress(RuntimeError):  # which says that this is not inside a node
            given = {**_configurable(get_config()), **given}
    namespace = given.get("checkpoint_ns")
    return tuple(namespace.split(NAMESPACE_SEPARATOR)) if namespace else ()


def _stream(call: GraphCall, scope: Namespace, modes: list[str], drains: Drains) -> Iterator[Any]:
    watch = PauseWatch()
    try:
        stream = call.graph.stream(
            call.given,
            watch.watched(_config(call)),
            stream_mode=modes,
            subgraphs=True,
            version="v2",
            **{**call.options, **drains.options},
        )
        yield from own_level(show_failures_inline(stream, drains.told(), **_shown(call.graph, modes)), scope)
    except TypeError as exc:
        if not only_runs_async(exc):
            raise
        raise WrongLane(
            call.name, "async", f"{exc.args[0].splitlines()[0]} Open the run with `async with open_run(...)`."
        ) from exc
    paused = watch.outcome()
    if paused is not None:
        raise paused


def _shown(graph: Any, modes: list[str]) -> dict[str, Any]:
    """What the stream shows: the options of `Unsaid`."""
    if "tools" not in modes:
        return {"tools": False, "chunks": CONTENT_BLOCKS_KEY is None}
    return {"tools": True, "chunks": CONTENT_BLOCKS_KEY is None, "asking": asking_tools(graph)}


def _config(call: GraphCall) -> Mapping[str, Any]:
    if CONTENT_BLOCKS_KEY is None:
        return call.config or {}
    return {**(call.config or {}), "configurable": {**_configurable(call.config), CONTENT_BLOCKS_KEY: True}}


def _configurable(config: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict((config or {}).get("configurable") or {})
