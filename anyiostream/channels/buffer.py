"""What one reader has still to read: a bounded memory object stream, and the end that follows.

Rules:

- A buffer holds at most `maxlen` items. What does not fit is dropped or refused by the overflow policy, or waits
  (policy `"wait"`) in order at the buffer, on the account of its producer's outbox.
- `ready` is the number of steps its reader can take without waiting: one per buffered item, and one more once the
  end is known. So `ready < maxlen` means room as long as the end is not known, and `ready` alone tells a reader
  whether to wait.
- Putting wakes the parked reader and leaves the item where it is: the reader pops it itself. An item handed to a
  parked reader would be lost if that reader is cancelled in the same turn of the loop.
- The memory object stream is used only through its `_nowait` methods, and holds what waits behind the first item: it
  is made when there is such, which for a reader that keeps up is never (that saves 0.2 us per item, a tenth to a
  quarter of all there is to do).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypeVar, cast, final
from weakref import finalize

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from anyiostream.channels.outbox import Outbox, current_outbox
from anyiostream.channels.raising import Recorded
from anyiostream.errors import BackpressureDeadlock, ChannelFull

__all__ = ["GOOD_END", "Arrival", "Buffer", "Ended", "Home", "Overflow", "Wakeable"]

T = TypeVar("T")

Overflow = Literal["wait", "drop_oldest", "drop_newest", "fail"]
"""What a push to a full channel does: wait in the outbox, drop an item (and count it), or raise `ChannelFull`."""


Arrival = Literal["item", "dropped", "end"]


class Wakeable(Protocol):
    """A reader that is parked."""

    def wake(self) -> None:
        """Let it look again. Safe to call twice."""


class Home(Protocol):
    """What buffers need of the run they belong to."""

    @property
    def application_outbox(self) -> Outbox:
        """The outbox of pushes that come neither from a hook nor from a scheduled task."""
        ...

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception to raise for a reader, who has received it with that."""
        ...


@final
@attrs.frozen(eq=False)
class Ended:
    """How a stream ended: `error` is `None` if it just came to its end."""

    error: Recorded | None = None

    @classmethod
    def by(cls, error: BaseException | None) -> Ended:
        """The end that `error` brought, or a good one."""
        return GOOD_END if error is None else cls(Recorded.of(error))


GOOD_END = Ended()
"""The end of a stream that just came to its end."""


TICKET = object()
"""Waits in the place of an item for a producer that needs room in several buffers at once."""

EMPTY: Any = object()
"""Stands where there is no first item."""


def _close(*streams: MemoryObjectSendStream[Any] | MemoryObjectReceiveStream[Any]) -> None:
    for stream in streams:
        stream.close()


def _not_made() -> Any:
    raise AssertionError("a buffer without items was read")


