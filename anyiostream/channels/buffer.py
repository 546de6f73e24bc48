"""`Buffer`: the unread items of a reader that shares them with nobody, in a bounded memory object stream.

Rules:

- A buffer holds at most `maxlen` items; `unread.py` says what happens to those that do not fit.
- `ready` is the number of steps its reader can take without waiting: one per buffered item, and one more once the
  end is known. So `ready < maxlen` means room as long as the end is not known, and `ready` alone tells a reader
  whether to wait.
- The memory object stream is used only through its `_nowait` methods, and holds what waits behind the first item: it
  is made when there is such, which for a reader that keeps up is never (that saves 0.2 us per item, a tenth to a
  quarter of all there is to do).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar, final
from weakref import finalize

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from anyiostream.channels.outbox import Outbox
from anyiostream.channels.unread import EMPTY, Ended, Unread

__all__ = ["Arrival", "Buffer"]

T = TypeVar("T")

Arrival = Literal["item", "dropped", "end"]


def _close(*streams: MemoryObjectSendStream[Any] | MemoryObjectReceiveStream[Any]) -> None:
    for stream in streams:
        stream.close()


def _not_made() -> Any:
    raise AssertionError("a buffer without items was read")


@final
@attrs.define(eq=False)
class Buffer(Unread[T], Generic[T]):
    """The unread items of one reader that are its own, and the end after them.

    Attributes:
        ready: Steps that the reader can take without waiting: `Unread.ready`, as fast as it can be asked for.
        peak: The most items that were buffered at once.
    """

    ready: int = 0
    peak: int = 0
    _unquestioned: int = 0
    _first: T = EMPTY
    _send: Callable[[T], None] = attrs.field(init=False)
    _receive: Callable[[], T] = _not_made
    _close_streams: Callable[[], object] | None = None
    _watcher: Callable[[Arrival], None] | None = None

    def __attrs_post_init__(self) -> None:
        """Make no stream yet."""
        self._send = self._send_first

    # --- the producer's end ---

    def put(self, item: T) -> None:
        """Add an item and wake the reader. Never waits.

        Raises:
            ChannelFull: The overflow policy is `"fail"`, or a bounded producer has as many items waiting as fit.
        """
        ready = self.ready
        # There is a reader, and have been more items than there are: so there is room, and it is no new peak.
        if ready < self._unquestioned:
            if ready:
                send = self._send  # calling it by way of `self` takes half as long again
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
        return self.ready < self.maxlen or self.left or self.overflow in {"drop_oldest", "drop_newest"}

    def line_up(self, item: T, outbox: Outbox) -> None:
        """Let an item wait until there is room."""
        super().line_up(item, outbox)
        if self._watcher is not None and not outbox.withdrawable:
            self._watcher("item")

    def end(self, ended: Ended) -> None:
        """No more items will come. What is buffered, or waits at the buffer, is still read first."""
        if self.ended is None:
            self.ended = ended
            self._end_steps = 1
            self.ready += 1
            if self._watcher is not None:
                self._watcher("end")
            self.wake()

    @property
    def depth(self) -> int:
        """Items buffered."""
        return self.ready - self._end_steps

    # --- the reader's end ---

    def take(self) -> T:
        """The next item; `EMPTY` if there is none."""
        ready = self.ready
        if ready <= self._end_steps:
            return EMPTY  # type: ignore[no-any-return]  # it is of any type
        # First the count, then the item: where an interrupt comes between them, nothing is expected that is not there.
        self.ready = ready - 1
        item = self._first
        if item is EMPTY:
            receive = self._receive
            item = receive()
        else:
            self._first = EMPTY
        if self.line:
            self.refill()
        return item

    def watch(self, watcher: Callable[[Arrival], None]) -> None:
        """Tell `watcher` of what arrives from now on, in order: for a reader of several buffers.

        `"dropped"` means that the oldest item is gone.
        """
        self._watcher = watcher

    def leave(self) -> None:
        """The reader is gone for good. Idempotent; puts after this are ignored by the channel."""
        self._unquestioned = 0
        super().leave()

    # --- the rare paths ---

    def _forget(self) -> None:
        self.ready -= self.depth
        self._first = EMPTY
        if self._close_streams is not None:
            self._close_streams()
            self._close_streams = None
        self._send, self._receive = self._send_first, _not_made

    def _put_slowly(self, item: T) -> None:
        if self.left:
            # Its reader has gone while the event that puts is on its way.
            return
        if self.ready < self.maxlen:
            self.peak = self._unquestioned = self.ready + 1  # pyright: ignore[reportIncompatibleMethodOverride]  # the faster way
            self.put(item)
        elif self.overflow == "drop_newest":
            self.dropped += 1
        elif self.overflow == "drop_oldest":
            self.dropped += 1
            self.take()
            if self._watcher is not None:
                self._watcher("dropped")
            self.put(item)
        else:
            self.line_up(item, self.outbox_of_producer())

    def _send_first(self, item: T) -> None:
        send, receive = anyio.create_memory_object_stream[Any](self.maxlen)
        # Streams complain when they are found unclosed. A reader that just forgets its cursor has done nothing wrong,
        # and whether the buffer goes before its streams is up to the garbage collector, unless these are held here.
        self._close_streams = finalize(self, _close, send, receive)
        self._send, self._receive = send.send_nowait, receive.receive_nowait
        self._send(item)

    def _admit(self, item: T, outbox: Outbox) -> None:
        self._send(item)
        self.ready += 1  # pyright: ignore[reportIncompatibleMethodOverride]  # likewise
        if self._watcher is not None and outbox.withdrawable:
            self._watcher("item")
