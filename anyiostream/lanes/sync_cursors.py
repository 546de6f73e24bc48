"""Cursors of the sync lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, final

from anyiostream.channels.buffer import EMPTY, Buffer
from anyiostream.channels.interleaving import Interleaving
from anyiostream.driver.context_entry import entry_refused
from anyiostream.driver.sync_driver import SyncDriver
from anyiostream.errors import WrongLane
from anyiostream.lanes.projection_types import PairT_co
from anyiostream.outcome import Outcome

__all__ = ["SyncCursor", "SyncInterleaveCursor"]
T = TypeVar("T")


@final
class SyncCursor(Generic[T]):
    """Reads one buffer. May be left and taken up again; dropping it ends the subscription."""

    __slots__ = ("_buffer", "_driver", "_ended", "_released")

    def __init__(self, driver: SyncDriver, buffer: Buffer[T], released: Callable[[Buffer[T]], None]) -> None:
        self._driver = driver
        self._buffer = buffer
        self._released = released
        self._ended = False

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> T:
        """The next item.

        Raises:
            StopIteration: The channel was closed, or the run aborted.
            BackpressureDeadlock: The run is stalled because another channel is full.
            RunBusy: Another thread runs the graph. The cursor is as it was.
            BaseException: What ended the run, once, after all items.
        """
        if self._ended:
            raise StopIteration
        # As driver.use does, without the call: 5 % off an item.
        driver, buffer = self._driver, self._buffer
        try:
            item = driver.take(buffer)
        except RuntimeError as exc:
            if not entry_refused(exc):
                raise
            item = driver.refused(driver.take_inside, buffer)
        return self._end() if item is EMPTY else item

    def leave(self) -> None:
        """End the subscription and free the buffer. Idempotent."""
        if not self._buffer.left:
            self._released(self._buffer)
        self._ended = True

    close = leave

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the subscription."""
        self.leave()

    def __del__(self) -> None:
        self.leave()

    def _end(self) -> T:
        outcome = self._buffer.outcome
        if outcome is not None and not self._ended:
            self.leave()
            if outcome.raises:
                raise self._driver.deliver(outcome)
        raise StopIteration


@final
class SyncInterleaveCursor(Generic[PairT_co]):
    """Reads several channels in order of arrival, as (name, item).

    Generic in the type of these pairs.
    """

    __slots__ = ("_driver", "_reader")

    def __init__(self, driver: SyncDriver, reader: Interleaving) -> None:
        self._driver = driver
        self._reader = reader

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> PairT_co:
        """The next (projection name, item).

        Raises:
            As a channel's cursor; the error of one channel comes after all that arrived before it.
        """
        driver, reader = self._driver, self._reader
        while True:
            taken = driver.use(self._take, reader)
            if taken is EMPTY:
                self.close()
                raise StopIteration
            if taken is not None:
                return taken  # type: ignore[no-any-return]  # likewise

    def close(self) -> None:
        """Release the channels; they may be subscribed again."""
        self._reader.leave()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Release the channels."""
        self.close()

    def __del__(self) -> None:
        self.close()

    if not TYPE_CHECKING:  # for type checkers it is not an asynchronous iterable

        def __aiter__(self) -> NoReturn:
            raise WrongLane("this cursor of interleave()", "sync", "use 'for' instead.")

    def _take(self, reader: Interleaving) -> Any:
        if not reader.ready:
            self._driver.advance_inside(reader)
        return EMPTY if reader.ended or not reader.ready else reader.take(None, self._deliver)

    def _deliver(self, outcome: Outcome) -> None:
        if outcome.raises:
            self.close()
            raise self._driver.deliver(outcome)