@final
@attrs.define(eq=False)
class Buffer(Generic[T]):
    """The unread items of one reader, and the end after them.

    Attributes:
        name: What it is called in messages.
        maxlen: Bound, in items; `math.inf` for none.
        overflow: What happens to an item that does not fit.
        home: The run.
        ready: Steps that the reader can take without waiting.
        peak: The most items that were buffered at once.
        dropped: Items dropped by the overflow policy.
        waits: Items that had to wait for room.
        reader: The task that last advanced it, or `None`.
        ended: The end, once it is known. Items may still be buffered before it.
        left: Whether the reader is gone for good.
        parked: The reader that waits, and has not been woken yet.
        room: How many items fit, in all: `maxlen` while there is a reader.
    """

    name: str
    maxlen: float
    overflow: Overflow
    home: Home
    ready: int = 0
    peak: int = 0
    dropped: int = 0
    waits: int = 0
    reader: object = None
    ended: Ended | None = None
    left: bool = False
    _first: T = EMPTY
    room: float = attrs.field(init=False)
    _send: Callable[[T], None] = attrs.field(init=False)
    _receive: Callable[[], T] = _not_made
    _close_streams: Callable[[], object] | None = None
    _spill: deque[tuple[T, Outbox]] | None = None
    parked: Wakeable | None = None
    _watcher: Callable[[Arrival], None] | None = None

    def __attrs_post_init__(self) -> None:
        """Make no stream yet."""
        self.room = self.maxlen
        self._send = self._send_first

    # --- the producer's end ---

    def put(self, item: T) -> None:
        """Add an item and wake the reader. Never waits.

        Raises:
            ChannelFull: The overflow policy is `"fail"`, or a bounded producer has as many items waiting as fit.
        """
        ready = self.ready
        if ready < self.room:
            if ready:
                self._send(item)
            else:
                self._first = item
            self.ready = ready = ready + 1
            if ready > self.peak:  # noqa: PLR1730 -- max() takes longer than all of the rest
                self.peak = ready
            if self.parked is not None:
                self.wake()
            if self._watcher is not None:
                self._watcher("item")
        else:
            self._put_slowly(item)

    def put_waiting(self, item: T, outbox: Outbox) -> None:
        """Add an item for a producer that can wait: if it does not fit, it waits on `outbox`, whatever its bound."""
        if self.has_room:
            self.put(item)
        else:
            self._spill_item(item, outbox)

    @property
    def has_room(self) -> bool:
        """Whether an item put now would fit, or be dropped, at once."""
        return self.ready < self.room or self.left or self.overflow in {"drop_oldest", "drop_newest"}

    def await_room(self, outbox: Outbox) -> None:
        """Settle `outbox` when what waits before it has found its place and there is room for one more."""
        self._spill_item(cast("T", TICKET), outbox)

    def check_room(self) -> None:
        """Raise what `put` would raise now."""
        if not self.has_room:
            self._outbox_of_producer()

    def withdraw(self, outbox: Outbox) -> None:
        """Take back what waits on `outbox`: its producer was cancelled."""
        if self._spill is not None:
            kept = deque(entry for entry in self._spill if entry[1] is not outbox)
            withdrawn = len(self._spill) - len(kept)
            self._spill = kept or None
            if withdrawn:
                outbox.settled(withdrawn)

    def end(self, ended: Ended) -> None:
        """No more items will come. What is buffered, or waits at the buffer, is still read first."""
        if self.ended is None:
            self.ended = ended
            self.ready += 1
            if self._watcher is not None:
                self._watcher("end")
            self.wake()

    def wake(self) -> None:
        """Let the parked reader, if any, look again."""
        parked = self.parked
        if parked is not None:
            self.parked = None
            parked.wake()

    @property
    def depth(self) -> int:
        """Items buffered."""
        return self.ready if self.ended is None else self.ready - 1

    @property
    def waiting(self) -> int:
        """Items that wait for room, on the account of their producers."""
        return len(self._spill) if self._spill else 0

    # --- the reader's end ---

    def pop(self) -> T:
        """The next item; only while `depth` is not 0."""
        # First the count, then the item: where an interrupt comes between them, nothing is expected that is not there.
        self.ready -= 1
        item = self._first
        if item is EMPTY:
            item = self._receive()
        else:
            self._first = EMPTY
        if self._spill:
            self._refill()
        return item

    def park(self, reader: Wakeable) -> None:
        """`reader` waits for the next step."""
        self.parked = reader

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        if self.parked is reader:
            self.parked = None

    def watch(self, watcher: Callable[[Arrival], None]) -> None:
        """Tell `watcher` of what arrives from now on, in order: for a reader of several buffers.

        `"dropped"` means that the oldest item is gone.
        """
        self._watcher = watcher

    def discard(self) -> int:
        """Forget all items and free the memory; the number of items forgotten. Their producers go on."""
        forgotten = self.depth + self.waiting
        self.ready -= self.depth
        self._first = EMPTY
        if self._close_streams is not None:
            self._close_streams()
            self._close_streams = None
        self._send, self._receive = self._send_first, _not_made
        spill, self._spill = self._spill, None
        for _, outbox in spill or ():
            outbox.settled()
        return forgotten

    def leave(self) -> None:
        """The reader is gone for good. Idempotent; puts after this are ignored by the channel."""
        if not self.left:
            self.left = True
            self.room = 0
            self.parked = None
            self.discard()

    # --- the rare paths ---

    def _put_slowly(self, item: T) -> None:
        if self.left:
            # Its reader has gone while the event that puts is on its way.
            return
        if self.overflow == "drop_newest":
            self.dropped += 1
        elif self.overflow == "drop_oldest":
            self.dropped += 1
            self.pop()
            if self._watcher is not None:
                self._watcher("dropped")
            self.put(item)
        else:
            self._spill_item(item, self._outbox_of_producer())

    def _outbox_of_producer(self) -> Outbox:
        outbox = current_outbox.get(None)
        if outbox is None or outbox.home is not self.home:
            outbox = self.home.application_outbox
        if self.overflow == "fail" or (outbox.bounded and outbox.pending >= self.maxlen):
            raise ChannelFull(self.name, self.maxlen, waiting=outbox.pending)
        return outbox

    def _send_first(self, item: T) -> None:
        send, receive = anyio.create_memory_object_stream[Any](self.maxlen)
        # Streams complain when they are found unclosed. A reader that just forgets its cursor has done nothing wrong,
        # and whether the buffer goes before its streams is up to the garbage collector, unless these are held here.
        self._close_streams = finalize(self, _close, send, receive)
        self._send, self._receive = send.send_nowait, receive.receive_nowait
        self._send(item)

    def _spill_item(self, item: T, outbox: Outbox) -> None:
        if self._spill is None:
            self._spill = deque()
        self._spill.append((item, outbox))
        self.waits += 1
        outbox.spilled(self)
        if self._watcher is not None and not outbox.withdrawable:
            self._watcher("item")

    def _refill(self) -> None:
        assert self._spill
        item, outbox = self._spill.popleft()
        if not self._spill:
            self._spill = None
        given_up = outbox.given_up()
        if item is not TICKET and not given_up:
            self._send(item)
            self.ready += 1
            if self._watcher is not None and outbox.withdrawable:
                self._watcher("item")
        outbox.settled()
        if self._spill and (given_up or item is TICKET):
            # The room is for what comes next; whoever waited for it looks again.
            self._refill()

    def deadlock(self, waits_for: str, fan_out: str) -> BackpressureDeadlock:
        """The exception for this buffer's reader, when it waits for something else of the stalled run."""
        return BackpressureDeadlock(full=self.name, maxlen=self.maxlen, waits_for=waits_for, fan_out=fan_out)
