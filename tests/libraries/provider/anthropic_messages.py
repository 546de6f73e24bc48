"""Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .formats import Frame, Place, frame
from .script import Call, Cut, Gate, HttpError, Native, Reply, Text, Thinking

__all__ = ["AnthropicMessages"]

REASONS = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use"}
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}


class AnthropicMessages:
    """Blocks that start, grow and stop, one after the other; usage so far at the beginning and at the end."""

    def stream(self, reply: Reply, place: Place) -> Iterator[Frame]:
        """The reply as events."""
        head = {
            **self._head(place),
            "content": [],
            "stop_reason": None,
            "usage": {**self._usage(reply), "output_tokens": 1},
        }
        yield _event("message_start", message=head)
        yield _event("ping")
        index = 0
        for block in reply.blocks:
            if isinstance(block, Cut | Gate):
                yield block
                continue
            yield from self._block(block, index)
            index += 1
        delta = {"stop_reason": REASONS[reply.reason()], "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage=self._usage(reply))
        yield _event("message_stop")

    def whole(self, reply: Reply, place: Place) -> dict[str, Any]:
        """The reply at once."""
        content: list[dict[str, Any]] = []
        for block in reply.blocks:
            match block:
                case Text():
                    content.append({"type": "text", "text": block.whole()})
                case Thinking():
                    content.append({"type": "thinking", "thinking": block.whole(), "signature": "c2lnbmVk"})
                case Native():
                    content.append(dict(block.content))
                case Call():
                    content.append(
                        {"type": "tool_use", "id": block.id, "name": block.name, "input": json.loads(block.whole())}
                    )
                case _:
                    pass
        return {
            **self._head(place),
            "content": content,
            "stop_reason": REASONS[reply.reason()],
            "usage": self._usage(reply),
        }

    def error(self, error: HttpError) -> dict[str, Any]:
        """The body of a refusal."""
        return {"type": "error", "error": {"type": ERRORS.get(error.status, "api_error"), "message": error.message}}

    def _block(self, block: Text | Thinking | Call | Native, index: int) -> Iterator[Frame]:
        match block:
            case Text():
                start: dict[str, Any] = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in block.pieces]
            case Thinking():
                start = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in block.pieces]
                deltas.append({"type": "signature_delta", "signature": "c2lnbmVk"})
            case Call():
                start = {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *block.pieces)]
            case Native(content):
                start, deltas = dict(content), []
        yield _event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)

    def _head(self, place: Place) -> dict[str, Any]:
        return {
            "id": place.id("msg"),
            "type": "message",
            "role": "assistant",
            "model": place.model,
            "stop_sequence": None,
        }

    def _usage(self, reply: Reply) -> dict[str, Any]:
        return {
            "input_tokens": reply.input_tokens - reply.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": reply.cached_tokens,
            "output_tokens": reply.output_tokens,
        }


def _event(kind: str, **fields: Any) -> bytes:
    return frame({"type": kind, **fields}, kind)
