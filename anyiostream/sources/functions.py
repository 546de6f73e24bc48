"""Sources that are functions: `async def graph(input, writer)`, on both lanes."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, final

from anyiostream import parts
from anyiostream.errors import ForeignAwait, GraphInterrupt, RunDrained, WriterClosed
from anyiostream.events import Namespace, StreamPart
from anyiostream.loops import wanted_loop
from anyiostream.projections.messages.assembling import assemble_chat_message
from anyiostream.source import END
from anyiostream.sources.drains import Drain
from anyiostream.sources.gate import Gate
from anyiostream.sources.hosted import HostLoop, Receiver
from anyiostream.sources.writer import GraphWriter, SubgraphLeft

__all__ = ["DrivenFunction", "FunctionRoutine", "GraphFunction"]

MAX_PASSED_OVER: Final = 100
"""Writes that return at once when the run is closing: those of a graph's clean-up.

A graph that writes more may do nothing but write. On trio it was woken at such a write, so that it has not been
cancelled; without a checkpoint it never would be, and no other task would have its turn again.
"""

GraphFunction = Callable[[Any, GraphWriter], Awaitable[Any]]
"""A graph that is an async function. What it returns, unless `None`, is its last `values` snapshot."""


@final
class FunctionRoutine:
    """An async function, on the async lane.

    Attributes:
        advancing: Whether the function has been called and has not returned.
        request_drain: Asks the function to stop where it looks for that.
    """

    __slots__ = ("_drain", "_function", "_given", "_name", "_subgraphs", "abort_subgraph", "advancing", "request_drain")

    def __init__(self, function: GraphFunction, given: Any, name: str) -> None:
        self._function = function
        self._given = given
        self._name = name
        self._subgraphs = AbortedSubgraphs()
        self.abort_subgraph = self._subgraphs.abort
        self._drain = Drain()
        self.request_drain = self._drain.request
        self.advancing = False

    async def produce(self, receiver: Receiver, gate: Gate, loop: HostLoop) -> None:
        """Call the function when the gate permits; what it returns is its last part."""
        if await gate.permission(loop):
            sink = GatedSink(receiver, gate, loop, self._subgraphs, self._drain)
            self.advancing = True
            try:
                result = await self._function(self._given, GraphWriter(sink))
                if result is not None:
                    await sink.write(parts.values(result), last=True)
                sink.ended = self._name
            finally:
                self.advancing = False

    async def close(self) -> None:
        """Nothing to close."""

    def outcome(self) -> None:
        """Nothing: the function has returned."""


@final
class GatedSink:
    """Hands parts to the run as the gate permits.

    Attributes:
        ended: The graph's name once its function has returned; after that, only a task that it left behind can write.
    """

    __slots__ = ("_drain", "_gate", "_loop", "_passed_over", "_put", "_subgraphs", "ended")

    def __init__(
        self,
        receiver: Receiver,
        gate: Gate,
        loop: HostLoop,
        subgraphs: AbortedSubgraphs,
        drain: Drain,
    ) -> None:
        self._put = receiver.put
        self._gate = gate
        self._loop = loop
        self._subgraphs = subgraphs
        self._drain = drain
        self._passed_over = 0
        self.ended = ""

    @property
    def drain_reason(self) -> str | None:
        """Why the graph is to stop."""
        return self._drain.reason

    async def announce(self, namespace: Namespace, part: StreamPart) -> None:
        """Write the first part of a subgraph."""
        self._subgraphs.expect(namespace)
        await self._write(part)

    async def write(self, part: StreamPart, *, last: bool = False) -> None:
        """Wait until the part fits, put it, and wait until the graph may go on. Nothing once the run is closing."""
        self._subgraphs.check(part)
        await self._write(part, last=last)

    def write_now(self, part: StreamPart) -> None:
        """Put a part without waiting, one over the read-ahead if need be. Nothing once the run is closing."""
        if not self.ended and not self._gate.stopped and not self._subgraphs.is_aborted(tuple(part.get("ns", ()))):
            self._put(part)

    async def _write(self, part: StreamPart, *, last: bool = False) -> None:
        if self.ended:
            raise WriterClosed("the writer", f"{self.ended} returned")
        gate = self._gate
        if not gate.open:
            await gate.permission(self._loop, offering=True)
        if gate.stopped:
            self._passed_over += 1
            if self._passed_over > MAX_PASSED_OVER:
                await self._loop.checkpoint()
            return
        self._put(part)
        if not last and not gate.open:
            await gate.permission(self._loop)

    @asynccontextmanager
    async def abortable(self, namespace: Namespace) -> AsyncGenerator[None]:
        """A cancel scope that aborting the subgraph cancels."""
        with self._loop.scope() as scope, self._subgraphs.cancelling(namespace, scope.cancel):
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
        """Whether the subgraph, or one around it, was aborted."""
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
    never_waits = True
    assemble_message = staticmethod(assemble_chat_message)

    def __init__(self, function: GraphFunction, given: Any, name: str) -> None:
        self.name = name
        self._function = function
        self._given = given
        self.at_hand: Final[deque[Any]] = deque()
        self._coro: Coroutine[Any, Any, Any] | None = None
        self._ended = False
        self._subgraphs = AbortedSubgraphs()
        drain = Drain()
        self.request_drain = drain.request
        self._sink = YieldingSink(self._subgraphs, drain)

    def pull(self) -> Any:
        """The next part, or `END`; raises what the function raises."""
        if self._ended:
            return END
        if self._coro is None:
            self._coro = _as_coroutine(self._function(self._given, GraphWriter(self._sink)))
        try:
            awaited = self._coro.send(None)
        except StopIteration as stop:
            self._ended = True
            return END if stop.value is None else parts.values(stop.value)
        except BaseException as exc:
            self._ended = True
            if wanted_loop(exc):
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
                with suppress(RunDrained, GraphInterrupt):  # its clean-up says how it ends: the run has ended already
                    self._coro.close()


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

    __slots__ = ("_drain", "_subgraphs", "closing")

    def __init__(self, subgraphs: AbortedSubgraphs, drain: Drain) -> None:
        self._subgraphs = subgraphs
        self._drain = drain
        self.closing = False

    @property
    def drain_reason(self) -> str | None:
        """Why the graph is to stop."""
        return self._drain.reason

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

    def write_now(self, part: StreamPart) -> None:
        """Nothing is cancelled on this lane, so this is never needed."""

    @asynccontextmanager
    async def abortable(self, namespace: Namespace) -> AsyncGenerator[None]:
        """Without an event loop there is nothing to cancel: the subgraph ends at its next write."""
        with self._subgraphs.cancelling(namespace, lambda: None):
            yield

    def is_aborted(self, namespace: Namespace) -> bool:
        """Whether the subgraph was aborted."""
        return self._subgraphs.is_aborted(namespace)

    def forget(self, namespace: Namespace) -> None:
        """The subgraph has ended."""
        self._subgraphs.forget(namespace)
