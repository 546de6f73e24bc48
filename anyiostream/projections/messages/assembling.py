"""Building a `ChatMessage` from a model call's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anyiostream.projections.messages.output import ChatMessage
from anyiostream.projections.messages.record import MessageRecord

__all__ = ["assemble_chat_message"]


def assemble_chat_message(events: Sequence[Mapping[str, Any]], message_id: str | None) -> ChatMessage:
    """Build a `ChatMessage`. Linear in the number of events."""
    record = MessageRecord(message_id=message_id)
    for event in events:
        record.dispatch(event)
    blocks = record.blocks()
    return ChatMessage(
        id=record.message_id,
        content=tuple(blocks),
        tool_calls=tuple(block for block in blocks if block["type"] == "tool_call"),
        invalid_tool_calls=tuple(block for block in blocks if block["type"] == "invalid_tool_call"),
        usage=record.usage,
        metadata=record.metadata,
    )
