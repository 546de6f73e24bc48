"""What channels, promises and the readers inside projections need of the run.

`Port` and `ChannelPort` have only members that both lanes have. What a lane alone can do is in `SyncPort` and
`AsyncPort`; `on_sync_lane` and `on_async_lane` tell which one a port is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final, Protocol, TypeGuard, TypeVar

from anyiostream.channels.buffer import Buffer
from anyiostream.channels.latch import Awaited
from anyiostream.channels.producer import Home
from anyiostream.errors import WrongLane
from anyiostream.outcome import Outcome

__all__ = [
    "AsyncPort",
    "ChannelPort",
    "Destination",
    "Port",
    "SyncPort",
    "next_stamp",
    "on_async_lane",
    "on_sync_lane",
    "wrong_loop",
]

T = TypeVar("T")

next_stamp: Final[Callable[[], int]] = count(1).__next__
"""A run's `stamp`. All runs share it, as they only compare stamps, and an object less is made for each run."""


class Port(Protocol):
    """The run, on either lane."""

    @property
    def is_async(self) -> bool:
        """Whether it is the async lane."""
        ...

    def deliver(self, outcome: Outcome) -> BaseException:
        """The exception to raise for a reader, which counts as having received it."""
        ...


class ChannelPort(Port, Home, Protocol):
    """What a channel, and its buffers, need of the run."""

    @property
    def maxlen(self) -> float:
        """The bound, in items, of channels that were created without one."""
        ...

    def stamp(self) -> int:
        """A number that increases with each call, across all channels of the run."""
        ...

    def admit(self, what: str) -> None:
        """Raise `RunClosed` if the run's block has been left."""

    def cursor(self, buffer: Buffer[T], released: Callable[[Buffer[T]], None]) -> Any:
        """This lane's cursor over `buffer`; calls `released` once its reader has left."""
        ...


class Destination(Protocol[T]):
    """A channel, as `AsyncPort.send` sees it."""

    @property
    def buffers(self) -> tuple[Buffer[T], ...]:
        """The buffers of the live readers."""
        ...

    def put_to_all(self, item: T) -> None:
        """Give an item to all readers there are."""


class SyncPort(Port, Protocol):
    """The run on the sync lane."""

    def advance(self, target: Awaited) -> object:
        """Run the graph until `target`, which is not ready, is ready, or nothing more can happen."""

    def drive(self, target: Awaited) -> None:
        """As `advance`, if `target` is not ready yet."""


class Counted(Protocol):
    """The pump, as readers on the async lane see it."""

    @property
    def parts(self) -> int:
        """Parts dispatched so far."""
        ...


class AsyncPort(Port, Protocol):
    """The run on the async lane."""

    pause_at: int
    """How many parts `pump` has dispatched when a reader next suspends; one less for each item that a reader takes."""

    @property
    def pump(self) -> Counted:
        """What dispatches the parts."""
        ...

    async def send(self, channel: Destination[T], item: T) -> None:
        """Put an item into all buffers of a channel and wait until it has found room."""

    async def until(self, target: Awaited) -> None:
        """Run the graph until `target` is ready."""

    def advance(self, target: Awaited) -> object:
        """Run the graph until `target`, which is not ready, is ready: then `None`, or else what `wait_for` needs."""
        ...

    async def wait_for(self, target: Awaited, step: Any) -> object:
        """Wait until `target` is ready, after `advance`."""

    def refuse_inside(self, what: str) -> None:
        """Raise `RunWaitsForItself` if the caller is a hook, scheduled work, or the graph, of this run."""

    async def checkpoint(self) -> None:
        """Let other tasks run."""


def on_sync_lane(port: Port) -> TypeGuard[SyncPort]:
    """Whether the run is on the sync lane."""
    return not port.is_async


def on_async_lane(port: Port) -> TypeGuard[AsyncPort]:
    """Whether the run is on the async lane."""
    return port.is_async


def wrong_loop(port: Port, what: str) -> WrongLane:
    """The exception for a `for` over `what` on the async lane, or an `async for` on the sync lane."""
    lane, loop = ("async", "async for") if port.is_async else ("sync", "for")
    return WrongLane(what, lane, f"use '{loop}' instead.")
