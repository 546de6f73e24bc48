"""`ScheduledWork`: the coroutines that transformers scheduled.

Rules:

- At most `limit` run at a time; the rest queue in order.
- Work belongs to the scope of the transformer that scheduled it. A scope is identified by its lineage, not by its
  namespace, which a later scope may have too.
- A coroutine counts as done only when everything it pushed has found its place, so that a run whose scheduled work is
  drained has all of its results in its channels.
- Draining includes what scheduled work schedules. Cancelling reaches what runs and what queues.
- On the sync lane, which has no tasks, work is refused.
- An error under `"raise"` fails the run whenever it happens; under `"log"` it is logged once. Control-flow exceptions
  (`KeyboardInterrupt`, `SystemExit`) fail the run either way.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, final

import attrs

from anyiostream.channels.latch import Callback, Latch
from anyiostream.channels.producer import FullBuffer, Producer, current_producer
from anyiostream.errors import HookStopped, ScheduleRefused
from anyiostream.events import Namespace
from anyiostream.foreign import is_cancellation
from anyiostream.logged import loggable
from anyiostream.mux.ports import RunPort, SpawnedTask, TaskPort
from anyiostream.mux.scope import Lineage, Scope
from anyiostream.transformer import OnError, StreamTransformer

__all__ = ["MAX_RUNNING", "ScheduledWork", "ScopedScheduler"]

MAX_RUNNING: Final = 100
"""Scheduled coroutines of a run that run at a time; the others queue. The default of a run's `max_scheduled`."""

logger = logging.getLogger("anyiostream")


