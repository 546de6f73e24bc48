"""`Conductor`: the run's own task that awaits what must be awaited between two parts.

Rules:

- It begins with the first hook that has to be awaited, and idles between them. While it is at work readers only wait;
  it steps the pump for them as long as somebody waits.
- It dies of nothing but its own cancellation: what a hook raises ends the run, and reaches its readers.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, final

from anyiostream.loops.interface import LoopTask, Waiter
from anyiostream.pump import CONTROL_FLOW, NEEDS_PART, NEEDS_ROOM, READY, SPENT
from anyiostream.source import readable

if TYPE_CHECKING:
    from anyiostream.lanes.driving import PumpDriver

__all__ = ["Conductor"]


@final
class Conductor:
    """Awaits the jobs of one run's pump.

    Attributes:
        task: Its task, once there has been something to await.
    """

    __slots__ = ("_idle", "_run", "_stopped", "task")

    def __init__(self, run: PumpDriver) -> None:
        self._run = run
        self._idle: Waiter | None = None
        self._stopped = False
        self.task: LoopTask | None = None

    def conduct(self) -> None:
        """Await the pump's job."""
        self._run.conducting = True
        if self.task is None:
            self.task = self._run.spawn(self._main, "anyiostream conductor", self._run.context)
        elif self._idle is not None:
            self._idle.wake()

    def stop(self) -> None:
        """The run is shutting down: nobody steps its pump any more."""
        self._stopped = self._run.conducting = True

    async def _main(self) -> None:
        pump = self._run.pump
        while True:
            while pump.job is not None:
                await self._await_job(pump.job)
                await self._serve()
            if self._stopped:
                # The job was done before the shutdown could cancel it: readers still may not step.
                return
            self._run.conducting = False
            self._run.pass_on()
            self._idle = self._run.loop.waiter()
            await self._idle.wait()
            self._idle = None

    async def _await_job(self, job: Coroutine[Any, Any, None]) -> None:
        loop, pump = self._run.loop, self._run.pump
        try:
            await job
        except BaseException as exc:
            if loop.is_cancellation(exc) and (self._stopped or loop.name == "trio"):
                raise
            pump.job_failed(readable(exc, "a transformer's hook"))
        else:
            pump.job_done()

    async def _serve(self) -> None:
        """Go on stepping while somebody waits."""
        run, pump = self._run, self._run.pump
        while pump.job is None and (target := run.demanded()) is not None:
            if run.budget <= 0:
                await run.checkpoint()
                continue
            if self._stopped:
                return
            before = pump.parts
            try:
                step = pump.advance(target, run.budget)
            except CONTROL_FLOW:
                # It has ended the run, and reaches its readers; a task of the run's own must not die of it.
                continue
            run.budget -= pump.parts - before
            if step is NEEDS_PART:
                run.source.demand()
            elif step is NEEDS_ROOM:
                run.check_stall()
            if step not in {READY, SPENT}:
                return
