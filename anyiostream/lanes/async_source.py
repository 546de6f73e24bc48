"""What the async lane needs of a source, besides its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from anyiostream.source import Source

if TYPE_CHECKING:
    from anyiostream.lanes.async_run import AsyncRun

__all__ = ["AsyncSource"]


class AsyncSource(Source, Protocol):
    """A source that a run on the async lane pulls from without waiting, and closes."""

    @property
    def spawns(self) -> bool:
        """Whether the graph runs in a task of the run's own."""
        ...

    def demand(self) -> None:
        """A reader waits and the source has nothing: get something, and call `on_part` then."""

    def start(self, run: AsyncRun, on_part: Callable[[], None]) -> None:
        """The run has been opened. Starts whatever task the source needs with `run.host`."""

    def stop(self) -> None:
        """Ask the graph to stop. Does not wait. Idempotent."""

    def stop_again(self) -> None:
        """It has not stopped in time: cancel it once more."""

    async def close(self) -> None:
        """Wait until the graph has stopped. Called once `stop` has been."""

    @property
    def read_ahead(self) -> int:
        """Parts that are there already."""
        ...