@final
@attrs.define(eq=False)
class Scheduled:
    """One scheduled coroutine."""

    coro: Coroutine[Any, Any, Any]
    owner: str
    lineage: Lineage
    on_error: OnError
    producer: Producer
    task: SpawnedTask | None = None
    returned: bool = False
    cancelled: bool = False

    def cancel(self) -> None:
        """Cancel it; it is still waited for before the run ends."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    def done(self) -> bool:
        """Whether it has ended and everything it pushed has found its place."""
        return self.returned and not self.producer.pending


@final
class ScopedScheduler:
    """Schedules for the transformers of one scope."""

    __slots__ = ("_scheduled", "_scope")

    def __init__(self, scheduled: ScheduledWork, scope: Scope) -> None:
        self._scheduled = scheduled
        self._scope = scope

    def schedule(self, transformer: StreamTransformer, coro: Coroutine[Any, Any, Any], on_error: OnError) -> Scheduled:
        """Run `coro`, or queue it."""
        scope = self._scope
        return self._scheduled.schedule(type(transformer).__name__, scope.namespace, coro, on_error, scope.lineage)


@final
class ScheduledWork:
    """The scheduled work of one run, over all scopes.

    Attributes:
        draining: Whether the run waits for it to end.
    """

    def __init__(self, port: RunPort, limit: float = MAX_RUNNING) -> None:
        self._port = port
        self._task_port = port.task_port
        self._limit = limit
        self._live: dict[Scheduled, None] = {}
        self._live_in: dict[Lineage, int] = {}
        self._unreturned_in: dict[Lineage, int] = {}
        self._queue: dict[Scheduled, None] = {}
        self._running = 0
        self._closed = False
        self._ending: dict[Lineage, None] = {}
        self.draining = False
        self._changed: Latch | None = None

    def __len__(self) -> int:
        return len(self._live)

    def __bool__(self) -> bool:
        return bool(self._live_in)

    def busy(self, lineage: Lineage) -> bool:
        """Whether there is something to wait for of this scope or of those below it."""
        return _any_within(self._live_in, lineage)

    def hold(self, lineage: Lineage) -> None:
        """Until `release`, there is something else of this scope to wait for."""
        self._live_in[lineage] = self._live_in.get(lineage, 0) + 1

    def release(self, lineage: Lineage) -> None:
        """What `hold` announced is done."""
        _count_down(self._live_in, lineage)
        self._report_change()

    def schedule(
        self,
        owner: str,
        namespace: Namespace,
        coro: Coroutine[Any, Any, Any],
        on_error: OnError,
        lineage: Lineage | None = None,
    ) -> Scheduled:
        """Start `coro`, or queue it while `limit` others run.

        Args:
            owner: Name of the transformer, for messages.
            namespace: Namespace of the events that it makes.
            coro: The coroutine.
            on_error: What an error does.
            lineage: The scope; by default the one whose lineage equals `namespace`.

        Raises:
            ScheduleRefused: On the sync lane, or when the run has ended.
        """
        lineage = namespace if lineage is None else lineage
        ending = self._closed or any(_within(lineage, each) for each in self._ending)
        if self._task_port is None or ending:
            coro.close()
            why = "this run is on the sync lane"
            if ending:
                why = "the run has ended" if self._closed else "the run is ending"
            raise ScheduleRefused(owner, why)
        name = f"{owner}.schedule({getattr(coro, '__qualname__', 'coroutine')})"
        work = Scheduled(coro, owner, lineage, on_error, Producer(name, self._port, scope=namespace))
        work.producer.emptied = partial(self._settle, work)
        self._live[work] = None
        self.hold(lineage)
        self._unreturned_in[lineage] = self._unreturned_in.get(lineage, 0) + 1
        if self._running < self._limit:
            self._start(work, self._task_port)
        else:
            self._queue[work] = None
        return work

    async def drain(self, lineage: Lineage, *, beside: bool = False) -> None:
        """Wait until nothing of this scope, or below, is left, or the run has to fail.

        Args:
            lineage: The scope.
            beside: The run goes on meanwhile, so that waiting here stalls nothing.
        """
        tasks = self._task_port
        while tasks is not None and self.busy(lineage) and tasks.interjected is None:
            if beside:
                await self._next_change(tasks)
                continue
            self.draining = True
            tasks.check_stall()
            try:
                await self._next_change(tasks)
            finally:
                self.draining = False

    async def cancel(self, lineage: Lineage) -> None:
        """Cancel what there is of this scope and below, and wait until it has ended. Items that wait are given up."""
        self._ending[lineage] = None
        for work in [work for work in self._live if _within(work.lineage, lineage)]:
            work.cancel()
            if work.task is None:
                self._returned(work)
        tasks = self._task_port
        while tasks is not None and _any_within(self._unreturned_in, lineage):
            await self._next_change(tasks)
        for work in [work for work in self._live if _within(work.lineage, lineage)]:
            self._remove(work)
        self._ending.pop(lineage, None)

    def stalled_by(self) -> list[FullBuffer]:
        """The buffers that keep the run from ending: all scheduled work that is left waits for room in them."""
        if not self.draining or not all(work.producer.waits for work in self._live):
            return []
        return [buffer for work in self._live for buffer in (*work.producer.full, *work.producer.sending)]

    def close(self) -> None:
        """Refuse further work."""
        self._closed = True

    # --- inside ---

    def _start(self, work: Scheduled, tasks: TaskPort) -> None:
        self._running += 1
        context = tasks.context.copy()
        context.run(current_producer.set, work.producer)
        work.task = tasks.spawn(lambda: self._run(work, tasks), work.producer.name, context)
        work.task.finished.park(Callback(lambda: self._never_ran(work)))

    async def _run(self, work: Scheduled, tasks: TaskPort) -> None:
        try:
            if work.cancelled:
                work.coro.close()
            else:
                await work.coro
        except Exception as exc:  # noqa: BLE001 -- logged, or ends the run
            self._failed(work, exc, tasks)
        except (KeyboardInterrupt, SystemExit) as exc:
            tasks.interject(exc)
        except BaseException as exc:
            # Any code can raise asyncio's; trio's is always real.
            if work.cancelled or not is_cancellation(exc):
                raise
            # The task was not cancelled. This is an error like any other, but readers would mistake it for their own
            # cancellation.
            stopped = HookStopped(work.producer.name, type(exc).__name__)
            stopped.__cause__ = exc
            self._failed(work, stopped, tasks)
        finally:
            self._returned(work)

    @staticmethod
    def _failed(work: Scheduled, error: Exception, tasks: TaskPort) -> None:
        if work.on_error == "raise":
            error.add_note(f"raised by {work.producer.name}")
            tasks.interject(error)
        else:
            logger.error("%s failed (on_error='log'; the run continues)", work.producer.name, exc_info=loggable(error))

    def _never_ran(self, work: Scheduled) -> None:
        """Its task has ended: if that was cancelled before its first step, `_run` has not reported it."""
        if not work.returned:
            work.coro.close()
            self._returned(work)

    def _returned(self, work: Scheduled) -> None:
        """It has ended, or will never be started."""
        if work.returned:
            return
        work.returned = True
        _count_down(self._unreturned_in, work.lineage)
        if work.task is not None:
            self._running -= 1
        else:
            work.coro.close()
            del self._queue[work]
        tasks = self._task_port
        while tasks is not None and self._queue and self._running < self._limit:
            queued = next(iter(self._queue))
            del self._queue[queued]
            self._start(queued, tasks)
        self._settle(work)

    def _settle(self, work: Scheduled) -> None:
        """It may be done now."""
        if work.done() and work in self._live:
            self._remove(work)
        self._report_change()

    def _remove(self, work: Scheduled) -> None:
        del self._live[work]
        _count_down(self._live_in, work.lineage)

    def _report_change(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.open()

    async def _next_change(self, tasks: TaskPort) -> None:
        if self._changed is None:
            self._changed = Latch("scheduled work")
        await tasks.wait(self._changed)


def _within(lineage: Lineage, around: Lineage) -> bool:
    return lineage[: len(around)] == around


def _any_within(counts: dict[Lineage, int], around: Lineage) -> bool:
    return bool(counts) and any(_within(lineage, around) for lineage in counts)


def _count_down(counts: dict[Lineage, int], lineage: Lineage) -> None:
    counts[lineage] -= 1
    if not counts[lineage]:
        del counts[lineage]
