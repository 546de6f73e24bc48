"""Content blocks, and the events of model calls that they come in."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

__all__ = [
    "AnyBlock",
    "BlockDelta",
    "BlockFinish",
    "BlockStart",
    "ContentBlock",
    "Delta",
    "InvalidToolCallBlock",
    "MessageError",
    "MessageEvent",
    "MessageFinish",
    "MessageStart",
    "NonStandardBlock",
    "ReasoningBlock",
    "ReasoningDelta",
    "ServerToolCallBlock",
    "ServerToolResultBlock",
    "TextBlock",
    "TextDelta",
    "ToolCallBlock",
    "ToolCallChunk",
    "ToolCallDelta",
    "UsageCounts",
]

# --- content blocks, narrowed by `type` ---


class TextBlock(TypedDict):
    """Text: `{"type": "text", "text": "At six."}`."""

    type: Literal["text"]
    text: str


class ReasoningBlock(TypedDict):
    """Reasoning: `{"type": "reasoning", "reasoning": "They ask for the tide."}`."""

    type: Literal["reasoning"]
    reasoning: str


class ToolCallChunk(TypedDict):
    """A tool call that has begun: `{"type": "tool_call_chunk", "id": "c1", "name": "search", "args": ""}`."""

    type: Literal["tool_call_chunk"]
    id: str | None
    name: str | None
    args: str


class ToolCallBlock(TypedDict):
    """A call of a tool: `{"type": "tool_call", "id": "c1", "name": "search", "args": {"q": "tides"}}`."""

    type: Literal["tool_call"]
    id: str
    name: str
    args: dict[str, Any]


class InvalidToolCallBlock(TypedDict):
    """One whose arguments are no JSON object: `{"type": "invalid_tool_call", ..., "args": "{", "error": "..."}`."""

    type: Literal["invalid_tool_call"]
    id: str
    name: str
    args: str
    error: str


class ServerToolCallBlock(TypedDict):
    """A tool that the provider calls itself: `{"type": "server_tool_call", "id": "s1", "name": "web", "args": {}}`."""

    type: Literal["server_tool_call"]
    id: str
    name: str
    args: dict[str, Any]


class ServerToolResultBlock(TypedDict):
    """What came of it: `{"type": "server_tool_result", "tool_call_id": "s1", "output": [...]}`."""

    type: Literal["server_tool_result"]
    tool_call_id: str
    output: NotRequired[Any]


class NonStandardBlock(TypedDict):
    """What only its provider knows: `{"type": "non_standard", "value": {...}}`."""

    type: Literal["non_standard"]
    value: Any


ContentBlock: TypeAlias = (
    TextBlock
    | ReasoningBlock
    | ToolCallBlock
    | InvalidToolCallBlock
    | ServerToolCallBlock
    | ServerToolResultBlock
    | NonStandardBlock
)
"""A block of a finished message."""

AnyBlock: TypeAlias = ContentBlock | ToolCallChunk
"""A block as it begins."""


# --- events of a model call, narrowed by `event` ---


class TextDelta(TypedDict):
    """A piece of text: `{"type": "text-delta", "text": "At "}`."""

    type: Literal["text-delta"]
    text: str


class ReasoningDelta(TypedDict):
    """A piece of reasoning: `{"type": "reasoning-delta", "reasoning": "They "}`."""

    type: Literal["reasoning-delta"]
    reasoning: str


class ToolCallDelta(TypedDict):
    """A piece of a tool call's arguments, which are JSON: `{"type": "tool-call-delta", "args": "{}"}`."""

    type: Literal["tool-call-delta"]
    args: str


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta
"""A piece of a block, narrowed by `type`."""


class UsageCounts(TypedDict):
    """Token counts: `{"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}`."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class MessageStart(TypedDict):
    """A model call begins: `{"event": "message-start", "role": "ai", "id": "m1", "metadata": {"model": "acme-1"}}`."""

    event: Literal["message-start"]
    role: NotRequired[str]
    id: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]


class BlockStart(TypedDict):
    """A block begins: `{"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}`."""

    event: Literal["content-block-start"]
    index: int
    content: AnyBlock


class BlockDelta(TypedDict):
    """A piece of a block: `{"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", ...}}`."""

    event: Literal["content-block-delta"]
    index: int
    delta: Delta


class BlockFinish(TypedDict):
    """All of a block: `{"event": "content-block-finish", "index": 0, "content": {"type": "text", ...}}`."""

    event: Literal["content-block-finish"]
    index: int
    content: ContentBlock


class MessageFinish(TypedDict):
    """A model call has ended well: `{"event": "message-finish", "usage": {"input_tokens": 3, ...}}`."""

    event: Literal["message-finish"]
    usage: NotRequired[UsageCounts]
    metadata: NotRequired[dict[str, Any]]


class MessageError(TypedDict):
    """A model call has failed, or broke off: `{"event": "error", "message": "the line is down"}`."""

    event: Literal["error"]
    message: str


MessageEvent: TypeAlias = MessageStart | BlockStart | BlockDelta | BlockFinish | MessageFinish | MessageError
"""One event of a model call."""
