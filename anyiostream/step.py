"""`Step`: why advancing a pump stopped."""

from __future__ import annotations

import enum
from typing import Final, Protocol, final

__all__ = ["CONTROL_FLOW", "Step", "Wanted"]

CONTROL_FLOW: Final = (KeyboardInterrupt, SystemExit)
"""Exceptions that always propagate at once, whatever else is done about them."""


class Wanted(Protocol):
    """What the run is advanced for."""

    @property
    def ready(self) -> int:
        """Not 0 once it is there."""
        ...


@final
class Step(enum.Enum):
    """Why advancing stopped."""

    READY = enum.auto()
    """What the caller wants is there."""
    SPENT = enum.auto()
    """As many parts as the caller allowed have been dispatched."""
    OTHERS_FIRST = enum.auto()
    """Another reader or task goes first: the pump is reserved, or is being stepped elsewhere."""
    NEEDS_PART = enum.auto()
    """The source has nothing yet."""
    NEEDS_ROOM = enum.auto()
    """Items of the last event wait for a reader."""
    NEEDS_AWAIT = enum.auto()
    """`pump.job` has to be awaited."""
    ENDED = enum.auto()
    """There is nothing to do: the run has ended."""


# Looking a member up in its class costs as much per part as all other checks together.
READY: Final = Step.READY
SPENT: Final = Step.SPENT
OTHERS_FIRST: Final = Step.OTHERS_FIRST
NEEDS_PART: Final = Step.NEEDS_PART
NEEDS_ROOM: Final = Step.NEEDS_ROOM
NEEDS_AWAIT: Final = Step.NEEDS_AWAIT
ENDED: Final = Step.ENDED
