"""Names of OpenTelemetry's semantic conventions for generative AI, and those of our own.

Spelled out here because the conventions are still in development: the package that holds them as constants drops them
from time to time. These are of version 1.41.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from anyiostream.tooling import encode

__all__ = ["call_attributes", "error_type", "finish_attributes", "output_messages", "usage_attributes"]

OPERATION: Final = "gen_ai.operation.name"
WORKFLOW: Final = "gen_ai.workflow.name"
AGENT: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOOL: Final = "gen_ai.tool.name"
TOOL_CALL: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_RESULT: Final = "gen_ai.tool.call.result"
ERROR_TYPE: Final = "error.type"

CHAT: Final = "chat"
INVOKE_AGENT: Final = "invoke_agent"
INVOKE_WORKFLOW: Final = "invoke_workflow"
EXECUTE_TOOL: Final = "execute_tool"

OTHER_ERROR: Final = "_OTHER"
"""The conventions' `error.type` for an error of which only the text is known."""

STATUS: Final = "anyiostream.status"
"""How a run, subgraph or call ended: `completed`, `failed`, `interrupted`, `drained` or `aborted`."""

NAMESPACE: Final = "anyiostream.namespace"
"""Where in the tree of graphs: a list of strings."""

NODE: Final = "anyiostream.node"
"""The node that made a model call."""

FIRST_TOKEN: Final = "anyiostream.first_token"  # noqa: S105 -- a model's, no secret
"""The event of a model call's first piece of output; the time to it, in s, is the attribute `TIME_TO_FIRST_CHUNK`."""

USAGE: Final[Mapping[tuple[str, ...], str]] = {
    ("input_tokens",): "gen_ai.usage.input_tokens",
    ("output_tokens",): "gen_ai.usage.output_tokens",
    ("input_token_details", "cache_read"): "gen_ai.usage.cache_read.input_tokens",
    ("input_token_details", "cache_creation"): "gen_ai.usage.cache_creation.input_tokens",
    ("output_token_details", "reasoning"): "gen_ai.usage.reasoning.output_tokens",
}
"""Where a usage payload holds a count -> the attribute."""


def call_attributes(start: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a model call when it begins.

    Args:
        start: Its `message-start` event.
        metadata: What its part says of it; LangChain's `ls_...` keys are read.
    """
    said = start.get("metadata")
    said = said if isinstance(said, Mapping) else {}
    found = {
        OPERATION: CHAT,
        PROVIDER: _first(metadata, "ls_provider") or _first(said, "provider", "model_provider"),
        REQUEST_MODEL: _first(metadata, "ls_model_name") or _first(said, "model", "model_name"),
        REQUEST_TEMPERATURE: _number(metadata.get("ls_temperature"), float),
        REQUEST_MAX_TOKENS: _number(metadata.get("ls_max_tokens"), int),
        CONVERSATION: _first(metadata, "thread_id"),
        NODE: _first(metadata, "langgraph_node"),
        RESPONSE_ID: _first(start, "id", "message_id"),
    }
    return {name: value for name, value in found.items() if value is not None}


def finish_attributes(finish: Mapping[str, Any]) -> dict[str, Any]:
    """What its `message-finish` event says of a model call."""
    said = finish.get("metadata")
    said = said if isinstance(said, Mapping) else {}
    attributes = usage_attributes(finish.get("usage"))
    model = _first(said, "model_name", "model")
    if model is not None:
        attributes[RESPONSE_MODEL] = model
    reason = _first(said, "finish_reason", "stop_reason", "reason")
    if reason is not None:
        attributes[FINISH_REASONS] = (reason,)
    return attributes


def usage_attributes(usage: object) -> dict[str, Any]:
    """Token counts."""
    attributes: dict[str, Any] = {}
    for path, name in USAGE.items():
        value: Any = usage
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, int) and not isinstance(value, bool):
            attributes[name] = value
    return attributes


def output_messages(blocks: Sequence[Mapping[str, Any]], reason: str | None) -> str:
    """A message as the conventions' JSON: a list of one message with its parts."""
    message: dict[str, Any] = {"role": "assistant", "parts": list(_parts(blocks))}
    if reason is not None:
        message["finish_reason"] = reason
    return encode([message], ascii_only=False)


def error_type(error: BaseException) -> str:
    """The name of an error's class, as the conventions want it."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _parts(blocks: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        kind = block.get("type")
        if kind in {"text", "reasoning"}:
            yield {"type": kind, "content": block.get(kind, "")}
        elif kind in {"tool_call", "invalid_tool_call"}:
            yield {
                "type": "tool_call",
                "id": block.get("id"),
                "name": block.get("name"),
                "arguments": block.get("args"),
            }
        else:
            yield dict(block)


def _first(said: Mapping[str, Any], *keys: str) -> str | None:
    for key in keys:
        value = said.get(key)
        if value not in (None, ""):
            return str(value)
    return None


def _number(value: object, kind: type[int | float]) -> float | None:
    return kind(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
