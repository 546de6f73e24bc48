"""The async lane's side of a run: who advances the pump, who waits, and how it ends.

Rules:

- A reader that needs something steps the pump itself, inline, as long as no hook has to be awaited; steps do not
  suspend, so that a reader's cancellation never tears an event. While it waits it is parked.
- Behind a part at which the graph stops, the graph's task steps the pump for the reader that has waited longest, so
  that a part that is for nobody costs no turn of the loop.
- What must be awaited is awaited by one task of the run's own, the conductor. While it is at work, readers only wait.
- A parked reader is woken when its buffer got something, or, one at a time, to step the pump (`_nudged`). It takes
  nothing by being woken: it looks again. If it is cancelled instead, or is satisfied while others still wait, it
  passes the pump on.
- Tasks of the run are cancelled by the run only, and awaited under a shield. Cancelling the task that leaves the
  block does not keep it from waiting until nothing of the run is alive; the cancellation goes on after that.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from itertools import count
from typing import Any, Final, Protocol, TypeVar, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Awaited, Callback, Latch
from anyiostream.channels.outbox import FullBuffer, Outbox, current_outbox
from anyiostream.channels.raising import Recorded
from anyiostream.channels.unread import Unread
from anyiostream.errors import ForeignExit, RunClosed, RunWaitsForItself
from anyiostream.events import Namespace
from anyiostream.lanes.async_cursors import AsyncCursor
from anyiostream.lanes.conducting import Conductor
from anyiostream.lanes.shutdown import GRACE, Shutdown
from anyiostream.lanes.stalls import StallWatch
from anyiostream.loops.interface import Loop, LoopTask, Waiter
from anyiostream.mux.mux import Mux
from anyiostream.pump import (
    CONTROL_FLOW,
    ENDED,
    NEEDS_AWAIT,
    NEEDS_PART,
    NEEDS_ROOM,
    READY,
    SPENT,
    Pump,
    Step,
)
from anyiostream.source import Source
from anyiostream.statistics import RunStatistics
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["AsyncRun", "AsyncSource"]

T = TypeVar("T")

logger = logging.getLogger("anyiostream")


class AsyncSource(Source, Protocol):
    """A source that a run on the async lane pulls from without waiting, and closes."""

    @property
    def spawns(self) -> bool:
        """Whether the graph runs in a task of the run's own."""
        ...

    def demand(self) -> None:
        """A reader waits and the source has nothing: get something, and call `on_part` then."""

    def start(self, run: AsyncRun, on_part: Callable[[], None]) -> None:
        """The run has been opened. Starts whatever task the source needs with `run.host`."""

    def stop(self) -> None:
        """Ask the graph to stop. Does not wait. Idempotent."""

    def stop_again(self) -> None:
        """It has not stopped in time: cancel it once more."""

    async def close(self) -> None:
        """Wait until the graph has stopped. Called once `stop` has been."""

    @property
    def read_ahead(self) -> int:
        """Parts that are there already."""
        ...


