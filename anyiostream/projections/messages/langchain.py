"""LangChain's message classes: what `messages` parts hold besides events, and what `message.output` is.

Imported only where such messages have been seen. The final `AIMessage` is built by LangChain's own assembler, from the
events with neighbouring deltas joined: it appends to strings, which is quadratic in the number of deltas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from langchain_core.language_models._compat_bridge import message_to_events
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks

from anyiostream.projections.messages.record import MessageRecord

__all__ = ["ChunkConverter", "assemble_ai_message", "events_of_message", "is_chunk", "is_message"]

DELTA_FIELDS = {"text-delta": "text", "reasoning-delta": "reasoning", "tool-call-delta": "args"}


def assemble_ai_message(events: Sequence[Mapping[str, Any]], message_id: str | None) -> Any:
    """The `AIMessage` of a message's events; of what there is, if it has not finished."""
    stream = ChatModelStream(message_id=message_id)
    for event in join_deltas(events):
        stream.dispatch(event)
    if stream.output_message is None:
        # It was cut off: what its open blocks have so far is all there is of them.
        record = MessageRecord(message_id=message_id)
        for event in events:
            record.dispatch(event)
        for index, block in record.unfinished():
            stream.dispatch({"event": "content-block-finish", "index": index, "content": block})
        stream.dispatch({"event": "message-finish"})
    return stream.output_message


def join_deltas(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The events, with neighbouring deltas of one kind and block made one."""
    pending: list[Mapping[str, Any]] = []
    for event in events:
        if pending and _run_of(event) != _run_of(pending[0]):
            yield _joined(pending)
            pending = []
        if _run_of(event) is None:
            yield event
        else:
            pending.append(event)
    if pending:
        yield _joined(pending)


def _run_of(event: Mapping[str, Any]) -> tuple[Any, str] | None:
    delta = event.get("delta")
    if event.get("event") != "content-block-delta" or not isinstance(delta, Mapping):
        return None
    kind = delta.get("type")
    if kind not in DELTA_FIELDS or not isinstance(delta.get(DELTA_FIELDS[kind]), str):
        return None
    return event.get("index"), kind


def _joined(events: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    first = events[0]
    if len(events) == 1:
        return first
    field = DELTA_FIELDS[first["delta"]["type"]]
    return {**first, "delta": {**first["delta"], field: "".join(event["delta"][field] for event in events)}}


def is_chunk(payload: object) -> TypeGuard[AIMessageChunk]:
    """Whether it is a piece of a message."""
    return isinstance(payload, AIMessageChunk)


def is_message(payload: object) -> TypeGuard[BaseMessage]:
    """Whether it is a whole message, other than a tool's."""
    return isinstance(payload, BaseMessage) and not isinstance(payload, ToolMessage)


def events_of_message(message: BaseMessage) -> Iterator[Mapping[str, Any]]:
    """A whole message as the events of a call that gave it."""
    events: Iterator[Mapping[str, Any]] = iter(message_to_events(message, message_id=message.id))
    for event in events:
        # LangChain names the id differently in what it builds and in what it reads.
        yield {**event, "id": message.id} if event.get("event") == "message-start" and message.id else event


class ChunkConverter:
    """Turns the chunks of one message into events."""

    def __init__(self) -> None:
        self._chunks: list[AIMessageChunk] = []
        self._started = False
        self._blocks: dict[Any, int] = {}
        self._usage: Any = None
        self._metadata: dict[str, Any] = {}

    def events(self, chunk: AIMessageChunk) -> Iterator[Mapping[str, Any]]:
        """The events of one chunk; the last one finishes the message."""
        self._chunks.append(chunk)
        if not self._started:
            self._started = True
            yield {"event": "message-start", "role": "ai", "id": chunk.id, "metadata": {}}
        if chunk.usage_metadata is not None:
            self._usage = _sum_usage(self._usage, dict(chunk.usage_metadata))
        self._metadata.update(chunk.response_metadata or {})
        yield from self._content(chunk)
        for call in chunk.tool_call_chunks:
            yield from self._tool_call(call)
        if getattr(chunk, "chunk_position", None) == "last":
            yield self.finish()

    def finish(self) -> Mapping[str, Any]:
        """The event that finishes the message."""
        return {"event": "message-finish", "usage": self._usage, "metadata": self._metadata}

    def message(self) -> BaseMessage:
        """The chunks added up."""
        return message_chunk_to_message(add_ai_message_chunks(*self._chunks))

    def _content(self, chunk: AIMessageChunk) -> Iterator[Mapping[str, Any]]:
        blocks = [{"type": "text", "text": chunk.content}] if isinstance(chunk.content, str) else chunk.content
        for block in blocks:
            if isinstance(block, str):
                block = {"type": "text", "text": block}  # noqa: PLW2901 -- the same block in its other shape
            kind = block.get("type")
            if kind in {"text", "reasoning"} and block.get(kind):
                index, _ = self._index((kind, block.get("index")))
                delta = {"type": f"{kind}-delta", kind: block[kind]}
                yield {"event": "content-block-delta", "index": index, "delta": delta}

    def _tool_call(self, call: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        index, new = self._index(("tool", call.get("index")))
        if new:
            content = {"type": "tool_call_chunk", "id": call.get("id"), "name": call.get("name"), "args": ""}
            yield {"event": "content-block-start", "index": index, "content": content}
        if call.get("args"):
            delta = {"type": "tool-call-delta", "args": call["args"]}
            yield {"event": "content-block-delta", "index": index, "delta": delta}

    def _index(self, key: Any) -> tuple[int, bool]:
        new = key not in self._blocks
        return self._blocks.setdefault(key, len(self._blocks)), new


def _sum_usage(total: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    if total is None:
        return more
    summed = dict(total)
    for key, value in more.items():
        if isinstance(value, int):
            summed[key] = summed.get(key, 0) + value
        elif isinstance(value, dict):
            summed[key] = _sum_usage(summed.get(key) or {}, value)
    return summed
