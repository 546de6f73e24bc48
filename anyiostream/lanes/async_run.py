"""The async lane's side of a run: what its mux needs of it, its tasks, and how it ends.

Rules:

- Who advances the pump, and who waits, is told in `driving.py`.
- Tasks of the run are cancelled by the run only, and awaited under a shield. Cancelling the task that leaves the
  block does not keep it from waiting until nothing of the run is alive; the cancellation goes on after that.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from itertools import count
from typing import Any, TypeVar, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Awaited, Callback
from anyiostream.channels.outbox import Outbox, current_outbox
from anyiostream.channels.raising import Recorded
from anyiostream.channels.unread import Unread
from anyiostream.errors import ForeignExit, RunClosed
from anyiostream.events import Namespace
from anyiostream.lanes.async_cursors import AsyncCursor
from anyiostream.lanes.async_source import AsyncSource
from anyiostream.lanes.driving import PumpDriver
from anyiostream.lanes.shutdown import GRACE, Shutdown
from anyiostream.loops.interface import Loop, LoopTask
from anyiostream.mux.mux import Mux
from anyiostream.pump import Pump
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["AsyncRun"]

T = TypeVar("T")

logger = logging.getLogger("anyiostream")


@final
class AsyncRun(PumpDriver):
    """One run on the async lane: the mux's port, its tasks, and its end.

    Attributes:
        maxlen: Bound of channels that name none, in items.
        stamp: Gives a number that rises with each call.
        closed: Whether the block has been left.
    """

    is_async = True

    def __init__(
        self,
        loop: Loop,
        factories: list[TransformerFactory] | None,
        open_source: Callable[[Mux], AsyncSource],
        make_handle: Callable[[AsyncRun, Mux, Subgraph], Handle],
        *,
        transformers: Sequence[StreamTransformer] = (),
        maxlen: float,
        scope: Namespace,
        checkpoint_every: int,
    ) -> None:
        outbox = Outbox("an event", self, bounded=False, emptied=self._room_again)
        super().__init__(loop, outbox, checkpoint_every)
        self.maxlen = maxlen
        # What only some runs need is made when it is needed: most of the cost of a short run is that of its objects.
        self._application_outbox: Outbox | None = None
        self._source_context: Context | None = None
        self._shutdown: Shutdown | None = None
        self._make_handle = make_handle
        self._tasks: dict[LoopTask, None] = {}
        self.closed = False
        self.stamp = count(1).__next__
        mux = Mux(self, factories=factories, transformers=transformers, scope=scope)
        source = open_source(mux)
        self.drive_pump(Pump(mux, source, outbox, source.stop), source)

    async def enter(self) -> None:
        """The block is entered."""
        roster = self.pump.mux.roster
        await self.loop.enter(spawns=self.source.spawns or roster.any_async or not roster.all_builtin)
        self.source.start(self, self._part_arrived)

    # --- the mux's port ---

    @property
    def home(self) -> AsyncRun:
        """The run that buffers belong to."""
        return self

    @property
    def interjected(self) -> BaseException | None:
        """The error with which the run is about to fail."""
        return self.pump.interjected

    @property
    def application_outbox(self) -> Outbox:
        """Where items wait that no hook, scheduled task or graph of this run has put."""
        if self._application_outbox is None:
            self._application_outbox = Outbox("the application", self)
        return self._application_outbox

    @property
    def source_context(self) -> Context:
        """Where the graph runs."""
        if self._source_context is None:
            # Asked for before any hook has run, so that nothing else has been set there.
            context = self.context.copy()
            context.run(current_outbox.set, Outbox("the graph", self))
            self._source_context = context
        return self._source_context

    def admit(self, what: str) -> None:
        """Raise `RunClosed` once the block has been left, `RunWaitsForItself` inside the run."""
        self.refuse_inside(what)
        if self.closed:
            raise RunClosed(what)

    def cursor(self, buffer: Unread[T], released: Callable[[Unread[T]], None]) -> AsyncCursor[T]:
        """A cursor over `buffer`."""
        return AsyncCursor(self, buffer, released)

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception for a reader."""
        return self.pump.deliver(failure)

    def assemble_message(self, events: Sequence[Mapping[str, Any]], message_id: str | None) -> Any:
        """The final message of a model call, in the graph's own class."""
        return self.source.assemble_message(events, message_id)

    def open_handle(self, mux: Mux, subgraph: Subgraph) -> Handle:
        """The handle of a subgraph."""
        return self._make_handle(self, mux, subgraph)

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether it is the loop's cancellation exception."""
        return self.loop.is_cancellation(error)

    def interject(self, error: BaseException) -> None:
        """Fail the run at the next step."""
        self.pump.interject(error)
        self.pass_on()

    def drive(self, target: Awaited) -> None:  # noqa: ARG002 -- a port's method
        """Not on this lane."""
        raise AssertionError("promises refuse result() on the async lane")

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> LoopTask:
        """Start a task of the run."""
        task = self.loop.spawn(run, name, context)
        self._tasks[task] = None
        task.finished.park(Callback(lambda: self._tasks.pop(task, None)))
        return task

    def host(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> LoopTask:
        """Start the task that the graph runs in."""
        task = self.loop.spawn(run, name, self.source_context)
        self._tasks[task] = None
        return task

    async def send(self, channel: StreamChannel[T], item: T) -> None:
        """Put an item, and wait until it has found its place; if cancelled meanwhile, take it back.

        With several branches it waits until all have room, so that they never differ.
        """
        if len(channel.buffers) == 1:
            (buffer,) = channel.buffers
            await self._settled(buffer, lambda outbox: buffer.put_waiting(item, outbox))
            return
        while (full := next((buffer for buffer in channel.buffers if not buffer.has_room), None)) is not None:
            await self._settled(full, full.await_room)
        channel.put_to_all(item)

    async def _settled(self, buffer: Unread[Any], put: Callable[[Outbox], None]) -> None:
        waiter = self.loop.waiter()
        outbox = Outbox("send()", self, bounded=False, withdrawable=True, emptied=waiter.wake)
        outbox.given_up = lambda: waiter.woken  # by nothing else before the item has found its place
        put(outbox)
        if outbox.pending:
            producer = current_outbox.get(self.application_outbox)
            producer.sending.append(buffer)
            self.check_stall()
            try:
                await waiter.wait()
            except BaseException:
                buffer.withdraw(outbox)
                raise
            finally:
                producer.sending.remove(buffer)

    async def with_grace(self, what: str, awaitable: Awaitable[object]) -> None:
        """Await a hook for the grace period."""
        with self.loop.shield(GRACE) as scope:
            await awaitable
        if scope.cancelled_caught:
            logger.warning("%s did not end within %g s and has been cancelled", what, GRACE)

    # --- the end ---

    async def abort(self) -> None:
        """Stop the graph and end the run. Idempotent.

        Returns when the run has its outcome and nothing of the graph is alive. In a hook, in scheduled work and in
        the graph itself it returns at once and takes effect after the current event.
        """
        if self.is_inside():
            self.pump.abort_after_event()
            self.pass_on()
            return
        if self.pump.terminal.ready and not self._living():
            await self.loop.checkpoint()
            return
        await self._shut_down()
        # The caller's cancellation, if it came meanwhile, is raised here.
        await self.loop.checkpoint()

    async def close(self) -> list[BaseException]:
        """The block is left: abort what has not ended, wait until nothing is alive.

        Returns:
            The errors that no reader has received, in order.

        Raises:
            ForeignExit: On trio, in another task than the one that entered.
            The loop's cancellation exception, after all that, if the caller was cancelled meanwhile.
        """
        try:
            self.loop.check_exit()
        except ForeignExit:
            self.source.stop()
            for task in self._tasks:
                task.cancel()
            self.closed = True
            raise
        try:
            if not self.pump.terminal.ready or (self._tasks and self._living()):
                await self._shut_down()
            else:
                await self.close_source()
        finally:
            self.closed = True
            if self._stalls is not None:
                self._stalls.close()
            await self.loop.leave()
        return self.pump.undelivered()

    async def _shut_down(self) -> None:
        if self._shutdown is None:
            self._shutdown = Shutdown(self)
        await self._shutdown.shut_down(self._living())

    def _living(self) -> dict[LoopTask, None]:
        """The run's tasks; none of them has ended."""
        for task in [each for each in self._tasks if not each.alive]:
            self._tasks.pop(task, None)
        return self._tasks

    async def close_source(self) -> None:
        """Stop the source, and wait until it has ended. What closing it raises is raised where the block is left."""
        self.source.stop()
        try:
            await self.source.close()
        except BaseException as exc:  # noqa: BLE001 -- see above
            self.pump.errors.append(exc)

    def statistics(self, mux: Mux) -> RunStatistics:
        """The figures of the run, with the channels of `mux`."""
        return self.pump.statistics(mux, inbox=self.source.read_ahead, parked=len(self._parked))
