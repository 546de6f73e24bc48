"""What the core needs of the lane it runs on.

`RunPort` has only what both lanes really have. Whatever needs tasks, and so an event loop, is in `TaskPort`, which the
sync lane does not have: `RunPort.task_port` is `None` there, and what would need it is refused or never happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.latch import Awaited
from anyiostream.channels.port import ChannelPort
from anyiostream.transformer import TransformerPort

__all__ = ["RunPort", "SpawnedTask", "TaskPort"]


class SpawnedTask(Protocol):
    """A task of the run's own."""

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


class TaskPort(Protocol):
    """What a run on the async lane has besides: tasks, waiting, and readers in other tasks."""

    @property
    def context(self) -> Context:
        """Where hooks run."""
        ...

    @property
    def interjected(self) -> BaseException | None:
        """The error with which the run is about to fail, if there is one."""
        ...

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> SpawnedTask:
        """Start a task of the run's own."""
        ...

    async def wait(self, target: Awaited) -> None:
        """Wait until `target` is ready, without demanding anything of the graph."""

    async def with_grace(self, what: str, awaitable: Awaitable[object]) -> None:
        """Await a hook shielded from cancellation, cancel it after the grace period, and log `what` then."""

    def hold(self, channel: StreamChannel[Any]) -> None:
        """Dispatch nothing more until the reader that is parked on `channel` has run."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` is the loop's cancellation exception."""
        ...

    def check_stall(self) -> None:
        """Check in a later iteration of the event loop whether the run is stalled, and by which reader."""

    def interject(self, error: BaseException) -> None:
        """Fail the run with `error` at the next step."""


class RunPort(ChannelPort, TransformerPort, Protocol):
    """One run, as its lane sees it."""

    @property
    def task_port(self) -> TaskPort | None:
        """What only the async lane has; `None` on the sync lane."""
        ...
