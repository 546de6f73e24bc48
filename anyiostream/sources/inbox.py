"""`Inbox`: the raw parts between a graph that runs in a separate task and the reader that dispatches them.

After a part at which the graph has to pause (see `gate.py`), what has arrived may be dispatched in the graph's own
task; if a reader still wants more then, the graph need not pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import repeat, starmap
from typing import Any, Final, final

from anyiostream.source import END, NOTHING
from anyiostream.sources.gate import BARRIERS, Gate

__all__ = ["GatedInbox", "Inbox"]


class Inbox:
    """Parts produced and not yet dispatched, in the process and thread of their reader."""

    __slots__ = ("_ended", "_error", "_on_part", "_parts")

    def __init__(self) -> None:
        self._parts: deque[Any] = deque()
        self._on_part: Callable[[], object] = _nothing
        self._ended = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._parts)

    def notify(self, on_part: Callable[[], object]) -> None:
        """Call `on_part` when there is something to pull after there was nothing."""
        self._on_part = on_part

    @property
    def has_part(self) -> bool:
        """Whether `pull` would return anything but `NOTHING`."""
        return bool(self._parts) or self._ended

    def pull(self) -> Any:
        """The next part, `NOTHING`, or `END`; raises the error that ended the graph, once."""
        return self._parts.popleft() if self._parts else self._nothing_more()

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

    def _nothing_more(self) -> Any:
        if not self._ended:
            return NOTHING
        error, self._error = self._error, None
        if error is not None:
            raise error
        return END


@final
class GatedInbox(Inbox):
    """Tells a gate what comes and goes: the inbox of a graph that runs in its reader's thread.

    To tell the gate of each part takes two calls for each, one where it comes and one where it goes: with them, a burst
    of a LangGraph graph took 43 opcodes a part more, of 368. So it is told of those that it heeds. Those that it does
    not heed are at hand; the others are `_behind` them, and not at hand before the gate has been told.

    Attributes:
        at_hand: Parts that may be taken from the left without calling `pull`, and those that a receiver has.
    """

    __slots__ = ("_behind", "_gate", "_on_stop", "at_hand")

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.at_hand: Final = self._parts
        self._behind: deque[Any] = deque()
        self._gate = gate
        self._on_stop: Callable[[], object] = _nothing

    def __len__(self) -> int:
        return len(self._parts) + len(self._behind)

    def notify(self, on_part: Callable[[], object], on_stop: Callable[[], object] | None = None) -> None:
        """As `Inbox.notify`.

        If `on_stop` is given, call that instead, in the task of the graph, after a part at which the graph pauses.
        """
        self._on_part = on_part
        self._on_stop = on_part if on_stop is None else on_stop

    @property
    def has_part(self) -> bool:
        """As `Inbox.has_part`."""
        return bool(self._parts or self._behind) or self._ended

    def pull(self) -> Any:
        """As `Inbox.pull`."""
        parts, behind = self._parts, self._behind
        if parts:
            return parts.popleft()
        if not behind:
            return self._nothing_more()
        part = behind.popleft()
        gate = self._gate
        gate.taken(len(behind))
        _move(behind.popleft, parts.append, gate.unheeded(len(behind)))
        return part

    def put(self, part: Any) -> bool:
        """Add a part; whether the next one may be produced at once."""
        parts, behind, gate = self._parts, self._behind, self._gate
        try:  # as the gate's `ends_step`, which would be a call more for each part
            ends_step = part["type"] in BARRIERS and len(part["ns"]) <= gate.barrier_depth
        except (TypeError, KeyError, AttributeError):
            ends_step = True
        if ends_step:
            (behind or parts).append(part)
            gate.halt()
        else:
            ahead = len(parts)
            if ahead < gate.room:
                parts.append(part)
                if not ahead:
                    self._on_part()
                return True
            (behind or parts).append(part)
            ahead = len(parts) + len(behind)
            goes_on = gate.goes_on(ahead)
            if gate.heeds:
                _move(parts.pop, behind.appendleft, len(parts) - gate.unheeded(ahead))
            if goes_on:
                if ahead == 1:
                    self._on_part()
                return True
        gate.pausing = True
        try:
            self._on_stop()
        finally:
            gate.pausing = False
        return gate.open


def _nothing() -> None:
    return None


def _move(take: Callable[[], Any], put: Callable[[Any], None], count: int) -> None:
    """Move `count` parts, one by one, in C: no interrupt comes in between, which would lose one or show it twice.

    When the graph has run as far ahead as it may, half of what has arrived changes sides: in a loop of Python's, each
    part of a burst took 18 opcodes more.
    """
    deque(map(put, starmap(take, repeat((), count))), maxlen=0)
