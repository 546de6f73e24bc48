"""`FinishedMessage`: a finished message, for graphs that do without LangChain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import attrs

__all__ = ["FinishedMessage", "arguments_of", "finish_tool_call"]


@final
@attrs.frozen
class FinishedMessage:
    """What a model said; or, where a graph gives messages of others too, what they said.

    Attributes:
        id: The message's id, or `None`.
        content: Its content blocks, in order: `{"type": "text", "text": ...}`, `{"type": "reasoning", ...}`,
            `{"type": "tool_call", ...}`, ...
        tool_calls: The calls whose arguments could be parsed: `{"type", "id", "name", "args"}`.
        invalid_tool_calls: Those whose arguments could not: `{"type", "id", "name", "args", "error"}`, args a string.
        usage: Token counts as the model reports them, or `None`.
        metadata: What else it reports.
        role: Who said it: `"ai"`, `"human"`, or `"system"`.

    Example:
        ```python
        from anyiostream import FinishedMessage

        call = {"type": "tool_call", "id": "1", "name": "search", "args": {"q": "trio"}}
        message = FinishedMessage("m", ({"type": "text", "text": "Let me look."}, call), tool_calls=(call,))
        assert (message.text, message.tool_calls[0]["name"]) == ("Let me look.", "search")
        ```
    """

    id: str | None
    content: tuple[Mapping[str, Any], ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    invalid_tool_calls: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    role: str = "ai"

    @property
    def text(self) -> str:
        """Its text, all blocks together."""
        return "".join(block.get("text", "") for block in self.content if block.get("type") == "text")

    @property
    def reasoning(self) -> str:
        """Its reasoning, all blocks together."""
        return "".join(block.get("reasoning", "") for block in self.content if block.get("type") == "reasoning")


def finish_tool_call(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """The tool call that a chunk with all of its arguments is.

    Its type is `tool_call`, or `invalid_tool_call` if the arguments are not a JSON object.
    """
    extras = {key: value for key, value in chunk.items() if key not in _CHUNK_KEYS and value is not None}
    import json  # noqa: PLC0415 -- a ms of each program's start, for messages with tool calls only

    raw = chunk.get("args") or ""
    try:
        # Models put line breaks into strings as they are; LangChain accepts them as well.
        args = json.loads(raw, strict=False) if raw else {}
    except ValueError as exc:
        args, problem = None, str(exc)
    else:
        problem = f"the arguments are a JSON {type(args).__name__}, not an object"
    call = {"id": chunk.get("id") or "", "name": chunk.get("name") or "", **extras}
    if isinstance(args, dict):
        return {"type": "tool_call", **call, "args": args}
    return {"type": "invalid_tool_call", **call, "args": raw, "error": problem}


def arguments_of(call: Mapping[str, Any]) -> str:
    """The arguments of a finished tool call as a model writes them: JSON, or whatever it wrote instead."""
    import json  # noqa: PLC0415 -- as above

    args = call.get("args")
    return args if isinstance(args, str) else json.dumps(args, default=str)


_CHUNK_KEYS = frozenset({"type", "id", "name", "args", "index"})
