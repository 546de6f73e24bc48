"""`open_run`: one function for every graph and every lane."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from anyiostream.driver.shutdown import GRACE
from anyiostream.events import Namespace, checked_namespace
from anyiostream.mux.scheduled import MAX_RUNNING
from anyiostream.options import RunOptions, check_bounds, check_spelling, check_transformers
from anyiostream.prepared_run import PreparedRun
from anyiostream.sources.compiled import is_langgraph
from anyiostream.sources.graph_call import GraphCall, check_options
from anyiostream.sources.writer import GraphWriter
from anyiostream.transformer import TransformerFactory

if TYPE_CHECKING:
    from langgraph.pregel.protocol import PregelProtocol
    from langgraph.typing import StateT as GraphStateT

StateT = TypeVar("StateT")
InputT = TypeVar("InputT")

__all__ = ["open_run"]


@overload
def open_run(
    graph: Callable[[InputT, GraphWriter[StateT]], Awaitable[StateT | None]],
    input: InputT = ...,
    **options: Unpack[RunOptions],
) -> PreparedRun[StateT]: ...
@overload
def open_run(
    graph: Callable[[InputT], Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]],
    input: InputT = ...,
    **options: Unpack[RunOptions],
) -> PreparedRun[Any]: ...
@overload
def open_run(
    graph: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
    input: None = ...,
    **options: Unpack[RunOptions],
) -> PreparedRun[Any]: ...
@overload
def open_run(
    graph: PregelProtocol[GraphStateT, Any, Any, Any],
    input: Any = ...,
    *,
    config: Mapping[str, Any] | None = ...,
    transformers: Sequence[TransformerFactory] = ...,
    buffer: float = ...,
    prefetch: int = ...,
    checkpoint_every: int = ...,
    grace: float = ...,
    max_scheduled: float = ...,
    scope: Namespace | None = ...,
    root_lifecycle: bool = ...,
    **source_options: Any,
) -> PreparedRun[GraphStateT]: ...
def open_run(
    graph: Any,
    input: Any = None,  # noqa: A002 -- LangGraph's name for it
    *,
    config: Mapping[str, Any] | None = None,
    transformers: Sequence[TransformerFactory] = (),
    buffer: float = 64,
    prefetch: int = 32,
    checkpoint_every: int = 32,
    grace: float = GRACE,
    max_scheduled: float = MAX_RUNNING,
    scope: Namespace | None = None,
    root_lifecycle: bool = False,
    **source_options: Any,
) -> PreparedRun[Any]:
    """A run of `graph`, to be entered with `with` (sync lane) or `async with` (asyncio or trio).

    Nothing runs before the block is entered, nothing of the run is alive after it. What has not ended when the block
    is left is aborted. If the body did not raise, errors that no reader has received are raised then; otherwise they
    are logged and attached to its exception as notes. Results stay readable after the block.

    Args:
        graph: A compiled LangGraph graph; an `async def graph(input, writer)`; a generator function of parts; an
            iterable of parts, or, on the async lane, an async one.
        input: What the graph is called with.
        config: LangGraph's configuration.
        transformers: Transformer classes or factories, for the run and each of its subgraphs, after the built-in ones
            unless they set `before_builtins`.
        buffer: Bound, in items, of channels that are created without one; `math.inf` for none.
        prefetch: How many parts the graph may run ahead of its readers, never past the end of a superstep; 0 for none:
            the graph then runs only while a reader waits.
        checkpoint_every: How many items a reader takes, at most, before it lets other tasks run; 1 to checkpoint on
            every item, as trio's rules require.
        grace: How long, in s, each `afail` hook may take when the run ends early, and how long after its cancellation
            the graph may take to end before it is cancelled again, and logged; `math.inf` for no limit. Used on the
            async lane.
        max_scheduled: How many coroutines that transformers scheduled run at a time, in the run and all of its
            subgraphs; the others queue in order. `math.inf` for no limit. Used on the async lane.
        scope: The namespace whose level is the run's own; by default `()`, or, for a LangGraph graph opened inside a
            node of another one, that node's.
        root_lifecycle: Whether `run.lifecycle` reports the run itself too: `running`, then its end.
        source_options: Further arguments of LangGraph's `stream` and `astream`: `context`, `interrupt_before`,
            `interrupt_after`, `control`, `durability`, ...

    Raises:
        InvalidBound: A bound is not a number, or is out of range.
        UnknownOption: The graph does not take an option.
        NotATransformer: `transformers` is not a list of classes or factories.
        AnyioStreamError: On entering, what is wrong with the graph or a transformer: NotAGraph, PrebuiltTransformer,
            ProjectionConflict, AsyncTransformerRefused, ...
    """
    check_bounds(
        buffer=buffer,
        prefetch=prefetch,
        checkpoint_every=checkpoint_every,
        grace=grace,
        max_scheduled=max_scheduled,
    )
    check_transformers(transformers)
    if source_options:
        check_spelling(source_options)
    call = GraphCall(graph, input, config, source_options, prefetch, is_langgraph(graph))
    if source_options or config is not None:
        check_options(call)
    if scope is not None:
        scope = checked_namespace(scope, scope)
    return PreparedRun(
        call,
        tuple(transformers),
        buffer=buffer,
        checkpoint_every=checkpoint_every,
        grace=grace,
        max_scheduled=max_scheduled,
        scope=scope,
        root_lifecycle=root_lifecycle,
    )
