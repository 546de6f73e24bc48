"""Who advances the pump of a run on the async lane, who waits, and who is woken.

Rules:

- A reader that needs something steps the pump itself, inline, as long as no hook has to be awaited; steps do not
  suspend, so that a reader's cancellation never tears an event. While it waits it is parked.
- Behind a part at which the graph stops, the graph's task steps the pump for the reader that has waited longest, so
  that a part that is for nobody costs no turn of the loop.
- What must be awaited is awaited by one task of the run's own, the conductor. While it is at work, readers only wait.
- A parked reader is woken when its buffer got something, or, one at a time, to step the pump (`_nudged`). It takes
  nothing by being woken: it looks again. If it is cancelled instead, or is satisfied while others still wait, it
  passes the pump on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, Final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Awaited, Latch
from anyiostream.channels.outbox import FullBuffer, Outbox, current_outbox
from anyiostream.errors import RunWaitsForItself
from anyiostream.lanes.async_source import AsyncSource
from anyiostream.lanes.conducting import Conductor
from anyiostream.lanes.stalls import StallWatch
from anyiostream.loops.interface import Loop, LoopTask, Waiter
from anyiostream.pump import CONTROL_FLOW, ENDED, NEEDS_AWAIT, NEEDS_PART, NEEDS_ROOM, READY, SPENT, Pump, Step

__all__ = ["PumpDriver"]


class PumpDriver(ABC):
    """The waiting and moving of one run. A base of the run rather than a part of it: readers ask it for each item.

    Attributes:
        budget: How many more items or steps readers may take before one of them checkpoints.
        checkpoint_every: What it is after that.
        loop: The event loop.
        context: Where hooks run.
        pump: The pump.
        source: Where its parts come from.
        conducting: Whether readers must not step the pump: the conductor is at work, or the run is shutting down, and
            the end of its source would look like the graph's.
    """

    pump: Pump
    source: AsyncSource

    def __init__(self, loop: Loop, outbox: Outbox, checkpoint_every: int) -> None:
        """Begin without a pump; `outbox` is that of the events that it dispatches."""
        self.loop: Final = loop
        self.checkpoint_every: Final = checkpoint_every
        self.budget = checkpoint_every
        self.context: Final[Context] = copy_context()
        self._enter = self.context.run
        self._enter(current_outbox.set, outbox)
        self._parked: OrderedDict[Waiter, Awaited] = OrderedDict()
        self._suspects: dict[Waiter, FullBuffer] = {}
        self._nudged: Waiter | None = None
        self._pausing: dict[object, Awaited] = {}
        self._held: object = None
        self._stalls: StallWatch | None = None
        self._conductor: Conductor | None = None
        self.conducting = False

    def drive_pump(self, pump: Pump, source: AsyncSource) -> None:
        """The pump has been made."""
        self.pump = pump
        self.source = source
        self._advance = pump.advance

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

    @abstractmethod
    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> LoopTask:
        """Start a task of the run."""

    # --- readers ---

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
            waiter = self._longest_parked()
            if waiter is not None:
                self._nudge(waiter)

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
            self._nudge(waiter)

    def pass_on(self) -> None:
        """If somebody waits and the pump could move, let one of them move it."""
        if self.conducting or self._nudged is not None or self._held is not None:
            return
        waiter = self._longest_parked()
        if waiter is None:
            return
        if self.pump.can_step:
            self._nudge(waiter)
        elif self.pump.outbox.pending:
            self.check_stall()
        else:
            self.source.demand()

    def demanded(self) -> Awaited | None:
        """What the reader waits for that has waited longest, and has not been woken."""
        waiter = self._longest_parked()
        return None if waiter is None else self._parked[waiter]

    def _nudge(self, waiter: Waiter) -> None:
        """Wake a reader, to move the run."""
        # In this order: to an interrupt in between, nobody has been nudged who has not been woken.
        waiter.wake()
        self._nudged = waiter

    def _longest_parked(self) -> Waiter | None:
        for waiter in self._parked:
            if not waiter.woken:
                return waiter
        return None

    async def wait(self, target: Awaited) -> None:
        """Wait without demanding anything."""
        while not target.ready:
            waiter = self.loop.waiter()
            target.park(waiter)
            try:
                await waiter.wait()
            finally:
                target.unpark(waiter)

    # --- who goes first ---

    def hold(self, channel: StreamChannel[Any]) -> None:
        """Step no further before the reader that is parked on `channel` has run."""
        for waiter, target in (*self._parked.items(), *self._pausing.items()):
            # Also one that has been woken to move the run, and has not run yet.
            if target in channel.buffers:
                self._held = waiter
                self.pump.hold()

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
