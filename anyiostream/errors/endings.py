"""How a run, a subgraph, a message or a hosted call ended, if not well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from anyiostream.errors.root import AnyioStreamError, ProgrammingError

__all__ = [
    "GraphInterrupt",
    "HookStopped",
    "HostClosed",
    "HostedCallCancelled",
    "MessageFailed",
    "RunAborted",
    "RunDrained",
    "SourceStopped",
    "SubgraphFailed",
]


class RunAborted(AnyioStreamError):
    """The run was aborted, or its block was left, before the graph had finished.

    ```python
    async with open_run([parts.values(1), parts.values(2)]) as run:
        assert await anext(aiter(run.values)) == 1
        await run.abort()
        try:
            await run.output()
        except RunAborted as exc:
            print(exc.partial)  # the last state so far
    ```

    Attributes:
        partial: What there was so far: the last state snapshot for a run, the unfinished message for a message;
            `None` if there was nothing yet.
    """

    def __init__(self, what: str = "the run", *, partial: Any = None) -> None:
        super().__init__(
            f"{what} was aborted before it finished; its value so far is in this exception's `partial`. "
            "Await output() inside the block if you need the final state."
        )
        self.partial = partial


class RunDrained(AnyioStreamError):
    """The run stopped early at the end of a step, because `run.request_drain()` had asked it to.

    The counterpart of LangGraph's `GraphDrained`; what the run of a LangGraph graph raises is both. It is a status, not
    a failure: readers' iterations just end, and only asking for a value raises it. In a graph, let it propagate.

    ```python
    async def count(start, writer):
        for n in range(start, 100):
            await writer.values(n)
            writer.drain_if_requested()  # stops here, raising RunDrained

    async with open_run(count, 1) as run:
        async for n in run.values:
            if n == 2:
                run.request_drain("lunch")
        assert run.status == "drained"
        try:
            await run.output()
        except RunDrained as exc:
            assert (exc.reason, exc.partial) == ("lunch", 2)
    ```

    Attributes:
        reason: Why, as the request says.
        partial: The last state snapshot so far; `None` if there was nothing yet.
    """

    def __init__(self, reason: str = "requested", *, what: str = "the run", partial: Any = None) -> None:
        # Not by super(): beside this class, a subclass has LangGraph's, which takes the reason.
        Exception.__init__(
            self,
            f"{what} stopped at the end of a step, as it had been asked to ({reason}); its value so far is in this "
            "exception's `partial`. To go on from there, open a new run: of a LangGraph graph that keeps checkpoints "
            "on the same thread with the input None, of a function with `partial`.",
        )
        self.reason = reason
        self.partial = partial

    def of(self, what: str, partial: Any) -> Self:
        """The same for `what`, with the state that it had."""
        made = type(self)(self.reason, what=what, partial=partial)
        made.__cause__ = self.__cause__
        return made.with_traceback(self.__traceback__)


class GraphInterrupt(AnyioStreamError):
    """A graph, or a subgraph, was interrupted: a status, not a failure. Never reaches a reader.

    The counterpart of LangGraph's exception of the same name, for graphs that do without LangGraph.

    ```python
    async def order(given, writer):
        await writer.values({"pizza": given})
        raise GraphInterrupt([PendingInterrupt("Extra cheese?", "cheese")])

    async with open_run(order, "Margherita") as run:
        assert [each.value for each in await run.interrupts()] == ["Extra cheese?"]
    ```

    Attributes:
        interrupts: The payloads, in order.
    """

    def __init__(self, interrupts: Iterable[Any] = ()) -> None:
        self.interrupts = tuple(interrupts)
        super().__init__(f"interrupted with {len(self.interrupts)} interrupt(s)")


class SubgraphFailed(AnyioStreamError, RuntimeError):
    """A subgraph failed; the message is its error's text. The graph may go on if its parent handles the error.

    ```python
    async def trip(given, writer):
        try:
            async with writer.subgraph("weather"):
                raise TimeoutError("no answer")
        except TimeoutError:
            await writer.values({"weather": "unknown"})

    async with open_run(trip) as run:
        async for handle in run.subgraphs:
            try:
                await handle.output()
            except SubgraphFailed as exc:
                assert str(exc) == "no answer"
        assert await run.output() == {"weather": "unknown"}
    ```
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)


class MessageFailed(AnyioStreamError, RuntimeError):
    """A model call reported an error; the message is its text. The graph may handle it and go on.

    ```python
    async def answer(given, writer):
        try:
            async with writer.message() as message:
                await message.text("Good ")
                raise TimeoutError("the model is away")
        except TimeoutError:
            await writer.values("try again later")

    async with open_run(answer) as run:
        async for message in run.messages:
            try:
                print([piece async for piece in message.text])
            except MessageFailed as exc:
                assert str(exc) == "the model is away"
    ```
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)


class SourceStopped(AnyioStreamError, RuntimeError):
    """The graph raised an exception that Python's iteration protocol or the event loop would misread.

    A stray `StopIteration` or `StopAsyncIteration` would end a reader's loop as if the graph were complete, and a
    `CancelledError` that nobody sent, or a group of them, would look like a cancellation of the reader. The original is
    `__cause__`.

    ```python
    class Numbers:
        def __iter__(self):
            return self

        def __next__(self):
            raise StopAsyncIteration  # StopIteration was meant

    with open_run(Numbers()) as run:
        try:
            print(run.output)
        except SourceStopped as exc:
            print(exc)
    ```
    """

    def __init__(self, source: str, kind: str) -> None:
        super().__init__(
            f"{source} raised {kind}, which would be misread as {_MISREADINGS.get(kind, 'control flow')} by its "
            "readers; see the exception's cause for where it came from."
        )


class HookStopped(ProgrammingError, RuntimeError):
    """A transformer's hook raised a stray `StopIteration`, `StopAsyncIteration` or cancellation."""

    def __init__(self, hook: str, kind: str) -> None:
        super().__init__(
            f"{hook} raised {kind}, which would be misread as {_MISREADINGS.get(kind, 'control flow')}; a bare "
            "next() on an iterator that ran dry is the usual reason. Use next(iterator, default)."
        )


class HostedCallCancelled(AnyioStreamError, RuntimeError):
    """What `host.run` runs on asyncio was cancelled there, and not by trio. The original is `__cause__`.

    ```python
    async def give_up():
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async def main():
        async with asyncio_host() as host:
            try:
                await host.run(give_up)
            except HostedCallCancelled as exc:
                print(exc)

    trio.run(main)
    ```
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was cancelled on its asyncio loop, by its own code or by a library's; no trio scope has been "
            "cancelled. See the exception's cause for where, and catch CancelledError there if that may happen."
        )


class HostClosed(ProgrammingError, RuntimeError):
    """Something was to run on the asyncio loop of a trio program whose main task has ended."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} cannot start: trio's main task has ended, and the program's asyncio loop has been shut down. "
            "Wait in the main task for whatever opens runs or calls `host.run`: start it in a nursery there."
        )


_MISREADINGS = {
    "StopIteration": "the end of the stream",
    "StopAsyncIteration": "the end of the stream",
    "CancelledError": "a cancellation",
    "BaseExceptionGroup": "a cancellation",  # of nothing but cancellations
}