@final
class AsyncRun:
    """One run on the async lane: the mux's port, and what cursors and streams use to advance the pump.

    Attributes:
        budget: How many more items or steps readers may take before one of them checkpoints.
        loop: The event loop.
        closed: Whether the block has been left.
        context: Where hooks run.
        conducting: Whether readers must not step the pump: the conductor is at work, or the run is shutting down, and
            the end of its source would look like the graph's.
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
        self.loop: Final = loop
        self.maxlen = maxlen
        self.checkpoint_every = checkpoint_every
        self.budget = checkpoint_every
        # What only some runs need is made when it is needed: most of the cost of a short run is that of its objects.
        self._application_outbox: Outbox | None = None
        self._source_context: Context | None = None
        self._stalls: StallWatch | None = None
        self._conductor: Conductor | None = None
        self._shutdown: Shutdown | None = None
        outbox = Outbox("an event", self, bounded=False, emptied=self._room_again)
        self.context = copy_context()
        self._enter = self.context.run
        self._enter(current_outbox.set, outbox)
        self._make_handle = make_handle
        self._parked: OrderedDict[Waiter, Awaited] = OrderedDict()
        self._suspects: dict[Waiter, FullBuffer] = {}
        self._nudged: Waiter | None = None
        self._pausing: dict[object, Awaited] = {}
        self._held: object = None
        self.conducting = False
        self._tasks: dict[LoopTask, None] = {}
        self.closed = False
        self.stamp = count(1).__next__
        mux = Mux(self, factories=factories, transformers=transformers, scope=scope)
        self.source: Final = open_source(mux)
        self.pump: Final = Pump(mux, self.source, outbox, self.source.stop)
        self._advance = self.pump.advance

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

    @property
    def conductor(self) -> Conductor:
        """Awaits what must be awaited."""
        if self._conductor is None:
            self._conductor = Conductor(self)
        return self._conductor

    @property
    def stalls(self) -> StallWatch:
        """Looks for deadlocks."""
        if self._stalls is None:
            self._stalls = StallWatch(self.loop, self._parked, self._suspects, self._full_buffers)
        return self._stalls

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

    def hold(self, channel: StreamChannel[Any]) -> None:
        """Step no further before the reader that is parked on `channel` has run."""
        for waiter, target in (*self._parked.items(), *self._pausing.items()):
            # Also one that has been woken to move the run, and has not run yet.
            if target in channel.buffers:
                self._held = waiter
                self.pump.hold()

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

    async def wait(self, target: Awaited) -> None:
        """Wait without demanding anything."""
        while not target.ready:
            waiter = self.loop.waiter()
            target.park(waiter)
            try:
                await waiter.wait()
            finally:
                target.unpark(waiter)

    async def with_grace(self, what: str, awaitable: Awaitable[object]) -> None:
        """Await a hook for the grace period."""
        with self.loop.shield(GRACE) as scope:
            await awaitable
        if scope.cancelled_caught:
            logger.warning("%s did not end within %g s and has been cancelled", what, GRACE)

    # --- waiting ---

    def advance(self, target: Awaited) -> Step | None:
        """Step the run, inline, until `target`, which is not ready, is: what keeps it from that, for `wait_for`."""
        budget = self.budget
        if budget <= 0:
            return SPENT
        if self.conducting:
            return NEEDS_AWAIT
        pump = self.pump
        before = pump.parts
        enter = self._enter
        try:
            step = enter(self._advance, target, budget)
        except BaseException:
            # Control flow goes on in whoever meets it; what has to be awaited at the end is for the others, who wait.
            if pump.job is not None:
                self.conductor.conduct()
            self.pass_on()
            raise
        self.budget = budget - pump.parts + before
        if step is READY:
            if self._parked:
                self.pass_on()
            return None
        if step is NEEDS_PART:
            self.source.demand()
        elif step is NEEDS_AWAIT:
            self.conductor.conduct()
        elif step is NEEDS_ROOM:
            self.check_stall()
        # What it did may have been all that was missing.
        return None if target.ready or step is ENDED else step

    async def until(self, target: Awaited) -> None:
        """Advance the run until `target` is ready. Suspends only if it has to.

        Raises:
            As `wait_for`.
        """
        if target.ready:
            return
        self.refuse_inside(target.name)
        step = self.advance(target)
        if step is not None:
            await self.wait_for(target, step)

    async def wait_for(  # noqa: C901, PLR0912 -- the hot path of readers that wait for each item
        self, target: Awaited, step: Step | None
    ) -> object:
        """Wait until `target` is ready, after `advance` has said why it is not.

        If cancelled, nothing is lost: whatever arrived stays where it is.

        Returns:
            The calling task: who asks for it takes 0.1 us.

        Raises:
            RunWaitsForItself: The caller is a hook, a scheduled coroutine, or the graph of this run.
            BackpressureDeadlock: The run is stalled by a full channel whose reader is the calling task.
        """
        if current_outbox.get(None) is not None:
            self.refuse_inside(target.name)
        loop, parked, suspects = self.loop, self._parked, self._suspects
        task = loop.current_task()
        while step is not None:
            in_charge = True
            try:
                if step is SPENT:
                    await self._pause(target)
                else:
                    waiter = loop.waiter(task)
                    target.park(waiter)
                    parked[waiter] = target
                    if self.conducting and self.pump.mux.nursery.draining:
                        self.check_stall()
                    try:
                        await waiter.wait()
                    except BaseException:
                        suspects.pop(waiter, None)
                        raise
                    finally:
                        target.unpark(waiter)
                        del parked[waiter]
                        if self._nudged is waiter:
                            self._nudged = None
                        elif self._held is not waiter:
                            in_charge = False
                        if self._held is waiter:
                            self._release()
                    # Waiting does not renew the budget: AnyIO on asyncio cancels only tasks whose future is pending at
                    # the moment when it looks, and a reader and its source that wake each other every turn never show
                    # it one.
                    self.budget -= 1
                    if suspects and waiter in suspects:
                        self.stalls.question(waiter, target)
            except BaseException:
                # Whoever moved the run leaves it to those who still wait.
                self.pass_on()
                raise
            if target.ready:
                # Who was only told of an item has not been asked to move the run.
                if in_charge:
                    self.pass_on()
                break
            step = self.advance(target)
        return task

    def refuse_inside(self, what: str) -> None:
        """Raise `RunWaitsForItself` if the caller is a hook, scheduled work, or the graph, of this run."""
        outbox = current_outbox.get(None)
        if outbox is not None and outbox.home is self:
            raise RunWaitsForItself(outbox.owner, what)

    def is_inside(self) -> bool:
        """Whether the caller is a hook, scheduled work, or the graph, of this run."""
        outbox = current_outbox.get(None)
        return outbox is not None and outbox.home is self

    async def room(self) -> None:
        """Wait until no item of the last event waits for its reader."""
        outbox = self.pump.outbox
        while outbox.pending:
            latch = Latch("room")
            outbox.emptied = latch.open
            try:
                await self.wait(latch)
            finally:
                outbox.emptied = self._room_again

    async def checkpoint(self) -> None:
        """Let others run."""
        self.budget = self.checkpoint_every
        await self.loop.checkpoint()

    async def _pause(self, target: Awaited) -> None:
        """Checkpoint on the way to `target`."""
        pause = object()
        self._pausing[pause] = target
        try:
            await self.checkpoint()
        finally:
            del self._pausing[pause]
            if self._held is pause:
                self._release()

    def _release(self) -> None:
        self._held = None
        self.pump.release()

    def _part_arrived(self) -> None:
        # As pass_on, with what is known here: 4 to 6 % off a part that a reader waits for.
        if self._parked and self._nudged is None and not self.conducting and not self.pump.blocked:
            for waiter in self._parked:
                if not waiter.woken:
                    waiter.wake()
                    self._nudged = waiter
                    return

    def graph_stops(self) -> None:
        """The graph stops behind the part that it has just put: dispatch it here, for whoever has waited longest.

        Most parts at the end of a superstep are for nobody. To wake a reader for each, so that it asks for the next,
        takes two turns of the loop: without them, a LangGraph graph of short supersteps takes a third of the turns.
        """
        if not self.pump.parts:
            # What begins in the same turn as the first reader has subscribed by the time when that has run.
            self._part_arrived()
            return
        waiter = None if self._nudged is not None or self.conducting else self._longest_parked()
        if waiter is None:
            return
        try:
            step = self._dispatch_for(waiter)
        except CONTROL_FLOW as exc:
            # It ends the run, and reaches its readers; the graph must not take it for an error of its own.
            if self.pump.job is not None:
                self.conductor.conduct()
            elif self.pump.status == "running" and self.pump.interjected is None:
                self.pump.interject(exc)
            self.pass_on()
        else:
            self._leave_to(waiter, step)

    def _dispatch_for(self, waiter: Waiter) -> Step:
        pump, budget = self.pump, self.budget
        if budget <= 0:
            return SPENT
        before = pump.parts
        step: Step = self._enter(self._advance, self._parked[waiter], budget)
        self.budget = budget - pump.parts + before
        return step

    def _leave_to(self, waiter: Waiter, step: Step) -> None:
        """Do what `waiter` would do after `step`, but for what needs turns of the loop in between."""
        if step is READY:
            if len(self._parked) > 1:
                self.pass_on()
        elif step is NEEDS_AWAIT:
            self.conductor.conduct()
        elif step is NEEDS_ROOM:
            self.check_stall()
        elif step is NEEDS_PART and not self.pump.mux.nursery:
            self.source.demand()
        elif step is SPENT or step is NEEDS_PART:
            # Others want to run: all tasks, or scheduled work.
            waiter.wake()
            self._nudged = waiter

    def pass_on(self) -> None:
        """If somebody waits and the pump could move, let one of them move it."""
        if self.conducting or self._nudged is not None or self._held is not None:
            return
        waiter = self._longest_parked()
        if waiter is None:
            return
        if self.pump.can_step:
            # In this order: to an interrupt in between, nobody has been nudged who has not been woken.
            waiter.wake()
            self._nudged = waiter
        elif self.pump.outbox.pending:
            self.check_stall()
        else:
            self.source.demand()

    def demanded(self) -> Awaited | None:
        """What the reader waits for that has waited longest, and has not been woken."""
        waiter = self._longest_parked()
        return None if waiter is None else self._parked[waiter]

    def _longest_parked(self) -> Waiter | None:
        for waiter in self._parked:
            if not waiter.woken:
                return waiter
        return None

    # --- stalls ---

    def check_stall(self) -> None:
        """Look in a later turn whether the run is still stalled, and whose fault it is."""
        self.stalls.check()

    def _room_again(self) -> None:
        if self._stalls is not None:
            self._stalls.room_again()
        self.pass_on()

    def _full_buffers(self) -> list[FullBuffer]:
        full = [*self.pump.outbox.full, *self.pump.mux.nursery.stalled_by()]
        return [buffer for buffer in full if buffer.waiting]

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
