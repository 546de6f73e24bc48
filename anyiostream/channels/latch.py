"""Waiting in the core: what can be woken, what can be waited for, and `Latch`, which opens once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, final

import attrs

__all__ = ["Awaited", "Callback", "Latch", "Wakeable"]


class Wakeable(Protocol):
    """A reader that is parked."""

    def wake(self) -> None:
        """Let it look again. Safe to call twice."""


class Awaited(Protocol):
    """What a reader waits for: the next step of a buffer, or a latch."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def ready(self) -> int:
        """Not 0 once the reader need not wait."""
        ...

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` when it is ready."""

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""


@final
@attrs.frozen(eq=False)
class Callback:
    """A call that stands in for a parked reader."""

    call: Callable[[], object]

    def wake(self) -> None:
        """Make the call."""
        self.call()


@final
@attrs.define(eq=False)
class Latch:
    """Not ready until it is opened; then ready for good. Any number of readers may wait for it.

    Attributes:
        name: What it is called in messages.
        ready: 0 or 1.
    """

    name: str
    ready: int = 0
    _parked: dict[Wakeable, None] = attrs.field(factory=dict)

    def open(self) -> None:
        """Wake all readers that wait. Idempotent; if an interrupt cuts it short, it may be called again."""
        self.ready = 1
        for reader in list(self._parked):
            reader.wake()
            self._parked.pop(reader, None)

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` when it is opened."""
        self._parked[reader] = None

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        self._parked.pop(reader, None)
