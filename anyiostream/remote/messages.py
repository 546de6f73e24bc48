"""Messages on the wire: what a run's `messages` events hold, as the content-block events that both clients read.

Rules:

- Every event of a message carries its id, for Python, and its run's id, for JavaScript: so each client tells messages
  apart that are written at the same time.
- A tool call's arguments go out as `block-delta`s with all of them so far: Python reads pieces too, but to JavaScript
  an unknown delta is the end of all messages.
- Chunks and whole messages of LangChain become events.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, final
from uuid import uuid4

import attrs

from anyiostream.events import Namespace
from anyiostream.remote.jsonable import plain
from anyiostream.remote.redaction import redacted

__all__ = ["MessageEncoder"]

CHUNK_TYPES = {"tool_call_chunk", "server_tool_call_chunk"}


@final
@attrs.define(eq=False)
class OpenMessage:
    """A message that has not ended.

    Attributes:
        message_id: Its id.
        run_id: The id of the model call.
        node: The node that makes the call.
        calls: Index of a block -> that block's tool call so far.
    """

    message_id: str
    run_id: str
    node: str | None
    calls: dict[Any, dict[str, Any]] = attrs.field(factory=dict)
    chunks: Any = None


@final
class MessageEncoder:
    """Turns the payloads of `messages` events into events of the wire; one for each run."""

    def __init__(self) -> None:
        self._open: dict[tuple[Namespace, Any], OpenMessage] = {}

    def encode(self, namespace: Namespace, data: Any) -> Iterator[tuple[dict[str, Any], str | None]]:
        """The events that a payload makes, each with the node it comes from."""
        payload, metadata = data
        metadata = metadata or {}
        if isinstance(payload, Mapping):
            key = (namespace, metadata.get("run_id") or _node(metadata))
            yield from self._event(key, payload, metadata)
        elif "langchain_core.messages" in sys.modules:
            yield from self._langchain(namespace, payload, metadata)

    def end(self) -> Iterator[tuple[Namespace, dict[str, Any], str | None]]:
        """What ends the messages that came in chunks, none of which said that it was the last."""
        for (namespace, _), message in list(self._open.items()):
            if message.chunks is not None:
                yield namespace, _addressed(message.chunks.finish(), message), message.node
        self._open.clear()

    def _event(
        self, key: tuple[Namespace, Any], event: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> Iterator[tuple[dict[str, Any], str | None]]:
        kind = event.get("event")
        if kind == "message-start":
            message = self._start(key, event, metadata)
            started = {
                **plain(event),
                "id": message.message_id,
                "metadata": {**_described(metadata), **plain(event.get("metadata") or {})},
            }
            yield _addressed(started, message), message.node
            return
        found = self._open.get(key)
        if found is None:
            return
        shown: dict[str, Any] = plain(event)
        if kind == "content-block-start":
            _remember(found, shown)
        elif kind == "content-block-delta":
            _accumulate(found, shown)
        elif kind == "error":
            shown["message"] = redacted(str(event.get("message", "")))
        if kind in {"message-finish", "error"}:
            del self._open[key]
        yield _addressed(shown, found), found.node

    def _start(self, key: tuple[Namespace, Any], event: Mapping[str, Any], metadata: Mapping[str, Any]) -> OpenMessage:
        run_id = metadata.get("run_id")
        message_id = event.get("id") or event.get("message_id") or run_id or str(uuid4())
        message = self._open[key] = OpenMessage(str(message_id), str(run_id or message_id), _node(metadata))
        return message

    def _langchain(
        self, namespace: Namespace, payload: object, metadata: Mapping[str, Any]
    ) -> Iterator[tuple[dict[str, Any], str | None]]:
        from anyiostream.projections.messages import langchain  # noqa: PLC0415 -- an extra

        if langchain.is_chunk(payload):
            key = (namespace, ("chunk", payload.id or metadata.get("run_id") or _node(metadata)))
            message = self._open.get(key)
            chunks = langchain.ChunkConverter() if message is None else message.chunks
            for event in chunks.events(payload):
                yield from self._event(key, event, metadata)
                if key in self._open:
                    self._open[key].chunks = chunks
        elif langchain.is_message(payload):
            key = (namespace, ("chunk", payload.id))
            message = self._open.get(key)
            if message is not None:
                # The whole of what has come in chunks.
                yield from self._event(key, message.chunks.finish(), metadata)
                return
            for event in langchain.events_of_message(payload):
                yield from self._event(key, event, metadata)


def _remember(message: OpenMessage, event: dict[str, Any]) -> None:
    content = event.get("content")
    if isinstance(content, dict) and content.get("type") in CHUNK_TYPES and _is_index(event.get("index")):
        message.calls[event["index"]] = dict(content)


def _accumulate(message: OpenMessage, event: dict[str, Any]) -> None:
    delta = event.get("delta")
    if not isinstance(delta, dict) or delta.get("type") != "tool-call-delta" or not _is_index(event.get("index")):
        return
    call = message.calls.setdefault(event["index"], {"type": "tool_call_chunk"})
    call["args"] = (call.get("args") or "") + (delta.get("args") or "")
    event["delta"] = {"type": "block-delta", "fields": dict(call)}


def _is_index(index: Any) -> bool:
    return isinstance(index, (int, str))


def _addressed(event: Mapping[str, Any], message: OpenMessage) -> dict[str, Any]:
    return {**event, "id": message.message_id, "run_id": message.run_id}


def _node(metadata: Mapping[str, Any]) -> str | None:
    node = metadata.get("langgraph_node")
    return node if isinstance(node, str) else None


def _described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What viewers may know of a model call: scalars only, as the protocol has it, and nothing of checkpoints."""
    shown = {"run_id": metadata.get("run_id"), "langgraph_node": metadata.get("langgraph_node")}
    shown["provider"], shown["model"] = metadata.get("ls_provider"), metadata.get("ls_model_name")
    return {name: value for name, value in shown.items() if isinstance(value, (str, int, float, bool))}
