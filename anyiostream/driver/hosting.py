"""`Host` and `AsyncSource`: the interface between the async lane and the sources that feed it.

A source knows the run that it feeds by the members of `Host` alone. So a new source is written, and tested, without a
run; see `anyiostream/sources/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol

from anyiostream.channels.latch import Awaited
from anyiostream.loops.interface import Loop, LoopTask
from anyiostream.source import Source

__all__ = ["AsyncSource", "Host", "Spawner"]


class Spawner(Protocol):
    """An event loop, or a stand-in for one, that starts tasks."""

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> LoopTask:
        """Start a task in a copy of `context`."""
        ...


class Host(Protocol):
    """What a source sees of the run that it feeds."""

    @property
    def loop(self) -> Loop:
        """The event loop that the run's readers are on."""
        ...

    @property
    def source_context(self) -> Context:
        """The context variables that the graph runs with. To be copied, not entered."""
        ...

    @property
    def steps_anywhere(self) -> bool:
        """Whether `graph_stops` may be called in a task of another event loop than the run's.

        Not where a hook is the user's, which may expect the run's loop.
        """
        ...

    def host(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, on: Spawner | None = None) -> LoopTask:
        """Start a task that the graph runs in. The run cancels it at its end, and waits for it.

        Args:
            run: What it runs. It raises nothing but cancellation.
            name: What it is called in messages.
            on: Where it runs; by default on the run's own loop.
        """
        ...

    def part_arrived(self) -> None:
        """There is something to pull, after there was nothing."""

    def graph_stops(self) -> None:
        """There is something to pull, and the graph pauses after it. Called in the graph's own task."""

    async def wait(self, target: Awaited) -> None:
        """Wait until `target` is ready. It demands nothing."""


class AsyncSource(Source, Protocol):
    """A source that a run on the async lane pulls from without waiting, and closes."""

    @property
    def spawns(self) -> bool:
        """Whether it has `Host.host` start a task on the run's own loop."""
        ...

    def demand(self) -> None:
        """A reader waits and the source has nothing: get something, and call `Host.part_arrived` then."""

    def start(self, host: Host) -> None:
        """The run has been opened. Starts whatever task the source needs with `host.host`."""

    def stop(self) -> None:
        """Ask the graph to stop. Does not wait. Idempotent."""

    def stop_again(self) -> None:
        """It has not stopped in time: cancel it once more."""

    async def close(self) -> None:
        """Wait until the graph has stopped. Called once `stop` has been."""

    @property
    def read_ahead(self) -> int:
        """How many parts have arrived and not been pulled."""
        ...
