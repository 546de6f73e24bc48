"""Sources that are iterables of parts."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, final

from anyiostream.pump import END, readable
from anyiostream.sources.inbox import Inbox

if TYPE_CHECKING:
    from anyiostream.lanes.asynchronous import AsyncRun
    from anyiostream.mux.port import SpawnedTask

__all__ = ["HostedIterator", "IterableSource"]


@final
class IterableSource:
    """An iterable, advanced by whoever needs a part. It never waits, so it serves both lanes."""

    has_part = True
    read_ahead = 0

    def __init__(self, iterable: Iterable[Any], name: str) -> None:
        iterator = iter(iterable)
        self.name = name
        self.pull: Callable[[], Any] = partial(next, iterator, END)
        self._close: Callable[[], object] | None = getattr(iterator, "close", None)
        self._on_close_error: BaseException | None = None

    def start(self, run: AsyncRun, on_part: Callable[[], None]) -> None:
        """Nothing runs by itself."""

    def demand(self) -> None:
        """There is always something."""

    def stop(self) -> None:
        """Close the iterator, if it can be closed."""
        try:
            self.close_now()
        except Exception as exc:  # noqa: BLE001 -- raised by close()
            self._on_close_error = exc

    def stop_again(self) -> None:
        """It has stopped."""

    def close_now(self) -> None:
        """Close the iterator, once."""
        close, self._close = self._close, None
        if close is not None:
            close()

    async def close(self) -> None:
        """Raise what closing raised."""
        error, self._on_close_error = self._on_close_error, None
        if error is not None:
            raise error


@final
class HostedIterator:
    """An async iterable, advanced and closed by one task of the run's own.

    So an async generator may hold cancel scopes, task groups and context variables across its yields, and a reader's
    cancellation does not reach it.
    """

    def __init__(self, open_iterable: Callable[[], AsyncIterable[Any]], name: str, inbox: Inbox) -> None:
        self.name = name
        self._open = open_iterable
        self._inbox = inbox
        self._task: SpawnedTask | None = None
        self._run: AsyncRun | None = None
        self._advancing = False
        self._close_error: BaseException | None = None
        self.pull = inbox.pull
        self.demand = inbox.demand

    @property
    def has_part(self) -> bool:
        """Whether `pull` would answer something else than `NOTHING`."""
        return self._inbox.has_part

    @property
    def read_ahead(self) -> int:
        """Parts that are there already."""
        return len(self._inbox)

    def start(self, run: AsyncRun, on_part: Callable[[], None]) -> None:
        """Start the task; it waits for demand before it does anything."""
        self._inbox.notify(on_part)
        self._run = run
        self._task = run.spawn(self._host, self.name, run.source_context)

    def stop(self) -> None:
        """Let the task close the iterator; cancel it if it is inside."""
        if not self._inbox.stopped:
            self._inbox.stop()
            if self._advancing:
                self.stop_again()

    def stop_again(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Wait for the task, and raise what closing the iterator raised."""
        if self._task is not None and self._run is not None:
            await self._run.wait(self._task.finished)
        error, self._close_error = self._close_error, None
        if error is not None:
            raise error

    async def _host(self) -> None:
        assert self._run is not None
        inbox, loop = self._inbox, self._run.loop
        iterator: AsyncIterator[Any] | None = None
        error: BaseException | None = None
        try:
            while await inbox.permission(loop):
                self._advancing = True
                if iterator is None:
                    iterator = aiter(self._open())
                try:
                    part = await anext(iterator)
                except StopAsyncIteration:
                    break
                finally:
                    self._advancing = False
                inbox.put(part)
        except BaseException as exc:
            error = exc
        closing = await _close(iterator)
        if inbox.stopped:
            # The run is over. Being cancelled is what was asked for; anything else is for those who leave the block.
            self._close_error = closing or (None if error is None or loop.is_cancellation(error) else error)
        elif error is not None and loop.is_cancellation(error):
            inbox.end(readable(error, self.name))
        else:
            inbox.end(error or closing)


async def _close(iterator: AsyncIterator[Any] | None) -> BaseException | None:
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        try:
            await aclose()
        except BaseException as exc:  # noqa: BLE001 -- reported by the caller
            return exc
    return None
