"""`Gate`: whether a graph that runs in a separate task may produce its next part.

Rules:

- A graph runs at most `prefetch` parts ahead, or one part if that is 0.
- It continues without being asked as long as there is room, but not past a part that ends a superstep (`BARRIERS`):
  what follows may be another model call, whose result may no longer be wanted. A reader that waits with nothing to read
  is demand; one demand lets the graph go on to its next part.
- It does not begin before the first demand.
- A graph that has run as far ahead as it may goes on when a reader waits, or when half of that has been taken: waking
  it for each part taken would cost a task switch per part.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable
from typing import Any, Final, Protocol, final

__all__ = ["BARRIERS", "Gate", "Parking"]

BARRIERS: Final = frozenset({"values", "updates", "tasks", "checkpoints", "debug"})
"""Types of parts that a graph emits at the boundary of a superstep."""


class Parked(Protocol):
    """A parked graph."""

    def wake(self) -> None: ...
    def wait(self) -> Awaitable[None]: ...


class Parking(Protocol):
    """How a graph waits, on the loop that it runs on."""

    def waiter(self) -> Parked:
        """A waiter for the current task."""
        ...


@final
class Gate:
    """Whether a graph may produce its next part.

    ```python
    from anyiostream import parts
    from anyiostream.sources.gate import Gate

    gate = Gate(2, root_depth=0, barriers_below=False)
    assert not gate.open  # until a reader waits
    gate.demand()
    assert gate.produced(parts.custom("a piece"), ahead=1)
    assert not gate.produced(parts.values({"a": "state"}), ahead=2)  # ends a superstep
    ```

    Attributes:
        open: Whether the graph may produce its next part.
        barrier_depth: Length of the longest namespace at which a part of one of `BARRIERS` ends a superstep.
        heeds: Whether it has to be told what is taken: it is full, or somebody waits at it, and not for demand alone.
        room: A part that is no barrier need not be told of while fewer parts than this are ahead: one less than are
            read ahead. 0 or less in lock-step, while it is closed, or while somebody waits: tell it of each part.
        pausing: Whether a graph with a single task is not at work: it waits for permission, or steps the run after its
            last part.
        stopped: Whether the graph is to stop. The gate is closed then, and nobody waits at it.
    """

    __slots__ = (
        "_at_barrier",
        "_low",
        "_offering",
        "_pausing",
        "_prefetch",
        "barrier_depth",
        "heeds",
        "open",
        "pausing",
        "room",
        "stopped",
    )

    def __init__(self, prefetch: int, *, root_depth: int, barriers_below: bool) -> None:
        """Make a gate, closed until the first demand.

        Args:
            prefetch: How many parts the graph may run ahead.
            root_depth: Length of the root's namespace.
            barriers_below: Whether parts of subgraphs end supersteps too.
        """
        self._prefetch = prefetch
        self._low = prefetch // 2 if prefetch else -1
        self.barrier_depth: float = math.inf if barriers_below else root_depth
        self._offering: deque[Parked] = deque()
        self._pausing: deque[Parked] = deque()
        self._at_barrier = True  # nothing runs before the first demand
        self.open = False
        self.heeds = False
        self.room = 0
        self.pausing = False
        self.stopped = False

    # --- the reader's end ---

    def unheeded(self, ahead: int) -> int:
        """How many of the parts that are `ahead` can be taken before it has to be told of one."""
        return max(ahead - self._low - 1, 0) if self.heeds else ahead

    def taken(self, ahead: int) -> None:
        """Parts have been taken; `ahead` are left. Need not be called unless the gate `heeds` it."""
        if ahead <= self._low and not (self._at_barrier or self.stopped):
            self._let()

    def demand(self) -> None:
        """A reader waits, and there is nothing for it."""
        if (not self.open or self._offering or self._pausing) and not self.stopped:
            self._at_barrier = False
            self._let()

    def stop(self) -> None:
        """Let no task wait for permission any longer."""
        self.stopped = True
        self.open = False
        self.room = 0
        while self._offering or self._pausing:
            self._wake()

    # --- the graph's end ---

    async def permission(self, parking: Parking, *, offering: bool = False) -> bool:
        """Wait until the graph may produce its next part; false if it is to stop instead.

        Args:
            parking: How to wait.
            offering: Whether the caller has that part already, so that it goes before callers that would only go on.
        """
        waiting = self._offering if offering else self._pausing
        while not (self.open or self.stopped):
            waiter = parking.waiter()
            waiting.append(waiter)  # that it heeds what is taken, and has no room, was set when it was closed
            self.pausing = True
            try:
                await waiter.wait()
            except BaseException:
                if waiter in waiting:
                    waiting.remove(waiter)
                else:
                    # It was woken and cancelled in the same iteration of the loop: wake another one.
                    self._pass_on()
                raise
            finally:
                self.pausing = False
        return not self.stopped

    def produced(self, part: Any, ahead: int) -> bool:
        """A part has been produced, and `ahead` have not been taken; whether the next one may be produced.

        Need not be called while there is `room`, unless the part ends a superstep.
        """
        if self.ends_step(part):
            self.halt()
            return False
        return self.goes_on(ahead)

    def ends_step(self, part: Any) -> bool:
        """Whether a part ends a superstep; one that is not a part does, and will fail the run."""
        try:
            return part["type"] in BARRIERS and len(part["ns"]) <= self.barrier_depth
        except (TypeError, KeyError, AttributeError):
            return True

    def halt(self) -> None:
        """A part has been produced that ends a superstep: the next one may not be, before a reader waits."""
        self._at_barrier = True
        self.open = self.heeds = False
        self.room = 0

    def goes_on(self, ahead: int) -> bool:
        """Another part has been produced, and `ahead` have not been taken; whether the next one may be produced."""
        if ahead < self._prefetch:
            return self.open
        self.open = False
        self.heeds = self._low >= 0 and not self._at_barrier
        self.room = 0
        return False

    # --- inside ---

    def _let(self) -> None:
        """Let one more part come. Whoever still waits then is let by the next part that is taken."""
        self.open = True
        if self._wake():
            self.heeds = self._low >= 0
            self.room = 0
        else:
            self.heeds = False
            self.room = self._prefetch - 1

    def _pass_on(self) -> None:
        if self.open:
            self._wake()

    def _wake(self) -> bool:
        """Let those that wait go on, but of those that have a part only the first; whether others still wait."""
        if self._offering:
            self._offering.popleft().wake()
            return bool(self._offering or self._pausing)
        # Branches of the graph that run side by side; any of them may have the next part.
        while self._pausing:
            self._pausing.popleft().wake()
        return False
