"""Run streams of the async lane."""

# Sets of names overlap, and the first overload that fits is the narrowest:
# mypy: disable-error-code="overload-overlap"
# pyright: reportOverlappingOverload=false

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, final, overload

from anyiostream.channels.interleaving import Interleaving
from anyiostream.errors import WrongLane
from anyiostream.events import ProtocolEvent
from anyiostream.lanes.async_cursors import AsyncInterleaveCursor
from anyiostream.lanes.async_run import AsyncRun
from anyiostream.lanes.projection_types import AsyncProjection, StateT_co
from anyiostream.lanes.run_stream import RunStream, SubgraphHandle
from anyiostream.lanes.unawaited import Unawaited
from anyiostream.mux.mux import Mux
from anyiostream.projections.messages.streams import AsyncChatModelStream
from anyiostream.projections.tool_calls import ToolCallStream
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import LifecyclePayload, Subgraph

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream

    # What `interleave` is asked for, and what it then gives: `V` and `Values`, ... A `match` on a pair tells its item.
    V = Literal["values"]
    M = Literal["messages"]
    L = Literal["lifecycle"]
    S = Literal["subgraphs", "subagents"]
    T = Literal["tool_calls"]
    P = Literal["updates", "checkpoints", "debug", "tasks"]
    Values = tuple[V, StateT_co]
    Messages = tuple[M, AsyncChatModelStream]
    Lifecycle = tuple[L, LifecyclePayload]
    Subgraphs = tuple[S, "AsyncSubgraphRunStream"]
    ToolCalls = tuple[T, ToolCallStream]
    Payloads = tuple[P, dict[str, Any]]
    Known = V | M | L | S | T | P
    AnyOf = Values[StateT_co] | Messages | Lifecycle | Subgraphs | ToolCalls | Payloads
    Cursor = AsyncInterleaveCursor

__all__ = ["AsyncGraphRunStream", "AsyncSubgraphRunStream"]


