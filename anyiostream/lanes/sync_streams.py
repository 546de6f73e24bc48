"""Run streams of the sync lane."""

# Sets of names overlap, and the first overload that fits is the narrowest:
# mypy: disable-error-code="overload-overlap"
# pyright: reportOverlappingOverload=false

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, final, overload

from anyiostream.channels.interleaving import Interleaving
from anyiostream.errors import WrongLane
from anyiostream.events import ProtocolEvent
from anyiostream.lanes.projection_types import Projection, StateT_co
from anyiostream.lanes.run_stream import RunStream, SubgraphHandle
from anyiostream.lanes.sync_cursors import SyncInterleaveCursor
from anyiostream.lanes.sync_run import SyncRun
from anyiostream.mux.mux import Mux
from anyiostream.projections.messages.streams import ChatModelStream
from anyiostream.projections.tool_calls import ToolCallStream
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import LifecyclePayload, Subgraph

if TYPE_CHECKING:
    # What `interleave` is asked for, and what it then gives: `V` and `Values`, ... A `match` on a pair tells its item.
    V = Literal["values"]
    M = Literal["messages"]
    L = Literal["lifecycle"]
    S = Literal["subgraphs", "subagents"]
    T = Literal["tool_calls"]
    P = Literal["updates", "checkpoints", "debug", "tasks"]
    Values = tuple[V, StateT_co]
    Messages = tuple[M, ChatModelStream]
    Lifecycle = tuple[L, LifecyclePayload]
    Subgraphs = tuple[S, "SubgraphRunStream"]
    ToolCalls = tuple[T, ToolCallStream]
    Payloads = tuple[P, dict[str, Any]]
    Known = V | M | L | S | T | P
    AnyOf = Values[StateT_co] | Messages | Lifecycle | Subgraphs | ToolCalls | Payloads
    Cursor = SyncInterleaveCursor

__all__ = ["GraphRunStream", "SubgraphRunStream"]


class GraphRunStream(RunStream, Generic[StateT_co]):
    """A run on the sync lane. Iterating any projection, or asking for `output`, runs the graph as far as needed.

    Each projection has one reader; `projection.tee(n)` makes several. Borrowed from LangGraph's class of the same
    name; here the run is a context manager, and nothing of it is alive after its block.

    Generic in the type of the graph's state, which is that of `values` and of `output`.
    """

    # Registered in every run, and on demand; declared for type checkers and completion.
    values: Projection[StateT_co]
    messages: Projection[ChatModelStream]
    lifecycle: Projection[LifecyclePayload]
    subgraphs: Projection[SubgraphRunStream]
    subagents: Projection[SubgraphRunStream]
    updates: Projection[dict[str, Any]]
    custom: Projection[Any]
    checkpoints: Projection[dict[str, Any]]
    debug: Projection[dict[str, Any]]
    tasks: Projection[dict[str, Any]]
    tool_calls: Projection[ToolCallStream]

    def __init__(self, run: SyncRun, mux: Mux) -> None:
        super().__init__(mux, run.pump)
        self._run = run

    def __iter__(self) -> Iterator[ProtocolEvent]:
        """Subscribe to the raw log: every event, in order of `seq`."""
        return iter(self._mux.events)

    @property
    def output(self) -> StateT_co:
        """The final state: the last `values` snapshot of this scope. Runs the graph to its end.

        Raises:
            RunAborted: The run was aborted.
            RunDrained: The run stopped at the end of a step, as `request_drain` had asked.
            BackpressureDeadlock: A channel that has a reader is full.
            BaseException: The error that ended the run, each time it is asked for.
        """
        self._complete()
        state: StateT_co = self._mux.state.latest
        return state

    @property
    def interrupted(self) -> bool:
        """Whether the graph waits for its user. Runs the graph to its end; raises as `output`."""
        self._complete()
        return self._mux.state.interrupted

    @property
    def interrupts(self) -> list[Any]:
        """The interrupts that the graph waits at, in order, each once.

        Runs the graph to its end; raises as `output`.
        """
        self._complete()
        return list(self._mux.state.interrupts)

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
    def interleave(self, *names: str) -> SyncInterleaveCursor: ...
    def interleave(self, *names: str) -> SyncInterleaveCursor[Any]:
        """Read several projections at once, as (name, item) in order of arrival.

        Type checkers know the items of the declared projections, except `custom`; a `match` on the pair tells which.

        Raises:
            UnknownProjection, NotAChannel, AlreadySubscribed: And nothing is subscribed.
        """
        return SyncInterleaveCursor(self._run, Interleaving(self.extensions, names, is_async=False))

    def tee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[Iterator[ProtocolEvent], ...]:
        """The raw log for `n` readers; as a channel's `tee`."""
        return self._mux.events.tee(n, maxlen=maxlen)

    def abort(self) -> None:
        """Stop the graph. Open cursors end after what they have buffered; `output` raises `RunAborted`. Idempotent."""
        self._run.abort()

    def statistics(self) -> RunStatistics:
        """The run's figures now."""
        return self._run.statistics(self._mux)

    if not TYPE_CHECKING:  # for type checkers a run of this lane is not an asynchronous iterable

        def __aiter__(self) -> NoReturn:
            raise WrongLane("this run", "sync", "use 'for' instead.")

    def _complete(self) -> None:
        terminal = self._run.pump.terminal
        if not terminal.ready:
            self._run.drive(terminal)
        self._run.pump.result()


@final
class SubgraphRunStream(SubgraphHandle, GraphRunStream[Any]):
    """A subgraph of a run on the sync lane, with its own projections."""

    def __init__(self, run: SyncRun, mux: Mux, subgraph: Subgraph) -> None:
        super().__init__(run, mux)
        self.describe(subgraph)

    def abort(self) -> None:
        """Stop the subgraph; the rest of the run goes on. Idempotent.

        A function graph leaves the subgraph when it next writes. A LangGraph graph cannot stop one subgraph: the handle
        ends, and whatever the subgraph still produces is ignored.
        """
        self.request_abort()
        if not self._run.is_inside():
            self._run.drive(self._latch)

    def _complete(self) -> None:
        if not self._latch.ready:
            self._run.drive(self._latch)
        if self._failure is not None:
            raise self._run.deliver(self._failure)
