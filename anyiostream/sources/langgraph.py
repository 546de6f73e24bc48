"""Sources that are compiled LangGraph graphs. Imported only for these.

Rules:

- The graph is run through its public `stream` and `astream`, with exactly the stream modes that the registered
  transformers need, and with subgraphs.
- Model tokens are asked for as content-block events, by a key of the configuration that LangGraph offers for it; where
  that key is gone, they come as message chunks, and the messages projection reads those.
- LangGraph is for asyncio only. On trio the graph runs on an asyncio loop in a thread; see `portal`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langgraph.config import get_config

from anyiostream.errors import WrongLane
from anyiostream.loops import on_trio
from anyiostream.mux.mux import Mux
from anyiostream.projections.messages.langchain import assemble_ai_message
from anyiostream.sources.inbox import Gate
from anyiostream.sources.iterables import HostedIterator, IterableSource
from anyiostream.sources.langgraph_threads import StreamWithThreads, threaded_nodes
from anyiostream.sources.langgraph_transformers import adapt_transformers
from anyiostream.transformer import TransformerFactory

if TYPE_CHECKING:
    from anyiostream.lanes.async_source import AsyncSource
    from anyiostream.lanes.sync_run import SyncSource
    from anyiostream.sources.opening import GraphCall

CONTENT_BLOCKS_KEY: str | None
try:
    from langgraph._internal import _constants

    CONTENT_BLOCKS_KEY = _constants.CONFIG_KEY_STREAM_MESSAGES_V2  # pyright: ignore[reportConstantRedefinition]  # either here
except (ImportError, AttributeError):  # pragma: no cover -- a LangGraph without such a key streams message chunks
    CONTENT_BLOCKS_KEY = None  # pyright: ignore[reportConstantRedefinition]  # or here

__all__ = ["callers_namespace", "compiled_transformers", "open_async_graph", "open_sync_graph"]

NAMESPACE_SEPARATOR = "|"
COORDINATES = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
"""Keys by which a configuration addresses checkpoints of its own, rather than those of the node it is used in."""


def open_async_graph(call: GraphCall, mux: Mux) -> AsyncSource:
    """The graph as a source of the async lane, on the loop that is running."""
    modes = mux.roster.required_modes()
    gate = Gate(call.prefetch, root_depth=len(mux.scope), barriers_below=False)
    threaded = threaded_nodes(call.graph)

    def start() -> AsyncIterator[Any]:
        stream: AsyncIterator[Any] = call.graph.astream(
            call.given, _config(call), stream_mode=modes, subgraphs=True, version="v2", **call.options
        )
        return StreamWithThreads(stream, mux.scope, threaded, call.name) if threaded else stream

    if on_trio():
        from anyiostream.sources.portal import BridgedIterator  # noqa: PLC0415 -- trio only where it runs

        return BridgedIterator(start, call.name, gate, assemble_ai_message)
    return HostedIterator(start, call.name, gate, assemble_ai_message)


def open_sync_graph(call: GraphCall, mux: Mux) -> SyncSource:
    """The graph as a source of the sync lane."""
    return IterableSource(_stream(call, mux.roster.required_modes()), call.name, assemble_ai_message)


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


def _stream(call: GraphCall, modes: list[str]) -> Iterator[Any]:
    try:
        yield from call.graph.stream(
            call.given, _config(call), stream_mode=modes, subgraphs=True, version="v2", **call.options
        )
    except TypeError as exc:
        if "No synchronous function provided" not in str(exc):
            raise
        raise WrongLane(
            call.name, "async", f"{exc.args[0].splitlines()[0]} Open the run with `async with open_run(...)`."
        ) from exc


def _config(call: GraphCall) -> Mapping[str, Any] | None:
    if CONTENT_BLOCKS_KEY is None:
        return call.config
    return {**(call.config or {}), "configurable": {**_configurable(call.config), CONTENT_BLOCKS_KEY: True}}


def _configurable(config: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict((config or {}).get("configurable") or {})
