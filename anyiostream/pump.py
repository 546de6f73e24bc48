"""`Pump`: the run as a state machine, advanced one part at a time.

Rules:

- To advance is to pull and dispatch, part after part, until what the caller wants is there. It never waits. Instead it
  reports what it needs: room in a channel, a part from the source, or a task that can await (`Step`).
- No part is pulled while items of the last event wait for room.
- The run ends once; `ends.py` says how. Its terminal state is published last, after every hook, when the channels have
  ended: earlier readers wait.
- Only one caller at a time advances the pump; the lanes ensure that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, final

import attrs

from anyiostream.channels.buffer import EMPTY, Buffer
from anyiostream.channels.latch import Latch
from anyiostream.channels.producer import Producer
from anyiostream.ends import ENDS, Effect, End, Phase, RunStatus
from anyiostream.errors import RunDrained
from anyiostream.events import Namespace
from anyiostream.failed_subgraphs import FailedSubgraphs
from anyiostream.foreign import inside_node, interrupts_of, is_langgraph_interrupt
from anyiostream.inline import run_inline
from anyiostream.mux.mux import Mux
from anyiostream.mux.run_state import RunState
from anyiostream.mux.stages import Dispatcher
from anyiostream.outcome import COMPLETED, INTERRUPTED, Outcome
from anyiostream.source import END, NOTHING, Source, readable
from anyiostream.step import CONTROL_FLOW, ENDED, NEEDS_AWAIT, NEEDS_PART, NEEDS_ROOM, READY, SPENT, Step, Wanted

__all__ = ["Pump"]


@final
@attrs.define(eq=False)
class Pump:
    """One run.

    Attributes:
        mux: The root's mux.
        source: Where its parts come from.
        producer: The event being dispatched, as a producer: it counts its items that wait for room.
        terminal: Open once the run has ended.
        status: How the run stands.
        failure, delivered: The error that ended it, if one did, and whether a reader has received it.
        ended: Called once the run has ended.
        job: What has to be awaited before the next step, or `None`.
        parts: Parts dispatched so far.
        errors: Errors that no reader can receive: of hooks and of closing the source, after the run had its outcome.
        failed_subgraphs: If the run fails with the same error as one of them, that is its cause.
        interjected: The error with which the next step fails the run.
        at_hand, never_waits: As the source has them.
    """

    mux: Mux
    source: Source
    producer: Producer
    ended: Callable[[], object]
    terminal: Latch = attrs.field(init=False)
    status: RunStatus = "running"
    failure: Outcome | None = None
    job: Coroutine[Any, Any, None] | None = None
    parts: int = 0
    errors: tuple[BaseException, ...] = ()
    delivered: bool = False
    failed_subgraphs: FailedSubgraphs = attrs.field(factory=FailedSubgraphs)
    interjected: BaseException | None = None
    at_hand: deque[Any] = attrs.field(init=False)
    never_waits: bool = attrs.field(init=False)
    _pull: Callable[[], Any] = attrs.field(init=False)
    _run: RunState = attrs.field(init=False)
    _dispatchers: Mapping[Namespace, Mapping[str, Dispatcher]] = attrs.field(init=False)
    _special: bool = False
    _reserved: bool = False
    _requests: deque[Callable[[], Coroutine[Any, Any, None]]] | None = None
    _outcome: Outcome | None = None
    _raised: BaseException | None = None  # by the source, for the next step

    def __attrs_post_init__(self) -> None:
        """Look up once what each step calls."""
        self.terminal = Latch("output()")
        self.at_hand = self.source.at_hand
        self.never_waits = self.source.never_waits
        self._pull = self.source.pull
        self._dispatchers = self.mux.dispatch.tree.dispatchers
        self._run = self.mux.dispatch.run_state

    def advance(  # noqa: C901, PLR0911, PLR0912 -- the hot path: a call costs as much as most of what is done here
        self, target: Wanted, until: int = 0
    ) -> Step:
        """Pull and dispatch until `target` is ready, or the run has ended.

        Args:
            target: What the caller wants; it is not ready yet.
            until: Stop once `parts` is this, which is more than it is now; 0 for no limit.

        Raises:
            KeyboardInterrupt, SystemExit: The graph or a hook raised it, and the run has ended with it.
        """
        at_hand, dispatchers = self.at_hand, self._dispatchers
        try:
            while True:
                if (self._special or self.producer.pending) and not (at_hand and self._owes_part):
                    step = self._special_step()
                    if step is not READY or target.ready:
                        return self._finished(step, target)
                    continue
                if at_hand:
                    part = at_hand.popleft()
                else:
                    try:
                        pull = self._pull  # a call through `self` takes longer, as in `Queue.put`
                        part = pull()
                    except BaseException as exc:  # noqa: BLE001 -- the run ends with it
                        return self._finished(self._fail(exc, self._outcome_by_source(exc)), target)
                    if part is NOTHING:
                        return NEEDS_PART
                    if part is END:
                        return self._finished(self.finish(COMPLETED), target)
                self.parts += 1
                try:
                    try:
                        dispatch = dispatchers[part["ns"]][part["type"]]
                        data = part["data"]
                    except (KeyError, TypeError, IndexError, AttributeError):
                        dispatch, data = self.mux.dispatch.dispatcher_of(part)
                    waiting = dispatch(part, data)
                except BaseException as exc:  # noqa: BLE001 -- likewise
                    return self._finished(self._fail(exc, Outcome.by(exc)), target)
                if waiting is not None:
                    self.job = waiting
                    return NEEDS_AWAIT
                if self._outcome is not None:
                    return self._finished(self.finish(self._outcome), target)
                if target.ready:
                    return READY
                if self.parts == until:
                    return SPENT
        except CONTROL_FLOW as exc:
            # An interrupt may come between any two lines: a part that was pulled and not dispatched must not go missing
            # in a run that succeeds.
            if self._outcome is None:
                self.interject(exc)
            raise

    def take_for(self, buffer: Buffer[Any]) -> Any:
        """What the reader of `buffer` takes of the next part, if dispatching it would put that there and do no more.

        `EMPTY` if it would do more: then `advance`, and take the item, which comes to the same. The caller has seen
        that `buffer` is empty, that nobody has the pump, that no reader is parked, and that no checkpoint is due. This
        sees to the rest: nothing special is to be done, nothing waits for room, a part is at hand or can be pulled, and
        its dispatcher is the buffer's feeder. In a burst of a LangGraph graph `advance` took 104 opcodes of 307 more.
        """
        at_hand = self.at_hand
        if self._special or self.producer.pending:
            return EMPTY
        if not at_hand:
            if not self.never_waits:
                return EMPTY
            pull = self._pull
            try:
                part = pull()
                if part is END:
                    self._outcome, self._special = COMPLETED, True
                    return EMPTY
                at_hand.append(part)
            except BaseException as exc:  # noqa: BLE001 -- the run ends with it
                self._raised, self._special = exc, True
                return EMPTY
        part = at_hand[0]
        try:
            dispatch, state, make = self._dispatchers[part["ns"]][part["type"]], buffer.state, buffer.make
            if dispatch is not buffer.feeder or (state is not None and part.get("interrupts")):
                return EMPTY
            item = part["data"] if make is None else make(part, self._run.seq + 1)
        except Exception:  # noqa: BLE001 -- `advance` meets it again, and fails the run with it
            return EMPTY
        try:
            at_hand.popleft()
            if state is not None:
                state.latest = item
            self.parts += 1
            self._run.seq += 1
            return item  # noqa: TRY300 -- an interrupt here would lose it, too
        except CONTROL_FLOW as exc:
            self.interject(exc)  # as in `advance`
            raise

    def reserve(self) -> None:
        """Dispatch nothing more before `release`."""
        self._reserved = self._special = True

    def release(self) -> None:
        """Go on after `reserve`."""
        self._reserved = False
        self._special = self._is_special()

    @property
    def lacks(self) -> Step | None:
        """What a step would report at once, `NEEDS_ROOM` or `NEEDS_PART`; `None` if there is something to do."""
        if self._special:
            return None
        if self.producer.pending:
            return NEEDS_ROOM
        return None if self.source.has_part else NEEDS_PART

    @property
    def blocked(self) -> bool:
        """Whether not even a part would let it step."""
        return not self._special and bool(self.producer.pending)

    def interject(self, error: BaseException) -> None:
        """Fail the run with `error` at the next step. The first error counts; further ones are kept for the exit."""
        if self.interjected is None and self.status == "running":
            self.interjected, self._special = error, True
        elif error is not self.interjected:
            self.keep(error)

    def keep(self, *errors: BaseException) -> None:
        """Keep errors that no reader can receive, to be raised where the block is left."""
        self.errors = (*self.errors, *errors)

    @property
    def phase(self) -> Phase:
        """How far the run has come."""
        if self.terminal.ready:
            return Phase.ENDED
        if self._outcome is not None:
            return Phase.ENDING
        return Phase.RUNNING if self.job is None else Phase.AWAITING

    def finish(self, outcome: Outcome) -> Step:
        """End the run; if hooks or scheduled work must be waited for, by way of `job`."""
        self._outcome = outcome
        self._special = True
        if outcome is COMPLETED and self.mux.ends_silently:
            self.mux.end_silently(outcome)  # without the coroutine, an empty run takes 4 % less
            self._publish(outcome)
            return ENDED
        if self.mux.must_wait:
            self.job = self._finish(outcome)
            return NEEDS_AWAIT
        run_inline(self._finish(outcome), "a hook at the run's end")
        control_flow = next((error for error in self.errors if isinstance(error, CONTROL_FLOW)), None)
        if control_flow is None:
            return ENDED
        self.errors = tuple(each for each in self.errors if each is not control_flow)
        raise control_flow

    def request_drain(self, reason: str) -> None:
        """Ask the source to stop at the end of its step, in any thread. Raises `CannotDrain` if it has none."""
        if not self.terminal.ready:
            self.source.request_drain(reason)

    def abort_after_event(self) -> None:
        """Abort the run when the event that is being dispatched has been."""
        if ENDS[End.ABORT_INSIDE][1][self.phase] is Effect.NEXT:
            self._outcome, self._special = self._abortion(), True

    def job_failed(self, error: BaseException) -> Step:
        """`job` raised: end the run with that error."""
        self.job = None
        return self.finish(Outcome.by(error))

    def job_done(self) -> None:
        """`job` has been awaited."""
        self.job = None

    async def end(self, outcome: Outcome) -> None:
        """End the run without a step, for callers that may wait."""
        self._special = True
        await self._finish(outcome)

    async def abort(self) -> None:
        """End the run now, whatever it is doing. Idempotent."""
        job, self.job = self.job, None
        if job is not None:
            job.close()
        if ENDS[End.ABORT][1][self.phase] is not Effect.NONE:
            self._outcome = self._abortion() if self.interjected is None else Outcome.by(self.interjected)
            await self.end(self._outcome)

    def undelivered(self) -> list[BaseException]:
        """The errors that no reader has received, the failure first. Asking for them is receiving them."""
        kept, self.errors = self.errors, ()
        if self.failure is None or self.status != "failed" or self.delivered:
            return [*kept]
        self.delivered = True
        return [self.failure.fresh(), *kept]

    def result(self) -> Any:
        """The final state, once the run has ended.

        Raises:
            RunAborted: It was aborted.
            RunDrained: It was drained.
            BaseException: The error that ended it.
        """
        if self.failure is not None:
            self.delivered = True
            raise self.failure.fresh()
        return self.mux.state.latest

    def deliver(self, outcome: Outcome) -> BaseException:
        """The exception for a reader whose stream ended with `outcome`."""
        if self.failure is not None and outcome.error is self.failure.error:
            self.delivered = True
        return outcome.fresh()

    def request(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `job` as the next step, between two parts."""
        if self._requests is None:
            self._requests = deque()
        self._requests.append(job)
        self._special = True

    def _is_special(self) -> bool:
        ends = self.terminal.ready or self._outcome or self.interjected or self._raised
        return bool(ends or self._reserved or self._requests)

    @property
    def _owes_part(self) -> bool:  # `take_for` has pulled it, and while it did the graph has asked for what comes after
        return self.never_waits and self.job is None and self.status == "running"

    def _special_step(self) -> Step:
        """Do what must come before the next part; `READY` once that is done."""
        if self._reserved:
            return Step.OTHERS_FIRST
        if self._requests:
            return self._run_request(self._requests.popleft()())
        if self.terminal.ready:
            return ENDED
        if self._raised is not None:
            raised, self._raised = self._raised, None
            return self._fail(raised, self._outcome_by_source(raised))
        if self._outcome is not None:
            return self.finish(self._outcome)
        if self.interjected is not None:
            return self.finish(Outcome.by(self.interjected))
        return NEEDS_ROOM

    def _fail(self, error: BaseException, outcome: Outcome) -> Step:
        step = self.finish(outcome)
        if isinstance(error, CONTROL_FLOW):
            raise error
        return step

    def _finished(self, step: Step, target: Wanted) -> Step:
        return READY if step is ENDED and target.ready else step

    def _run_request(self, job: Coroutine[Any, Any, None]) -> Step:
        self._special = self._is_special()
        if self.mux.must_wait:
            self.job = job
            return NEEDS_AWAIT
        run_inline(job, "a transformer's fail()")
        return READY

    async def _finish(self, outcome: Outcome) -> None:
        outcome, errors = await self.mux.end(outcome)
        if not self.terminal.ready:
            self.keep(*errors)
            if self.interjected is not None and self.interjected is not outcome.error:
                # It came too late to be the error that the run ends with.
                self.keep(self.interjected)
            self._publish(outcome)

    def _publish(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.failure = outcome
            self.failed_subgraphs.explain(outcome.error)
        if outcome.quiet:
            self.status = outcome.status
        elif outcome.error is not None:
            self.status = "failed"
        else:
            self.status = "interrupted" if self.mux.state.interrupted else "completed"
        self.mux.refuse_work()
        self.terminal.open()
        self.ended()

    def _outcome_by_source(self, exc: BaseException) -> Outcome:
        interrupts = interrupts_of(exc)
        # Inside a node, LangGraph's own exception is on its way to the graph of that node.
        if interrupts is not None and not (is_langgraph_interrupt(exc) and inside_node()):
            self.mux.state.observe(self.mux.state.latest, interrupts)
            self.mux.state.paused = True
            return INTERRUPTED
        if isinstance(exc, RunDrained):
            return Outcome.drained(exc, partial=self.mux.state.latest)
        return Outcome.by(readable(exc, self.source.name))

    def _abortion(self) -> Outcome:
        return Outcome.aborted(partial=self.mux.state.latest)
