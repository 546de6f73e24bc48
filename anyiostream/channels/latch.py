"""Something that happens once and that any number of tasks may wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, final

import attrs

from anyiostream.channels.unread import Wakeable

__all__ = ["Awaited", "Callback", "Latch"]


class Awaited(Protocol):
    """What a reader waits for: a buffer's next step, or a latch."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def ready(self) -> int:
        """Not 0 once waiting is over."""
        ...

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` when it is ready."""

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""


@final
@attrs.frozen(eq=False)
class Callback:
    """A call in the place of a parked reader."""

    call: Callable[[], object]

    def wake(self) -> None:
        """Make the call."""
        self.call()


@final
@attrs.define(eq=False)
class Latch:
    """Not ready until it is opened; then ready for good.

    Attributes:
        name: What it is called in messages.
        ready: 0 or 1.
    """

    name: str
    ready: int = 0
    _parked: dict[Wakeable, None] = attrs.field(factory=dict)

    def open(self) -> None:
        """Wake all that wait. Idempotent; if an interrupt cuts it short, it may be called again."""
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
