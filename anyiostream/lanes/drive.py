"""What a reader has to do after it has stepped the run as far as it could without waiting."""

from __future__ import annotations

import enum
from typing import Final, final

__all__ = ["CHECKPOINT", "PARK", "READY", "Drive"]


@final
class Drive(enum.Enum):
    """Why stepping stopped."""

    READY = enum.auto()
    """What the reader waits for is there."""
    PARK = enum.auto()
    """It has to wait until it is woken."""
    CHECKPOINT = enum.auto()
    """It has to let other tasks run before it goes on."""


# Looking a member up in its class takes time on the way of every item.
READY: Final = Drive.READY
PARK: Final = Drive.PARK
CHECKPOINT: Final = Drive.CHECKPOINT
