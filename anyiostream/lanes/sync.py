"""The sync lane: the application's own `for` loop runs the graph, without an event loop or a thread.

Rules:

- Whoever needs an item that is not there yet steps the pump until it is.
- Where the run is stalled because another channel is full, only the caller itself could empty that channel, so the
  deadlock is certain and raises at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import Context, copy_context
from itertools import count
from typing import Any, Generic, Protocol, Self, TypeVar, final

from anyiostream.channels.buffer import Buffer, Ended
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.interleaving import Interleaving
from anyiostream.channels.latch import Awaited
from anyiostream.channels.outbox import Outbox, current_outbox
from anyiostream.channels.raising import Recorded
from anyiostream.errors import RunClosed, RunWaitsForItself
from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.inline import run_inline
from anyiostream.lanes.run_stream import RunStream, SubgraphHandle
from anyiostream.mux.mux import Mux
from anyiostream.mux.port import SpawnedTask
from anyiostream.pump import CONTROL_FLOW, NEEDS_ROOM, PROGRESS, Pump, RunStatus, Source
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import Subgraph, SubgraphStatus
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["GraphRunStream", "SubgraphRunStream", "SyncRun"]

T = TypeVar("T")


class SyncSource(Source, Protocol):
    """A source that is closed without waiting."""

    def close_now(self) -> None:
        """Stop the graph. Idempotent."""


@final
class SyncRun:
    """One run on the sync lane: the mux's port, and what cursors and streams use to advance the pump."""

    is_async = False
    budget = 0

    def __init__(
        self,
        factories: list[TransformerFactory] | None,
        open_source: Callable[[Mux], SyncSource],
        *,
        transformers: Sequence[StreamTransformer] = (),
        maxlen: float,
        scope: Namespace,
    ) -> None:
        self.maxlen = maxlen
        self.application_outbox = Outbox("the application", self)
        outbox = Outbox("an event", self, bounded=False)
        self.context = copy_context()
        self.context.run(current_outbox.set, outbox)
        self._stamps = count(1)
        mux = Mux(self, factories=factories, transformers=transformers, scope=scope)
        self._source = open_source(mux)
        self.pump = Pump(mux, self._source, outbox)
        self.closed = False

    # --- the mux's port ---

    @property
    def home(self) -> SyncRun:
        """The run that buffers belong to."""
        return self

    @property
    def interjected(self) -> BaseException | None:
        """Nothing runs beside the pump here that could fail."""
        return None

    def stamp(self) -> int:
        """A number that rises with each call."""
        return next(self._stamps)

    def admit(self, what: str) -> None:
        """Raise `RunClosed` once the block has been left."""
        if self.closed:
            raise RunClosed(what)

    def cursor(self, buffer: Buffer[T], released: Callable[[Buffer[T]], None]) -> SyncCursor[T]:
        """A cursor over `buffer`."""
        return SyncCursor(self, buffer, released)

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception for a reader."""
        return self.pump.deliver(failure)

    def drive(self, target: Awaited) -> None:
        """Step the pump until `target` is ready or nothing more can happen.

        Raises:
            RunWaitsForItself: A hook of this run wants it.
            BackpressureDeadlock: The run is stalled by a full channel.
        """
        try:
            self.context.run(self._drive, target)
        except RuntimeError as exc:
            if str(exc).startswith("cannot enter context"):
                raise RunWaitsForItself("code inside the run", target.name) from None
            raise

    def assemble_message(self, events: Sequence[Mapping[str, Any]], message_id: str | None) -> Any:
        """The final message of a model call, in the graph's own class."""
        return self._source.assemble_message(events, message_id)

    async def checkpoint(self) -> None:
        """Not on this lane."""
        raise AssertionError("there is nothing to let run on the sync lane")

    def open_handle(self, mux: Mux, subgraph: Subgraph) -> SubgraphRunStream:
        """The handle of a subgraph."""
        return SubgraphRunStream(self, mux, subgraph)

    def hold(self, channel: StreamChannel[Any]) -> None:
        """The one reader there is takes its item before it steps again."""

    def is_cancellation(self, error: BaseException) -> bool:  # noqa: ARG002 -- a port's method
        """There is no cancellation here."""
        return False

    async def send(self, channel: StreamChannel[T], item: T) -> None:  # noqa: ARG002 -- a port's method
        """Not on this lane."""
        raise AssertionError("channels refuse send() on the sync lane")

    async def until(self, target: Awaited) -> None:  # noqa: ARG002 -- a port's method
        """Not on this lane."""
        raise AssertionError("promises refuse await on the sync lane")

    async def wait(self, target: Awaited) -> None:  # noqa: ARG002 -- a port's method
        """Not on this lane."""
        raise AssertionError("nothing is scheduled on the sync lane")

    async def with_grace(self, what: str, awaitable: Awaitable[object]) -> None:  # noqa: ARG002 -- a port's method
        """A hook that awaits nothing is run; one that suspends is refused by whoever runs this."""
        await awaitable

    def spawn(
        self,
        run: Callable[[], Coroutine[Any, Any, None]],  # noqa: ARG002 -- a port's method
        name: str,  # noqa: ARG002 -- likewise
        context: Context,  # noqa: ARG002 -- likewise
    ) -> SpawnedTask:
        """Not on this lane."""
        raise AssertionError("nothing is scheduled on the sync lane")

    def check_stall(self) -> None:
        """A stall is seen at once by the only reader there is."""

    def interject(self, error: BaseException) -> None:  # noqa: ARG002 -- a port's method
        """Not on this lane."""
        raise AssertionError("nothing is scheduled on the sync lane")

    # --- the end ---

    def abort(self) -> None:
        """Stop the graph and end the run. Idempotent; inside a hook, it takes effect after the current event."""
        if self.pump.terminal.ready:
            return
        if self.is_inside():
            self.pump.abort_after_event()
            return
        self.context.run(self._close_source)
        self.context.run(run_inline, self.pump.abort(), "a transformer's fail()")

    def close(self) -> list[BaseException]:
        """The block is left: abort what has not ended. The errors that no reader has received, in order."""
        try:
            self.abort()
        finally:
            self.closed = True
            self.context.run(self._close_source)
        return self.pump.undelivered()

    def statistics(self, mux: Mux) -> RunStatistics:
        """The figures of the run, with the channels of `mux`."""
        return self.pump.statistics(mux, inbox=0, parked=0)

    # --- inside ---

    def _drive(self, target: Awaited) -> None:
        step = self.pump.step
        while not target.ready:
            outcome = step()
            if outcome is PROGRESS:
                continue
            if outcome is NEEDS_ROOM:
                full = next(buffer for buffer in self.pump.outbox.full if buffer.waiting)
                raise full.deadlock(target.name, "tee")
            if self.pump.terminal.ready:
                self._close_source()
            return
        if self.pump.terminal.ready:
            self._close_source()

    def is_inside(self) -> bool:
        """Whether the caller is a hook, or the graph, of this run."""
        outbox = current_outbox.get(None)
        return outbox is not None and outbox.home is self

    def _close_source(self) -> None:
        try:
            self._source.close_now()
        except BaseException as exc:
            self.pump.errors.append(exc)
            if isinstance(exc, CONTROL_FLOW):
                raise


