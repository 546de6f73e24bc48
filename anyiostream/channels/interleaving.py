"""Reading several channels in the order in which their items arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, final

from anyiostream.channels.buffer import Arrival, Queue
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Wakeable
from anyiostream.errors import NotAChannel, UnknownProjection
from anyiostream.outcome import Outcome

__all__ = ["Interleaving"]


STALE: Final = 1024
"""Tokens of dropped items that a channel may leave in the order before they are swept out."""


@final
class Interleaving:
    """The one reader of several channels.

    Each keeps its own bound. The order is kept as one token per arrival, an item's or an end's, so that it costs
    nothing to channels that are not interleaved.
    """

    __slots__ = ("_buffers", "_channels", "_open", "_order", "_reader", "_stale", "name")

    def __init__(self, projections: Mapping[str, Any], names: tuple[str, ...], *, is_async: bool) -> None:
        """Subscribe to the channels called `names`.

        Raises:
            UnknownProjection, NotAChannel, AlreadySubscribed, WrongLane, ...: And nothing is subscribed.
        """
        self.name = f"interleave({', '.join(map(repr, names))})"
        self._order: deque[tuple[str, Arrival]] = deque()
        self._stale = dict.fromkeys(names, 0)
        self._open = set(names)
        self._channels: dict[str, StreamChannel[Any]] = {}
        self._buffers: dict[str, Queue[Any]] = {}
        self._reader: object = None
        try:
            backlog: list[tuple[int, str]] = []
            for name in dict.fromkeys(names):
                backlog += self._subscribe(name, projections, is_async=is_async)
            self._order.extend((name, "item") for _, name in sorted(backlog))
            for name, buffer in self._buffers.items():
                if buffer.outcome is not None:
                    self._order.append((name, "end"))
        except BaseException:
            self.leave()
            raise

    @property
    def ready(self) -> int:
        """Whether there is something to take, or nothing more to wait for."""
        return len(self._order) or not self._open

    @property
    def ended(self) -> bool:
        """Whether every channel has come to its end."""
        return not self._open

    def take(self, reader: object, deliver: Callable[[Outcome], None]) -> tuple[str, Any] | None:
        """The next (name, item) in order of arrival, or `None` if what came next was the end of a channel.

        Args:
            reader: The task that takes it.
            deliver: Called with each channel's outcome; raises its error.
        """
        name, arrival = self._order.popleft()
        buffer = self._buffers[name]
        if reader is not self._reader:
            self._reader = reader
            for each in self._buffers.values():
                each.reader = reader
        if arrival == "item":
            if self._stale[name]:
                self._stale[name] -= 1
                return None
            return name, buffer.take()
        self._open.discard(name)
        assert buffer.outcome is not None
        deliver(buffer.outcome)
        return None

    def park(self, reader: Wakeable) -> None:
        """Wake `reader` when anything arrives."""
        for buffer in self._buffers.values():
            buffer.park(reader)

    def unpark(self, reader: Wakeable) -> None:
        """`reader` no longer waits."""
        for buffer in self._buffers.values():
            buffer.unpark(reader)

    def leave(self) -> None:
        """Release the channels; they may be subscribed again. Idempotent."""
        for name, channel in self._channels.items():
            channel.release(self._buffers[name])
        self._channels.clear()
        self._open.clear()
        self._order.clear()

    def _subscribe(self, name: str, projections: Mapping[str, Any], *, is_async: bool) -> list[tuple[int, str]]:
        if name not in projections:
            raise UnknownProjection(name, projections)
        channel = projections[name]
        if not isinstance(channel, StreamChannel):
            raise NotAChannel(name, type(channel).__name__)
        backlog = [(stamp, name) for stamp in channel.backlog_stamps()]
        (buffer,) = channel.subscribe(is_async=is_async)
        assert isinstance(buffer, Queue)
        self._buffers[name] = buffer
        self._channels[name] = channel
        buffer.watch(partial(self._arrived, name))
        return backlog

    def _arrived(self, name: str, arrival: Arrival) -> None:
        if arrival == "dropped":
            self._stale[name] += 1
            if self._stale[name] > STALE:
                self._forget_stale(name)
        else:
            self._order.append((name, arrival))

    def _forget_stale(self, name: str) -> None:
        # The oldest tokens of the channel are those of its dropped items.
        kept: deque[tuple[str, Arrival]] = deque()
        for token in self._order:
            if token == (name, "item") and self._stale[name]:
                self._stale[name] -= 1
            else:
                kept.append(token)
        self._order = kept
