"""`Pump`: the run as a state machine, advanced one part at a time.

Rules:

- To advance is to pull and dispatch, part after part, until what the caller wants is there. It never waits. It reports
  what it needs instead: room in a channel, a part of the source, or somebody who can await (`Step`).
- No part is pulled while items of the last event wait for room.
- The run ends once. Its terminal state is published last, after every hook, when the channels have ended: whoever
  asks earlier waits.
- Whoever advances the pump is the only one who does; the lanes see to that.
"""

from __future__ import annotations

import enum
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Literal, Protocol, final

import attrs

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Latch
from anyiostream.channels.outbox import Outbox
from anyiostream.channels.raising import Recorded
from anyiostream.ending import GOOD_ENDING, Ending
from anyiostream.errors import GraphInterrupt, RunAborted, SubgraphFailed
from anyiostream.events import Namespace
from anyiostream.inline import run_inline
from anyiostream.mux.mux import Mux
from anyiostream.mux.taking import Take
from anyiostream.source import END, NOTHING, Source, readable
from anyiostream.statistics import RunStatistics

__all__ = ["CONTROL_FLOW", "Pump", "RunStatus", "Step"]

RunStatus = Literal["running", "completed", "failed", "interrupted", "aborted"]
"""How a run stands. Everything but `running` is final."""


CONTROL_FLOW: Final = (KeyboardInterrupt, SystemExit)
"""Exceptions that go on at once wherever they are met, whoever else learns of them."""


KEPT_FAILURES: Final = 64
"""Failed subgraphs, the latest ones, whose cause is looked for when the run fails."""


class Wanted(Protocol):
    """What the run is advanced for."""

    @property
    def ready(self) -> int:
        """Not 0 once it is there."""
        ...


@final
class Step(enum.Enum):
    """Why advancing stopped."""

    READY = enum.auto()
    """What the caller wants is there."""
    SPENT = enum.auto()
    """As many parts as the caller allowed have been dispatched."""
    HELD = enum.auto()
    """`hold` was called: somebody else goes first."""
    NEEDS_PART = enum.auto()
    """The source has nothing yet."""
    NEEDS_ROOM = enum.auto()
    """Items of the last event wait for a reader."""
    NEEDS_AWAIT = enum.auto()
    """`pump.job` has to be awaited."""
    ENDED = enum.auto()
    """There is nothing to do: the run has ended."""


# Looking a member up in its class costs as much as the other checks on the way of a part together.
READY: Final = Step.READY
SPENT: Final = Step.SPENT
HELD: Final = Step.HELD
NEEDS_PART: Final = Step.NEEDS_PART
NEEDS_ROOM: Final = Step.NEEDS_ROOM
NEEDS_AWAIT: Final = Step.NEEDS_AWAIT
ENDED: Final = Step.ENDED


