"""`Shutdown`: ends a run on the async lane before its graph has finished.

Rules:

- It happens once, in a task that nobody cancels; every caller waits for that task.
- First the hook task is ended, then the source; then the `fail` hooks are called, and everything else is waited for. So
  nothing of the run is alive afterwards.
- Cancelling whoever waits for it does not end the wait; the cancellation is raised after it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from typing import Final, final

from anyiostream.channels.latch import Callback, Latch
from anyiostream.driver.driver import Driver
from anyiostream.inline import run_inline
from anyiostream.loops.interface import LoopTask, Timer

__all__ = ["GRACE", "Shutdown"]

GRACE: Final = 5.0
"""Seconds that a `fail` hook or a source may take once the run is over; then it is cancelled (again), and logged. The
default of a run's `grace`.
"""

logger = logging.getLogger("anyiostream")


@final
class Shutdown:
    """The shutdown of one driver."""

    __slots__ = ("_done", "_driver", "_grace", "_source_timer")

    def __init__(self, driver: Driver, grace: float) -> None:
        self._driver = driver
        self._grace = grace  # s until the source is cancelled again
        self._done: Latch | None = None
        self._source_timer: Timer | None = None

    async def shut_down(self, tasks: Collection[LoopTask]) -> None:
        """End the run, and wait until nothing of it is alive.

        Args:
            tasks: The run's tasks, as they are at any moment.
        """
        if self._done is None:
            self._done = Latch("the end of the run")
            driver = self._driver
            driver.stop_stepping()
            if not tasks and not driver.pump.mux.must_wait:
                # Nothing to wait for: most runs end like this.
                await driver.close_source()
                driver.context.run(run_inline, driver.pump.abort(), "a transformer's fail()")
                self._done.open()
                return
            task = driver.loop.spawn(lambda: self._end_everything(tasks), "anyiostream shutdown", driver.context)
            task.finished.park(Callback(self._done.open))
        await self._outlast(self._done)

    async def _end_everything(self, tasks: Collection[LoopTask]) -> None:
        """Runs in a task that nobody cancels."""
        driver = self._driver
        hook_task = driver.hook_task
        if hook_task is not None:
            hook_task.cancel()
            await driver.wait(hook_task.finished)
        await self._close_source()
        try:
            await driver.pump.abort()
        except BaseException as exc:  # noqa: BLE001 -- raised where the block is left
            driver.pump.keep(exc)
        for task in list(tasks):
            await driver.wait(task.finished)

    async def _close_source(self) -> None:
        """Wait until the source has ended; if it takes too long, cancel it again, and say so."""
        driver = self._driver
        driver.source.stop()
        self._remind_source(again=False)
        try:
            await driver.close_source()
        finally:
            if self._source_timer is not None:
                self._source_timer.cancel()

    def _remind_source(self, *, again: bool = True) -> None:
        source, grace = self._driver.source, self._grace
        if again:
            logger.warning("%s has not ended %g s after it was cancelled; it is cancelled again", source.name, grace)
            source.stop_again()
        if grace != math.inf:
            self._source_timer = self._driver.loop.later(grace, self._remind_source)

    async def _outlast(self, latch: Latch) -> None:
        """Wait for `latch` whatever happens; a cancellation meanwhile is raised after that."""
        loop = self._driver.loop
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
