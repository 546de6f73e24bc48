"""`StreamWriter`: how a graph that is one's own async function writes its parts.

Rules:

- Each method waits until the part fits: until there is room in the read-ahead, or, after a part that ends a
  superstep, until somebody wants what comes next. So backpressure reaches into the graph itself.
- It writes the parts that LangGraph would, so that every transformer works unchanged.
- Once the run is closing it writes nothing and waits for nothing, so that clean-up code may use it blindly.
- A subgraph that was aborted by its handle writes nothing either: it is cancelled, and at its next write it is left.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, final

import attrs

from anyiostream import parts
from anyiostream.errors import GraphInterrupt
from anyiostream.events import Namespace, StreamPart
from anyiostream.sources.message_writer import MessageWriter, ToolCallWriter, writing_message, writing_tool_call

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # with defaults, which Python has from 3.13

    StateT_contra = TypeVar("StateT_contra", contravariant=True, default=Any)
else:
    from typing import TypeVar

    StateT_contra = TypeVar("StateT_contra", contravariant=True)

__all__ = ["Interrupt", "PartSink", "StreamWriter", "SubgraphLeft"]


@final
@attrs.frozen
class Interrupt:
    """What a graph waits for its user with.

    Attributes:
        value: What the user is asked.
        id: Tells interrupts apart.
    """

    value: Any
    id: str


class SubgraphLeft(BaseException):
    """Unwinds a subgraph that was aborted, up to its `writer.subgraph` block.

    No `Exception`, so that a graph's own error handling lets it pass.
    """

    def __init__(self, namespace: Namespace) -> None:
        super().__init__(namespace)
        self.namespace = namespace


class PartSink(Protocol):
    """Where a writer's parts go, one per lane."""

    async def write(self, part: StreamPart) -> None:
        """Hand over a part, and wait until the graph may go on.

        Raises:
            SubgraphLeft: The part's subgraph was aborted.
        """

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


class StreamWriter(Generic[StateT_contra]):
    """Writes the parts of one level of a function graph.

    Generic in the type of the graph's state: `writer: StreamWriter[MyState]` types the run's `values` and output.

    Attributes:
        namespace: The level's namespace; `()` for the graph itself.
    """

    __slots__ = ("_sink", "_state", "namespace")

    def __init__(self, sink: PartSink, namespace: Namespace = ()) -> None:
        self._sink = sink
        self._state: Any = None
        self.namespace = namespace

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

        If the block raises, the message fails with the exception's text, and the exception goes on.

        Args:
            node: The node that makes the call.
            message_id: The message's id; minted if not given.
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

        If the block raises, the call fails with the exception's text, and the exception goes on.

        Args:
            name: The tool.
            input: Its arguments.
            tool_call_id: The id that the model gave the call; minted if not given.
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

        The subgraph ends with the block: completed, failed if the block raises (the exception goes on), interrupted if
        it raises `GraphInterrupt`, aborted if its handle is: then the block is cancelled and the graph goes on after
        it.

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
        try:
            # Its handle may abort it from here on; the block is entered all the same, and left at its first write.
            start = parts.task_start(inner_id, name, input=input, metadata=metadata, ns=namespace)
            await self._sink.announce(namespace, start)
            async with self._sink.abortable(namespace):
                yield inner
        except SubgraphLeft as left:
            if left.namespace != namespace:
                raise
        except GraphInterrupt as interrupt:
            interrupts = interrupt.interrupts
            raise
        except Exception as exc:
            error = str(exc) or type(exc).__name__
            raise
        finally:
            aborted = self._sink.is_aborted(namespace)
            self._sink.forget(namespace)
            if not aborted:
                await self._sink.write(
                    parts.task_result(
                        inner_id, name, result=inner.result, error=error, interrupts=interrupts, ns=namespace
                    )
                )
            if not self._sink.is_aborted(self.namespace):
                await self._sink.write(
                    parts.task_result(
                        task_id,
                        name,
                        result=inner.result,
                        error=error,
                        interrupts=interrupts,
                        aborted=aborted,
                        ns=self.namespace,
                    )
                )

    async def interrupt(self, value: Any, *, interrupt_id: str | None = None) -> None:
        """Stop here to ask the user: write the last state with the interrupt, and raise `GraphInterrupt`.

        The run ends as interrupted. To resume, open a new one with the answer in its input.

        Raises:
            GraphInterrupt: Always. Let it pass.
        """
        interrupt = Interrupt(value, interrupt_id or _new_id())
        await self.values(self._state, interrupts=(interrupt,))
        raise GraphInterrupt((interrupt,))


@final
class SubgraphWriter(StreamWriter[Any]):
    """Writes the parts of a subgraph.

    Attributes:
        result: What the subgraph's task reports as its result.
    """

    __slots__ = ("result",)

    def __init__(self, sink: PartSink, namespace: Namespace) -> None:
        super().__init__(sink, namespace)
        self.result: Any = None


def _new_id() -> str:
    from uuid import uuid4  # noqa: PLC0415 -- nearly a ms of each program's start, and few programs write

    return str(uuid4())
