"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from .formats import Frame, Place, frame
from .script import Call, Cut, Gate, HttpError, Native, Reply, Text, Thinking

__all__ = ["OpenAIChat"]

REASONS = {"stop": "stop", "length": "length", "tools": "tool_calls"}


class OpenAIChat:
    """Chunks with deltas; a chunk of usage only where the client asks for it; `[DONE]`."""

    def stream(self, reply: Reply, place: Place) -> Iterator[Frame]:
        """The reply as events."""
        yield self._chunk(place, {"role": "assistant", "content": ""})
        calls = reply.of(Call)
        for block in reply.blocks:
            match block:
                case Text(pieces):
                    yield from (self._chunk(place, {"content": piece}) for piece in pieces)
                case Thinking(pieces):
                    yield from (self._chunk(place, {"reasoning_content": piece}) for piece in pieces)
                case Call() if block is calls[0]:
                    yield from self._calls(reply, calls, place)
                case Native(content):
                    yield self._chunk(place, dict(content))
                case Cut() | Gate():
                    yield block
                case _:
                    pass
        yield self._chunk(place, {}, REASONS[reply.reason()])
        if (place.request.get("stream_options") or {}).get("include_usage"):
            yield frame({**self._head(place), "choices": [], "usage": self._usage(reply)})
        yield frame("[DONE]")

    def whole(self, reply: Reply, place: Place) -> dict[str, Any]:
        """The reply at once."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.text() or None}
        calls = [
            {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": each.whole()}}
            for each in reply.of(Call)
        ]
        if calls:
            message["tool_calls"] = calls
        for block in reply.of(Native):
            message |= block.content
        return {
            **self._head(place),
            "object": "chat.completion",
            "choices": [{"index": 0, "message": message, "finish_reason": REASONS[reply.reason()]}],
            "usage": self._usage(reply),
        }

    def error(self, error: HttpError) -> dict[str, Any]:
        """The body of a refusal."""
        return {"error": {"message": error.message, "type": "server_error", "code": None, "param": None}}

    def _calls(self, reply: Reply, calls: list[Call], place: Place) -> Iterator[Frame]:
        """The first fragment of a call names it; those that follow have its index only."""
        begun: set[int] = set()
        for number, piece in _calls_in_pieces(reply, calls):
            if number not in begun:
                begun.add(number)
                function = {"name": calls[number].name, "arguments": ""}
                head = {"index": number, "id": calls[number].id, "type": "function", "function": function}
                yield self._chunk(place, {"tool_calls": [head]})
            yield self._chunk(place, {"tool_calls": [{"index": number, "function": {"arguments": piece}}]})

    def _chunk(self, place: Place, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return frame({**self._head(place), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def _head(self, place: Place) -> dict[str, Any]:
        return {
            "id": place.id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": 1,
            "model": place.model,
            "system_fingerprint": "fp_script",
        }

    def _usage(self, reply: Reply) -> dict[str, Any]:
        return {
            "prompt_tokens": reply.input_tokens,
            "completion_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
            "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        }


def _calls_in_pieces(reply: Reply, calls: list[Call]) -> Iterator[tuple[int, str]]:
    """Numbers of calls and pieces of their arguments, in the order in which they are sent."""
    if reply.interleaved:
        for turn in zip_longest(*(each.pieces for each in calls)):
            yield from ((number, piece) for number, piece in enumerate(turn) if piece is not None)
        return
    for number, each in enumerate(calls):
        yield from ((number, piece) for piece in each.pieces)
