"""`open_run`: one object for both lanes."""

from __future__ import annotations

import inspect
import logging
import math
import sys
import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, final, overload

from anyiostream.errors import (
    AnyioStreamError,
    InvalidBound,
    NotATransformer,
    RunBlocksLoopWarning,
    RunNotEntered,
    RunReentered,
    RunUnclosedWarning,
    UnknownOption,
    suggestion,
)
from anyiostream.events import Namespace, checked_namespace
from anyiostream.lanes.async_run import AsyncRun
from anyiostream.lanes.async_streams import AsyncGraphRunStream, AsyncSubgraphRunStream
from anyiostream.lanes.closing import close_block
from anyiostream.lanes.reading import StateT_co
from anyiostream.lanes.sync_run import SyncRun
from anyiostream.lanes.sync_streams import GraphRunStream, SubgraphRunStream
from anyiostream.loops import current_loop, in_loop
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
from anyiostream.sources.writer import StreamWriter
from anyiostream.transformer import StreamTransformer, TransformerFactory

if TYPE_CHECKING:
    from langgraph.pregel.protocol import PregelProtocol
    from langgraph.typing import StateT as GraphStateT

logger = logging.getLogger("anyiostream")

StateT = TypeVar("StateT")
InputT = TypeVar("InputT")

__all__ = ["OpenRun", "open_run"]


@overload
def open_run(
    graph: Callable[[InputT, StreamWriter[StateT]], Awaitable[StateT | None]],
    input: InputT = ...,
    *,
    transformers: Sequence[TransformerFactory] = ...,
    buffer: float = ...,
    prefetch: int = ...,
    checkpoint_every: int = ...,
    scope: Namespace | None = ...,
    root_lifecycle: bool = ...,
) -> OpenRun[StateT]: ...
@overload
def open_run(
    graph: Callable[[InputT], Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]],
    input: InputT = ...,
    *,
    transformers: Sequence[TransformerFactory] = ...,
    buffer: float = ...,
    prefetch: int = ...,
    checkpoint_every: int = ...,
    scope: Namespace | None = ...,
    root_lifecycle: bool = ...,
) -> OpenRun[Any]: ...
@overload
def open_run(
    graph: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
    input: None = ...,
    *,
    transformers: Sequence[TransformerFactory] = ...,
    buffer: float = ...,
    prefetch: int = ...,
    checkpoint_every: int = ...,
    scope: Namespace | None = ...,
    root_lifecycle: bool = ...,
) -> OpenRun[Any]: ...
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
    scope: Namespace | None = ...,
    root_lifecycle: bool = ...,
    **source_options: Any,
) -> OpenRun[GraphStateT]: ...
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
) -> OpenRun[Any]:
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
        NotATransformer: `transformers` is no list of classes or factories.
        AnyioStreamError: On entering, what is wrong with the graph or a transformer: NotAGraph, PrebuiltTransformer,
            ProjectionConflict, AsyncTransformerRefused, ...
    """
    _check_bounds(buffer, prefetch, checkpoint_every)
    _check_transformers(transformers)
    if source_options:
        _check_spelling(source_options)
    call = GraphCall(graph, input, config, source_options, prefetch, is_langgraph(graph))
    if source_options or config is not None:
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
class OpenRun(Generic[StateT_co]):
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

    def __enter__(self) -> GraphRunStream[StateT_co]:
        """Open the run on the sync lane, without a thread. Warns if a coroutine does it: the event loop stands still.

        Raises:
            RunReentered: It has been entered before.
            AnyioStreamError: Otherwise as `open_run` says.
        """
        self._enter()
        if _is_async(sys._getframe(1)) and in_loop():  # noqa: SLF001 -- whose block it is cannot be told otherwise
            warnings.warn(RunBlocksLoopWarning(f"the run of {self._call.name}"), stacklevel=2)
        scope = self._own_scope()
        try:
            run = SyncRun(
                self._factories(scope),
                lambda mux: open_sync_source(self._call, mux),
                SubgraphRunStream,
                maxlen=self._buffer,
                scope=scope,
            )
        except TypeError as exc:
            self._explain(exc, scope)
            raise
        try:
            self._run = run
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("opened a run of %s on the sync lane", self._call.name)
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
        self._log_end(self._run)
        if error is not None:
            raise error

    async def __aenter__(self) -> AsyncGraphRunStream[StateT_co]:
        """Open the run on the async lane. Does not checkpoint on asyncio.

        Raises:
            AnyioStreamError: As `__enter__`.
        """
        self._enter()
        scope = self._own_scope()
        try:
            run = AsyncRun(
                current_loop(),
                self._factories(scope),
                lambda mux: open_async_source(self._call, mux),
                AsyncSubgraphRunStream,
                maxlen=self._buffer,
                scope=scope,
                checkpoint_every=self._checkpoint_every,
            )
        except TypeError as exc:
            self._explain(exc, scope)
            raise
        try:
            await run.enter()
            self._run = run
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("opened a run of %s on %s", self._call.name, run.loop.name)
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
        self._log_end(self._run)
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

    if not TYPE_CHECKING:  # for type checkers these are errors without a word from us

        def __await__(self) -> NoReturn:
            raise RunNotEntered("is not awaited")

        def __iter__(self) -> NoReturn:
            raise RunNotEntered("cannot be iterated")

        def __aiter__(self) -> NoReturn:
            raise RunNotEntered("cannot be iterated")

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("__"):
                raise AttributeError(name)
            raise RunNotEntered(f"has no attribute {name!r}")

    def _enter(self) -> None:
        if self._entered:
            raise RunReentered
        self._entered = True

    def _log_end(self, run: SyncRun | AsyncRun) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        name, pump = self._call.name, run.pump
        if pump.failure is not None and pump.status == "failed":
            logger.info("a run of %s failed after %d part(s): %r", name, pump.parts, pump.failure.error)
        else:
            logger.debug("a run of %s ended as %s after %d part(s)", name, pump.status, pump.parts)
        for channel in (made.statistics() for made in pump.mux.made_channels()):
            if channel.dropped:
                logger.info(
                    "%s of %s dropped %d item(s): its reader did not keep up, and its policy is %r",
                    channel.name,
                    name,
                    channel.dropped,
                    channel.overflow,
                )

    def _explain(self, error: TypeError, scope: Namespace) -> None:
        """If a transformer could not be made because it does not take its scope, say so."""
        if isinstance(error, AnyioStreamError):
            return
        for factory in self._transformers:
            try:
                inspect.signature(factory).bind(scope)
            except ValueError:
                continue  # written in C, without a signature
            except TypeError:
                name = getattr(factory, "__name__", repr(factory))
                raise NotATransformer(
                    name,
                    "does not take the scope that it is made for: let its `__init__` take `scope=()` and hand it on",
                ) from error

    def _factories(self, scope: Namespace) -> list[TransformerFactory]:
        """The transformers of every run, those of the graph, and the caller's."""
        compiled: Sequence[TransformerFactory] = ()
        if self._call.is_langgraph:
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
        if self._call.is_langgraph:
            from anyiostream.sources.langgraph import callers_namespace  # noqa: PLC0415 -- an extra

            return callers_namespace(self._call)
        return ()


