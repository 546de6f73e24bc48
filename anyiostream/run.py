"""`open_run`: one object for both lanes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, final

from anyiostream.errors import InvalidBound, RunReentered, RunUnclosedWarning
from anyiostream.events import Namespace, checked_namespace
from anyiostream.lanes.async_run import AsyncRun
from anyiostream.lanes.async_streams import AsyncGraphRunStream, AsyncSubgraphRunStream
from anyiostream.lanes.closing import close_block
from anyiostream.lanes.sync_run import SyncRun
from anyiostream.lanes.sync_streams import GraphRunStream, SubgraphRunStream
from anyiostream.loops import current_loop
from anyiostream.projections.data import ValuesTransformer
from anyiostream.projections.lifecycle import LifecycleTransformer
from anyiostream.projections.messages.transformer import MessagesTransformer
from anyiostream.projections.subgraphs import SubgraphTransformer
from anyiostream.sources.opening import (
    GraphCall,
    check_options,
    is_langgraph,
    open_async_source,
    open_sync_source,
)
from anyiostream.transformer import TransformerFactory

__all__ = ["OpenRun", "open_run"]


def open_run(
    graph: Any,
    input: Any = None,  # noqa: A002 -- LangGraph's name for it
    *,
    config: Mapping[str, Any] | None = None,
    transformers: Sequence[TransformerFactory] = (),
    buffer: float = 64,
    prefetch: int = 32,
    checkpoint_every: int = 32,
    scope: Namespace | None = None,
    root_lifecycle: bool = False,
    **source_options: Any,
) -> OpenRun:
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
        buffer: Bound of channels that name none, in items; `math.inf` for none.
        prefetch: How many parts the graph may run ahead of its readers, never past the end of a superstep; 0 for
            none: the graph moves only while a reader waits.
        checkpoint_every: How many items a reader takes, at most, before it lets other tasks run; 1 for trio's letter.
        scope: The namespace whose level is the run's own; by default `()`, or, for a LangGraph graph opened inside a
            node of another one, that node's.
        root_lifecycle: Whether `run.lifecycle` reports the run itself too: `running`, then its end.
        source_options: Further arguments of LangGraph's `stream` and `astream`: `context`, `interrupt_before`,
            `interrupt_after`, `control`, `durability`, ...

    Raises:
        InvalidBound: A bound is none.
        UnknownOption: The graph does not take an option.
        Entering raises what is wrong with the graph or a transformer: NotAGraph, PrebuiltTransformer,
        ProjectionConflict, AsyncTransformerRefused, ...
    """
    _check_bounds(buffer, prefetch, checkpoint_every)
    call = GraphCall(graph, input, config, source_options, prefetch)
    check_options(call)
    if scope is not None:
        scope = checked_namespace(scope, scope)
    return OpenRun(
        call,
        tuple(transformers),
        buffer=buffer,
        checkpoint_every=checkpoint_every,
        scope=scope,
        root_lifecycle=root_lifecycle,
    )


@final
class OpenRun:
    """A run that has been described and not entered yet. It is entered once, on one lane."""

    __slots__ = (
        "_buffer",
        "_call",
        "_checkpoint_every",
        "_entered",
        "_root_lifecycle",
        "_run",
        "_scope",
        "_transformers",
    )

    def __init__(
        self,
        call: GraphCall,
        transformers: tuple[TransformerFactory, ...],
        *,
        buffer: float,
        checkpoint_every: int,
        scope: Namespace | None,
        root_lifecycle: bool,
    ) -> None:
        self._call = call
        self._transformers = transformers
        self._buffer = buffer
        self._checkpoint_every = checkpoint_every
        self._scope = scope
        self._root_lifecycle = root_lifecycle
        self._entered = False
        self._run: SyncRun | AsyncRun | None = None

    def __enter__(self) -> GraphRunStream:
        """Open the run on the sync lane, without a thread.

        Raises:
            RunReentered: It has been entered before.
            Otherwise as `open_run` says.
        """
        self._enter()
        scope = self._own_scope()
        run = SyncRun(
            self._factories(scope),
            lambda mux: open_sync_source(self._call, mux),
            SubgraphRunStream,
            maxlen=self._buffer,
            scope=scope,
        )
        try:
            self._run = run
            return GraphRunStream(run, run.pump.mux)
        except BaseException:
            # A block that is not entered is not left either.
            run.close()
            raise

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the run."""
        assert isinstance(self._run, SyncRun)
        error = close_block(self._run.close(), exc)
        if error is not None:
            raise error

    async def __aenter__(self) -> AsyncGraphRunStream:
        """Open the run on the async lane. Does not checkpoint on asyncio.

        Raises:
            As `__enter__`.
        """
        self._enter()
        scope = self._own_scope()
        run = AsyncRun(
            current_loop(),
            self._factories(scope),
            lambda mux: open_async_source(self._call, mux),
            AsyncSubgraphRunStream,
            maxlen=self._buffer,
            scope=scope,
            checkpoint_every=self._checkpoint_every,
        )
        try:
            await run.enter()
            self._run = run
            return AsyncGraphRunStream(run, run.pump.mux)
        except BaseException:
            await run.close()  # likewise
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the run: wait until nothing of it is alive, whatever happens."""
        assert isinstance(self._run, AsyncRun)
        error = close_block(await self._run.close(), exc)
        if error is not None:
            raise error

    def __del__(self) -> None:
        run = getattr(self, "_run", None)
        if run is not None and not run.closed:
            warnings.warn(
                f"a run of {self._call.name} was entered and its block never left; use `with` or `async with`",
                RunUnclosedWarning,
                stacklevel=2,
                source=self,
            )

    def _enter(self) -> None:
        if self._entered:
            raise RunReentered
        self._entered = True

    def _factories(self, scope: Namespace) -> list[TransformerFactory]:
        """The transformers of every run, those of the graph, and the caller's."""
        compiled: Sequence[TransformerFactory] = ()
        if is_langgraph(self._call.graph):
            from anyiostream.sources.langgraph import compiled_transformers  # noqa: PLC0415 -- an extra

            compiled = compiled_transformers(self._call.graph)
        lifecycle: TransformerFactory = LifecycleTransformer
        if self._root_lifecycle:
            lifecycle = partial(LifecycleTransformer, root=scope)
        return [
            ValuesTransformer,
            MessagesTransformer,
            lifecycle,
            SubgraphTransformer,
            *compiled,
            *self._transformers,
        ]

    def _own_scope(self) -> Namespace:
        if self._scope is not None:
            return self._scope
        if is_langgraph(self._call.graph):
            from anyiostream.sources.langgraph import callers_namespace  # noqa: PLC0415 -- an extra

            return callers_namespace(self._call)
        return ()


def _check_bounds(buffer: float, prefetch: int, checkpoint_every: int) -> None:
    if buffer != float("inf") and (isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1):
        raise InvalidBound("buffer", buffer, "a positive int, in items, or math.inf")
    if isinstance(prefetch, bool) or not isinstance(prefetch, int) or prefetch < 0:
        raise InvalidBound("prefetch", prefetch, "an int of at least 0, in parts")
    if isinstance(checkpoint_every, bool) or not isinstance(checkpoint_every, int) or checkpoint_every < 1:
        raise InvalidBound("checkpoint_every", checkpoint_every, "an int of at least 1, in items")
