"""`SourceInTrio`: a graph for asyncio as a source of a run on trio, on the asyncio loop in trio's own thread.

Rules:

- The graph's task is one of asyncio's, begun with the first demand, outside of any scope of the run's: cancelled once,
  and awaited.
- Both sides are in one thread, so parts and demand cross by a call. A part that wakes a reader ends the slice.
- After a part at which the graph pauses, the run is stepped in the graph's own task, in the slice, as on asyncio; but
  not if there is a hook of the user's, which may expect to run in a trio task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

import trio

from anyiostream.channels.latch import Callback
from anyiostream.driver.hosting import Host
from anyiostream.loops.trio_host import current_asyncio
from anyiostream.source import readable
from anyiostream.sources.hosted import Execution, HostedSource

__all__ = ["SourceInTrio"]


@final
class SourceInTrio(HostedSource):
    """A graph that runs in one asyncio task."""

    spawns = False

    def __init__(self, execution: Execution) -> None:
        super().__init__(execution)
        self.demand = self._demand_inside
        self._stop_slice: Callable[[], None] = _nothing

    def start(self, host: Host) -> None:
        """Nothing is started before the first demand."""
        self._host = host
        self._inbox.notify(self._part_arrived, host.graph_stops if host.steps_anywhere else self._part_arrived)

    @trio.lowlevel.enable_ki_protection
    def _demand_inside(self) -> None:
        gate = self._execution.gate
        if self._task is None and not gate.stopped:
            self._begin()
        gate.demand()

    def _begin(self) -> None:
        assert self._host is not None
        beside = current_asyncio()
        self._stop_slice = beside.loop.stop
        self._task = self._host.host(lambda: self._execution.run(self._inbox, beside.parking), self.name, on=beside)
        self._task.finished.park(Callback(self._task_ended))

    def _task_ended(self) -> None:
        # Unless the graph's end is known: the task was cancelled before it had begun.
        stopped = self._execution.gate.stopped
        self._inbox.end(None if stopped else readable(asyncio.CancelledError(), self.name))

    @trio.lowlevel.enable_ki_protection
    def stop(self) -> None:
        """Let the graph end; cancel its task if it is at work."""
        super().stop()

    @trio.lowlevel.enable_ki_protection
    def stop_again(self) -> None:
        """Cancel the task."""
        super().stop_again()

    def _part_arrived(self) -> None:
        assert self._host is not None
        self._host.part_arrived()
        self._stop_slice()


def _nothing() -> None:
    return None
