"""One reader's bounded buffer: its items, its overflow policy, and the end after them.

`Buffer` is what all buffers share. `Queue` is the usual one, for a reader that does not share its items; the
branches of a tee have theirs in `branches.py`.

Rules:

- A buffer has at most `maxlen` items for its reader. An item that does not fit is dropped or refused by the overflow
  policy, or waits in line while there is no room, counted against its producer.
- Putting wakes the parked reader and leaves the item where it is: the reader takes it itself. An item handed to a
  parked reader would be lost if that reader is cancelled in the same iteration of the event loop.
- `ready` tells a reader whether to wait. That of a queue is the number of steps that it can take without waiting: one
  per item, and one more once the end is known. So `ready < maxlen` means room as long as the end is not known.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from types import MethodType
from typing import Any, Final, Generic, Literal, TypeVar, cast, final
from weakref import finalize

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from anyiostream.channels.latch import Wakeable
from anyiostream.channels.overflow import Policy
from anyiostream.channels.producer import Home, Producer, current_producer
from anyiostream.errors import BackpressureDeadlock, ChannelFull
from anyiostream.outcome import Outcome
from anyiostream.state import GraphState

__all__ = ["EMPTY", "Arrival", "Buffer", "Queue", "queue_behind"]

T = TypeVar("T")

EMPTY: Final[Any] = object()
"""Sentinel: there is no item."""

TICKET: Final[Any] = object()
"""Sentinel: waits in line in place of an item, for a producer that needs room in several buffers at once."""


@attrs.define(eq=False)
class Buffer(ABC, Generic[T]):
    """What one reader has still to read, as its producers and its cursor see it.

    Attributes:
        name: What it is called in messages.
        maxlen: Bound, in items; `math.inf` for none.
        policy: What happens to an item that does not fit.
        home: The run.
        dropped, waits: Items dropped by the overflow policy, and items that had to wait for room.
        reader: The task that last advanced it, or `None`.
        outcome: How it ended, once that is known. There may still be items before the end.
        left: Whether the reader is gone for good.
        parked: The reader that waits and has not been woken yet.
        line: What waits for room, with its producers, or `None`.
        feeder: The dispatcher that puts each part here, and does no more than update `state`; `None` if there is none.
            It is compared by identity with the one that the pump would call, so an outdated one matches nothing.
        state, make: The state of the graph whose snapshots it puts here; what makes an item of a part and its `seq`.
    """

    name: str
    maxlen: float
    policy: Policy
    home: Home
    dropped: int = attrs.field(default=0, init=False)
    waits: int = attrs.field(default=0, init=False)
    reader: object = attrs.field(default=None, init=False)
    outcome: Outcome | None = attrs.field(default=None, init=False)
    left: bool = attrs.field(default=False, init=False)
    parked: Wakeable | None = attrs.field(default=None, init=False)
    _end_steps: int = attrs.field(default=0, init=False)
    line: deque[tuple[T, Producer]] | None = attrs.field(default=None, init=False)
    feeder: object = attrs.field(default=None, init=False)
    state: GraphState | None = attrs.field(default=None, init=False)
    make: Callable[[Any, int], T] | None = attrs.field(default=None, init=False)

    @property
    @abstractmethod
    def ready(self) -> int:
        """Whether the reader can take a step without waiting: there is an item, or the end is known."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Items that the reader can take without waiting."""

    @property
    @abstractmethod
    def peak(self) -> int:
        """The most items that there were at once."""

    # --- the producer's end ---

    @abstractmethod
    def put(self, item: T) -> None:
        """Add an item and wake the reader. Never waits.

        Raises:
            ChannelFull: The policy refuses the item, or a bounded producer has as many items waiting as fit.
        """

    @property
    @abstractmethod
    def has_room(self) -> bool:
        """Whether an item put now would fit, or be dropped, at once."""

    def put_waiting(self, item: T, producer: Producer) -> None:
        """Add an item for a producer that can wait: if it does not fit it waits, even beyond the producer's bound."""
        if self.has_room:
            self.put(item)
        else:
            self.line_up(item, producer)

    def await_room(self, producer: Producer) -> None:
        """Settle `producer` once everything in line before it has found room and there is room for one more."""
        self.line_up(cast("T", TICKET), producer)

    def line_up(self, item: T, producer: Producer) -> None:
        """Let an item wait until there is room."""
        if self.line is None:
            self.line = deque()
        self.line.append((item, producer))
        self.waits += 1
        producer.spilled(self)

    def withdraw(self, producer: Producer) -> None:
        """Take back what waits for `producer`, which was cancelled."""
        if self.line is not None:
            kept = deque(entry for entry in self.line if entry[1] is not producer)
            withdrawn = len(self.line) - len(kept)
            self.line = kept or None
            if withdrawn:
                producer.settled(withdrawn)

    def producer_in_line(self) -> Producer:
        """The current producer, for an item that does not fit and may wait.

        Raises:
            ChannelFull: As `put`.
        """
        producer = current_producer.get(None)
        if producer is None or producer.home is not self.home:
            producer = self.home.application_producer
        if not self.policy.waits or (producer.bounded and producer.pending >= self.maxlen):
            raise ChannelFull(self.name, self.maxlen, waiting=producer.pending)
        return producer

    @abstractmethod
    def end(self, outcome: Outcome) -> None:
        """No more items will come. The items that are there, or wait in line, are still read first."""

    def wake(self) -> None:
        """Let the parked reader, if any, look again."""
        parked = self.parked
        if parked is not None:
            self.parked = None
            parked.wake()

    @property
    def waiting(self) -> int:
        """Items that wait in line, counted against their producers."""
        return len(self.line) if self.line else 0

    # --- the reader's end ---

    @abstractmethod
    def take(self) -> T:
        """The next item; `EMPTY` if there is none."""

    def refill(self) -> None:
        """The reader has taken an item: admit the first in line. The line is not empty."""
        assert self.line
        item, producer = self.line.popleft()
        if not self.line:
            self.line = None
        given_up = producer.given_up()
        if item is not TICKET and not given_up:
            self._admit(item, producer)
        producer.settled()
        if self.line and (given_up or item is TICKET):
            # The room is for the next in line; the holder of the ticket looks again.
            self.refill()

    def park(self, reader: Wakeable) -> None:
        """`reader` waits for the next step."""
        self.parked = reader

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        if self.parked is reader:
            self.parked = None

    def discard(self) -> int:
        """Discard all items and free their memory; returns how many there were. Their producers continue."""
        forgotten = self.depth + self.waiting
        self._forget()
        line, self.line = self.line, None
        for _, producer in line or ():
            producer.settled()
        return forgotten

    def leave(self) -> None:
        """The reader is gone for good. Idempotent; later puts are ignored."""
        if not self.left:
            self.left = True
            self.feeder = self.make = None
            self._end_steps = 1  # another task that waits for it is not to wait for ever
            self.discard()
            self.wake()

    def deadlock(self, waits_for: str, fan_out: str) -> BackpressureDeadlock:
        """The exception for the reader, when it waits for something else of the stalled run."""
        return BackpressureDeadlock(full=self.name, maxlen=self.maxlen, waits_for=waits_for, fan_out=fan_out)

    # --- inside ---

    @abstractmethod
    def _forget(self) -> None:
        """Forget the items."""

    @abstractmethod
    def _admit(self, item: T, producer: Producer) -> None:
        """Add an item that has waited: there is room."""


