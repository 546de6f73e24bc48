"""The sync lane: the application's own `for` loop runs the graph, without an event loop or a thread.

Rules:

- Whoever needs an item that is not there yet steps the pump until it is.
- Where the run is stalled because another channel is full, only the caller itself could empty that channel, so the
  deadlock is certain and raises at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from functools import partial
from itertools import count
from typing import Any, Protocol, TypeVar, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Awaited
from anyiostream.channels.outbox import Outbox, current_outbox
from anyiostream.channels.raising import Recorded
from anyiostream.channels.unread import Unread
from anyiostream.errors import BackpressureDeadlock, RunClosed, RunWaitsForItself
from anyiostream.events import Namespace
from anyiostream.inline import run_inline
from anyiostream.lanes.sync_cursors import SyncCursor
from anyiostream.mux.mux import Mux
from anyiostream.mux.port import SpawnedTask
from anyiostream.pump import CONTROL_FLOW, NEEDS_ROOM, Pump, Step
from anyiostream.source import Source
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["SyncRun", "SyncSource"]

T = TypeVar("T")


class SyncSource(Source, Protocol):
    """A source that is closed without waiting."""

    def close_now(self) -> None:
        """Stop the graph. Idempotent."""


@final
class SyncRun:
    """One run on the sync lane: the mux's port, and what cursors and streams use to advance the pump.

    Attributes:
        step: Advances the pump, inside the run's context; `advance` explains what comes of it.
    """

    is_async = False
    budget = 0

    def __init__(
        self,
        factories: list[TransformerFactory] | None,
        open_source: Callable[[Mux], SyncSource],
        make_handle: Callable[[SyncRun, Mux, Subgraph], Handle],
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
        self._make_handle = make_handle
        self.stamp = count(1).__next__
        mux = Mux(self, factories=factories, transformers=transformers, scope=scope)
        self._source = open_source(mux)
        self.pump = Pump(mux, self._source, outbox, self._source_ended)
        self.step: Callable[[Awaited], Step] = partial(self.context.run, self.pump.advance)  # type: ignore[call-arg]  # it will have them
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

    def admit(self, what: str) -> None:
        """Raise `RunClosed` once the block has been left."""
        if self.closed:
            raise RunClosed(what)

    def cursor(self, buffer: Unread[T], released: Callable[[Unread[T]], None]) -> SyncCursor[T]:
        """A cursor over `buffer`."""
        return SyncCursor(self, buffer, released)

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception for a reader."""
        return self.pump.deliver(failure)

    def drive(self, target: Awaited) -> None:
        """As `advance`, if `target` is not ready yet."""
        if not target.ready:
            self.advance(target)

    def advance(self, target: Awaited) -> None:
        """Step the pump until `target`, which is not ready, is, or nothing more can happen.

        Raises:
            RunWaitsForItself: A hook of this run wants it.
            BackpressureDeadlock: The run is stalled by a full channel.
        """
        try:
            step = self.step(target)
        except RuntimeError as exc:
            self.explain(exc, target)
            raise
        if step is NEEDS_ROOM:
            raise self.deadlock(target)

    def explain(self, error: RuntimeError, target: Awaited) -> None:
        """Raise `RunWaitsForItself` if `error`, which `step` raised, says that the run was at work already."""
        if str(error).startswith("cannot enter context"):
            raise RunWaitsForItself("code inside the run", target.name) from None

    def deadlock(self, target: Awaited) -> BackpressureDeadlock:
        """The exception for who wants `target` although `step` needed room for other items."""
        full = next(buffer for buffer in self.pump.outbox.full if buffer.waiting)
        return full.deadlock(target.name, "tee")

    def assemble_message(self, events: Sequence[Mapping[str, Any]], message_id: str | None) -> Any:
        """The final message of a model call, in the graph's own class."""
        return self._source.assemble_message(events, message_id)

    async def checkpoint(self) -> None:
        """Not on this lane."""
        raise AssertionError("there is nothing to let run on the sync lane")

    def open_handle(self, mux: Mux, subgraph: Subgraph) -> Handle:
        """The handle of a subgraph."""
        return self._make_handle(self, mux, subgraph)

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

    def refuse_inside(self, what: str) -> None:  # noqa: ARG002 -- a port's method
        """Not on this lane."""
        raise AssertionError("cursors refuse `async for` on the sync lane")

    async def wait_for(self, target: Awaited, step: Any) -> None:  # noqa: ARG002 -- a port's method
        """Not on this lane."""
        raise AssertionError("cursors refuse `async for` on the sync lane")

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

    def is_inside(self) -> bool:
        """Whether the caller is a hook, or the graph, of this run."""
        outbox = current_outbox.get(None)
        return outbox is not None and outbox.home is self

    def _source_ended(self) -> None:
        try:
            self._close_source()
        except CONTROL_FLOW as exc:
            # Raised by the pump. It may have come from between two lines here.
            if exc not in self.pump.errors:
                self.pump.errors.append(exc)

    def _close_source(self) -> None:
        try:
            self._source.close_now()
        except BaseException as exc:
            self.pump.errors.append(exc)
            if isinstance(exc, CONTROL_FLOW):
                raise
