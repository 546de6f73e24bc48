"""The async lane's side of a run: its mux's port, its tasks, and how it ends.

Rules:

- `driver/turn.py` decides who steps the pump, and who waits.
- Tasks of the run are cancelled by the run only, and awaited under a shield. If the task that leaves the block is
  cancelled, it still waits until nothing of the run is alive; the cancellation is raised after that.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from functools import partial
from typing import Any, TypeVar, final

from anyiostream.channels.buffer import Buffer
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Latch
from anyiostream.channels.port import next_stamp
from anyiostream.channels.producer import Producer, current_producer
from anyiostream.driver.driver import Driver
from anyiostream.driver.hosting import AsyncSource, Spawner
from anyiostream.driver.shutdown import GRACE, Shutdown
from anyiostream.errors import ForeignExit, RunClosed
from anyiostream.events import Namespace
from anyiostream.lanes.async_cursors import AsyncCursor
from anyiostream.lanes.figures import figures
from anyiostream.loops.interface import Loop, LoopTask
from anyiostream.mux.mux import Mux
from anyiostream.mux.scheduled import MAX_RUNNING
from anyiostream.projections.messages.record import MessageRecord
from anyiostream.pump import Pump
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["AsyncRun"]

T = TypeVar("T")

logger = logging.getLogger("anyiostream")


@final
class AsyncRun(Driver):
    """One run on the async lane: the mux's port, its tasks, and its end.

    Attributes:
        maxlen: Bound, in items, of channels that were created without one.
        grace: Seconds that a hook or the source may take once the run is over.
        stamp: Returns a number that increases with each call.
        closed: Whether the block has been left.
    """

    is_async = True
    stamp = staticmethod(next_stamp)

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
        grace: float = GRACE,
        max_scheduled: float = MAX_RUNNING,
    ) -> None:
        self.maxlen = maxlen
        self.grace = grace
        # Whatever only some runs need is created on demand: most of a short run's cost is that of creating objects.
        self._application_producer: Producer | None = None
        self._source_context: Context | None = None
        self._shutdown: Shutdown | None = None
        self.closed = False

        def make_pump(producer: Producer) -> tuple[Pump, AsyncSource]:
            mux = Mux(
                self,
                factories=factories,
                make_handle=partial(make_handle, self),
                transformers=transformers,
                namespace=scope,
                max_scheduled=max_scheduled,
            )
            source = open_source(mux)
            return Pump(mux, source, producer, source.stop), source

        super().__init__(loop, checkpoint_every, make_pump)

    async def enter(self) -> None:
        """The block is entered."""
        registry = self.pump.mux.registry
        await self.loop.enter(spawns=self.source.spawns or registry.any_async or not registry.all_builtin)
        self.source.start(self)

    # --- the mux's port ---

    @property
    def task_port(self) -> AsyncRun:
        """The members that only this lane has."""
        return self

    @property
    def interjected(self) -> BaseException | None:
        """The error with which the run is about to fail."""
        return self.pump.interjected

    @property
    def application_producer(self) -> Producer:
        """Where items wait that no hook, scheduled task or graph of this run has put."""
        if self._application_producer is None:
            self._application_producer = Producer("the application", self)
        return self._application_producer

    @property
    def steps_anywhere(self) -> bool:
        """True if no hook is the user's."""
        return self.pump.mux.registry.all_builtin

    @property
    def source_context(self) -> Context:
        """Where the graph runs."""
        if self._source_context is None:
            # Asked for before any hook has run, so that nothing else has been set there.
            context = self.context.copy()
            context.run(current_producer.set, Producer("the graph", self))
            self._source_context = context
        return self._source_context

    def admit(self, what: str) -> None:
        """Raise `RunClosed` once the block has been left, `RunWaitsForItself` inside the run."""
        self.refuse_inside(what)
        if self.closed:
            raise RunClosed(what)

    def cursor(self, buffer: Buffer[T], released: Callable[[Buffer[T]], None]) -> AsyncCursor[T]:
        """A cursor over `buffer`."""
        return AsyncCursor(self, buffer, released)

    def assemble_message(self, record: MessageRecord) -> Any:
        """The final message of a model call, in the graph's own class."""
        return self.source.assemble_message(record)

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether it is the loop's cancellation exception."""
        return self.loop.is_cancellation(error)

    def interject(self, error: BaseException) -> None:
        """Fail the run at the next step."""
        self.pump.interject(error)
        self.pass_on()

    def host(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, on: Spawner | None = None) -> LoopTask:
        """Start a task that the graph runs in."""
        spawner = self.loop if on is None else on
        # In one statement: an interrupt between two would leave a task that nothing refers to.
        self._tasks[task := spawner.spawn(run, name, self.source_context)] = None
        return task

    async def send(self, channel: StreamChannel[T], item: T) -> None:
        """Put an item, and wait until it has found its place; if cancelled meanwhile, take it back.

        With several branches it waits until all have room, so that they never differ.
        """
        if len(channel.buffers) == 1:
            (buffer,) = channel.buffers
            await self._settled(buffer, lambda producer: buffer.put_waiting(item, producer))
            return
        while (full := next((buffer for buffer in channel.buffers if not buffer.has_room), None)) is not None:
            await self._settled(full, full.await_room)
        channel.put_to_all(item)

    async def _settled(self, buffer: Buffer[Any], put: Callable[[Producer], None]) -> None:
        waiter = self.loop.waiter()
        send = Producer("send()", self, bounded=False, withdrawable=True, emptied=waiter.wake)
        send.given_up = lambda: waiter.woken  # by nothing else before the item has found its place
        put(send)
        if send.pending:
            producer = current_producer.get(self.application_producer)
            producer.sending = (*producer.sending, buffer)
            self.check_stall()
            try:
                await waiter.wait()
            except BaseException as exc:
                if waiter.postpone(exc):
                    return  # the item is there: raised here, the cancellation would say that it is not
                buffer.withdraw(send)
                raise
            finally:
                left = list(producer.sending)
                left.remove(buffer)
                producer.sending = tuple(left)

    async def with_grace(self, what: str, awaitable: Awaitable[object]) -> None:
        """Await a hook for the grace period."""
        with self.loop.shield(self.grace) as scope:
            await awaitable
        if scope.cancelled_caught:
            logger.warning("%s did not end within %g s and has been cancelled", what, self.grace)

    async def room(self) -> None:
        """Wait until no item of the last event waits for its reader."""
        producer = self.pump.producer
        while producer.pending:
            latch = Latch("room")
            producer.emptied = latch.open
            try:
                await self.wait(latch)
            finally:
                producer.emptied = self._room_again

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
        if self.pump.terminal.ready and not self.living():
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
            if not self.pump.terminal.ready or (self._tasks and self.living()):
                await self._shut_down()
            else:
                await self.close_source()
        finally:
            self.closed = True
            self.close_deadlocks()
            await self.loop.leave()
        return self.pump.undelivered()

    async def _shut_down(self) -> None:
        if self._shutdown is None:
            self._shutdown = Shutdown(self, self.grace)
        await self._shutdown.shut_down(self.living())

    def living(self) -> dict[LoopTask, None]:
        """The run's tasks; none of them has ended."""
        for task in [each for each in self._tasks if not each.alive]:
            self._tasks.pop(task, None)
        return self._tasks

    def statistics(self, mux: Mux) -> RunStatistics:
        """The figures of the run, with the channels of `mux`."""
        return figures(self.pump, mux, inbox=self.source.read_ahead, parked=len(self.turn.waiting))
