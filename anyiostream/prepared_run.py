"""`PreparedRun`: a run that has been described, and is opened by entering it."""

from __future__ import annotations

import inspect
import logging
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Generic, NoReturn, final

from anyiostream.errors import (
    AnyioStreamError,
    NotATransformer,
    RunBlocksLoopWarning,
    RunNotEntered,
    RunReentered,
    RunUnclosedWarning,
)
from anyiostream.events import Namespace
from anyiostream.lanes.async_run import AsyncRun
from anyiostream.lanes.async_streams import AsyncGraphRunStream, AsyncSubgraphRunStream
from anyiostream.lanes.exit_errors import close_block
from anyiostream.lanes.projection_types import StateT_co
from anyiostream.lanes.sync_run import SyncRun
from anyiostream.lanes.sync_streams import GraphRunStream, SubgraphRunStream
from anyiostream.loops import current_loop, in_loop
from anyiostream.projections.data import ValuesTransformer
from anyiostream.projections.lifecycle import LifecycleTransformer
from anyiostream.projections.messages.transformer import MessagesTransformer
from anyiostream.projections.subgraphs import SubgraphTransformer
from anyiostream.sources.graph_call import GraphCall
from anyiostream.sources.opening import open_async_source, open_sync_source
from anyiostream.transformer import TransformerFactory, builtin_projections

logger = logging.getLogger("anyiostream")

__all__ = ["PreparedRun"]


@final
class PreparedRun(Generic[StateT_co]):
    """A run that has been described and not entered yet. It can be entered once, on one lane.

    ```python
    prepared = open_run(graph, "Bergen")  # nothing runs yet
    async with prepared as run:
        state = await run.output()
    ```
    """

    __slots__ = (
        "_buffer",
        "_call",
        "_checkpoint_every",
        "_entered",
        "_grace",
        "_max_scheduled",
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
        grace: float,
        max_scheduled: float,
        scope: Namespace | None,
        root_lifecycle: bool,
    ) -> None:
        self._call = call
        self._transformers = transformers
        self._buffer = buffer
        self._checkpoint_every = checkpoint_every
        self._grace = grace
        self._max_scheduled = max_scheduled
        self._scope = scope
        self._root_lifecycle = root_lifecycle
        self._entered = False
        self._run: SyncRun | AsyncRun | None = None

    def __enter__(self) -> GraphRunStream[StateT_co]:
        """Open the run on the sync lane, without a thread. Warns if a coroutine does so: it blocks the event loop.

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
                lambda mux: open_sync_source(self._call, mux.scope.namespace, mux.registry.required_modes),
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
            # Python does not call __exit__ of a block whose __enter__ has raised.
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
                lambda mux: open_async_source(self._call, mux.scope.namespace, mux.registry.required_modes),
                AsyncSubgraphRunStream,
                maxlen=self._buffer,
                scope=scope,
                checkpoint_every=self._checkpoint_every,
                grace=self._grace,
                max_scheduled=self._max_scheduled,
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

    if not TYPE_CHECKING:  # type checkers report these as errors without our help

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

    def extended(self, *transformers: TransformerFactory, root_lifecycle: bool) -> PreparedRun[StateT_co]:
        """The same run with further transformers, before its own; for tools that show runs of others.

        This object is used up by it: one object is one run.

        Raises:
            RunReentered: It has been entered.
        """
        self._enter()
        return PreparedRun(
            self._call,
            (*transformers, *self._transformers),
            buffer=self._buffer,
            checkpoint_every=self._checkpoint_every,
            grace=self._grace,
            max_scheduled=self._max_scheduled,
            scope=self._scope,
            root_lifecycle=root_lifecycle or self._root_lifecycle,
        )

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
                    "does not take the scope that it is made for: let its `__init__` take `scope=()` and pass it on",
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
            *(self._transformers_beside(compiled, scope) if compiled else self._transformers),
        ]

    def _transformers_beside(
        self, compiled: Sequence[TransformerFactory], scope: Namespace
    ) -> Sequence[TransformerFactory]:
        """The caller's, without those of this library that the graph brings, too."""
        wanted = {each for each in self._transformers if isinstance(each, type) and builtin_projections(each)}
        if not wanted:
            return self._transformers
        brought = {each if isinstance(each, type) else type(each(scope)) for each in compiled}
        return [each for each in self._transformers if each not in wanted or each not in brought]

    def _own_scope(self) -> Namespace:
        if self._scope is not None:
            return self._scope
        if self._call.is_langgraph:
            from anyiostream.sources.langgraph import callers_namespace  # noqa: PLC0415 -- an extra

            return callers_namespace(self._call)
        return ()


def _is_async(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR))
