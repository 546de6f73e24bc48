"""What a message says, the same whether it is read from its stream, from its output, or from a script."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..conformance.adapter import Lab
from ..messages.reading import usage, whole
from .provider.script import Call, Reply, Thinking

__all__ = ["as_read", "expected_reading", "reading"]


def expected_reading(reply: Reply) -> dict[str, Any]:
    """What a reply of a script says."""
    return {
        "text": reply.text(),
        "reasoning": "".join(block.whole() for block in reply.of(Thinking)),
        "tool_calls": [(call.id, call.name, json.loads(call.whole())) for call in reply.of(Call)],
        "usage": (reply.input_tokens, reply.output_tokens),
    }


def as_read(message: Any) -> dict[str, Any]:
    """What a message of LangChain's says, by LangChain's own reading."""
    blocks = message.content_blocks
    return {
        "text": "".join(block["text"] for block in blocks if block["type"] == "text"),
        "reasoning": "".join(block.get("reasoning", "") for block in blocks if block["type"] == "reasoning"),
        "tool_calls": [_call(call) for call in getattr(message, "tool_calls", ())],  # only an AI's message has them
        "usage": _tokens(getattr(message, "usage_metadata", None)),
    }


async def reading(lab: Lab, message: Any) -> dict[str, Any]:
    """What the stream of a message says; pieces and wholes of its projections have to agree."""
    text, reasoning = await whole(lab, message.text), await whole(lab, message.reasoning)
    calls = await whole(lab, message.tool_calls)
    assert "".join(await lab.items(message.text)) == text
    assert "".join(await lab.items(message.reasoning)) == reasoning
    pieces: dict[str, str] = {}
    for chunk in await lab.items(message.tool_calls):
        pieces[chunk["id"]] = pieces.get(chunk["id"], "") + (chunk["args"] or "")
    finished = {call["id"]: call["args"] for call in calls}
    assert {each: json.loads(pieces[each]) for each in finished} == finished  # others are no JSON
    return {
        "text": text,
        "reasoning": reasoning,
        "tool_calls": [_call(call) for call in calls],
        "usage": _tokens(await usage(lab, message)),
    }


def _call(call: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return call["id"], call["name"], call["args"]


def _tokens(usage: Mapping[str, Any] | None) -> tuple[int, int] | None:
    return None if usage is None else (usage["input_tokens"], usage["output_tokens"])
