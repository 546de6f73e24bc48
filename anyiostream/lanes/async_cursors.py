"""Cursors of the async lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, NoReturn, Self, TypeVar, final

from anyio import EndOfStream
from anyio.abc import ObjectReceiveStream

from anyiostream.channels.branches import Branch
from anyiostream.channels.buffer import EMPTY, Buffer
from anyiostream.channels.interleaving import Interleaving
from anyiostream.driver.driver import Driver
from anyiostream.driver.turn import FREE
from anyiostream.errors import CursorBusy, WrongLane
from anyiostream.lanes.projection_types import PairT_co
from anyiostream.outcome import Outcome

__all__ = ["AsyncCursor", "AsyncInterleaveCursor"]

T = TypeVar("T")


@final
class AsyncCursor(ObjectReceiveStream[T]):
    """Reads one buffer. May be left and taken up again; dropping it ends the subscription.

    Checkpoints when it has to wait, and before the item that follows `checkpoint_every` items read without waiting.
    """

    def __init__(self, driver: Driver, buffer: Buffer[T], released: Callable[[Buffer[T]], None]) -> None:
        self._driver = driver
        self._buffer = buffer
        self._branch: Branch[T] | None = buffer if isinstance(buffer, Branch) else None
        self._released = released
        self._ended = False

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> T:  # noqa: C901, PLR0912 -- the hot path: a call costs as much as what is done here
        """The next item. If cancelled, nothing is lost.

        Raises:
            StopAsyncIteration: The channel was closed, or the run aborted.
            CursorBusy: Another task waits on this cursor.
            BackpressureDeadlock: The run is stalled because another channel, which this task reads, is full.
            BaseException: What ended the run, once, after all items.
        """
        buffer, driver, branch = self._buffer, self._driver, self._branch
        ready: int
        if branch is None:
            if (
                driver.next_at_once
                and not driver.turn.waiting  # asked early: most readers that cannot go on here are not alone
                and buffer.feeder is not None
                and not buffer.ready
                and driver.turn.state is FREE
                and driver.pause_at > driver.pump.parts
            ):
                # Nobody else is to be considered: the item need not go by way of the buffer. Once it has been taken,
                # nothing is called any more: an interrupt in a call would lose it.
                buffer.reader = driver.loop.current_task()
                item = driver.take_for(buffer)
                if item is not EMPTY:
                    return item  # type: ignore[no-any-return]  # parts have no types
            ready = buffer.ready
        elif (pause_at := driver.pause_at) > driver.pump.parts:
            # As `branch.take()`, without the call, and without asking first whether there is an item: that saves an
            # eighth of what an item costs at each branch.
            item, following, _ = branch.next
            if following is not None:
                branch.reader = driver.loop.current_task()  # first: an interrupt in this call would lose the item
                branch.next = following
                if branch.line:
                    branch.refill()
                driver.pause_at = pause_at - 1
                return item  # type: ignore[no-any-return]  # links have no types
            ready = buffer.outcome is not None
        else:
            ready = buffer.ready
        if not ready:
            if self._ended:
                raise StopAsyncIteration
            if buffer.parked is not None:
                raise CursorBusy(buffer.name, "atee")
            step = driver.advance(buffer)
            buffer.reader = driver.loop.current_task() if step is None else await driver.wait_for(buffer, step)
        else:
            if driver.pause_at <= driver.pump.parts:
                await driver.checkpoint()
            driver.pause_at -= 1
            buffer.reader = driver.loop.current_task()
        item = buffer.take()
        if item is EMPTY:
            if buffer.outcome is None and not self._ended:
                return await self.__anext__()  # another task has taken it while this one let others run
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

    if not TYPE_CHECKING:  # for type checkers it is not iterable

        def __iter__(self) -> NoReturn:
            raise WrongLane(f"this cursor of {self._buffer.name}", "async", "use 'async for' instead.")

    def __del__(self) -> None:
        if not self._buffer.left:
            # The garbage collector may run in any thread.
            buffer, released = self._buffer, self._released
            self._driver.loop.from_any_thread(lambda: released(buffer))

    def _end(self) -> None:
        outcome = self._buffer.outcome
        if outcome is not None and not self._ended:
            self.leave()
            if outcome.raises:
                raise self._driver.deliver(outcome)


@final
class AsyncInterleaveCursor(Generic[PairT_co]):
    """Reads several channels in order of arrival, as (name, item).

    Generic in the type of these pairs.
    """

    def __init__(self, driver: Driver, reader: Interleaving) -> None:
        self._driver = driver
        self._reader = reader

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> PairT_co:
        """The next (projection name, item). If cancelled, nothing is lost.

        Raises:
            As a channel's cursor; the error of one channel comes after all that arrived before it.
        """
        driver, reader = self._driver, self._reader
        while True:
            if not reader.ready:
                await driver.until(reader)
            else:
                if driver.pause_at <= driver.pump.parts:
                    await driver.checkpoint()
                driver.pause_at -= 1
            if reader.ended:
                self.leave()
                raise StopAsyncIteration
            taken = reader.take(driver.loop.current_task(), self._deliver)
            if taken is not None:
                return taken  # type: ignore[return-value]  # the names that it was made with say so

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

    if not TYPE_CHECKING:  # for type checkers it is not iterable

        def __iter__(self) -> NoReturn:
            raise WrongLane("this cursor of interleave()", "async", "use 'async for' instead.")

    def __del__(self) -> None:
        self._driver.loop.from_any_thread(self._reader.leave)

    def _deliver(self, outcome: Outcome) -> None:
        if outcome.raises:
            self.leave()
            raise self._driver.deliver(outcome)
