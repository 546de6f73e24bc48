"""`Pulse`: one timer for all streams of a server, by which each knows when it has been silent for too long."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final, final

import anyio

from anyiostream.remote.audience import Reader

__all__ = ["NEVER", "Pulse"]

RESTING: Final = 5.0
"""Seconds between two looks at streams that have no heartbeats."""

PARTS: Final = 4
"""Parts of a heartbeat's time: a stream that has been silent for three to four of them says that it is alive."""


@final
class Pulse:
    """The time between the heartbeats of streams.

    A deadline for each wait of each stream would cost a viewer on trio about a third of what an event costs it.

    Args:
        heartbeat: Seconds of silence after which a stream says at the latest that it is alive; `math.inf` for never.
    """

    def __init__(self, heartbeat: float) -> None:
        self._never: Final = math.isinf(heartbeat)
        self._part: Final = RESTING if self._never else heartbeat / PARTS
        self._parts = 0

    async def run(self, streams: Callable[[], Iterable[Reader]]) -> None:
        """Have streams look whether they have been silent for too long, for as long as the server runs."""
        while True:
            await anyio.sleep(self._part)
            self._parts += 1
            for stream in streams():
                stream.tick()

    @property
    def now(self) -> int:
        """A time, for `is_long_since`."""
        return self._parts

    def is_long_since(self, then: int) -> bool:
        """Whether so much time has passed that a stream which has sent nothing since is to say that it is alive."""
        return self._parts - then >= PARTS and not self._never


NEVER: Final = Pulse(math.inf)
"""That of streams without heartbeats."""
