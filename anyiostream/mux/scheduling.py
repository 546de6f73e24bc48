"""`Nursery`: the coroutines that transformers scheduled.

Rules:

- At most `limit` run at a time; the rest queue in order.
- A coroutine counts as done only when everything it pushed has found its place, so that a run whose scheduled work is
  drained has all of its results in its channels.
- Draining includes what scheduled work schedules. Cancelling reaches what runs and what queues.
- An error under `"raise"` fails the run whenever it happens; under `"log"` it is logged once. Control-flow exceptions
  (`KeyboardInterrupt`, `SystemExit`) fail the run either way.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, final

import attrs

from anyiostream.channels.latch import Callback, Latch
from anyiostream.channels.outbox import FullBuffer, Outbox, current_outbox
from anyiostream.errors import HookStopped, ScheduleRefused
from anyiostream.events import Namespace
from anyiostream.mux.port import RunPort, SpawnedTask
from anyiostream.transformer import OnError, StreamTransformer

__all__ = ["MAX_RUNNING", "Nursery"]

MAX_RUNNING: Final = 100
"""Scheduled coroutines of a run that run at a time; the others queue."""

logger = logging.getLogger("anyiostream")


@final
@attrs.define(eq=False)
class Scheduled:
    """One scheduled coroutine."""

    coro: Coroutine[Any, Any, Any]
    owner: str
    scope: Namespace
    on_error: OnError
    outbox: Outbox
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
        return self.returned and not self.outbox.pending


@final
class ScopedScheduler:
    """Schedules for the transformers of one scope."""

    __slots__ = ("_nursery", "_scope")

    def __init__(self, nursery: Nursery, scope: Namespace) -> None:
        self._nursery = nursery
        self._scope = scope

    def schedule(self, transformer: StreamTransformer, coro: Coroutine[Any, Any, Any], on_error: OnError) -> Scheduled:
        """Run `coro`, or queue it."""
        return self._nursery.schedule(type(transformer).__name__, self._scope, coro, on_error)


@final
class Nursery:
    """The scheduled work of one run, over all scopes.

    Attributes:
        draining: Whether somebody waits for it to end.
    """

    def __init__(self, port: RunPort, limit: int = MAX_RUNNING) -> None:
        self._port = port
        self._limit = limit
        self._live: dict[Scheduled, None] = {}
        self._live_in: dict[Namespace, int] = {}
        self._unreturned_in: dict[Namespace, int] = {}
        self._queue: deque[Scheduled] = deque()
        self._running = 0
        self._closed = False
        self._ending: list[Namespace] = []
        self.draining = False
        self._changed: Latch | None = None

    def __len__(self) -> int:
        return len(self._live)

    def for_scope(self, scope: Namespace) -> ScopedScheduler:
        """What `schedule()` uses in transformers of this scope."""
        return ScopedScheduler(self, scope)

    def busy(self, scope: Namespace) -> bool:
        """Whether there is work of this scope or of one below it."""
        return _any_within(self._live_in, scope)

    def schedule(self, owner: str, scope: Namespace, coro: Coroutine[Any, Any, Any], on_error: OnError) -> Scheduled:
        """Start `coro`, or queue it while `limit` others run.

        Raises:
            ScheduleRefused: On the sync lane, or when the run has ended.
        """
        ending = self._closed or any(_within(scope, each) for each in self._ending)
        if not self._port.is_async or ending:
            coro.close()
            why = "this run is on the sync lane"
            if ending:
                why = "the run has ended" if self._closed else "the run is ending"
            raise ScheduleRefused(owner, why)
        name = f"{owner}.schedule({getattr(coro, '__qualname__', 'coroutine')})"
        work = Scheduled(coro, owner, scope, on_error, Outbox(name, self._port.home, scope=scope))
        work.outbox.emptied = partial(self._settle, work)
        self._live[work] = None
        self._live_in[scope] = self._live_in.get(scope, 0) + 1
        self._unreturned_in[scope] = self._unreturned_in.get(scope, 0) + 1
        if self._running < self._limit:
            self._start(work)
        else:
            self._queue.append(work)
        return work

    async def drain(self, scope: Namespace) -> None:
        """Wait until nothing of this scope, or below, is left, or the run has to fail."""
        while self.busy(scope) and self._port.interjected is None:
            self.draining = True
            self._port.check_stall()
            try:
                await self._next_change()
            finally:
                self.draining = False

    async def cancel(self, scope: Namespace) -> None:
        """Cancel what there is of this scope and below, and wait for it to end. What it could not place is given up."""
        self._ending.append(scope)
        for work in [work for work in self._live if _within(work.scope, scope)]:
            work.cancel()
            if work.task is None:
                self._returned(work)
        while _any_within(self._unreturned_in, scope):
            await self._next_change()
        for work in [work for work in self._live if _within(work.scope, scope)]:
            self._remove(work)
        self._ending.remove(scope)

    def stalled_by(self) -> list[FullBuffer]:
        """The buffers that keep the run from ending: all scheduled work that is left waits for room in them."""
        if not self.draining or not all(work.outbox.waits for work in self._live):
            return []
        return [buffer for work in self._live for buffer in (*work.outbox.full, *work.outbox.sending)]

    def close(self) -> None:
        """Refuse further work."""
        self._closed = True

    # --- inside ---

    def _start(self, work: Scheduled) -> None:
        self._running += 1
        context = self._port.context.copy()
        context.run(current_outbox.set, work.outbox)
        work.task = self._port.spawn(lambda: self._run(work), work.outbox.owner, context)
        work.task.finished.park(Callback(lambda: self._never_ran(work)))

    async def _run(self, work: Scheduled) -> None:
        try:
            if work.cancelled:
                work.coro.close()
            else:
                await work.coro
        except Exception as exc:  # noqa: BLE001 -- logged, or ends the run
            self._failed(work, exc)
        except (KeyboardInterrupt, SystemExit) as exc:
            self._port.interject(exc)
        except BaseException as exc:
            # asyncio's can be raised by anybody; trio's is always real.
            if work.cancelled or type(exc).__name__ != "CancelledError":
                raise
            # Nobody has cancelled it: an error like any other, but one that readers would take for their own.
            stopped = HookStopped(work.outbox.owner, type(exc).__name__)
            stopped.__cause__ = exc
            self._failed(work, stopped)
        finally:
            self._returned(work)

    def _failed(self, work: Scheduled, error: Exception) -> None:
        if work.on_error == "raise":
            error.add_note(f"raised by {work.outbox.owner}")
            self._port.interject(error)
        else:
            logger.error("%s failed; its error was not to end the run", work.outbox.owner, exc_info=error)

    def _never_ran(self, work: Scheduled) -> None:
        """Its task has ended: if it was cancelled before it ran at all, nothing else has told so."""
        if not work.returned:
            work.coro.close()
            self._returned(work)

    def _returned(self, work: Scheduled) -> None:
        """It has ended, or will never be started."""
        if work.returned:
            return
        work.returned = True
        self._unreturned_in[work.scope] -= 1
        if work.task is not None:
            self._running -= 1
        else:
            work.coro.close()
            self._queue.remove(work)
        while self._queue and self._running < self._limit:
            self._start(self._queue.popleft())
        self._settle(work)

    def _settle(self, work: Scheduled) -> None:
        """It may be done now."""
        if work.done() and work in self._live:
            self._remove(work)
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.open()

    def _remove(self, work: Scheduled) -> None:
        del self._live[work]
        self._live_in[work.scope] -= 1
        if not self._live_in[work.scope]:
            del self._live_in[work.scope], self._unreturned_in[work.scope]

    async def _next_change(self) -> None:
        if self._changed is None:
            self._changed = Latch("scheduled work")
        await self._port.wait(self._changed)


def _within(namespace: Namespace, scope: Namespace) -> bool:
    return namespace[: len(scope)] == scope


def _any_within(counts: dict[Namespace, int], scope: Namespace) -> bool:
    return bool(counts) and any(count and _within(namespace, scope) for namespace, count in counts.items())
