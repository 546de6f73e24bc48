"""Where items wait that do not fit into their buffer.

Rules:

- An outbox belongs to a producer, not to a channel: the event being dispatched, a scheduled task, or whoever else
  pushes. A buffer remembers for each spilled item whose it is.
- The event's outbox has no limit but the fan-out of one event, because no further part is dispatched before it is
  empty. Every other outbox holds at most as many items of a channel as that channel's `maxlen`.
- Who produces is a context variable, so that it costs nothing until a buffer is full, and so that it is inherited by
  whatever a producer calls or starts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, final

import attrs

from anyiostream.errors import BackpressureDeadlock

__all__ = ["FullBuffer", "Outbox", "current_outbox"]

current_outbox: ContextVar[Outbox] = ContextVar("anyiostream.current_outbox")
"""The outbox of the hook, scheduled task or graph that runs in this context; unset in the application's own code."""


class FullBuffer(Protocol):
    """A buffer at which items wait."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def maxlen(self) -> float:
        """Its bound, in items."""
        ...

    @property
    def reader(self) -> object:
        """The task that last advanced it, or `None`."""
        ...

    @property
    def waiting(self) -> int:
        """Items that wait at it."""
        ...

    def deadlock(self, waits_for: str, fan_out: str) -> BackpressureDeadlock:
        """The exception for its reader."""
        ...


def _never() -> bool:
    return False


def _nobody_waits() -> None:
    return None


@final
@attrs.define(eq=False)
class Outbox:
    """The spilled items of one producer, as a count; the items themselves wait at their buffers, in order.

    Attributes:
        owner: Who produces, for messages.
        home: The run it belongs to; an outbox of another run counts as none.
        scope: Namespace of the events that its named channels make; `None` for that of the event being dispatched.
        bounded: Whether a full buffer refuses this producer after another `maxlen` items.
        withdrawable: Whether its items may still be taken back, so that they have not arrived before they fit.
        given_up: Whether its producer was cancelled and has not run since.
        emptied: Called when the last item has moved on.
        pending: Items that wait, over all buffers.
        full: The buffers at which items wait, or did since nothing waited.
        sending: The buffers at which the producer waits in `send`.
    """

    owner: str
    home: object
    scope: tuple[str, ...] | None = None
    bounded: bool = True
    withdrawable: bool = False
    given_up: Callable[[], bool] = _never
    emptied: Callable[[], object] = _nobody_waits
    pending: int = 0
    full: list[FullBuffer] = attrs.field(factory=list)
    sending: list[FullBuffer] = attrs.field(factory=list)

    @property
    def waits(self) -> bool:
        """Whether the producer has items that wait, or is waiting itself."""
        return bool(self.pending or self.sending)

    def spilled(self, buffer: FullBuffer) -> None:
        """One more item of this producer waits, at `buffer`."""
        self.pending += 1
        if buffer not in self.full:
            self.full.append(buffer)

    def settled(self, count: int = 1) -> None:
        """`count` items have found their place, or their reader has left."""
        self.pending -= count
        assert self.pending >= 0
        if not self.pending:
            self.full.clear()
            self.emptied()
