"""`Reconnection`: how a client makes a lost connection again."""

from __future__ import annotations

import random
from typing import final

import attrs

from anyiostream.remote.backoff import Backoff

__all__ = ["Reconnection"]


@final
@attrs.frozen
class Reconnection:
    """How a lost connection is made again.

    The client waits for a random part of the delay, at least half of it, so that the clients of a server that was away
    do not come back all at once. A server may ask for more time.

    Attributes:
        attempts: How often in a row, without an event in between.
        first: Seconds before the second attempt; each further one waits twice as long as the one before.
        longest: Most seconds that are waited.
        silence: Seconds without a byte after which a connection counts as lost. The server sends a heartbeat.
        patience: Most seconds that are waited if the server asks for it.
    """

    attempts: int = 8
    first: float = 0.05
    longest: float = 2.0
    silence: float = 30.0
    patience: float = 60.0

    def delay(self, attempt: int) -> float:
        """Seconds before attempt number `attempt`, counted from 1."""
        return 0.0 if attempt <= 1 else Backoff(self.first, self.longest).pause(attempt - 2)

    def pause(self, attempt: int, asked: float) -> float:
        """Seconds actually waited before an attempt, if the server has asked for `asked`."""
        chosen = self.delay(attempt) * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
        return max(chosen, min(asked, self.patience))
