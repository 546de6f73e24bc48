"""`Backoff`: how long to wait between attempts at what fails for a while: a store that is away, a lost connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, TypeVar, final

import anyio
import attrs

__all__ = ["Backoff"]

T = TypeVar("T")

MOST_DOUBLINGS: Final = 64
"""More would not change a pause, and after a thousand of them a float overflows."""


@final
@attrs.frozen
class Backoff:
    """Pauses that grow: each is twice as long as the one before.

        backoff = Backoff(first=0.5, longest=30.0)
        record = await backoff.retry(partial(store.record, key), logger.info, on=(StoreFailed,))

    Attributes:
        first: Seconds of the first pause.
        longest: Seconds of a pause at most.
    """

    first: float
    longest: float

    def pause(self, before: int) -> float:
        """Seconds of the pause that comes after `before` others."""
        return float(min(self.longest, self.first * 2 ** min(before, MOST_DOUBLINGS)))

    async def retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        failed: Callable[[Exception], None],
        *,
        on: tuple[type[Exception], ...],
    ) -> T:
        """Make attempts, with pauses between them, until one succeeds; its result.

        Args:
            attempt: Makes one.
            failed: Called with the error of each that fails.
            on: The errors after which another attempt is made. Others are raised.
        """
        for before in count():
            try:
                return await attempt()
            except on as exc:
                failed(exc)
            await anyio.sleep(self.pause(before))
        raise AssertionError("attempts are not bounded")
