"""`MessagesTransformer`: tells the model calls of one scope apart."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from anyiostream.channels.channel import StreamChannel
from anyiostream.errors import MalformedPart, RunAborted
from anyiostream.events import Namespace
from anyiostream.projections.messages.record import STREAMING, MessageRecord
from anyiostream.projections.messages.streams import AsyncChatModelStream, ChatModelStream
from anyiostream.transformer import PayloadTransformer, TransformerPort, builtin

__all__ = ["MessagesTransformer"]


PIECES = frozenset({"content-block-start", "content-block-delta", "content-block-finish"})
"""Events after which a message goes on."""


@builtin("messages")
class MessagesTransformer(PayloadTransformer):
    """`run.messages`: a stream for each model call of the scope, as soon as the call starts.

    A `messages` part holds a pair: a content-block event, a LangChain message chunk or a whole message; and metadata,
    whose `run_id` tells concurrent calls apart. Where it has none, the call's node and checkpoint namespace do. Tool
    messages, and events of calls whose start was not seen, are passed over.

    Attributes:
        skipped: Events passed over because no message they could belong to is open.
    """

    _native = True
    required_stream_modes = ("messages",)
    methods = ("messages",)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._channel: StreamChannel[Any] = StreamChannel()
        self._open: dict[Any, MessageRecord] = {}
        self._replaced: list[MessageRecord] = []
        self._ignored: set[Any] = set()
        self._converters: dict[Any, Any] = {}
        self._port: TransformerPort | None = None
        self.skipped = 0

    def init(self) -> dict[str, Any]:
        """One projection, `messages`."""
        return {"messages": self._channel}

    def connect(self, port: TransformerPort) -> None:
        """What message streams advance the run with."""
        self._port = port

    def consume(self, data: Any) -> None:
        """Handle the payload of a `messages` part.

        Raises:
            MalformedPart: It is no pair of a payload and its metadata.
        """
        try:
            payload, metadata = data
            record = self._open[metadata["run_id"]]
            is_piece = payload["event"] in PIECES
        except (KeyError, TypeError, ValueError):
            self._consume(data)
            return
        if is_piece:
            # The way of each token, with few calls; the other one does the same.
            record.dispatch(payload)
        else:
            self._consume(data)

    def _consume(self, data: Any) -> None:
        try:
            payload, metadata = data
        except (TypeError, ValueError):
            raise MalformedPart(data, "the data of a 'messages' part is a pair (payload, metadata)") from None
        if metadata is None:
            metadata = {}
        elif not isinstance(metadata, Mapping):
            raise MalformedPart(data, f"a message's metadata is a mapping, not {type(metadata).__name__}")
        if isinstance(payload, dict):
            key = metadata.get("run_id") or _fallback_key(metadata)
            record = self._open.get(key)
            if record is not None and payload.get("event") != "message-start":
                record.dispatch(payload)
                if record.status is not STREAMING:
                    del self._open[key]
            else:
                self._begin(key, payload, metadata)
        elif "langchain_core.messages" in sys.modules:
            self._langchain_message(payload, metadata)
        else:
            self.skipped += 1

    def finalize(self) -> None:
        """The graph has ended: so have the messages that it left open, and those that came in chunks."""
        for key, converter in list(self._converters.items()):
            self._finish_chunks(key, converter.message())
        for record in self._unfinished():
            record.dispatch({"event": "message-finish"})
        self._clear()

    def fail(self, err: BaseException) -> None:
        """Calls that have not finished fail with the run."""
        for record in self._unfinished():
            if isinstance(err, RunAborted):
                record.abort(partial(self._assembled, record))
            else:
                record.fail(err)
        self._clear()

    def _unfinished(self) -> list[MessageRecord]:
        return [*self._replaced, *self._open.values()]

    def _begin(self, key: Any, event: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        kind = event.get("event")
        if kind == "message-start":
            if event.get("role") == "tool":
                self._ignored.add(key)
            else:
                self._start(key, metadata).dispatch(event)
        elif key in self._ignored:
            if kind == "message-finish":
                self._ignored.discard(key)
        else:
            self.skipped += 1

    def _start(self, key: Any, metadata: Mapping[str, Any], message_id: str | None = None) -> MessageRecord:
        node = metadata.get("langgraph_node")
        if key in self._open:
            # Its call has started again; it ends with the run.
            self._replaced.append(self._open[key])
        record = self._open[key] = MessageRecord(node=node, namespace=self.scope, message_id=message_id)
        assert self._port is not None
        stream_class = AsyncChatModelStream if self._port.is_async else ChatModelStream
        self._channel.push(stream_class(self._port, record, self._port.assemble_message))
        return record

    def _finish_chunks(self, key: Any, message: Any) -> None:
        converter = self._converters.pop(key)
        record = self._open.pop(key)
        record.message = message
        record.dispatch(converter.finish())

    def _langchain_message(self, payload: object, metadata: Mapping[str, Any]) -> None:
        from anyiostream.projections.messages import langchain  # noqa: PLC0415 -- an extra

        if langchain.is_chunk(payload):
            key: Any = ("chunk", payload.id or metadata.get("run_id") or _fallback_key(metadata))
            converter = self._converters.get(key)
            if converter is None:
                converter = self._converters[key] = langchain.ChunkConverter()
                self._start(key, metadata, payload.id)
            for event in converter.events(payload):
                if event["event"] == "message-finish":
                    self._finish_chunks(key, converter.message())
                else:
                    self._open[key].dispatch(event)
        elif langchain.is_message(payload):
            key = ("chunk", payload.id)
            converter = self._converters.get(key)
            if converter is not None:
                # The whole of what has come in chunks.
                self._finish_chunks(key, payload)
            else:
                key = object()
                record = self._start(key, metadata, payload.id)
                del self._open[key]
                for event in langchain.events_of_message(payload):
                    record.dispatch(event)
        else:
            self.skipped += 1

    def _assembled(self, record: MessageRecord) -> Any:
        assert self._port is not None
        return self._port.assemble_message(record.events.items, record.message_id)

    def _clear(self) -> None:
        self._open.clear()
        self._replaced.clear()
        self._ignored.clear()
        self._converters.clear()


def _fallback_key(metadata: Mapping[str, Any]) -> Any:
    return metadata.get("langgraph_node"), metadata.get("langgraph_checkpoint_ns")
