"""`GraphWriter`: how a graph that is an async function writes its parts.

Rules:

- Each method waits until the part fits: until there is room in the read-ahead, or, after a part that ends a
  superstep, until a reader wants what comes next. So backpressure reaches into the graph itself.
- It writes the same parts as LangGraph, so every transformer works unchanged.
- While the run is closing it writes nothing and waits for nothing, so clean-up code may use it freely.
- A subgraph that was aborted by its handle writes nothing either: it is cancelled, and ends at its next write.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, final

import attrs

from anyiostream import parts
from anyiostream.errors import GraphInterrupt, RunDrained
from anyiostream.events import Namespace, StreamPart
from anyiostream.foreign import interrupts_of, is_drain, same_interrupt
from anyiostream.forms import name_of, text_of
from anyiostream.sources.message_writer import (
    CANCELLED,
    MessageWriter,
    ToolCallWriter,
    writing_message,
    writing_tool_call,
)

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # with defaults, which Python has from 3.13

    StateT_contra = TypeVar("StateT_contra", contravariant=True, default=Any)
else:
    from typing import TypeVar

    StateT_contra = TypeVar("StateT_contra", contravariant=True)

__all__ = ["GraphWriter", "PartSink", "PendingInterrupt", "SubgraphLeft"]


@final
@attrs.frozen(eq=False)
class PendingInterrupt:
    """A question at which a graph waits for its user. Equal to LangGraph's `Interrupt` of the same value and id.

    ```python
    async def order(pizza, writer):
        await writer.interrupt("Extra cheese?", interrupt_id="cheese")

    async with open_run(order, "Margherita") as run:
        assert await run.interrupts() == [PendingInterrupt("Extra cheese?", "cheese")]
    ```

    ```python
    from anyiostream import open_run


    async def graph(answer, writer):
        if answer is None:
            await writer.interrupt("Really?", interrupt_id="1")
        return answer


    with open_run(graph) as run:
        (asked,) = run.interrupts
        assert (asked.value, asked.id) == ("Really?", "1")
    with open_run(graph, "yes") as run:
        assert run.output == "yes"
    ```

    Attributes:
        value: What the user is asked.
        id: Tells interrupts apart.
    """

    value: Any
    id: str

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PendingInterrupt):
            return (self.value, self.id) == (other.value, other.id)
        return same_interrupt(self.value, self.id, other) or NotImplemented

    def __hash__(self) -> int:
        return hash((self.value, self.id))


class SubgraphLeft(BaseException):
    """Unwinds a subgraph that was aborted, up to its `writer.subgraph` block.

    Not an `Exception`, so that a graph's own error handling lets it pass.
    """

    def __init__(self, namespace: Namespace) -> None:
        super().__init__(namespace)
        self.namespace = namespace


class PartSink(Protocol):
    """Where a writer's parts go, one per lane."""

    @property
    def drain_reason(self) -> str | None:
        """Why the graph has been asked to stop at the end of its step; `None` if it has not."""
        ...

    async def write(self, part: StreamPart) -> None:
        """Hand over a part, and wait until the graph may go on.

        Raises:
            SubgraphLeft: The part's subgraph was aborted.
        """

    def write_now(self, part: StreamPart) -> None:
        """Hand over a part without waiting, where the task that writes has been cancelled."""

    async def announce(self, namespace: Namespace, part: StreamPart) -> None:
        """Hand over the part with which the subgraph at `namespace` starts. It may be aborted from then on."""

    def abortable(self, namespace: Namespace) -> AbstractAsyncContextManager[None]:
        """A block that ends when the subgraph at `namespace` is aborted."""
        ...

    def is_aborted(self, namespace: Namespace) -> bool:
        """Whether the subgraph at `namespace`, or one round it, was aborted."""
        ...

    def forget(self, namespace: Namespace) -> None:
        """The subgraph at `namespace` has ended."""