def _is_async(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))


OPTIONS = ("input", "config", "transformers", "buffer", "prefetch", "checkpoint_every", "scope", "root_lifecycle")


def _check_spelling(options: Mapping[str, Any]) -> None:
    """Refuse what is meant to be an option of `open_run` itself: LangGraph takes any name, and ignores it."""
    for option in options:
        meant = suggestion(option, OPTIONS, likeness=0.8)
        if meant:
            raise UnknownOption(option, f"it has no such option{meant}")


def _check_transformers(transformers: Sequence[TransformerFactory]) -> None:
    if not isinstance(transformers, (list, tuple)) and (
        isinstance(transformers, (type, StreamTransformer, str)) or not isinstance(transformers, Iterable)
    ):
        name = getattr(transformers, "__name__", type(transformers).__name__)
        raise NotATransformer(f"transformers={name}", f"is no list; write transformers=[{name}]")
    for each in transformers:
        if isinstance(each, type) and not issubclass(each, StreamTransformer):
            theirs = any(base.__name__ == "StreamTransformer" for base in each.__mro__)
            raise NotATransformer(
                each.__name__,
                "derives from another package's StreamTransformer; import it from anyiostream instead"
                if theirs
                else "does not derive from StreamTransformer",
            )


def _check_bounds(buffer: float, prefetch: int, checkpoint_every: int) -> None:
    if buffer != math.inf and not _is_count(buffer, 1):
        raise InvalidBound("buffer", buffer, "a positive int, in items, or math.inf")
    if not _is_count(prefetch, 0):
        raise InvalidBound("prefetch", prefetch, "an int of at least 0, in parts")
    if not _is_count(checkpoint_every, 1):
        raise InvalidBound("checkpoint_every", checkpoint_every, "an int of at least 1, in items")


def _is_count(given: object, least: int) -> bool:
    return isinstance(given, int) and given >= least and not isinstance(given, bool)
