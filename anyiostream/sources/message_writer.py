"""Writing one model call, or one tool call, as the events that LangGraph would emit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, final

from anyiostream import parts
from anyiostream.errors import WriterClosed
from anyiostream.events import Namespace, StreamPart
from anyiostream.foreign import interrupts_of
from anyiostream.forms import name_of, text_of

__all__ = ["MessageWriter", "ToolCallWriter", "writing_message", "writing_tool_call"]


class Sink(Protocol):
    """Where the parts go."""

    async def write(self, part: StreamPart) -> None: ...

    def write_now(self, part: StreamPart) -> None: ...


CANCELLED: Final = "it was cancelled before it ended"
"""The error of a message, a tool call or a subgraph whose block was cancelled."""


@final
class MessageWriter:
    """Writes one message. Consecutive pieces of a kind make one content block.

    ```python
    from anyiostream import open_run


    async def graph(question, writer):
        async with writer.message(node="model") as message:
            await message.reasoning("They want a number.")
            await message.text("forty-")
            await message.text("two")
            message.usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


    with open_run(graph, "What is it?") as run:
        (message,) = run.messages
        assert str(message.text) == "forty-two"
    ```

    Attributes:
        message_id: The message's id.
        usage: Token counts, for the end of the message: `{"input_tokens", "output_tokens", "total_tokens"}`.
    """

    def __init__(self, sink: Sink, namespace: Namespace, metadata: Mapping[str, Any], message_id: str) -> None:
        self.message_id = message_id
        self.usage: Mapping[str, Any] | None = None
        self._sink = sink
        self._namespace = namespace
        self._metadata = metadata
        self._index = -1
        self._kind: str | None = None
        self._pieces: list[str] = []
        self._open = True

    async def text(self, piece: str) -> None:
        """Write a piece of text."""
        await self._piece("text", piece)

    async def reasoning(self, piece: str) -> None:
        """Write a piece of reasoning."""
        await self._piece("reasoning", piece)

    async def tool_call(self, name: str, args: Mapping[str, Any], *, tool_call_id: str) -> None:
        """Write a call of a tool that the model asks for."""
        import json  # noqa: PLC0415 -- a ms of each program's start, and few programs write

        await self.finish_block()
        self._index += 1
        chunk = {"type": "tool_call_chunk", "id": tool_call_id, "name": name, "args": ""}
        await self.event("content-block-start", index=self._index, content=chunk)
        await self.event(
            "content-block-delta", index=self._index, delta={"type": "tool-call-delta", "args": json.dumps(dict(args))}
        )
        call = {"type": "tool_call", "id": tool_call_id, "name": name, "args": dict(args)}
        await self.event("content-block-finish", index=self._index, content=call)

    async def event(self, event: str, **fields: Any) -> None:
        """Write one event of the streaming protocol, as it is.

        Raises:
            WriterClosed: The message's block has been left.
        """
        if not self._open:
            raise WriterClosed(f"the writer of message {self.message_id!r}", "its block was left")
        await self._sink.write(self._part({"event": event, **fields}))

    def break_off(self, problem: str) -> None:
        """End the message with an error, without waiting."""
        self._sink.write_now(self._part({"event": "error", "message": problem}))

    async def finish_block(self) -> None:
        """End the current block, so that the next piece begins another one."""
        if self._kind is not None:
            content = {"type": self._kind, self._kind: "".join(self._pieces)}
            self._kind, self._pieces = None, []
            await self.event("content-block-finish", index=self._index, content=content)

    def close(self) -> None:
        """The block has been left."""
        self._open = False

    def _part(self, event: Mapping[str, Any]) -> StreamPart:
        return parts.messages(event, self._metadata, ns=self._namespace)

    async def _piece(self, kind: str, piece: str) -> None:
        if self._kind != kind:
            await self.finish_block()
            self._index += 1
            self._kind = kind
            await self.event("content-block-start", index=self._index, content={"type": kind, kind: ""})
        self._pieces.append(piece)
        await self.event("content-block-delta", index=self._index, delta={"type": f"{kind}-delta", kind: piece})


@asynccontextmanager
async def writing_message(
    sink: Sink, namespace: Namespace, node: str | None, message_id: str, metadata: Mapping[str, Any] | None
) -> AsyncGenerator[MessageWriter]:
    """Write a message's start, and its end or its error."""
    message = MessageWriter(sink, namespace, {"run_id": message_id, "langgraph_node": node}, message_id)
    await message.event("message-start", role="ai", id=message_id, metadata=dict(metadata or {}))
    try:
        yield message
    except Exception as exc:
        await message.event("error", message=text_of(exc) or name_of(exc))
        raise
    except BaseException:
        message.break_off(CANCELLED)
        raise
    else:
        await message.finish_block()
        finish = {"usage": dict(message.usage)} if message.usage is not None else {}
        await message.event("message-finish", **finish)
    finally:
        message.close()


@final
class ToolCallWriter:
    """Writes one tool call.

    ```python
    from anyiostream import ToolCallTransformer, open_run


    async def graph(question, writer):
        async with writer.tool_call("search", {"query": question}) as call:
            await call.delta("looking")
            call.output = ["a page"]


    with open_run(graph, "anyio", transformers=[ToolCallTransformer]) as run:
        (call,) = run.tool_calls
        assert call.output == ["a page"]
    ```

    Attributes:
        tool_call_id: The call's id.
        output: What the tool returns; set it before the block ends.
    """

    def __init__(self, sink: Sink, namespace: Namespace, tool_call_id: str) -> None:
        self.tool_call_id = tool_call_id
        self.output: Any = None
        self._sink = sink
        self._namespace = namespace

    async def delta(self, delta: Any) -> None:
        """Write a piece of output."""
        await self.event("tool-output-delta", delta=delta)

    async def event(self, event: str, **fields: Any) -> None:
        """Write one event of the call, as it is."""
        await self._sink.write(self._part({"event": event, **fields}))

    def break_off(self, problem: str) -> None:
        """End the call with an error, without waiting."""
        self._sink.write_now(self._part({"event": "tool-error", "message": problem}))

    def _part(self, event: Mapping[str, Any]) -> StreamPart:
        return parts.tools({**event, "tool_call_id": self.tool_call_id}, ns=self._namespace)


@asynccontextmanager
async def writing_tool_call(
    sink: Sink, namespace: Namespace, name: str, given: Any, tool_call_id: str
) -> AsyncGenerator[ToolCallWriter]:
    """Write a tool call's start, and its end or its error."""
    call = ToolCallWriter(sink, namespace, tool_call_id)
    await call.event("tool-started", tool_name=name, input=given)
    try:
        yield call
    except Exception as exc:
        if interrupts_of(exc) is None:  # else the call waits for the user, and has not ended
            await call.event("tool-error", message=text_of(exc) or name_of(exc))
        raise
    except BaseException:
        call.break_off(CANCELLED)
        raise
    await call.event("tool-finished", output=call.output)
