"""`Shutdown`: how a run on the async lane is brought to its end before the graph has come to its own.

Rules:

- It happens once, in a task that nobody cancels; everybody who wants it waits for that task.
- First the conductor goes, then the source, then the hooks are told, then everything else is waited for. So nothing of
  the run is alive afterwards.
- Cancelling whoever waits for it does not end the wait; the cancellation is raised after it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, final

from anyiostream.channels.latch import Callback, Latch
from anyiostream.inline import run_inline
from anyiostream.loops.interface import LoopTask, Timer

if TYPE_CHECKING:
    from anyiostream.lanes.async_run import AsyncRun

__all__ = ["GRACE", "Shutdown"]

GRACE: Final = 5.0
"""s that a `fail` hook or a source has to end when the run is over; then it is cancelled (again) and logged by name."""

logger = logging.getLogger("anyiostream")


@final
class Shutdown:
    """The shutdown of one run."""

    __slots__ = ("_done", "_run", "_source_timer")

    def __init__(self, run: AsyncRun) -> None:
        self._run = run
        self._done: Latch | None = None
        self._source_timer: Timer | None = None

    async def shut_down(self, tasks: Collection[LoopTask]) -> None:
        """End the run, and wait until nothing of it is alive.

        Args:
            tasks: The run's tasks, as they are at any moment.
        """
        if self._done is None:
            self._done = Latch("the end of the run")
            run = self._run
            run.conductor.stop()
            if not tasks and not run.pump.mux.must_wait:
                # Nothing to wait for: most runs end like this.
                await run.close_source()
                run.context.run(run_inline, run.pump.abort(), "a transformer's fail()")
                self._done.open()
                return
            task = run.loop.spawn(lambda: self._end_everything(tasks), "anyiostream shutdown", run.context)
            task.finished.park(Callback(self._done.open))
        await self._outlast(self._done)

    async def _end_everything(self, tasks: Collection[LoopTask]) -> None:
        """Runs in a task that nobody cancels."""
        run = self._run
        if run.conductor.task is not None:
            run.conductor.task.cancel()
            await run.wait(run.conductor.task.finished)
        await self._close_source()
        try:
            await run.pump.abort()
        except BaseException as exc:  # noqa: BLE001 -- raised where the block is left
            run.pump.errors.append(exc)
        for task in list(tasks):
            await run.wait(task.finished)

    async def _close_source(self) -> None:
        """Wait until the source has ended; if it takes too long, cancel it again, and say so."""
        run = self._run
        run.source.stop()
        self._remind_source(again=False)
        try:
            await run.close_source()
        finally:
            if self._source_timer is not None:
                self._source_timer.cancel()

    def _remind_source(self, *, again: bool = True) -> None:
        source = self._run.source
        if again:
            logger.warning("%s has not ended %g s after it was cancelled; it is cancelled again", source.name, GRACE)
            source.stop_again()
        self._source_timer = self._run.loop.later(GRACE, self._remind_source)

    async def _outlast(self, latch: Latch) -> None:
        """Wait for `latch` whatever happens; a cancellation meanwhile is raised after that."""
        loop = self._run.loop
        cancelled: BaseException | None = None
        with loop.shield():
            while not latch.ready:
                waiter = loop.waiter()
                latch.park(waiter)
                try:
                    await waiter.wait()
                except BaseException as exc:
                    # A native one, on asyncio: the shield keeps out all others.
                    if not loop.is_cancellation(exc):
                        raise
                    cancelled = exc
                finally:
                    latch.unpark(waiter)
        if cancelled is not None:
            raise cancelled
