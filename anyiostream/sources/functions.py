"""Sources that are functions: `async def graph(input, writer)`, on both lanes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, final

import anyio

from anyiostream import parts
from anyiostream.errors import ForeignAwait, WriterClosed
from anyiostream.events import Namespace, StreamPart
from anyiostream.projections.messages.assembling import assemble_chat_message
from anyiostream.source import END, readable
from anyiostream.sources.hosting import consists_of
from anyiostream.sources.inbox import Gate, Inbox
from anyiostream.sources.writer import StreamWriter, SubgraphLeft

if TYPE_CHECKING:
    from anyiostream.lanes.async_run import AsyncRun
    from anyiostream.loops.interface import Loop
    from anyiostream.mux.port import SpawnedTask

__all__ = ["DrivenFunction", "GraphFunction", "HostedFunction"]

GraphFunction = Callable[[Any, StreamWriter], Awaitable[Any]]
"""A graph that is an async function. What it returns, unless `None`, is its last `values` snapshot."""


@final
class HostedFunction:
    """A function graph on the async lane, run by one task of the run's own."""

    spawns = True
    assemble_message = staticmethod(assemble_chat_message)

    def __init__(self, function: GraphFunction, given: Any, name: str, gate: Gate) -> None:
        self.name = name
        self._function = function
        self._given = given
        self._gate = gate
        self._inbox = inbox = Inbox(gate)
        self._task: SpawnedTask | None = None
        self._run: AsyncRun | None = None
        self._late_error: BaseException | None = None
        self._subgraphs = AbortedSubgraphs()
        self.pull = inbox.pull
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
        """Start the task; it waits for demand before it calls the function."""
        self._inbox.notify(on_part, run.graph_stops)
        self._run = run
        self._task = run.host(self._host, self.name)

    def abort_subgraph(self, namespace: Namespace) -> bool:
        """Cancel one subgraph; whether it was running."""
        return self._subgraphs.abort(namespace)

    def stop(self) -> None:
        """Cancel the function, wherever it is."""
        if not self._gate.stopped:
            self._gate.stop()
            self.stop_again()

    def stop_again(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Wait for the task, and raise what the function's clean-up raised."""
        if self._task is not None and self._run is not None:
            await self._run.wait(self._task.finished)
        error, self._late_error = self._late_error, None
        if error is not None:
            raise error

    async def _host(self) -> None:
        assert self._run is not None
        gate, inbox, loop = self._gate, self._inbox, self._run.loop
        error: BaseException | None = None
        try:
            sink = InboxSink(inbox, gate, loop, self._subgraphs)
            if await gate.permission(loop):
                result = await self._function(self._given, StreamWriter(sink))
                if result is not None:
                    await sink.write(parts.values(result), last=True)
                sink.ended = self.name
        except BaseException as exc:  # noqa: BLE001 -- ends the inbox, or is raised by close()
            error = exc
        if gate.stopped:
            self._late_error = None if error is None or consists_of(error, loop.is_cancellation) else error
        elif error is not None and consists_of(error, loop.is_cancellation):
            inbox.end(readable(error, self.name))
        else:
            inbox.end(error)


@final
class InboxSink:
    """Puts parts into the inbox.

    Attributes:
        ended: The graph's name once its function has returned; whoever writes then has been forgotten by it.
    """

    __slots__ = ("_gate", "_inbox", "_loop", "_subgraphs", "ended")

    def __init__(self, inbox: Inbox, gate: Gate, loop: Loop, subgraphs: AbortedSubgraphs) -> None:
        self._inbox = inbox
        self._gate = gate
        self._loop = loop
        self._subgraphs = subgraphs
        self.ended = ""

    async def announce(self, namespace: Namespace, part: StreamPart) -> None:
        """Write the first part of a subgraph."""
        self._subgraphs.expect(namespace)
        await self._write(part)

    async def write(self, part: StreamPart, *, last: bool = False) -> None:
        """Wait until the part fits, put it, and wait until the graph may go on. Nothing once the run is closing."""
        self._subgraphs.check(part)
        await self._write(part, last=last)

    async def _write(self, part: StreamPart, *, last: bool = False) -> None:
        if self.ended:
            raise WriterClosed("the writer", f"{self.ended} returned")
        gate = self._gate
        if not gate.open:
            await gate.permission(self._loop, offering=True)
        if gate.stopped:
            return
        self._inbox.put(part)
        if not last and not gate.open:
            await gate.permission(self._loop)

    @asynccontextmanager
    async def abortable(self, namespace: Namespace) -> AsyncGenerator[None]:
        """A cancel scope that aborting the subgraph cancels."""
        with anyio.CancelScope() as scope:
            with self._subgraphs.cancelling(namespace, scope.cancel):
                yield

    def is_aborted(self, namespace: Namespace) -> bool:
        """Whether the subgraph was aborted."""
        return self._subgraphs.is_aborted(namespace)

    def forget(self, namespace: Namespace) -> None:
        """The subgraph has ended."""
        self._subgraphs.forget(namespace)


@final
class AbortedSubgraphs:
    """Which subgraphs of a function graph have been aborted by their handles."""

    __slots__ = ("_aborted", "_open")

    def __init__(self) -> None:
        self._open: dict[Namespace, Callable[[], object]] = {}
        self._aborted: set[Namespace] = set()

    def abort(self, namespace: Namespace) -> bool:
        """Abort a subgraph; whether it was running."""
        cancel = self._open.get(namespace)
        if cancel is None:
            return False
        self._aborted.add(namespace)
        cancel()
        return True

    def expect(self, namespace: Namespace) -> None:
        """The subgraph is about to start; aborting it takes effect when it does."""
        self._open[namespace] = lambda: None

    @contextmanager
    def cancelling(self, namespace: Namespace, cancel: Callable[[], object]) -> Generator[None]:
        """Inside, aborting the subgraph calls `cancel`."""
        self._open[namespace] = cancel
        if namespace in self._aborted:
            cancel()
        try:
            yield
        finally:
            self._open.pop(namespace, None)

    def forget(self, namespace: Namespace) -> None:
        """The subgraph has ended."""
        self._open.pop(namespace, None)
        self._aborted.discard(namespace)

    def is_aborted(self, namespace: Namespace) -> bool:
        """Whether the subgraph, or one round it, was aborted."""
        return self._outermost(namespace) is not None

    def check(self, part: StreamPart) -> None:
        """Raise `SubgraphLeft` if the part comes from a subgraph that was aborted."""
        if self._aborted:
            aborted = self._outermost(tuple(part.get("ns", ())))
            if aborted is not None:
                raise SubgraphLeft(aborted)

    def _outermost(self, namespace: Namespace) -> Namespace | None:
        for depth in range(1, len(namespace) + 1):
            if namespace[:depth] in self._aborted:
                return namespace[:depth]
        return None


@final
class DrivenFunction:
    """A function graph on the sync lane: its coroutine is driven by hand, and suspends only to hand over parts."""

    has_part = True
    assemble_message = staticmethod(assemble_chat_message)

    def __init__(self, function: GraphFunction, given: Any, name: str) -> None:
        self.name = name
        self._function = function
        self._given = given
        self._coro: Coroutine[Any, Any, Any] | None = None
        self._ended = False
        self._subgraphs = AbortedSubgraphs()
        self._sink = YieldingSink(self._subgraphs)

    def pull(self) -> Any:
        """The next part, or `END`; raises what the function raises."""
        if self._ended:
            return END
        if self._coro is None:
            self._coro = _as_coroutine(self._function(self._given, StreamWriter(self._sink)))
        try:
            awaited = self._coro.send(None)
        except StopIteration as stop:
            self._ended = True
            return END if stop.value is None else parts.values(stop.value)
        except BaseException as exc:
            self._ended = True
            if _wanted_loop(exc):
                exc.add_note(
                    f"{self.name} runs on the sync lane, which has no event loop: there it may await its writer only. "
                    "Open the run with `async with open_run(...)`."
                )
            raise
        if isinstance(awaited, Handed):
            return awaited.part
        self.close_now()
        raise ForeignAwait(self.name, awaited)

    def abort_subgraph(self, namespace: Namespace) -> bool:
        """Leave one subgraph when it next writes; whether it was running."""
        return self._subgraphs.abort(namespace)

    def close_now(self) -> None:
        """Close the coroutine, once."""
        if not self._ended:
            self._ended = True
            self._sink.closing = True
            if self._coro is not None:
                self._coro.close()


def _wanted_loop(error: BaseException) -> bool:
    """Whether the error says that an event loop, or an async library, was looked for and not found."""
    return type(error).__name__ in {"NoEventLoopError", "AsyncLibraryNotFoundError"} or str(error) in {
        "no running event loop",
        "must be called from async context",
    }


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@final
class Handed:
    """What a driven function suspends with: a part for whoever drives it."""

    __slots__ = ("part",)

    def __init__(self, part: StreamPart) -> None:
        self.part = part

    def __await__(self) -> Generator[Handed, None, None]:
        """Hand it over."""
        yield self


@final
class YieldingSink:
    """Hands parts to whoever drives the coroutine.

    Attributes:
        closing: Whether the run is closing, so that nothing is handed over any more.
    """

    __slots__ = ("_subgraphs", "closing")

    def __init__(self, subgraphs: AbortedSubgraphs) -> None:
        self._subgraphs = subgraphs
        self.closing = False

    async def announce(self, namespace: Namespace, part: StreamPart) -> None:
        """Suspend with the first part of a subgraph."""
        self._subgraphs.expect(namespace)
        if not self.closing:
            await Handed(part)

    async def write(self, part: StreamPart) -> None:
        """Suspend with the part."""
        if self.closing:
            return
        self._subgraphs.check(part)
        await Handed(part)
        self._subgraphs.check(part)

    @asynccontextmanager
    async def abortable(self, namespace: Namespace) -> AsyncGenerator[None]:
        """Without an event loop there is nothing to cancel: the subgraph is left at its next write."""
        with self._subgraphs.cancelling(namespace, lambda: None):
            yield

    def is_aborted(self, namespace: Namespace) -> bool:
        """Whether the subgraph was aborted."""
        return self._subgraphs.is_aborted(namespace)

    def forget(self, namespace: Namespace) -> None:
        """The subgraph has ended."""
        self._subgraphs.forget(namespace)
