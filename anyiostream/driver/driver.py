"""`Driver`: steps a run on the async lane, and parks the readers that wait for it.

Rules:

- `turn.py` decides who has the pump; everything that follows from it is done here.
- A reader that needs something steps the pump itself, inline, as long as no hook has to be awaited; steps do not
  suspend, so that a reader's cancellation never tears an event. While it waits it is parked.
- A parked reader is woken when its buffer got something, or, one at a time, to step the pump. It takes nothing by being
  woken: it looks again. If it is cancelled instead, or is satisfied while others still wait, it passes the pump on.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sized
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final

from anyiostream.channels.buffer import Buffer
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Awaited, Callback
from anyiostream.channels.producer import FullBuffer, Producer, current_producer
from anyiostream.driver.deadlocks import Deadlocks
from anyiostream.driver.hook_task import HookTask
from anyiostream.driver.hosting import AsyncSource
from anyiostream.driver.turn import AWAIT, CLOSED, FREE, RELEASE, RESERVE, WAIT, WOKEN, Event, Turn
from anyiostream.errors import RunWaitsForItself
from anyiostream.loops.interface import Loop, LoopTask, Waiter
from anyiostream.outcome import Outcome
from anyiostream.pump import Pump
from anyiostream.step import CONTROL_FLOW, ENDED, NEEDS_AWAIT, NEEDS_PART, NEEDS_ROOM, READY, SPENT, Step

__all__ = ["Driver"]


class Driver:
    """Steps the pump of one run for its readers, and parks them. A base of the run: the mux needs both as its port.

    Attributes:
        checkpoint_every: How many items or parts readers take before one of them checkpoints.
        pause_at: The value of `pump.parts` at which that is next. Each item taken from a buffer, and each wait, lowers
            it by one; each part dispatched comes one closer. So a step need not count what it has dispatched, which
            would be 9 opcodes more per part. It may fall below `pump.parts`.
        loop: The event loop.
        context: Where hooks run.
        pump: The pump.
        source: Where its parts come from.
        next_at_once: Not empty while the next part need not be waited for. Saves lock-step 12 opcodes a part, of 897.
        turn: Who has the pump, and which readers wait for it.
    """

    def __init__(
        self, loop: Loop, checkpoint_every: int, make_pump: Callable[[Producer], tuple[Pump, AsyncSource]]
    ) -> None:
        """Create the pump, all of whose events push as one producer; its mux may already use `loop` and `context`."""
        self.loop: Final = loop
        self.checkpoint_every: Final = checkpoint_every
        self.pause_at = checkpoint_every
        self.context: Final[Context] = copy_context()
        self._enter = self.context.run
        self._enter(current_producer.set, producer := Producer("a hook", self, bounded=False, emptied=self._room_again))
        self.turn: Final = Turn()
        self._waiting: Final = self.turn.waiting
        # Whatever only some runs need is created on demand: most of a short run's cost is that of creating objects.
        self._deadlocks: Deadlocks | None = None
        self._hooks: HookTask | None = None
        self._tasks: dict[LoopTask, None] = {}
        self.pump, self.source = make_pump(producer)
        self._advance = self.pump.advance
        self.take_for: Callable[[Buffer[Any]], Any] = self.pump.take_for
        self.next_at_once: Sized = self.pump.at_hand
        if self.source.never_waits:
            self.next_at_once = (self.source,)
            # It pulls, and so runs the graph, inside the run's context; what is at hand runs nothing.
            self.take_for = partial(self._enter, self.take_for)  # type: ignore[call-arg]  # it will have them, as below
        self._step: Callable[[Awaited, int], Step] = partial(self._enter, self._advance)  # type: ignore[call-arg]

    # --- tasks ---

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> LoopTask:
        """Start a task of the run."""
        task = self.loop.spawn(run, name, context)
        self._tasks[task] = None
        task.finished.park(Callback(lambda: self._tasks.pop(task, None)))
        return task

    @property
    def hook_task(self) -> LoopTask | None:
        """The task that awaits hooks, if there has been one to await."""
        return None if self._hooks is None else self._hooks.task

    def _await_job(self) -> None:
        if self.turn.decide(Event.JOB) is AWAIT:
            if self._hooks is None:
                self._hooks = HookTask(
                    self.pump,
                    self.loop,
                    lambda main: self.spawn(main, "anyiostream hooks", self.context),
                    self._serve,
                    self._jobs_done,
                )
            self._hooks.await_job()

    def _jobs_done(self) -> None:
        self.turn.decide(Event.JOBS_DONE)
        self.pass_on()

    async def _serve(self) -> None:
        """Keep stepping, in the hook task, while a reader waits."""
        pump, turn = self.pump, self.turn
        while pump.job is None and (waiter := turn.next_reader()) is not None:
            if self.pause_at <= pump.parts:
                await self.checkpoint()
                continue
            if turn.state[0] is CLOSED:
                return
            try:
                # In the run's context, as this task is.
                step = self._advance(self._waiting[waiter], self.pause_at)
            except CONTROL_FLOW:
                # It has ended the run, and reaches its readers; it must not kill a task that belongs to the run.
                continue
            self._follow(step)
            if step is not READY and step is not SPENT:
                return

    # --- the end ---

    def stop_stepping(self) -> None:
        """The run is shutting down: nobody steps its pump any more."""
        self.turn.decide(Event.CLOSE)
        if self._hooks is not None:
            self._hooks.stop()

    async def close_source(self) -> None:
        """Stop the source, and wait until it has ended. What closing it raises is raised where the block is left."""
        self.source.stop()
        try:
            await self.source.close()
        except BaseException as exc:  # noqa: BLE001 -- see above
            self.pump.keep(exc)

    def close_deadlocks(self) -> None:
        """The run has ended."""
        if self._deadlocks is not None:
            self._deadlocks.close()

    def deliver(self, outcome: Outcome) -> BaseException:
        """The exception for a reader."""
        return self.pump.deliver(outcome)

    # --- readers ---

    def advance(self, target: Awaited) -> Step | None:
        """Step the run, inline, until `target` is ready, which it is not yet; `None`, or else why, for `wait_for`."""
        pump, pause_at = self.pump, self.pause_at
        if pump.parts >= pause_at:
            return SPENT
        turn = self.turn
        if turn.state is not FREE and turn.state[0] is not WOKEN and turn.decide(Event.STEP) is WAIT:
            return Step.OTHERS_FIRST  # WOKEN is seen here and FREE in pass_on, without the call: 3 % off a part
        # Repeats `_follow`: calling it instead costs a lock-step reader up to 9 % per part.
        try:
            step = self._step(target, pause_at)
        except BaseException:
            # Control flow propagates in the reader that meets it; what must be awaited at the end is left to others.
            if pump.job is not None:
                self._await_job()
            self.pass_on()
            raise
        if step is READY:
            if self._waiting:
                self.pass_on()
            return None
        if step is NEEDS_PART:
            self.source.demand()
        else:
            self._follow(step)
        # Following the step may have made the target ready.
        return None if target.ready or step is ENDED else step

    def _follow(self, step: Step) -> None:
        """Do what a step asks for."""
        if step is NEEDS_PART:
            self.source.demand()
        elif step is READY:
            if len(self._waiting) > 1:  # others wait, besides the reader that it has just been stepped for
                self.pass_on()
        elif step is NEEDS_AWAIT:
            self._await_job()
        elif step is NEEDS_ROOM:
            self.check_stall()

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
            The calling task, so that callers need not look it up again (0.1 us).

        Raises:
            RunWaitsForItself: The caller is a hook, a scheduled coroutine, or the graph of this run.
            BackpressureDeadlock: The run is stalled by a full channel whose reader is the calling task.
        """
        if current_producer.get(None) is not None:
            self.refuse_inside(target.name)
        loop, turn, waiting = self.loop, self.turn, self._waiting
        task = loop.current_task()
        while step is not None:
            in_charge = True
            try:
                if step is SPENT:
                    await self._let_others_run(target)
                else:
                    waiter = loop.waiter(task)
                    target.park(waiter)
                    waiting[waiter] = target
                    if turn.state is not FREE and self.pump.mux.is_draining:
                        self.check_stall()
                    try:
                        await waiter.wait()
                    except BaseException:
                        if self._deadlocks is not None:
                            self._deadlocks.suspects.pop(waiter, None)
                        raise
                    finally:
                        target.unpark(waiter)
                        del waiting[waiter]
                        if turn.state[1] is not waiter:
                            in_charge = False
                        elif turn.state[0] is WOKEN:
                            # As decide(RAN); this call and the one in _wake would cost 10 % per part that is waited
                            # for.
                            turn.state = FREE
                        else:
                            self._ran()
                    # Waiting does not put the next checkpoint off: AnyIO on asyncio cancels only tasks whose future is
                    # pending when it looks; a reader and a source that wake each other in every iteration never show it
                    # one.
                    self.pause_at -= 1
                    if self._deadlocks is not None and waiter in self._deadlocks.suspects:
                        self._deadlocks.question(waiter, target)
            except BaseException:
                # A reader that had the pump hands it to those that still wait.
                self.pass_on()
                raise
            if target.ready:
                # A reader that was only woken for an item has not been asked to step the pump.
                if in_charge:
                    self.pass_on()
                break
            step = self.advance(target)
        return task

    def refuse_inside(self, what: str) -> None:
        """Raise `RunWaitsForItself` if the caller is a hook, scheduled work, or the graph, of this run."""
        producer = current_producer.get(None)
        if producer is not None and producer.home is self:
            raise RunWaitsForItself(producer.name, what)

    def is_inside(self) -> bool:
        """Whether the caller is a hook, scheduled work, or the graph, of this run."""
        producer = current_producer.get(None)
        return producer is not None and producer.home is self

    async def checkpoint(self) -> None:
        """Let other tasks run."""
        self.pause_at = self.pump.parts + self.checkpoint_every
        await self.loop.checkpoint()

    async def _let_others_run(self, target: Awaited) -> None:
        """Checkpoint on the way to `target`."""
        token = object()
        self.turn.yielding[token] = target
        try:
            await self.checkpoint()
        finally:
            del self.turn.yielding[token]
            if self.turn.state[1] is token:
                self._ran()

    def _ran(self) -> None:
        """The reader that the turn names has run."""
        if self.turn.decide(Event.RAN) is RELEASE:
            self.pump.release()

    # --- who steps the pump next ---

    def part_arrived(self) -> None:
        """There is something to pull, after there was nothing."""
        # As pass_on, with what is known here: 4 to 6 % off a part that a reader in lock-step waits for.
        if self._waiting and self.turn.state is FREE and not self.pump.blocked:
            waiter = self.turn.next_reader()
            if waiter is not None:
                self._wake(waiter)

    def graph_stops(self) -> None:
        """The graph pauses after the part that it has just put: dispatch it here, for the reader that waits longest."""
        parts, pause_at = self.pump.parts, self.pause_at
        if not parts:
            # Readers that start in the same iteration of the loop as the first one have subscribed once that has run.
            self.part_arrived()
            return
        turn = self.turn
        if turn.state is not FREE and turn.decide(Event.STOPS) is WAIT:
            return
        waiter = turn.next_reader()
        if waiter is None:
            return
        try:
            step = SPENT if parts >= pause_at else self._step(self._waiting[waiter], pause_at)
        except CONTROL_FLOW as exc:
            # It ends the run, and reaches its readers; the graph must not see it as its own error.
            if self.pump.job is not None:
                self._await_job()
            elif self.pump.status == "running" and self.pump.interjected is None:
                self.pump.interject(exc)
            self.pass_on()
            return
        if step is READY and len(self._waiting) == 1:
            return  # as _follow; with its call, and that of a reader that needs a part, lock-step costs 4 % more
        if step is SPENT or (step is NEEDS_PART and self.pump.mux.has_scheduled):
            # Before the graph goes on, others want to run: all tasks, or scheduled work.
            if turn.state is FREE:
                self._wake(waiter)
        else:
            self._follow(step)

    def pass_on(self) -> None:
        """If readers wait and the pump can step, let one of them step it."""
        if self.turn.state is FREE and (waiter := self.turn.next_reader()) is not None:  # as decide(LEFT); see advance
            lacks = self.pump.lacks
            if lacks is None:
                self._wake(waiter)
            elif lacks is NEEDS_PART:
                self.source.demand()
            else:
                self.check_stall()

    def _wake(self, waiter: Waiter) -> None:
        """Wake a reader, to step the pump that nobody has."""
        # In this order, so that an interrupt in between never leaves the pump with a reader that was not woken.
        waiter.wake()
        self.turn.state = (WOKEN, waiter)  # as decide(WOKE), inline; see wait_for

    async def wait(self, target: Awaited) -> None:
        """Wait without demanding anything."""
        while not target.ready:
            waiter = self.loop.waiter()
            target.park(waiter)
            try:
                await waiter.wait()
            finally:
                target.unpark(waiter)

    def hold(self, channel: StreamChannel[Any]) -> None:
        """Step no further before the reader that is parked on `channel` has run."""
        turn = self.turn
        for reader, target in (*turn.waiting.items(), *turn.yielding.items()):
            # Also one that has been woken to step the pump, and has not run yet.
            if target in channel.buffers and turn.decide(Event.RESERVED, reader) is RESERVE:
                self.pump.reserve()

    # --- stalls ---

    @property
    def deadlocks(self) -> Deadlocks:
        """Looks for deadlocks."""
        if self._deadlocks is None:
            self._deadlocks = Deadlocks(self.loop, self._waiting, self._full_buffers)
        return self._deadlocks

    def check_stall(self) -> None:
        """Check in a later iteration of the event loop whether the run is still stalled, and by which reader."""
        self.deadlocks.check()

    def _room_again(self) -> None:
        if self._deadlocks is not None:
            self._deadlocks.room_again()
        self.pass_on()

    def _full_buffers(self) -> list[FullBuffer]:
        full = [*self.pump.producer.full, *self.pump.mux.stalled_by()]
        return [buffer for buffer in full if buffer.waiting]