class GraphWriter(Generic[StateT_contra]):
    """Writes the parts of one level of a function graph.

    Generic in the type of the graph's state: `writer: GraphWriter[MyState]` types the run's `values` and output.

    ```python
    import trio

    from anyiostream import open_run


    async def graph(question, writer):
        await writer.values({"question": question})
        async with writer.subgraph("expert") as expert:
            async with expert.message() as message:
                await message.text("forty-two")
        return {"question": question, "answer": "forty-two"}


    async def main() -> None:
        async with open_run(graph, "What is it?") as run:
            async for handle in run.subgraphs:
                async for message in handle.messages:
                    assert await message.text == "forty-two"
            assert (await run.output())["answer"] == "forty-two"


    trio.run(main)
    ```

    Attributes:
        namespace: The level's namespace; `()` for the graph itself.
    """

    __slots__ = ("_sink", "_state", "namespace")

    def __init__(self, sink: PartSink, namespace: Namespace = ()) -> None:
        self._sink = sink
        self._state: Any = None
        self.namespace = namespace

    @property
    def drain_requested(self) -> bool:
        """Whether `run.request_drain()` has asked the graph to stop at the end of its step."""
        return self._sink.drain_reason is not None

    def drain_if_requested(self) -> None:
        """Stop here if `run.request_drain()` has asked for that. The graph says like this where its steps end.

        Nothing that a later run should not repeat may be under way then, and the last snapshot is what it goes on from.
        The run ends as drained, and with it any subgraph whose block this is in.

        ```python
        async def count(start, writer):
            for n in range(start, 4):
                await writer.values(n)
                writer.drain_if_requested()

        with open_run(count, 1) as run:
            run.request_drain()
            assert list(run.values) == [1]
        with open_run(count, 2) as run:
            assert list(run.values) == [2, 3]
        ```

        Raises:
            RunDrained: It has. Let it propagate.
        """
        reason = self._sink.drain_reason
        if reason is not None:
            raise RunDrained(reason)

    async def values(self, state: StateT_contra, *, interrupts: Iterable[Any] = ()) -> None:
        """Write a snapshot of the whole state. The last one is the run's output."""
        self._state = state
        await self._sink.write(parts.values(state, interrupts=interrupts, ns=self.namespace))

    async def updates(self, update: Mapping[str, Any]) -> None:
        """Write what a step changed: node name -> update."""
        await self._sink.write(parts.updates(update, ns=self.namespace))

    async def custom(self, data: Any) -> None:
        """Write anything the readers of `run.custom` should see."""
        await self._sink.write(parts.custom(data, ns=self.namespace))

    async def checkpoints(self, checkpoint: Mapping[str, Any]) -> None:
        """Write a saved checkpoint."""
        await self._sink.write(parts.checkpoints(checkpoint, ns=self.namespace))

    async def debug(self, data: Any) -> None:
        """Write detail about a step."""
        await self._sink.write(parts.debug(data, ns=self.namespace))

    async def part(self, part: StreamPart) -> None:
        """Write a part built with `anyiostream.parts`, as it is."""
        await self._sink.write(part)

    def message(
        self, *, node: str | None = None, message_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> AbstractAsyncContextManager[MessageWriter]:
        """`async with writer.message() as message:` writes one model call, as `run.messages` shows it.

        If the block raises, or is cancelled, the message fails, and the exception propagates.

        Args:
            node: The node that makes the call.
            message_id: The message's id; a new one if not given.
            metadata: What is known of the model: `{"provider": ..., "model": ...}`.
        """
        return writing_message(self._sink, self.namespace, node, message_id or _new_id(), metadata)

    def tool_call(
        self,
        name: str,
        input: Any = None,  # noqa: A002 -- the key of the payload
        *,
        tool_call_id: str | None = None,
    ) -> AbstractAsyncContextManager[ToolCallWriter]:
        """`async with writer.tool_call("search", {...}) as call:` writes one tool call, as `run.tool_calls` shows it.

        If the block raises, or is cancelled, the call fails, and the exception propagates.

        Args:
            name: The tool.
            input: Its arguments.
            tool_call_id: The id that the model gave the call; a new one if not given.
        """
        return writing_tool_call(self._sink, self.namespace, name, input, tool_call_id or _new_id())

    @asynccontextmanager
    async def subgraph(
        self,
        name: str,
        input: Any = None,  # noqa: A002 -- the key of the payload
        *,
        agent: str | None = None,
        tool_call_id: str | None = None,
    ) -> AsyncGenerator[SubgraphWriter]:
        """`async with writer.subgraph("researcher") as inner:` runs the block as a subgraph, with a handle of its own.

        The subgraph ends with the block: completed; failed if the block raises (the exception propagates) or is
        cancelled; interrupted if it raises `GraphInterrupt`; aborted if its handle is: then the block is cancelled, and
        the graph goes on after it.

        Args:
            name: The node that runs it.
            input: What it is given.
            agent: Its name, if it is an agent.
            tool_call_id: The tool call that caused it.
        """
        task_id, inner_id = _new_id(), _new_id()
        namespace = (*self.namespace, f"{name}:{task_id}")
        given = input if tool_call_id is None else {"tool_call": {"id": tool_call_id}, "input": input}
        metadata = {"lc_agent_name": agent} if agent is not None else None
        await self._sink.write(parts.task_start(task_id, name, input=given, ns=self.namespace))
        inner = SubgraphWriter(self._sink, namespace)
        error: str | None = None
        interrupts: tuple[Any, ...] = ()
        cancelled = drained = False
        try:
            # Its handle may abort it from here on; the block is still entered, and left at its first write.
            start = parts.task_start(inner_id, name, input=input, metadata=metadata, ns=namespace)
            await self._sink.announce(namespace, start)
            async with self._sink.abortable(namespace):
                yield inner
        except SubgraphLeft as left:
            if left.namespace != namespace:
                raise
        except Exception as exc:
            drained = is_drain(exc)
            error, interrupts = _reported(exc)
            raise
        except BaseException:
            cancelled = True
            error = CANCELLED
            raise
        finally:
            # One that is drained ends with its run: as in LangGraph, its task has no result.
            ended = partial(parts.task_result, name=name, result=inner.result, error=error, interrupts=interrupts)
            aborted = self._sink.is_aborted(namespace)
            self._sink.forget(namespace)
            results = [] if aborted or drained else [ended(inner_id, ns=namespace)]
            if not (drained or self._sink.is_aborted(self.namespace)):
                results.append(ended(task_id, aborted=aborted, ns=self.namespace))
            for part in results:
                if cancelled:
                    self._sink.write_now(part)
                else:
                    await self._sink.write(part)

    async def interrupt(self, value: Any, *, interrupt_id: str | None = None) -> None:
        """Stop here to ask the user: write the last state with the interrupt, and raise `GraphInterrupt`.

        The run ends as interrupted. To resume, open a new one with the answer in its input.

        Raises:
            GraphInterrupt: Always. Let it propagate.
        """
        interrupt = PendingInterrupt(value, interrupt_id or _new_id())
        await self.values(self._state, interrupts=(interrupt,))
        raise GraphInterrupt((interrupt,))


@final
class SubgraphWriter(GraphWriter[Any]):
    """Writes the parts of a subgraph.

    ```python
    from anyiostream import open_run


    async def graph(given, writer):
        async with writer.subgraph("expert") as expert:
            await expert.values("half-way")
            expert.result = "done"


    with open_run(graph) as run:
        (handle,) = run.subgraphs
        assert handle.output == "half-way"
    ```

    Attributes:
        result: What the subgraph's task reports as its result.
    """

    __slots__ = ("result",)

    def __init__(self, sink: PartSink, namespace: Namespace) -> None:
        super().__init__(sink, namespace)
        self.result: Any = None


def _reported(error: Exception) -> tuple[str | None, tuple[Any, ...]]:
    """What a task's result reports of the exception that ended it: an error's text, or interrupts."""
    interrupts = interrupts_of(error)
    return (text_of(error) or name_of(error), ()) if interrupts is None else (None, interrupts)


def _new_id() -> str:
    from uuid import uuid4  # noqa: PLC0415 -- nearly a ms of each program's start, and few programs write

    return str(uuid4())