Arrival = Literal["item", "dropped", "end"]
"""`dropped`: the oldest item is gone."""


def queue_behind(put: Callable[[Any], object]) -> Queue[Any] | None:
    """The queue whose `put` this is, or `None`."""
    if isinstance(put, MethodType) and put.__func__ is Queue.put:
        return cast("Queue[Any]", put.__self__)
    return None


def _close(*streams: MemoryObjectSendStream[Any] | MemoryObjectReceiveStream[Any]) -> None:
    for stream in streams:
        stream.close()


def _not_made() -> Any:
    raise AssertionError("a buffer without items was read")


@final
@attrs.define(eq=False)
class Queue(Buffer[T], Generic[T]):
    """A reader's own buffer, in one of AnyIO's bounded memory object streams.

    The stream is a data structure here, used only through its `_nowait` methods. It holds the items behind the first,
    and is made for the second: a reader that keeps up needs none, a tenth to a quarter off an item.

    Attributes:
        ready: As `Buffer.ready`, counted; a plain attribute, because readers ask for it for each item.
        peak: The most items that were buffered at once.
    """

    ready: int = 0
    peak: int = 0
    # While `ready` is below it, the reader has not left, and an item fits and makes no new peak: `put` asks no more.
    _fits_below: int = 0
    _first: T = EMPTY
    _send: Callable[[T], None] = attrs.field(init=False)
    _receive: Callable[[], T] = _not_made
    _close_streams: Callable[[], object] | None = None
    _watcher: Callable[[Arrival], None] | None = None

    def __attrs_post_init__(self) -> None:
        """The stream is created later, if at all."""
        self._send = self._send_first

    # --- the producer's end ---

    def put(self, item: T) -> None:
        """Add an item and wake the reader. Never waits.

        Raises:
            ChannelFull: As `Buffer.put`.
        """
        ready = self.ready
        if ready < self._fits_below:
            if ready:
                send = self._send  # a call through `self` takes 1.5 times as long
                send(item)
            else:
                self._first = item
            self.ready = ready + 1
            if self.parked is not None:
                self.wake()
            if self._watcher is not None:
                self._watcher("item")
        else:
            self._put_slowly(item)

    @property
    def has_room(self) -> bool:
        """Whether an item put now would fit, or be dropped, at once."""
        return self.ready < self.maxlen or self.left or self.policy.make_room is not None

    def line_up(self, item: T, producer: Producer) -> None:
        """Let an item wait until there is room."""
        super().line_up(item, producer)
        if self._watcher is not None and not producer.withdrawable:
            self._watcher("item")

    def end(self, outcome: Outcome) -> None:
        """No more items will come. The items that are buffered, or wait in line, are still read first."""
        if self.outcome is None and not self.left:
            self.outcome = outcome
            self._end_steps = 1
            self.ready += 1
            if self._watcher is not None:
                self._watcher("end")
            self.wake()

    @property
    def depth(self) -> int:
        """Items buffered."""
        return self.ready - self._end_steps

    def drop_oldest(self) -> None:
        """Drop the first item, and count it."""
        self.dropped += 1
        self.take()
        if self._watcher is not None:
            self._watcher("dropped")

    # --- the reader's end ---

    def take(self) -> T:
        """The next item; `EMPTY` if there is none."""
        item = self._first
        # The count comes before the item, so that an interrupt between them never promises an item that is not there.
        if item is not EMPTY:
            # A reader that keeps up, first: 6 opcodes less, of 28.
            self.ready -= 1
            self._first = EMPTY
        elif self.ready > self._end_steps:
            self.ready -= 1
            receive = self._receive
            item = receive()
        if self.line:
            self.refill()
        return item

    def watch(self, watcher: Callable[[Arrival], None]) -> None:
        """Call `watcher` with each arrival from now on, in order: for a reader of several buffers."""
        self._watcher = watcher

    def leave(self) -> None:
        """The reader is gone for good. Idempotent; later puts are ignored."""
        self._fits_below = 0
        super().leave()

    # --- inside ---

    def _forget(self) -> None:
        self.ready -= self.depth
        self._first = EMPTY
        if self._close_streams is not None:
            self._close_streams()
            self._close_streams = None
        self._send, self._receive = self._send_first, _not_made

    def _put_slowly(self, item: T) -> None:
        if self.left:
            # Its reader has left while the event that puts was being dispatched.
            return
        make_room = self.policy.make_room
        if self.ready < self.maxlen:
            self.peak = self._fits_below = self.ready + 1  # pyright: ignore[reportIncompatibleMethodOverride]  # the faster way
            self.put(item)
        elif make_room is None:
            self.line_up(item, self.producer_in_line())
        elif make_room(self):
            self.put(item)
        else:
            self.dropped += 1

    def _send_first(self, item: T) -> None:
        send, receive = anyio.create_memory_object_stream[Any](self.maxlen)
        # Streams warn when they are garbage-collected unclosed. A reader that just forgets its cursor has done nothing
        # wrong, and the collector may take the streams before the buffer, unless they are held here.
        self._close_streams = finalize(self, _close, send, receive)
        self._send, self._receive = send.send_nowait, receive.receive_nowait
        self._send(item)

    def _admit(self, item: T, producer: Producer) -> None:
        self._send(item)
        self.ready += 1  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        if self._watcher is not None and producer.withdrawable:
            self._watcher("item")
