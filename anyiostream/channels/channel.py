"""`StreamChannel`: what a transformer pushes to and one reader reads.

Rules:

- A channel keeps nothing before its one subscriber comes, and nothing after it has left. Only the channels of a
  subgraph's handle keep, from birth, what the first reader will want (`retain`).
- It has one subscription in its life. `tee` makes that subscription several branches, each with a bound of its own;
  the fullest one paces the run.
- It ends once, by `close` or `fail`; readers get what is buffered first. The mux ends the channels of its
  transformers, so that these need not.
- A named channel's push is also an event of the raw log, whether or not anybody reads the channel.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final

from anyiostream.channels.backlog import Backlog
from anyiostream.channels.branches import Branch, SharedLog
from anyiostream.channels.buffer import Buffer
from anyiostream.channels.outbox import Outbox
from anyiostream.channels.unread import GOOD_END, Ended, Home, Overflow, Unread
from anyiostream.errors import (
    AlreadyBound,
    AlreadySubscribed,
    ChannelClosed,
    ChannelUnbound,
    InvalidBound,
    ItemsDroppedWarning,
    ItemsMissed,
    WrongLane,
)
from anyiostream.statistics import ChannelStatistics

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream

__all__ = ["ChannelPort", "StreamChannel"]

T = TypeVar("T")

OVERFLOW_POLICIES: tuple[Overflow, ...] = ("wait", "drop_oldest", "drop_newest", "fail")


class ChannelPort(Protocol):
    """What a channel needs of the mux that registered it."""

    @property
    def is_async(self) -> bool:
        """Whether it is the async lane."""
        ...

    @property
    def home(self) -> Home:
        """What the channel's buffers need of the run."""
        ...

    @property
    def maxlen(self) -> float:
        """The bound of channels that name none, in items."""
        ...

    def stamp(self) -> int:
        """A number that rises with each call, over all channels of the run."""
        ...

    def admit(self, what: str) -> None:
        """Raise `RunClosed` if the run's block has been left."""

    def cursor(self, buffer: Unread[T], released: Callable[[Unread[T]], None]) -> Any:
        """This lane's cursor over `buffer`; calls `released` once its reader has left."""
        ...

    async def send(self, channel: StreamChannel[T], item: T) -> None:
        """Put an item into all buffers of a channel and wait until it has found its place."""


