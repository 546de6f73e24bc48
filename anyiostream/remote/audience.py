"""Who reads a thread: where a new viewer begins, and how far a run may be ahead of the slowest one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

import anyio
import attrs

from anyiostream.remote.fold import Fold
from anyiostream.remote.log import LogGap
from anyiostream.remote.store import StoredLog
from anyiostream.remote.subscriptions import Subscription

__all__ = ["Audience", "Reader", "Replay", "replay_of"]


@final
@attrs.frozen
class Replay:
    """Where a new viewer begins.

    Attributes:
        after: The `seq` after which it reads on.
        left_out: Events that it is not shown.
        gap: The first event that it should have been shown, if that is no longer kept.
    """

    after: int
    left_out: frozenset[int] = frozenset()
    gap: int | None = None


def replay_of(fold: Fold, log: StoredLog, subscription: Subscription) -> Replay:
    """Where a new viewer of a log begins, whose events amount to `fold`.

    Raises:
        LogGap: It asks for events after one that this thread does not have: the thread has been restarted since.
    """
    if subscription.since is not None:
        if subscription.since > log.last:
            raise LogGap(subscription.since, log.last + 1)
        return Replay(subscription.since)
    if subscription.is_watcher and fold.watched > fold.turn:
        # It knows of this turn's end already, and waits for what comes next. Told of the end again, it would take
        # it for the end of its next run; told of the beginning only, it would wait for an end.
        return Replay(log.last)
    if fold.turn + 1 < log.first:
        return Replay(log.first - 1, fold.left_out, gap=fold.turn)
    return Replay(fold.turn, fold.left_out)


class Reader(Protocol):
    """A viewer, as the thread sees it."""

    @property
    def cursor(self) -> int:
        """The `seq` of the last event that it no longer needs."""
        ...

    def tick(self) -> None:
        """A part of a heartbeat's time has passed: look whether it has been silent for too long."""
        ...


@final
class Audience:
    """The viewers of a thread.

    Attributes:
        lead: Events by which a run may be ahead of the slowest one; `None` for any number.
    """

    def __init__(self, lead: int | None) -> None:
        self.viewers: Final[set[Reader]] = set()
        self.lead: Final = lead
        self._advanced: anyio.Event | None = None

    def advanced(self) -> None:
        """A viewer has read on, or has left: a run that waits for it may go on."""
        advanced, self._advanced = self._advanced, None
        if advanced is not None:
            advanced.set()

    async def wait(self, last: int, enough: Callable[[], bool]) -> None:
        """Wait until the slowest viewer is near enough to the event at `last`, or `enough` is true."""
        while self.lead is not None and not enough():
            if all(viewer.cursor > last - self.lead for viewer in self.viewers):
                return
            self._advanced = anyio.Event()
            await self._advanced.wait()