@final
@attrs.define(eq=False)
class Pump:
    """One run.

    Attributes:
        mux: The root's mux.
        source: Where its parts come from.
        outbox: Items of the last event that wait for room.
        terminal: Open once the run has ended.
        status: How the run stands.
        failure: The error that ended it, if one did.
        ended: Called once the run has ended.
        job: What has to be awaited before the next step, or `None`.
        parts: Parts dispatched so far.
        errors: Errors that no reader can receive: of hooks and of closing the source, after the run had its outcome.
        delivered: Whether a reader has received the failure.
    """

    mux: Mux
    source: Source
    outbox: Outbox
    ended: Callable[[], object]
    terminal: Latch = attrs.field(init=False)
    status: RunStatus = "running"
    failure: Recorded | None = None
    job: Coroutine[Any, Any, None] | None = None
    parts: int = 0
    errors: list[BaseException] = attrs.field(factory=list)
    delivered: bool = False
    _pull: Callable[[], Any] = attrs.field(init=False)
    _takes: Mapping[Namespace, Mapping[str, Take]] = attrs.field(init=False)
    _failed_subgraphs: deque[weakref.ref[SubgraphFailed]] | None = None
    _special: bool = False
    _held: bool = False
    _requests: deque[Callable[[], Coroutine[Any, Any, None]]] | None = None
    _interjected: BaseException | None = None
    _ending: Ending | None = None

    def __attrs_post_init__(self) -> None:
        """Look up once what each step calls."""
        self.terminal = Latch("output()")
        self._pull = self.source.pull
        self._takes = self.mux.router.takes

    def advance(  # noqa: C901, PLR0911, PLR0912 -- the hot path: a call costs as much as most of what is done here
        self, target: Wanted, limit: int = -1
    ) -> Step:
        """Pull and dispatch until `target` is ready, or the run has ended.

        Args:
            target: What the caller wants; it is not ready yet.
            limit: The most parts to dispatch; -1 for no limit.

        Raises:
            KeyboardInterrupt, SystemExit: The graph or a hook raised it, and the run has ended with it.
        """
        pull, takes = self._pull, self._takes
        try:
            while True:
                if self._special or self.outbox.pending:
                    step = self._special_step()
                    if step is not READY or target.ready:
                        return self._finished(step, target)
                    continue
                try:
                    part = pull()
                except BaseException as exc:  # noqa: BLE001 -- the run ends with it
                    return self._finished(self._fail(exc, self._ending_by_source(exc)), target)
                if part is NOTHING:
                    return NEEDS_PART
                if part is END:
                    return self._finished(self.finish(GOOD_ENDING), target)
                self.parts += 1
                try:
                    try:
                        take = takes[part["ns"]][part["type"]]
                        data = part["data"]
                    except (KeyError, TypeError, IndexError, AttributeError):
                        take, data = self.mux.router.take_of(part)
                    waiting = take(part, data)
                except BaseException as exc:  # noqa: BLE001 -- likewise
                    return self._finished(self._fail(exc, Ending(exc)), target)
                if waiting is not None:
                    self.job = waiting
                    return NEEDS_AWAIT
                if self._ending is not None:
                    return self._finished(self.finish(self._ending), target)
                if target.ready:
                    return READY
                limit -= 1
                if not limit:
                    return SPENT
        except CONTROL_FLOW as exc:
            # An interrupt may come between any two lines: a part that was pulled and not dispatched must not go missing
            # in a run that succeeds.
            if self._ending is None:
                self.interject(exc)
            raise

    def hold(self) -> None:
        """Dispatch nothing more before `release`."""
        self._held = self._special = True

    def release(self) -> None:
        """Go on after `hold`."""
        self._held = False
        self._special = self._is_special()

    @property
    def can_step(self) -> bool:
        """Whether a step would not just report that it needs a part or room."""
        return not self._held and bool(self._special or (not self.outbox.pending and self.source.has_part))

    @property
    def blocked(self) -> bool:
        """Whether not even a part would let it step."""
        return self._held or (not self._special and bool(self.outbox.pending))

    def interject(self, error: BaseException) -> None:
        """Fail the run with `error` at the next step. The first error counts; further ones are kept for the exit."""
        if self._interjected is None and self.status == "running":
            self._interjected = error
            self._special = True
        else:
            self.errors.append(error)

    @property
    def interjected(self) -> BaseException | None:
        """The error with which the next step fails the run."""
        return self._interjected

    def finish(self, ending: Ending) -> Step:
        """End the run; if hooks or scheduled work must be waited for, by way of `job`."""
        self._ending = ending
        self._special = True
        if self.mux.must_wait:
            self.job = self._finish(ending)
            return NEEDS_AWAIT
        run_inline(self._finish(ending), "a hook at the run's end")
        for error in self.errors:
            if isinstance(error, CONTROL_FLOW):
                self.errors.remove(error)
                raise error
        return ENDED

    def abort_after_event(self) -> None:
        """Abort the run when the event that is being dispatched has been."""
        if self._ending is None:
            self._ending = abortion(self.mux)
            self._special = True

    def job_failed(self, error: BaseException) -> Step:
        """`job` raised: end the run with that error."""
        self.job = None
        return self.finish(Ending(error))

    def job_done(self) -> None:
        """`job` has been awaited."""
        self.job = None

    async def end(self, ending: Ending) -> None:
        """End the run without a step, for callers that may wait."""
        self._special = True
        await self._finish(ending)

    async def abort(self) -> None:
        """End the run now, whatever was going on. Idempotent."""
        job, self.job = self.job, None
        if job is not None:
            job.close()
        if not self.terminal.ready:
            self._ending = abortion(self.mux) if self._interjected is None else Ending(self._interjected)
            self._special = True
            await self._finish(self._ending)

    def undelivered(self) -> list[BaseException]:
        """The errors that no reader has received, the failure first. Asking for them is receiving them."""
        errors, self.errors = self.errors, []
        if self.failure is not None and self.status == "failed" and not self.delivered:
            self.delivered = True
            errors.insert(0, self.failure.fresh())
        return errors

    def statistics(self, mux: Mux, *, inbox: int, parked: int) -> RunStatistics:
        """The figures of the run, with the channels of `mux`."""
        channels = {"events": mux.events.statistics()}
        channels |= {
            name: value.statistics() for name, value in mux.extensions.items() if isinstance(value, StreamChannel)
        }
        return RunStatistics(
            status=self.status,
            parts=self.parts,
            inbox=inbox,
            outbox=self.outbox.pending,
            parked=parked,
            scheduled=len(self.mux.nursery),
            subgraphs=len(self.mux.follower),
            channels=channels,
        )

    def result(self) -> Any:
        """The final state, once the run has ended.

        Raises:
            RunAborted: It was aborted.
            BaseException: The error that ended it.
        """
        if self.failure is not None:
            self.delivered = True
            raise self.failure.fresh()
        return self.mux.state.latest

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception for a reader whose stream ended with `failure`."""
        if self.failure is not None and failure.error is self.failure.error:
            self.delivered = True
        return failure.fresh()

    def request(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `job` as the next step, between two parts."""
        if self._requests is None:
            self._requests = deque()
        self._requests.append(job)
        self._special = True

    def _is_special(self) -> bool:
        return bool(self._held or self._requests or self.terminal.ready or self._ending or self._interjected)

    def _special_step(self) -> Step:
        """Do what is more urgent than the next part; `READY` if it has been done."""
        if self._held:
            return HELD
        if self._requests:
            return self._run_request(self._requests.popleft()())
        if self.terminal.ready:
            return ENDED
        if self._ending is not None:
            return self.finish(self._ending)
        if self._interjected is not None:
            return self.finish(Ending(self._interjected))
        return NEEDS_ROOM

    def _fail(self, error: BaseException, ending: Ending) -> Step:
        step = self.finish(ending)
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

    async def _finish(self, ending: Ending) -> None:
        ending, errors = await self.mux.end(ending)
        if not self.terminal.ready:
            self.errors += errors
            self._publish(ending)

    def _publish(self, ending: Ending) -> None:
        if ending.error is not None:
            self.failure = Recorded.of(ending.error)
            self._explain_subgraphs(ending.error)
        if ending.quietly:
            self.status = "aborted"
        elif ending.error is not None:
            self.status = "failed"
        else:
            self.status = "interrupted" if ending.interrupted or self.mux.state.interrupts else "completed"
        self.mux.nursery.close()
        self.terminal.open()
        self.ended()

    def subgraph_failed(self, error: SubgraphFailed) -> None:
        """A subgraph has failed: if the run fails with the same error, that is its cause."""
        if self._failed_subgraphs is None:
            self._failed_subgraphs = deque(maxlen=KEPT_FAILURES)
        self._failed_subgraphs.append(weakref.ref(error))

    def _explain_subgraphs(self, failure: BaseException) -> None:
        for reference in self._failed_subgraphs or ():
            error = reference()
            if error is not None and error.__cause__ is None and str(error) in {str(failure), repr(failure)}:
                error.__cause__ = failure
        self._failed_subgraphs = None

    def _ending_by_source(self, exc: BaseException) -> Ending:
        if isinstance(exc, GraphInterrupt):
            self.mux.state.observe(self.mux.state.latest, exc.interrupts)
            return Ending(interrupted=True)
        return Ending(readable(exc, self.source.name))


def abortion(mux: Mux) -> Ending:
    """The ending of a run that is aborted now."""
    return Ending(RunAborted(partial=mux.state.latest), quietly=True)