@final
class StreamChannel(Generic[T]):
    """A single-reader stream of items between a transformer and the application.

    Items come out in push order. Pushes before the subscription are not kept; leaving the subscription (`break`, an
    exception, cancellation, garbage collection) frees its buffer. Iterate with `for` on the sync lane and
    `async for` on the async one. A cursor (`iter(channel)`, `aiter(channel)`) may be left and taken up again.

    Borrowed from LangGraph's `StreamChannel`, whose `maxlen` has no effect; here it bounds.
    """

    __slots__ = (
        "_backlog",
        "_buffers",
        "_dropped",
        "_ended",
        "_forward",
        "_label",
        "_maxlen",
        "_on_watched",
        "_peak",
        "_port",
        "_put",
        "_subscribed",
        "_unread",
        "_waits",
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
            InvalidBound: `maxlen` is no positive number of items, or `overflow` no policy.
        """
        check_maxlen(maxlen)
        if overflow not in OVERFLOW_POLICIES:
            raise InvalidBound("overflow", overflow, f"one of {', '.join(map(repr, OVERFLOW_POLICIES))}")
        self.name = name
        self.overflow: Overflow = overflow
        self._maxlen = maxlen
        self._label = f"StreamChannel({name!r})" if name else "StreamChannel"
        self._port: ChannelPort | None = None
        self._buffers: tuple[Unread[T], ...] = ()
        self._put: Callable[[T], None] | None = None
        self._forward: Callable[[T], None] | None = None
        self._on_watched: Callable[[], None] | None = None
        self._ended: Ended | None = None
        self._subscribed = False
        self._backlog: Backlog[T] | None = None
        self._unread = 0
        self._peak = 0
        self._dropped = 0
        self._waits = 0

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
        """Add an item, in order, without waiting. Dropped and counted if nobody is subscribed.

        Raises:
            ChannelClosed: The channel has ended, and has a reader that would miss the item.
            ChannelFull: It is full and its policy is `"fail"`; or the pusher is a scheduled task (or the
                application) and has `maxlen` items waiting already.
        """
        put = self._put
        if put is not None:
            put(item)
        else:
            self._unread += 1
        if self._forward is not None:
            self._forward(item)

    def pass_by(self) -> None:
        """Count an item that nobody could have read, and that was therefore not made."""
        self._unread += 1

    async def send(self, item: T) -> None:
        """Add an item, waiting for room. A checkpoint only if it has to wait.

        If cancelled while it waits, the item is not added.

        Raises:
            ChannelClosed: As for `push`.
            ChannelUnbound, WrongLane: The channel belongs to no run on the async lane.
        """
        port = self._bound_port()
        if not port.is_async:
            raise WrongLane(self._label, "sync", "use push() there; the sync lane cannot wait.")
        if self._ended is not None or not self._buffers:
            self.push(item)
            return
        await port.send(self, item)
        if self._forward is not None:
            self._forward(item)

    def close(self) -> None:
        """No more items will come. Idempotent; the mux does this when the run ends."""
        self.end(GOOD_END)

    def fail(self, err: BaseException) -> None:
        """No more items will come because of `err`: readers get what is buffered, and then this very object."""
        self.end(Ended.by(err))

    def end(self, ended: Ended) -> None:
        """As `close` or `fail`, with an end that several channels share."""
        if self._ended is not None:
            return
        self._ended = ended
        if self._buffers:
            for buffer in self._buffers:
                buffer.end(ended)
            self._set_buffers(self._buffers)
        elif self._backlog is None or not self._backlog.missed:
            # A backlog stays for its reader; nothing is added to it.
            self._set_put(None)

    @property
    def ended(self) -> bool:
        """Whether the channel has been closed or failed; items may still be buffered."""
        return self._ended is not None

    # --- the reader's end ---

    def __iter__(self) -> Iterator[T]:
        """Subscribe on the sync lane. Advancing the cursor runs the graph as far as needed.

        Raises:
            ChannelUnbound, WrongLane: The channel belongs to no run, or to one on the async lane.
            AlreadySubscribed: It has, or had, a reader.
            ItemsMissed: It belongs to a subgraph, and its reader comes too late.
            RunClosed: The run's block has been left.
        """
        cursor: Iterator[T] = self._open_cursor(is_async=False)
        return cursor

    def __aiter__(self) -> ObjectReceiveStream[T]:
        """Subscribe on the async lane. Advancing the cursor runs the graph as far as needed.

        The cursor is an `anyio.abc.ObjectReceiveStream` as well as an async iterator. It checkpoints when it has to
        wait, and otherwise after `checkpoint_every` items; cancelling it loses no item.

        Raises:
            AnyioStreamError: As `__iter__`.
        """
        cursor: ObjectReceiveStream[T] = self._open_cursor(is_async=True)
        return cursor

    def tee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[Iterator[T], ...]:
        """Subscribe once and read `n` times: `n` cursors of the sync lane, each with all items in order.

        Each has a buffer of `maxlen` items (by default the channel's); the slowest paces the run. Each gets the end,
        and the error if there is one. A branch that leaves frees its buffer and no longer counts.

        Raises:
            InvalidBound: `n` is less than 1.
            AnyioStreamError: Otherwise as `__iter__`.
        """
        return self._open_branches(n, maxlen, is_async=False, called="tee")

    def atee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[AsyncIterator[T], ...]:
        """As `tee`, for the async lane."""
        return self._open_branches(n, maxlen, is_async=True, called="atee")

    def statistics(self) -> ChannelStatistics:
        """The channel's figures now."""
        buffers = self._buffers
        return ChannelStatistics(
            name=self._label,
            # The branches of a tee may have a bound of their own.
            maxlen=max((buffer.maxlen for buffer in buffers), default=self._bound()),
            overflow=self.overflow,
            readers=len(buffers) if self._subscribed else 0,
            depth=max((buffer.depth for buffer in buffers), default=len(self._backlog or ())),
            waiting=sum(buffer.waiting for buffer in buffers),
            waits=sum(buffer.waits for buffer in buffers) + self._waits,
            peak=max((self._peak, len(self._backlog or ()), *(buffer.peak for buffer in buffers))),
            dropped=sum(buffer.dropped for buffer in buffers) + self._dropped + self._dropped_early(),
            unread=self._unread,
            ended=self.ended,
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
            retain: As `retain()`, right now.

        Raises:
            AlreadyBound: It has joined one before.
        """
        if self._port is not None:
            raise AlreadyBound(self._label)
        self._port = port
        self._label = f"channel {label!r}"
        self._forward = forward
        if retain:
            self.retain()  # nobody has asked for `sink` yet
        self._on_watched = on_watched

    def retain(self) -> None:
        """From now on keep the first `maxlen` items for a reader that is to come. Called for a handle's channels."""
        if self._backlog is None and not self._subscribed:
            self._backlog = Backlog(self._bound_port().stamp, self._bound(), self.overflow)
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

    @property
    def buffers(self) -> tuple[Unread[T], ...]:
        """The buffers of the live readers."""
        return self._buffers

    def subscribe(
        self, fan_out: str = "tee", *, branches: int = 1, maxlen: float | None = None
    ) -> tuple[Unread[T], ...]:
        """Take the channel's one subscription: a buffer for each branch, holding what was retained.

        Raises:
            AnyioStreamError: As `__iter__`.
        """
        port = self._bound_port()
        port.admit(self._label)
        if self._subscribed:
            raise AlreadySubscribed(self._label, left=not self._buffers, fan_out=fan_out)
        if self._backlog is not None and self._backlog.missed:
            raise ItemsMissed(self._label, self._backlog.missed, self._bound())
        if self._ended is not None and self._ended.error is None and self._unread:
            warnings.warn(
                f"{self._label} is subscribed after the run has finished; {self._unread} item(s) passed by unread. "
                "Open the cursor before the run is driven.",
                ItemsDroppedWarning,
                stacklevel=4,
            )
        backlog, self._backlog = self._backlog, None
        bound = self._bound() if maxlen is None else maxlen
        buffers = self._new_buffers(branches, bound, port.home)
        if backlog is not None:
            self._dropped += backlog.dropped
        if backlog:
            outbox = Outbox("the backlog", port.home, bounded=False)
            for _, item in backlog.items:
                for each in storages(buffers):
                    each.put_waiting(item, outbox)
        if self._ended is not None:
            for buffer in buffers:
                buffer.end(self._ended)
        self._subscribed = True
        self._set_buffers(buffers)
        return buffers

    def put_to_all(self, item: T) -> None:
        """Give an item to all readers there are."""
        for each in storages(self._buffers):
            each.put(item)

    def unsubscribe(self, buffer: Unread[T]) -> None:
        """The reader of `buffer` has left for good: free it."""
        self._peak = max(self._peak, buffer.peak)
        self._dropped += buffer.dropped
        self._waits += buffer.waits
        buffer.leave()
        self._set_buffers(tuple([other for other in self._buffers if other is not buffer]))

    def release(self, buffer: Unread[T]) -> None:
        """As `unsubscribe`, but the channel may be subscribed again."""
        self.unsubscribe(buffer)
        self._subscribed = bool(self._buffers)

    def check_lane(self, *, is_async: bool) -> None:
        """Raise unless the channel belongs to a run on this lane."""
        port = self._bound_port()
        if port.is_async and not is_async:
            raise WrongLane(f"this StreamChannel ({self._label})", "async", "use 'async for' instead.")
        if is_async and not port.is_async:
            raise WrongLane(f"this StreamChannel ({self._label})", "sync", "use 'for' instead.")

    # --- inside ---

    def _bound_port(self) -> ChannelPort:
        if self._port is None:
            raise ChannelUnbound(self._label)
        return self._port

    def _bound(self) -> float:
        if self._maxlen is not None:
            return self._maxlen
        return self._port.maxlen if self._port is not None else math.inf

    def _new_buffers(self, count: int, bound: float, home: Home) -> tuple[Unread[T], ...]:
        if count > 1 and self.overflow in {"wait", "fail"}:
            return SharedLog[T](bound).branch_off(count, self._label, self.overflow, home)
        return tuple([Buffer(self._label, bound, self.overflow, home) for _ in range(count)])

    def _open_cursor(self, *, is_async: bool) -> Any:
        self.check_lane(is_async=is_async)
        (buffer,) = self.subscribe("atee" if is_async else "tee")
        return self._bound_port().cursor(buffer, self.unsubscribe)

    def _open_branches(self, n: int, maxlen: float | None, *, is_async: bool, called: str) -> tuple[Any, ...]:
        if n < 1:
            raise InvalidBound(f"{called}(): n", n, ">= 1; it requires n >= 1 branches")
        check_maxlen(maxlen)
        self.check_lane(is_async=is_async)
        port = self._bound_port()
        return tuple(
            port.cursor(buffer, self.unsubscribe) for buffer in self.subscribe(called, branches=n, maxlen=maxlen)
        )

    def _set_buffers(self, buffers: tuple[Unread[T], ...]) -> None:
        self._buffers = buffers
        if not buffers:
            self._set_put(None)
        elif self._ended is not None:
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

    def _dropped_early(self) -> int:
        return 0 if self._backlog is None else self._backlog.dropped + self._backlog.missed


def storages(buffers: tuple[Unread[T], ...]) -> tuple[Unread[T] | SharedLog[T], ...]:
    """Where items are put for these readers: in the log that they share, or in the buffer of each."""
    first = buffers[0] if buffers else None
    return (first.log,) if isinstance(first, Branch) else buffers


def check_maxlen(maxlen: float | None) -> None:
    """Raise `InvalidBound` unless `maxlen` is a positive int, `math.inf` or `None`."""
    if maxlen is None or maxlen == math.inf:
        return
    if isinstance(maxlen, bool) or not isinstance(maxlen, int) or maxlen <= 0:
        raise InvalidBound("StreamChannel maxlen", maxlen, "a positive int or None (math.inf for no bound)")
