"""Sources that are iterables of parts."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, final

from anyiostream.events import Namespace
from anyiostream.projections.messages.assembling import assemble_chat_message
from anyiostream.projections.messages.output import Assembler
from anyiostream.source import END
from anyiostream.sources.hosting import IteratorHost
from anyiostream.sources.inbox import Gate, Inbox

if TYPE_CHECKING:
    from anyiostream.lanes.async_run import AsyncRun
    from anyiostream.mux.port import SpawnedTask

__all__ = ["HostedIterator", "IterableSource"]


@final
class IterableSource:
    """An iterable, advanced by whoever needs a part. It never waits, so it serves both lanes."""

    spawns = False
    has_part = True
    read_ahead = 0

    def __init__(self, iterable: Iterable[Any], name: str, assemble: Assembler = assemble_chat_message) -> None:
        iterator = iter(iterable)
        self.name = name
        self.assemble_message = assemble
        self.pull: Callable[[], Any] = partial(next, iterator, END)
        self._close: Callable[[], object] | None = getattr(iterator, "close", None)
        self._closing_error: BaseException | None = None

    def start(self, run: AsyncRun, on_part: Callable[[], None]) -> None:
        """Nothing runs by itself."""

    def demand(self) -> None:
        """There is always something."""

    def abort_subgraph(self, namespace: Namespace) -> bool:  # noqa: ARG002 -- a source's method
        """Not possible: who produces the parts does not know of it."""
        return False

    def stop(self) -> None:
        """Close the iterator, if it can be closed."""
        try:
            self.close_now()
        except Exception as exc:  # noqa: BLE001 -- raised by close()
            self._closing_error = exc

    def stop_again(self) -> None:
        """It has stopped."""

    def close_now(self) -> None:
        """Close the iterator, once."""
        close, self._close = self._close, None
        if close is not None:
            close()

    async def close(self) -> None:
        """Raise what closing raised."""
        error, self._closing_error = self._closing_error, None
        if error is not None:
            raise error


@final
class HostedIterator:
    """An async iterable, advanced by one task of the run's own."""

    spawns = True

    def __init__(
        self,
        open_iterable: Callable[[], AsyncIterable[Any]],
        name: str,
        gate: Gate,
        assemble: Assembler = assemble_chat_message,
    ) -> None:
        self.name = name
        self.assemble_message = assemble
        self._gate = gate
        self._inbox = Inbox(gate)
        self._host = IteratorHost(open_iterable, name, gate, self._inbox)
        self._task: SpawnedTask | None = None
        self._run: AsyncRun | None = None
        self.pull = self._inbox.pull
        self.demand = gate.demand

    @property
    def has_part(self) -> bool:
        """Whether `pull` would answer something else than `NOTHING`."""
        return self._inbox.has_part

    @property
    def read_ahead(self) -> int:
        """Parts that are there already."""
        return len(self._inbox)

    def start(self, run: AsyncRun, on_part: Callable[[], None]) -> None:
        """Start the task; it waits for demand before it does anything."""
        self._inbox.notify(on_part, run.graph_stops)
        self._run = run
        self._task = run.host(lambda: self._host.run(run.loop), self.name)

    def abort_subgraph(self, namespace: Namespace) -> bool:  # noqa: ARG002 -- a source's method
        """Not possible: the graph runs as a whole."""
        return False

    def stop(self) -> None:
        """Let the task close the iterator; cancel it if it is inside."""
        if not self._gate.stopped:
            self._gate.stop()
            if self._host.advancing:
                self.stop_again()

    def stop_again(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Wait for the task, and raise what closing the iterator raised."""
        if self._task is not None and self._run is not None:
            await self._run.wait(self._task.finished)
        error, self._host.late_error = self._host.late_error, None
        if error is not None:
            raise error