@final
class SyncCursor(Generic[T]):
    """Reads one buffer. May be left and taken up again; dropping it ends the subscription."""

    __slots__ = ("_buffer", "_ended", "_released", "_run")

    def __init__(self, run: SyncRun, buffer: Buffer[T], released: Callable[[Buffer[T]], None]) -> None:
        self._run = run
        self._buffer = buffer
        self._released = released
        self._ended = False

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> T:
        """The next item.

        Raises:
            StopIteration: The channel was closed, or the run aborted.
            BackpressureDeadlock: The run is stalled because another channel is full.
            BaseException: What ended the run, once, after all items.
        """
        buffer = self._buffer
        if not buffer.ready:
            if self._ended:
                raise StopIteration
            self._run.drive(buffer)
        if buffer.ended is None:
            if buffer.ready:
                return buffer.pop()
            raise StopIteration
        if buffer.ready > 1:
            return buffer.pop()
        return self._end(buffer.ended)

    def leave(self) -> None:
        """End the subscription and free the buffer. Idempotent."""
        if not self._buffer.left:
            self._released(self._buffer)
        self._ended = True

    close = leave

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the subscription."""
        self.leave()

    def __del__(self) -> None:
        self.leave()

    def _end(self, ended: Ended) -> T:
        if self._ended:
            raise StopIteration
        self.leave()
        if ended.error is not None:
            raise self._run.deliver(ended.error)
        raise StopIteration


@final
class SyncInterleaveCursor:
    """Reads several channels in order of arrival, as (name, item)."""

    __slots__ = ("_reader", "_run")

    def __init__(self, run: SyncRun, reader: Interleaving) -> None:
        self._run = run
        self._reader = reader

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> tuple[str, Any]:
        """The next (projection name, item).

        Raises:
            As a channel's cursor; the error of one channel comes after all that arrived before it.
        """
        reader = self._reader
        while True:
            if not reader.ready:
                self._run.drive(reader)
            if reader.ended or not reader.ready:
                self.close()
                raise StopIteration
            taken = reader.take(None, self._deliver)
            if taken is not None:
                return taken

    def close(self) -> None:
        """Release the channels; they may be subscribed again."""
        self._reader.leave()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Release the channels."""
        self.close()

    def __del__(self) -> None:
        self.close()

    def _deliver(self, ended: Ended) -> None:
        if ended.error is not None:
            self.close()
            raise self._run.deliver(ended.error)


