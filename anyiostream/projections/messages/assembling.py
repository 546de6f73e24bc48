"""Building a `FinishedMessage` from a model call's record."""

from __future__ import annotations

from anyiostream.projections.messages.output import FinishedMessage
from anyiostream.projections.messages.record import MessageRecord

__all__ = ["assemble_chat_message"]


def assemble_chat_message(record: MessageRecord) -> FinishedMessage:
    """The `FinishedMessage` of a record; of what there is, if it was cut off. Linear in the number of events."""
    blocks = record.blocks()
    return FinishedMessage(
        id=record.message_id,
        content=tuple(blocks),
        tool_calls=tuple(block for block in blocks if block["type"] == "tool_call"),
        invalid_tool_calls=tuple(block for block in blocks if block["type"] == "invalid_tool_call"),
        usage=record.usage,
        metadata=record.metadata,
        role=record.role,
    )
