"""`Deadlocks`: finds the reader whose fault it is that a run is stalled.

Rules:

- A run is stalled while items of its last event, or of the scheduled work that it waits for, wait for room.
- If the task that reads such a full buffer waits for something else of the same run, and the stall outlasts an
  iteration of the event loop, that task gets `BackpressureDeadlock`, unless it has a deadline: then it will leave by
  itself.
- If no reader is certainly at fault, the stall is logged after `STALL` seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final, final

from anyiostream.channels.latch import Awaited
from anyiostream.channels.producer import FullBuffer
from anyiostream.loops.interface import Loop, Timer, Waiter

__all__ = ["STALL", "Deadlocks"]

STALL: Final = 1.0
"""Seconds after which a stall that is not certainly a deadlock is logged."""

logger = logging.getLogger("anyiostream")


@final
class Deadlocks:
    """Looks for the deadlocks of one run.

    Attributes:
        suspects: Parked readers that have been woken because they may stall the run -> at which buffer.
    """

    __slots__ = ("_checking", "_full_buffers", "_loop", "_parked", "_patient", "_timer", "suspects")

    def __init__(
        self,
        loop: Loop,
        parked: Mapping[Waiter, Awaited],
        full_buffers: Callable[[], list[FullBuffer]],
    ) -> None:
        """Watch a run.

        Args:
            loop: Its event loop.
            parked: Its parked readers, and what each waits for; looked at whenever the run may be stalled.
            full_buffers: The buffers at which items wait now.
        """
        self._loop = loop
        self._parked = parked
        self._full_buffers = full_buffers
        self.suspects: dict[Waiter, FullBuffer] = {}
        self._patient: set[object] = set()
        self._checking = False
        self._timer: Timer | None = None

    def check(self) -> None:
        """Check in a later iteration of the event loop whether the run is still stalled."""
        if not self._checking:
            self._checking = True
            self._loop.soon(self._find_deadlock)

    def room_again(self) -> None:
        """Nothing waits any more."""
        self._patient.clear()

    def close(self) -> None:
        """The run has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def question(self, waiter: Waiter, target: Awaited) -> None:
        """Called by a suspect when its wait is over: raise if it stalls the run itself.

        Raises:
            BackpressureDeadlock: It reads a full buffer and has waited for `target`, without a deadline.
        """
        full = self.suspects.pop(waiter)
        if full.waiting and not target.ready:
            if not self._loop.has_deadline():
                raise full.deadlock(target.name, "atee")
            # It will leave by itself, so it is not asked again until there has been room.
            self._patient.add(waiter.task)

    def _find_deadlock(self) -> None:
        self._checking = False
        full_buffers = self._full_buffers()
        certain = False
        for full in full_buffers:
            if full.reader is None:
                continue
            for waiter in self._parked:
                if waiter.task is full.reader and not waiter.woken and waiter.task not in self._patient:
                    # It finds out for itself whether it has a deadline: that can only be asked from inside the task.
                    self.suspects[waiter] = full
                    waiter.wake()
                    certain = True
        if not certain and self._timer is None and full_buffers and self._parked:
            self._timer = self._loop.later(STALL, self._log)

    def _log(self) -> None:
        self._timer = None
        full = [buffer.name for buffer in self._full_buffers()]
        waiting = [target.name for target in self._parked.values()]
        if full and waiting:
            logger.warning(
                "the run has been stalled for %g s: %s full and not read, while %s waited for; "
                "read all of them, leave those that you do not need, or give them an overflow policy",
                STALL,
                " and ".join(full) + (" is" if len(full) == 1 else " are"),
                " and ".join(waiting) + (" is" if len(waiting) == 1 else " are"),
            )