class GraphRunStream(RunStream):
    """A run on the sync lane. Iterating any projection, or asking for `output`, runs the graph as far as needed.

    Each projection has one reader; `projection.tee(n)` makes several. Borrowed from LangGraph's class of the same
    name; here the run is a context manager, and nothing of it is alive after its block.
    """

    def __init__(self, run: SyncRun, mux: Mux) -> None:
        super().__init__(mux)
        self._run = run

    def __iter__(self) -> Iterator[ProtocolEvent]:
        """Subscribe to the raw log: every event, in order of `seq`."""
        return iter(self._mux.events)

    @property
    def output(self) -> Any:
        """The final state: the last `values` snapshot of this scope. Runs the graph to its end.

        Raises:
            RunAborted: The run was aborted.
            BackpressureDeadlock: A channel that has a reader is full.
            BaseException: The error that ended the run, each time it is asked for.
        """
        self._complete()
        return self._mux.state.latest

    @property
    def interrupted(self) -> bool:
        """Whether the graph waits for its user. Runs the graph to its end; raises as `output`."""
        self._complete()
        return bool(self._mux.state.interrupts)

    @property
    def interrupts(self) -> list[Any]:
        """The interrupts that the graph waits at, in order, each once.

        Runs the graph to its end; raises as `output`.
        """
        self._complete()
        return list(self._mux.state.interrupts)

    @property
    def status(self) -> RunStatus | SubgraphStatus:
        """How the run stands: `"running"`, `"completed"`, `"failed"`, `"interrupted"` or `"aborted"`."""
        return self._run.pump.status

    def interleave(self, *names: str) -> SyncInterleaveCursor:
        """Read several projections at once, as (name, item) in order of arrival.

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

    def _complete(self) -> None:
        terminal = self._run.pump.terminal
        if not terminal.ready:
            self._run.drive(terminal)
        self._run.pump.result()


@final
class SubgraphRunStream(SubgraphHandle, GraphRunStream):
    """A subgraph of a run on the sync lane, with projections of its own."""

    def __init__(self, run: SyncRun, mux: Mux, subgraph: Subgraph) -> None:
        super().__init__(run, mux)
        self.describe(subgraph, run.pump)

    def abort(self) -> None:
        """Stop the subgraph; the rest of the run goes on. Idempotent.

        A function graph leaves the subgraph when it next writes. A LangGraph graph cannot stop one subgraph: the
        handle ends, and what the subgraph still produces passes by.
        """
        self.request_abort()
        if not self._run.is_inside():
            self._run.drive(self._latch)

    def _complete(self) -> None:
        if not self._latch.ready:
            self._run.drive(self._latch)
        if self._failure is not None:
            raise self._run.deliver(self._failure)
