"""`Producer`: the source of pushes to channels, and the count of its items that wait for room.

Rules:

- A producer is the event being dispatched, a scheduled task, one `send()`, or the application. The items themselves
  wait at the full buffers, in order; each buffer remembers whose they are, and the producer counts them.
- The event has no limit but its own fan-out, because no further part is dispatched before all of its items have found
  room. Every other producer may have at most `maxlen` items waiting at a channel of that bound.
- The current producer is a context variable. It costs nothing until a buffer is full, and everything that a producer
  calls or starts inherits it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, final

import attrs

from anyiostream.errors import BackpressureDeadlock

__all__ = ["FullBuffer", "Home", "Producer", "current_producer"]

current_producer: ContextVar[Producer] = ContextVar("anyiostream.current_producer")
"""The hook, scheduled task or graph that runs in this context; unset in the application's own code."""


class Home(Protocol):
    """What buffers need of the run that they belong to."""

    @property
    def application_producer(self) -> Producer:
        """The producer of pushes that come from no hook, scheduled task or graph of the run."""
        ...


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


def _do_nothing() -> None:
    return None


@final
@attrs.define(eq=False)
class Producer:
    """A source of pushes to the channels of one run.

    Attributes:
        name: What it is called in messages.
        home: The run it belongs to; in another run it counts as the application.
        scope: Namespace of the events that its named channels make; `None` for that of the event being dispatched.
        bounded: Whether a full buffer refuses this producer once `maxlen` of its items wait there.
        withdrawable: Whether its items may still be taken back, so that they have not arrived before they fit.
        given_up: Whether it was cancelled and has not run since.
        emptied: Called when its last waiting item has found room.
        pending: Items that wait, over all buffers.
        full: The buffers at which items wait, or did since nothing waited.
        sending: The buffers at which it waits in `send`.
    """

    name: str
    home: object
    scope: tuple[str, ...] | None = None
    bounded: bool = True
    withdrawable: bool = False
    given_up: Callable[[], bool] = _never
    emptied: Callable[[], object] = _do_nothing
    pending: int = 0
    full: tuple[FullBuffer, ...] = ()
    sending: tuple[FullBuffer, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether items of it wait, or it waits in `send` itself."""
        return bool(self.pending or self.sending)

    def spilled(self, buffer: FullBuffer) -> None:
        """One more item of this producer waits, at `buffer`."""
        self.pending += 1
        if buffer not in self.full:
            self.full = (*self.full, buffer)

    def settled(self, count: int = 1) -> None:
        """`count` items have found room, or their reader has left."""
        self.pending -= count
        assert self.pending >= 0
        if not self.pending:
            self.full = ()
            self.emptied()
