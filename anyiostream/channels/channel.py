"""`StreamChannel`: what a transformer pushes to and one reader reads.

Rules:

- A channel keeps nothing before its one subscriber comes, and nothing after it has left. Only the channels of a
  subgraph's handle keep, from birth, what the first reader will want (`retain`).
- It can be subscribed to once. `tee` splits that subscription into several branches, each with its own bound; the
  fullest one paces the run.
- It ends once, by `close` or `fail`; readers get what is buffered first. The mux ends the channels of its transformers,
  so transformers need not.
- A named channel's push is also an event of the raw log, whether or not the channel has a reader.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from anyiostream.channels.backlog import Backlog
from anyiostream.channels.branches import open_buffers, storages
from anyiostream.channels.buffer import Buffer
from anyiostream.channels.overflow import POLICIES, Overflow, check_maxlen, check_overflow
from anyiostream.channels.port import ChannelPort, on_async_lane, wrong_loop
from anyiostream.channels.tally import Tally
from anyiostream.errors import (
    AlreadyBound,
    AlreadySubscribed,
    ChannelClosed,
    ChannelUnbound,
    InvalidBound,
    ItemsMissed,
    WrongLane,
)
from anyiostream.outcome import COMPLETED, Outcome
from anyiostream.statistics import ChannelStatistics

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream

__all__ = ["StreamChannel"]

T = TypeVar("T")

FAN_OUT = ("tee", "atee")
"""How a channel is read several times, on the sync and on the async lane."""


@final
class StreamChannel(Generic[T]):
    """A single-reader stream of items between a transformer and the application.

    Items come out in push order. Pushes before the subscription are not kept; leaving the subscription (`break`, an
    exception, cancellation, garbage collection) frees its buffer. Iterate with `for` on the sync lane and
    `async for` on the async one. A cursor (`iter(channel)`, `aiter(channel)`) may be left and taken up again.

    Borrowed from LangGraph's `StreamChannel`, whose `maxlen` has no effect; here it bounds.

    Example:
        Of a transformer's items, a slow reader gets the latest:

        ```python
        from anyiostream import PayloadTransformer, StreamChannel, open_run, parts

        class Latest(PayloadTransformer):
            methods = ("custom",)

            def init(self):
                self.latest = StreamChannel(maxlen=1, overflow="drop_oldest")
                return {"latest": self.latest}

            def consume(self, data):
                self.latest.push(data)

        with open_run([parts.custom(n) for n in range(4)], transformers=[Latest]) as run:
            cursor = iter(run.extensions["latest"])
            assert run.output is None
            assert list(cursor) == [3]
        ```
    """

    __slots__ = (
        "_backlog",
        "_forward",
        "_label",
        "_maxlen",
        "_on_watched",
        "_outcome",
        "_port",
        "_put",
        "_subscribed",
        "_tally",
        "buffers",
        "name",
        "overflow",
    )

    def __init__(self, name: str | None = None, *, maxlen: float | None = None, overflow: Overflow = "wait") -> None:
        """Make an unbound channel; returning it from a transformer's `init()` binds it.

        Args:
            name: If given, each push is also an event of the raw log, with the method `custom:<name>`, or `<name>`
                if the transformer is native.
            maxlen: The most items that are buffered for a reader; `None` for the run's `buffer`, `math.inf` for no
                bound.
            overflow: What a push to a full channel does: `"wait"`: the item waits, and no further part of the graph
                is dispatched; `"drop_oldest"` (with `maxlen=1`: the latest item), `"drop_newest"`: items are dropped
                and counted; `"fail"`: `ChannelFull`.

        Raises:
            InvalidBound: `maxlen` is not a positive number of items, or `overflow` is not a policy.
        """
        if maxlen is not None:
            check_maxlen(maxlen)
        if overflow != "wait":
            check_overflow(overflow)
        self.name = name
        self.overflow: Overflow = overflow
        self._maxlen = maxlen
        self._label = f"StreamChannel({name!r})" if name else "StreamChannel"
        self._port: ChannelPort | None = None
        self.buffers: tuple[Buffer[T], ...] = ()
        self._put: Callable[[T], None] | None = None
        self._forward: Callable[[T], None] | None = None
        self._on_watched: Callable[[], None] | None = None
        self._outcome: Outcome | None = None
        self._subscribed = False
        self._backlog: Backlog[T] | None = None
        self._tally = Tally()

    @classmethod
    def local(cls, *, maxlen: float | None = None, overflow: Overflow = "wait") -> StreamChannel[T]:
        """A channel that only readers in this process see."""
        return cls(maxlen=maxlen, overflow=overflow)

    @classmethod
    def remote(cls, name: str, *, maxlen: float | None = None, overflow: Overflow = "wait") -> StreamChannel[T]:
        """A channel whose items are also events of the raw log, so that remote readers see them."""
        return cls(name, maxlen=maxlen, overflow=overflow)

    def __repr__(self) -> str:
        return f"<{self._label}>"

    # --- the producer's end ---

    def push(self, item: T) -> None:
        """Add an item, in order, without waiting. Dropped and counted if there is no subscriber.

        Raises:
            ChannelClosed: The channel has ended, whether or not it has, or had, a reader.
            ChannelFull: It is full and its policy is `"fail"`; or the pusher is a scheduled task (or the
                application) and has `maxlen` items waiting already.
        """
        put = self._put
        if put is not None:
            put(item)
        elif self._outcome is not None:
            raise ChannelClosed(self._label)
        else:
            self._tally.unread += 1
        if self._forward is not None:
            self._forward(item)

    def pass_by(self) -> None:
        """Count an item that no reader could have seen, and that was therefore not made."""
        self._tally.unread += 1

    async def send(self, item: T) -> None:
        """Add an item, waiting for room. A checkpoint only if it has to wait.

        If cancelled while it waits, the item is not added.

        Raises:
            ChannelClosed: As for `push`.
            ChannelUnbound, WrongLane: The channel belongs to no run on the async lane.
        """
        port = self._bound_port()
        if not on_async_lane(port):
            raise WrongLane(self._label, "sync", "use push() there; the sync lane cannot wait.")
        if self._outcome is not None or not self.buffers:
            self.push(item)
            return
        await port.send(self, item)
        if self._forward is not None:
            self._forward(item)

    def close(self) -> None:
        """No more items will come. Idempotent; the mux does this when the run ends."""
        self.end(COMPLETED)

    def fail(self, err: BaseException) -> None:
        """No more items will come because of `err`: readers get what is buffered, and then this very object."""
        self.end(Outcome.by(err))

    def end(self, outcome: Outcome) -> None:
        """As `close` or `fail`, with an outcome that several channels share."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        if self.buffers:
            for buffer in self.buffers:
                buffer.end(outcome)
            self._set_buffers(self.buffers)
        else:
            # A backlog stays for its reader; nothing is added to it.
            self._set_put(None)

    @property
    def ended(self) -> bool:
        """Whether the channel has been closed or failed; items may still be buffered."""
        return self._outcome is not None

    # --- the reader's end ---

    def __iter__(self) -> Iterator[T]:
        """Subscribe on the sync lane. Advancing the cursor runs the graph as far as needed.

        Raises:
            ChannelUnbound, WrongLane: The channel belongs to no run, or to one on the async lane.
            AlreadySubscribed: It has, or had, a reader.
            ItemsMissed: It belongs to a subgraph, and its reader comes too late.
            RunClosed: The run's block has been left.
        """
        (cursor,) = self._open(1, None, is_async=False)
        return cursor  # type: ignore[no-any-return]  # of this lane

    def __aiter__(self) -> ObjectReceiveStream[T]:
        """Subscribe on the async lane. Advancing the cursor runs the graph as far as needed.

        The cursor is an `anyio.abc.ObjectReceiveStream` as well as an async iterator. It checkpoints when it has to
        wait, and otherwise after `checkpoint_every` items; cancelling it loses no item. Raises as `__iter__`.
        """
        (cursor,) = self._open(1, None, is_async=True)
        return cursor  # type: ignore[no-any-return]  # as above

    def tee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[Iterator[T], ...]:
        """Subscribe once and read `n` times: `n` cursors of the sync lane, each with all items in order.

        Each has a buffer of `maxlen` items (by default the channel's); the slowest paces the run. Each gets the end,
        and the error if there is one. A branch that leaves frees its buffer and no longer counts.

        Raises:
            InvalidBound: `n` is less than 1.
            AnyioStreamError: Otherwise as `__iter__`.
        """
        return self._open(n, maxlen, is_async=False)

    def atee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[AsyncIterator[T], ...]:
        """As `tee`, for the async lane."""
        return self._open(n, maxlen, is_async=True)

    def statistics(self) -> ChannelStatistics:
        """The channel's figures now."""
        return ChannelStatistics(
            name=self._label,
            # The branches of a tee may have a bound of their own.
            maxlen=max((buffer.maxlen for buffer in self.buffers), default=self._bound()),
            overflow=self.overflow,
            readers=len(self.buffers),
            ended=self.ended,
            **self._tally.figures(self.buffers, self._backlog),
        )

    # --- what the mux and the cursors need ---

    def bind(
        self,
        port: ChannelPort,
        label: str,
        *,
        forward: Callable[[T], None] | None = None,
        on_watched: Callable[[], None] | None = None,
        retain: bool = False,
    ) -> None:
        """Join a run. Called by the mux at registration.

        Args:
            port: What the channel needs of the run.
            label: The projection's name, for messages.
            forward: Called with each item pushed, after it was buffered.
            on_watched: Called when `watched` or `sink` has changed.
            retain: Whether to call `retain` as well.

        Raises:
            AlreadyBound: It has joined one before.
        """
        if self._port is not None:
            raise AlreadyBound(self._label)
        self._port = port
        self._label = f"channel {label!r}"
        self._forward = forward
        if retain:
            self.retain()  # before `on_watched`: the mux asks for `sink` only after it has bound the channel
        self._on_watched = on_watched

    def retain(self) -> None:
        """From now on keep the first `maxlen` items for a reader that is to come. Called for a handle's channels."""
        if self._backlog is None and not self._subscribed:
            self._backlog = Backlog(self._bound_port().stamp, self._bound(), POLICIES[self.overflow])
            self._set_put(self._backlog.keep)

    def restore(self, kept: Iterable[tuple[int, T]], missed: int) -> None:
        """What would have been kept since `retain`, with the stamps of their arrival, or how many were missed."""
        assert self._backlog is not None
        self._backlog.restore(kept, missed)

    def sink(self) -> Callable[[T], None]:
        """What a producer may call in place of `push` until `on_watched` is called: it does the same, faster."""
        return self._put if self._put is not None and self._forward is None else self.push

    @property
    def watched(self) -> bool:
        """Whether an item pushed now could ever be read from the channel itself."""
        return self._put is not None and (self._backlog is None or not self._backlog.missed)

    def backlog_stamps(self) -> list[int]:
        """When each item arrived that is kept for a reader that is to come."""
        return [] if self._backlog is None else [stamp for stamp, _ in self._backlog.items]

    def subscribe(self, *, is_async: bool, branches: int = 1, maxlen: float | None = None) -> tuple[Buffer[T], ...]:
        """Take the channel's one subscription: a buffer for each branch, holding what was retained.

        Raises:
            AnyioStreamError: As `__iter__`.
        """
        port = self._bound_port()
        if port.is_async is not is_async:
            raise wrong_loop(port, f"this StreamChannel ({self._label})")
        port.admit(self._label)
        if self._subscribed:
            raise AlreadySubscribed(self._label, left=not self.buffers, fan_out=FAN_OUT[is_async])
        if self._backlog is not None and self._backlog.missed:
            raise ItemsMissed(self._label, self._backlog.missed, self._bound())
        if self._outcome is not None and not self._outcome.raises:
            self._tally.warn_of_unread(self._label, stacklevel=5)
        backlog, self._backlog = self._backlog, None
        bound = self._bound() if maxlen is None else maxlen
        buffers = open_buffers(branches, self._label, bound, POLICIES[self.overflow], port)
        if backlog is not None:
            self._tally.dropped += backlog.dropped
            backlog.pour(buffers, port)
        if self._outcome is not None:
            for buffer in buffers:
                buffer.end(self._outcome)
        self._subscribed = True
        self._set_buffers(buffers)
        return buffers

    def put_to_all(self, item: T) -> None:
        """Put an item into the buffer of every reader."""
        for each in storages(self.buffers):
            each.put(item)

    def unsubscribe(self, buffer: Buffer[T]) -> None:
        """The reader of `buffer` has left for good: free it."""
        self._tally.add(buffer)
        buffer.leave()
        self._set_buffers(tuple([other for other in self.buffers if other is not buffer]))

    def release(self, buffer: Buffer[T]) -> None:
        """As `unsubscribe`, but the channel may be subscribed again."""
        self.unsubscribe(buffer)
        self._subscribed = bool(self.buffers)

    # --- inside ---

    def _bound_port(self) -> ChannelPort:
        if self._port is None:
            raise ChannelUnbound(self._label)
        return self._port

    def _bound(self) -> float:
        default = math.inf if self._port is None else self._port.maxlen
        return default if self._maxlen is None else self._maxlen

    def _open(self, n: int, maxlen: float | None, *, is_async: bool) -> tuple[Any, ...]:
        if n < 1:
            raise InvalidBound(f"{FAN_OUT[is_async]}(): n", n, ">= 1; it requires n >= 1 branches")
        check_maxlen(maxlen)
        port, buffers = self._bound_port(), self.subscribe(is_async=is_async, branches=n, maxlen=maxlen)
        return tuple([port.cursor(buffer, self.unsubscribe) for buffer in buffers])

    def _set_buffers(self, buffers: tuple[Buffer[T], ...]) -> None:
        self.buffers = buffers
        if not buffers:
            self._set_put(None)
        elif self._outcome is not None:
            self._set_put(self._refuse)
        else:
            places = storages(buffers)
            self._set_put(places[0].put if len(places) == 1 else self.put_to_all)

    def _set_put(self, put: Callable[[T], None] | None) -> None:
        changed = put != self._put
        self._put = put
        if changed and self._on_watched is not None:
            self._on_watched()

    def _refuse(self, item: T) -> None:  # noqa: ARG002 -- has the signature of a put
        raise ChannelClosed(self._label)
