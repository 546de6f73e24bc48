"""`Gate` and `Inbox`: the raw parts between a graph that runs in a task of its own and the reader that dispatches them.

Rules:

- A graph runs at most `prefetch` parts ahead, and one where that is 0.
- It goes on without being asked as long as there is room, but not past a part that ends a superstep (`BARRIERS`):
  what follows may be another model call, which nobody may want any more. A reader that waits with nothing to read is
  demand; one demand lets the graph go on to its next part.
- It does not begin before the first demand.
- Behind a part at which it has to stop, what has arrived may be dispatched in its own task; if a reader still wants
  more then, it need not stop.
- The graph is woken when a reader waits, or when half of what it may run ahead has been taken: waking it for each part
  taken would cost a switch of tasks per part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, final

from anyiostream.source import END, NOTHING

__all__ = ["BARRIERS", "Gate", "Inbox", "Parking"]

BARRIERS: Final = frozenset({"values", "updates", "tasks", "checkpoints", "debug"})
"""Types of parts that a graph emits at the boundary of a superstep."""


class Parked(Protocol):
    """A parked producer."""

    def wake(self) -> None: ...
    def wait(self) -> Awaitable[None]: ...


class Parking(Protocol):
    """How a producer waits, on the loop that it runs on."""

    def waiter(self) -> Parked:
        """A wait of the current task."""
        ...


@final
class Gate:
    """Whether a graph may produce its next part.

    Attributes:
        open: Whether the graph may produce its next part.
        ahead: Parts produced and not taken.
        stopped: Whether the graph is to stop. The gate is closed then, and nobody waits at it.
    """

    __slots__ = (
        "_barrier",
        "_barriers_below",
        "_low",
        "_offering",
        "_pausing",
        "_prefetch",
        "_root_depth",
        "ahead",
        "open",
        "stopped",
    )

    def __init__(self, prefetch: int, *, root_depth: int, barriers_below: bool) -> None:
        """Make an open gate.

        Args:
            prefetch: How many parts the graph may run ahead.
            root_depth: Length of the root's namespace.
            barriers_below: Whether parts of subgraphs end supersteps too.
        """
        self._prefetch = prefetch
        self._low = prefetch // 2
        self._root_depth = root_depth
        self._barriers_below = barriers_below
        self._offering: deque[Parked] = deque()
        self._pausing: deque[Parked] = deque()
        self._barrier = True  # nothing runs before somebody wants something
        self.open = False
        self.ahead = 0
        self.stopped = False

    # --- the reader's end ---

    def taken(self, count: int = 1) -> None:
        """`count` parts have been taken."""
        self.ahead = ahead = self.ahead - count
        if not self._barrier and ahead < self._prefetch and not self.stopped:
            self.open = True
            if ahead <= self._low and (self._pausing or self._offering):
                self._wake()

    def demand(self) -> None:
        """A reader waits, and there is nothing for it."""
        if not self.open and not self.stopped:
            self.open = True
            self._wake()

    def stop(self) -> None:
        """Let nobody wait for permission any longer."""
        self.stopped = True
        self.open = False
        while self._offering or self._pausing:
            self._wake()

    # --- the graph's end ---

    async def permission(self, parking: Parking, *, offering: bool = False) -> bool:
        """Wait until the graph may produce its next part; false if it is to stop instead.

        Args:
            parking: How to wait.
            offering: Whether the caller has that part already, so that it goes before those who would only go on.
        """
        waiting = self._offering if offering else self._pausing
        while not (self.open or self.stopped):
            waiter = parking.waiter()
            waiting.append(waiter)
            try:
                await waiter.wait()
            except BaseException:
                if waiter in waiting:
                    waiting.remove(waiter)
                else:
                    # It was woken and cancelled in the same turn: others may go.
                    self._pass_on()
                raise
        return not self.stopped

    def produced(self, part: Any) -> bool:
        """A part has been produced; whether the next one may be."""
        self.ahead = ahead = self.ahead + 1
        try:
            barrier = part["type"] in BARRIERS and (self._barriers_below or len(part["ns"]) <= self._root_depth)
        except (TypeError, KeyError, AttributeError):
            barrier = True  # it is no part, and will fail the run
        self._barrier = barrier
        self.open = may_go_on = not barrier and ahead < self._prefetch and not self.stopped
        return may_go_on

    # --- inside ---

    def _pass_on(self) -> None:
        if self.open:
            self._wake()

    def _wake(self) -> None:
        if self._offering:
            self._offering.popleft().wake()
        else:
            # Branches of the graph that run side by side; nobody can tell which one has the next part.
            while self._pausing:
                self._pausing.popleft().wake()


@final
class Inbox:
    """Parts that have been produced and not dispatched, in the process and thread of their reader.

    Attributes:
        gate: Whether the graph may produce more; `None` if that is decided elsewhere.
    """

    __slots__ = ("_ended", "_error", "_gate", "_on_part", "_on_stop", "_parts")

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate
        self._parts: deque[Any] = deque()
        self._on_part: Callable[[], object] = _nothing
        self._on_stop: Callable[[], object] = _nothing
        self._ended = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._parts)

    def notify(self, on_part: Callable[[], object], on_stop: Callable[[], object] | None = None) -> None:
        """Call `on_part` when there is something to pull after there was nothing.

        If `on_stop` is given, call that instead, in the task of the graph, behind a part at which the graph stops.
        """
        self._on_part = on_part
        self._on_stop = on_part if on_stop is None else on_stop

    @property
    def has_part(self) -> bool:
        """Whether `pull` would answer something else than `NOTHING`."""
        return bool(self._parts) or self._ended

    def pull(self) -> Any:
        """The next part, `NOTHING`, or `END`; raises the error that ended the graph, once."""
        parts = self._parts
        if parts:
            if self._gate is not None:
                self._gate.taken()
            return parts.popleft()
        if not self._ended:
            return NOTHING
        error, self._error = self._error, None
        if error is not None:
            raise error
        return END

    def put(self, part: Any) -> None:
        """Add a part."""
        parts = self._parts
        parts.append(part)
        gate = self._gate
        if gate is not None and not gate.produced(part):
            self._on_stop()
        elif len(parts) == 1:
            self._on_part()

    def put_batch(self, batch: list[Any]) -> None:
        """Add several parts."""
        self._parts += batch
        self._on_part()

    def end(self, error: BaseException | None) -> None:
        """The graph has ended."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._on_part()


def _nothing() -> None:
    return None
