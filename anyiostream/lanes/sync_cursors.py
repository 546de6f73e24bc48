"""Cursors of the sync lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, final

from anyiostream.channels.interleaving import Interleaving
from anyiostream.channels.unread import EMPTY, Ended, Unread
from anyiostream.errors import WrongLane
from anyiostream.pump import NEEDS_ROOM

__all__ = ["SyncCursor", "SyncInterleaveCursor"]

if TYPE_CHECKING:
    from anyiostream.lanes.sync_run import SyncRun

T = TypeVar("T")


@final
class SyncCursor(Generic[T]):
    """Reads one buffer. May be left and taken up again; dropping it ends the subscription."""

    __slots__ = ("_buffer", "_ended", "_released", "_run")

    def __init__(self, run: SyncRun, buffer: Unread[T], released: Callable[[Unread[T]], None]) -> None:
        self._run = run
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
            BaseException: What ended the run, once, after all items.
        """
        buffer = self._buffer
        if not buffer.ready:
            if self._ended:
                raise StopIteration
            # As run.advance does, without the call: 5 % off an item.
            run = self._run
            try:
                step = run.step(buffer)
            except RuntimeError as exc:
                run.explain(exc, buffer)
                raise
            if step is NEEDS_ROOM:
                raise run.deadlock(buffer)
        item = buffer.take()
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
        ended = self._buffer.ended
        if ended is not None and not self._ended:
            self.leave()
            if ended.error is not None:
                raise self._run.deliver(ended.error)
        raise StopIteration


@final
class SyncInterleaveCursor:
    """Reads several channels in order of arrival, as (name, item)."""

    __slots__ = ("_reader", "_run")

    def __init__(self, run: SyncRun, reader: Interleaving) -> None:
        self._run = run
        self._reader = reader

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> tuple[str, Any]:
        """The next (projection name, item).

        Raises:
            As a channel's cursor; the error of one channel comes after all that arrived before it.
        """
        reader = self._reader
        while True:
            if not reader.ready:
                self._run.drive(reader)
            if reader.ended or not reader.ready:
                self.close()
                raise StopIteration
            taken = reader.take(None, self._deliver)
            if taken is not None:
                return taken

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

    if not TYPE_CHECKING:  # for type checkers it is no asynchronous iterable

        def __aiter__(self) -> NoReturn:
            raise WrongLane("this cursor of interleave()", "sync", "use 'for' instead.")

    def _deliver(self, ended: Ended) -> None:
        if ended.error is not None:
            self.close()
            raise self._run.deliver(ended.error)
