"""`Inbox`: the raw parts between a graph that runs in a separate task and the reader that dispatches them.

After a part at which the graph has to pause (see `gate.py`), what has arrived may be dispatched in the graph's own
task; if a reader still wants more then, the graph need not pause.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, final

from anyiostream.source import END, NOTHING
from anyiostream.sources.gate import Gate

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
    """Tells a gate what comes and goes: the inbox of a graph that runs in its reader's thread."""

    __slots__ = ("_gate", "_on_stop")

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate
        self._on_stop: Callable[[], object] = _nothing

    def notify(self, on_part: Callable[[], object], on_stop: Callable[[], object] | None = None) -> None:
        """As `Inbox.notify`.

        If `on_stop` is given, call that instead, in the task of the graph, after a part at which the graph pauses.
        """
        self._on_part = on_part
        self._on_stop = on_part if on_stop is None else on_stop

    def pull(self) -> Any:
        """As `Inbox.pull`."""
        parts = self._parts
        if not parts:
            return self._nothing_more()
        part = parts.popleft()
        gate = self._gate
        if gate.heeds:  # to tell it of every part would cost a call for each
            gate.taken(len(parts))
        return part

    def put(self, part: Any) -> None:
        """Add a part."""
        parts = self._parts
        parts.append(part)
        ahead = len(parts)
        if not self._gate.produced(part, ahead):
            self._on_stop()
        elif ahead == 1:
            self._on_part()


def _nothing() -> None:
    return None
