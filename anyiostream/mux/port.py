"""What the core needs of the lane it runs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Protocol

from anyiostream.channels.channel import ChannelPort, StreamChannel
from anyiostream.channels.latch import Awaited
from anyiostream.channels.promise import PromisePort
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import TransformerPort

if TYPE_CHECKING:
    from anyiostream.mux.mux import Mux

__all__ = ["RunPort", "SpawnedTask"]


class SpawnedTask(Protocol):
    """A task in the run's nursery."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def finished(self) -> Awaited:
        """Ready once it has ended."""
        ...

    def cancel(self) -> None:
        """Cancel it once, in its loop's native way."""


class RunPort(ChannelPort, PromisePort, TransformerPort, Protocol):
    """One run, as its lane sees it."""

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> SpawnedTask:
        """Start a task in the run's nursery. On the async lane only."""
        ...

    async def wait(self, target: Awaited) -> None:
        """Wait until `target` is ready, without demanding anything of the graph. On the async lane only."""

    async def with_grace(self, what: str, awaitable: Awaitable[object]) -> None:
        """Await a hook shielded from cancellation, cancel it after the grace period, and log `what` then."""

    def open_handle(self, mux: Mux, subgraph: Subgraph) -> Handle:
        """A run stream of this lane over a subgraph's mux."""
        ...

    def hold(self, channel: StreamChannel[Any]) -> None:
        """Dispatch nothing more before the reader that is parked on `channel` has run."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` is the loop's cancellation exception."""
        ...

    def check_stall(self) -> None:
        """Look in a later turn whether the run is stalled, and whose fault it is."""

    def interject(self, error: BaseException) -> None:
        """Fail the run with `error` at the next step."""

    @property
    def interjected(self) -> BaseException | None:
        """The error with which the run is about to fail, if one was interjected."""
        ...

    @property
    def context(self) -> Context:
        """Where hooks run."""
        ...
