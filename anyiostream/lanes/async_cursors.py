"""Cursors of the async lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, final

from anyio import EndOfStream
from anyio.abc import ObjectReceiveStream

from anyiostream.channels.branches import Branch
from anyiostream.channels.interleaving import Interleaving
from anyiostream.channels.unread import EMPTY, Ended, Unread
from anyiostream.errors import CursorBusy, WrongLane

if TYPE_CHECKING:
    from anyiostream.lanes.async_run import AsyncRun

__all__ = ["AsyncCursor", "AsyncInterleaveCursor"]

T = TypeVar("T")


@final
class AsyncCursor(ObjectReceiveStream[T]):
    """Reads one buffer. May be left and taken up again; dropping it ends the subscription.

    Checkpoints when it has to wait, and before the item that follows `checkpoint_every` items read without waiting.
    """

    def __init__(self, run: AsyncRun, buffer: Unread[T], released: Callable[[Unread[T]], None]) -> None:
        self._run = run
        self._buffer = buffer
        self._branch: Branch[T] | None = buffer if isinstance(buffer, Branch) else None
        self._released = released
        self._ended = False

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> T:
        """The next item. If cancelled, nothing is lost.

        Raises:
            StopAsyncIteration: The channel was closed, or the run aborted.
            CursorBusy: Another task waits on this cursor.
            BackpressureDeadlock: The run is stalled because another channel, which this task reads, is full.
            BaseException: What ended the run, once, after all items.
        """
        buffer, run = self._buffer, self._run
        branch = self._branch
        if branch is not None and (budget := run.budget) > 0:
            # As `branch.take()`, without the call, and without asking first whether there is an item: that saves an
            # eighth of what an item costs at each branch.
            item, following, _ = branch.next
            if following is not None:
                branch.next = following
                if branch.line:
                    branch.refill()
                run.budget = budget - 1
                branch.reader = run.loop.current_task()
                return item  # type: ignore[no-any-return]  # links have no types
            ready: int = buffer.ended is not None
        else:
            ready = buffer.ready
        if not ready:
            if self._ended:
                raise StopAsyncIteration
            if buffer.parked is not None:
                raise CursorBusy(buffer.name, "atee")
            step = run.advance(buffer)
            buffer.reader = run.loop.current_task() if step is None else await run.wait_for(buffer, step)
        else:
            if run.budget <= 0:
                await run.checkpoint()
            run.budget -= 1
            buffer.reader = run.loop.current_task()
        item = buffer.take()
        if item is EMPTY:
            self._end()
            raise StopAsyncIteration
        return item

    async def receive(self) -> T:
        """The next item, as AnyIO's streams give it.

        Raises:
            anyio.EndOfStream: In place of `StopAsyncIteration`.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise EndOfStream from None

    def leave(self) -> None:
        """End the subscription and free the buffer. Idempotent."""
        self._ended = True
        if not self._buffer.left:
            self._buffer.wake()
            self._released(self._buffer)

    async def aclose(self) -> None:
        """End the subscription. Does not checkpoint."""
        self.leave()

    if not TYPE_CHECKING:  # for type checkers it is no iterable

        def __iter__(self) -> NoReturn:
            raise WrongLane(f"this cursor of {self._buffer.name}", "async", "use 'async for' instead.")

    def __del__(self) -> None:
        if not self._buffer.left:
            # The garbage collector may run in any thread.
            buffer, released = self._buffer, self._released
            self._run.loop.from_any_thread(lambda: released(buffer))

    def _end(self) -> None:
        ended = self._buffer.ended
        if ended is not None and not self._ended:
            self.leave()
            if ended.error is not None:
                raise self._run.deliver(ended.error)


@final
class AsyncInterleaveCursor:
    """Reads several channels in order of arrival, as (name, item)."""

    def __init__(self, run: AsyncRun, reader: Interleaving) -> None:
        self._run = run
        self._reader = reader

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> tuple[str, Any]:
        """The next (projection name, item). If cancelled, nothing is lost.

        Raises:
            As a channel's cursor; the error of one channel comes after all that arrived before it.
        """
        run, reader = self._run, self._reader
        while True:
            if not reader.ready:
                await run.until(reader)
            elif run.budget > 0:
                run.budget -= 1
            else:
                await run.checkpoint()
                run.budget -= 1
            if reader.ended:
                self.leave()
                raise StopAsyncIteration
            taken = reader.take(run.loop.current_task(), self._deliver)
            if taken is not None:
                return taken

    def leave(self) -> None:
        """Release the channels; they may be subscribed again."""
        self._reader.leave()

    async def aclose(self) -> None:
        """Release the channels. Does not checkpoint."""
        self.leave()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Release the channels."""
        self.leave()

    if not TYPE_CHECKING:  # for type checkers it is no iterable

        def __iter__(self) -> NoReturn:
            raise WrongLane("this cursor of interleave()", "async", "use 'async for' instead.")

    def __del__(self) -> None:
        self._run.loop.from_any_thread(self._reader.leave)

    def _deliver(self, ended: Ended) -> None:
        if ended.error is not None:
            self.leave()
            raise self._run.deliver(ended.error)
