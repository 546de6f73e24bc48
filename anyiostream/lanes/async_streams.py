"""Run streams of the async lane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Generic, NoReturn, final

from anyiostream.channels.interleaving import Interleaving
from anyiostream.errors import WrongLane
from anyiostream.events import ProtocolEvent
from anyiostream.lanes.async_cursors import AsyncInterleaveCursor
from anyiostream.lanes.async_run import AsyncRun
from anyiostream.lanes.pending import Pending
from anyiostream.lanes.reading import AsyncProjection, StateT_co
from anyiostream.lanes.run_stream import RunStream, SubgraphHandle
from anyiostream.mux.mux import Mux
from anyiostream.projections.messages.streams import AsyncChatModelStream
from anyiostream.projections.tool_calls import ToolCallStream
from anyiostream.pump import RunStatus
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import LifecyclePayload, Subgraph, SubgraphStatus

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream

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
        super().__init__(mux)
        self._run = run

    def __aiter__(self) -> ObjectReceiveStream[ProtocolEvent]:
        """Subscribe to the raw log: every event, in order of `seq`."""
        return aiter(self._mux.events)

    def output(self) -> Coroutine[Any, Any, StateT_co]:
        """The final state: the last `values` snapshot of this scope. Runs the graph to its end.

        Checkpoints. If cancelled, the run is as it was, and may be read on.

        Raises:
            RunAborted: The run was aborted.
            BackpressureDeadlock: A channel that the calling task reads is full.
            BaseException: The error that ended the run, each time it is asked for.
        """
        return Pending("run.output()", self._output)

    def interrupted(self) -> Coroutine[Any, Any, bool]:
        """Whether the graph waits for its user. Runs the graph to its end; raises as `output`."""
        return Pending("run.interrupted()", self._interrupted)

    def interrupts(self) -> Coroutine[Any, Any, list[Any]]:
        """The interrupts that the graph waits at, in order, each once.

        Runs the graph to its end; raises as `output`.
        """
        return Pending("run.interrupts()", self._interrupts)

    @property
    def status(self) -> RunStatus | SubgraphStatus:
        """How the run stands: `"running"`, `"completed"`, `"failed"`, `"interrupted"` or `"aborted"`."""
        return self._run.pump.status

    def interleave(self, *names: str) -> AsyncInterleaveCursor:
        """Read several projections at once, as (name, item) in order of arrival.

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
        return Pending("run.abort()", self._abort)

    def statistics(self) -> RunStatistics:
        """The run's figures now."""
        return self._run.statistics(self._mux)

    if not TYPE_CHECKING:  # for type checkers a run of this lane is no iterable

        def __iter__(self) -> NoReturn:
            raise WrongLane("this run", "async", "use 'async for' instead.")

    async def _output(self) -> StateT_co:
        await self._complete()
        state: StateT_co = self._mux.state.latest
        return state

    async def _interrupted(self) -> bool:
        await self._complete()
        return bool(self._mux.state.interrupts)

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
    """A subgraph of a run on the async lane, with projections of its own."""

    def __init__(self, run: AsyncRun, mux: Mux, subgraph: Subgraph) -> None:
        super().__init__(run, mux)
        self.describe(subgraph, run.pump)

    def abort(self) -> Coroutine[Any, Any, None]:
        """Stop the subgraph; the rest of the run goes on. Idempotent.

        Returns when the handle has ended. A function graph's block is cancelled and may still be cleaning up then; the
        graph goes on after it when somebody wants its next part. A LangGraph graph cannot stop one subgraph: the handle
        ends, and what the subgraph still produces passes by.
        """
        return Pending("handle.abort()", self._abort)

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
