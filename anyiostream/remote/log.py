"""`ThreadLog`: the events of one thread, in order. The contract, which `tests/remote/test_log.py` checks for any store.

- `append` gives an event the next `seq`. Within what one claim of the thread has written they rise by one, and no `seq`
  is ever given twice. When it returns, every reader can read the event.
- `read(after)` gives the events that follow `after`, in order, or none if there are none yet. Reading takes nothing
  away. It checkpoints or not, and a cancellation takes nothing.
- A log may forget its oldest events. Reading on from a place whose next event is gone, or which is not in this log,
  raises `LogGap`; a reader never crosses a gap unasked.
- `wait(after)` returns when there is something after `after`, or when something has been forgotten that a reader at
  `after` has not read. It may return early. A cancellation leaves nothing behind.
- Any number of tasks read and wait at the same time; only the thread's run appends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeVar, final

from anyiostream import AnyioStreamError
from anyiostream.remote.refusals import gap_text
from anyiostream.wire.drafts import Draft, Entry

__all__ = ["LogGap", "ThreadLog", "looked_again"]

T = TypeVar("T")

LOOKS: Final = 8
"""How often a log is looked at that forgets faster than it is read."""


@final
class LogGap(AnyioStreamError):
    """The events after a reader's place are no longer kept.

    Attributes:
        after: The reader's place.
        first: The oldest event that is kept.
    """

    def __init__(self, after: int, first: int) -> None:
        super().__init__(gap_text(after, first))
        self.after: Final = after
        self.first: Final = first


class ThreadLog(Protocol):
    """The events of one thread."""

    @property
    def log_id(self) -> str:
        """Digits that tell this log from an earlier one of a thread of the same name; part of every `event_id`."""
        ...

    @property
    def first(self) -> int:
        """The `seq` after that of the newest event that has been forgotten; 1 if none has."""
        ...

    @property
    def last(self) -> int:
        """The `seq` of the newest event; 0 if there never was one."""
        ...

    async def append(self, draft: Draft) -> Entry:
        """Give an event its place."""
        ...

    async def read(self, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after `after`, at most `most`.

        Raises:
            LogGap: The first of them is no longer kept.
        """
        ...

    async def wait(self, after: int) -> None:
        """Wait until a read after `after` would give something, or raise."""
        ...


async def looked_again(look: Callable[[], Awaitable[T]]) -> T:
    """What `look` returns. It is called again if the log has forgotten meanwhile what it was about to read.

    Raises:
        LogGap: That has happened each time.
    """
    for _ in range(LOOKS - 1):
        with suppress(LogGap):
            return await look()
    return await look()