class AsyncGraphRunStream(RunStream, Generic[StateT_co]):
    """A run on the async lane. Iterating any projection, or awaiting `output()`, runs the graph as far as needed.

    Each projection has one reader; `projection.atee(n)` makes several. Readers may live in different tasks; cancelling
    one takes nothing from it and does not touch the graph. Borrowed from LangGraph's class of the same name; here the
    run is an async context manager, and nothing of it is alive after its block.

    Generic in the type of the graph's state, which is that of `values` and of `output()`.
    """

    # Registered in every run, and on demand; declared for type checkers and completion.
    values: AsyncProjection[StateT_co]
    messages: AsyncProjection[AsyncChatModelStream]
    lifecycle: AsyncProjection[LifecyclePayload]
    subgraphs: AsyncProjection[AsyncSubgraphRunStream]
    subagents: AsyncProjection[AsyncSubgraphRunStream]
    updates: AsyncProjection[dict[str, Any]]
    custom: AsyncProjection[Any]
    checkpoints: AsyncProjection[dict[str, Any]]
    debug: AsyncProjection[dict[str, Any]]
    tasks: AsyncProjection[dict[str, Any]]
    tool_calls: AsyncProjection[ToolCallStream]

    def __init__(self, run: AsyncRun, mux: Mux) -> None:
        super().__init__(mux, run.pump)
        self._run = run

    def __aiter__(self) -> ObjectReceiveStream[ProtocolEvent]:
        """Subscribe to the raw log: every event, in order of `seq`."""
        return aiter(self._mux.events)

    def output(self) -> Coroutine[Any, Any, StateT_co]:
        """The final state: the last `values` snapshot of this scope. Runs the graph to its end.

        Checkpoints. If cancelled, the run is as it was, and can still be read.

        Raises:
            RunAborted: The run was aborted.
            RunDrained: The run stopped at the end of a step, as `request_drain` had asked.
            BackpressureDeadlock: A channel that the calling task reads is full.
            BaseException: The error that ended the run, each time it is asked for.
        """
        return Unawaited("run.output()", self._output)

    def interrupted(self) -> Coroutine[Any, Any, bool]:
        """Whether the graph waits for its user. Runs the graph to its end; raises as `output`."""
        return Unawaited("run.interrupted()", self._interrupted)

    def interrupts(self) -> Coroutine[Any, Any, list[Any]]:
        """The interrupts that the graph waits at, in order, each once.

        Runs the graph to its end; raises as `output`.
        """
        return Unawaited("run.interrupts()", self._interrupts)

    # One, two or several kinds of projections; then all others, which a run does not declare or whose items vary.
    # Written for each lane: Python's types have no parameter that stands for a generic class, as `Cursor` does here.
    @overload
    def interleave(self, name: V, /, *names: V) -> Cursor[Values[StateT_co]]: ...
    @overload
    def interleave(self, name: M, /, *names: M) -> Cursor[Messages]: ...
    @overload
    def interleave(self, name: L, /, *names: L) -> Cursor[Lifecycle]: ...
    @overload
    def interleave(self, name: S, /, *names: S) -> Cursor[Subgraphs]: ...
    @overload
    def interleave(self, name: T, /, *names: T) -> Cursor[ToolCalls]: ...
    @overload
    def interleave(self, name: P, /, *names: P) -> Cursor[Payloads]: ...
    @overload
    def interleave(self, name: V | M, /, *names: V | M) -> Cursor[Values[StateT_co] | Messages]: ...
    @overload
    def interleave(self, name: V | L, /, *names: V | L) -> Cursor[Values[StateT_co] | Lifecycle]: ...
    @overload
    def interleave(self, name: V | S, /, *names: V | S) -> Cursor[Values[StateT_co] | Subgraphs]: ...
    @overload
    def interleave(self, name: V | T, /, *names: V | T) -> Cursor[Values[StateT_co] | ToolCalls]: ...
    @overload
    def interleave(self, name: V | P, /, *names: V | P) -> Cursor[Values[StateT_co] | Payloads]: ...
    @overload
    def interleave(self, name: M | L, /, *names: M | L) -> Cursor[Messages | Lifecycle]: ...
    @overload
    def interleave(self, name: M | S, /, *names: M | S) -> Cursor[Messages | Subgraphs]: ...
    @overload
    def interleave(self, name: M | T, /, *names: M | T) -> Cursor[Messages | ToolCalls]: ...
    @overload
    def interleave(self, name: M | P, /, *names: M | P) -> Cursor[Messages | Payloads]: ...
    @overload
    def interleave(self, name: L | S, /, *names: L | S) -> Cursor[Lifecycle | Subgraphs]: ...
    @overload
    def interleave(self, name: L | T, /, *names: L | T) -> Cursor[Lifecycle | ToolCalls]: ...
    @overload
    def interleave(self, name: L | P, /, *names: L | P) -> Cursor[Lifecycle | Payloads]: ...
    @overload
    def interleave(self, name: S | T, /, *names: S | T) -> Cursor[Subgraphs | ToolCalls]: ...
    @overload
    def interleave(self, name: S | P, /, *names: S | P) -> Cursor[Subgraphs | Payloads]: ...
    @overload
    def interleave(self, name: T | P, /, *names: T | P) -> Cursor[ToolCalls | Payloads]: ...
    @overload
    def interleave(self, name: Known, /, *names: Known) -> Cursor[AnyOf[StateT_co]]: ...
    @overload
    def interleave(self, *names: str) -> AsyncInterleaveCursor: ...
    def interleave(self, *names: str) -> AsyncInterleaveCursor[Any]:
        """Read several projections at once, as (name, item) in order of arrival.

        Type checkers know the items of the declared projections, except `custom`; a `match` on the pair tells which.

        Raises:
            UnknownProjection, NotAChannel, AlreadySubscribed: And nothing is subscribed.
        """
        return AsyncInterleaveCursor(self._run, Interleaving(self.extensions, names, is_async=True))

    def atee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[AsyncIterator[ProtocolEvent], ...]:
        """The raw log for `n` readers; as a channel's `atee`."""
        return self._mux.events.atee(n, maxlen=maxlen)

    def abort(self) -> Coroutine[Any, Any, None]:
        """Stop the graph, and return when nothing of it is alive.

        Open cursors end after what they have buffered; `output` raises `RunAborted`. Idempotent. A cancellation of the
        caller is let through after that. In a hook it returns at once and takes effect after the current event.
        """
        return Unawaited("run.abort()", self._abort)

    def statistics(self) -> RunStatistics:
        """The run's figures now."""
        return self._run.statistics(self._mux)

    if not TYPE_CHECKING:  # for type checkers a run of this lane is not iterable

        def __iter__(self) -> NoReturn:
            raise WrongLane("this run", "async", "use 'async for' instead.")

    async def _output(self) -> StateT_co:
        await self._complete()
        state: StateT_co = self._mux.state.latest
        return state

    async def _interrupted(self) -> bool:
        await self._complete()
        return self._mux.state.interrupted

    async def _interrupts(self) -> list[Any]:
        await self._complete()
        return list(self._mux.state.interrupts)

    async def _abort(self) -> None:
        await self._run.abort()

    async def _complete(self) -> None:
        run = self._run
        if run.pump.terminal.ready:
            await run.checkpoint()
        else:
            await run.until(run.pump.terminal)
        run.pump.result()


@final
class AsyncSubgraphRunStream(SubgraphHandle, AsyncGraphRunStream[Any]):
    """A subgraph of a run on the async lane, with its own projections."""

    def __init__(self, run: AsyncRun, mux: Mux, subgraph: Subgraph) -> None:
        super().__init__(run, mux)
        self.describe(subgraph)

    def abort(self) -> Coroutine[Any, Any, None]:
        """Stop the subgraph; the rest of the run goes on. Idempotent.

        Returns when the handle has ended. A function graph's block is cancelled and may still be cleaning up then; the
        graph continues after it when a reader wants its next part. A LangGraph graph cannot stop one subgraph: the
        handle ends, and whatever the subgraph still produces is ignored.
        """
        return Unawaited("handle.abort()", self._abort)

    async def _abort(self) -> None:
        self.request_abort()
        if not self._run.is_inside():
            await self._run.until(self._latch)

    async def _complete(self) -> None:
        if self._latch.ready:
            await self._run.checkpoint()
        else:
            await self._run.until(self._latch)
        if self._failure is not None:
            raise self._run.deliver(self._failure)
