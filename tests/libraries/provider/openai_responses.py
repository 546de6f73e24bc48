"""OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import attrs

from .formats import Frame, Place, frame
from .script import Call, Cut, Gate, HttpError, Native, Reply, Text, Thinking

__all__ = ["OpenAIResponses"]


@attrs.define
class Numbered:
    """Events of one response, which number themselves, and the items of its output."""

    place: Place
    output: list[dict[str, Any]] = attrs.Factory(list)
    _number: Iterator[int] = attrs.field(factory=lambda: count(1), init=False)

    def event(self, kind: str, **fields: Any) -> bytes:
        """One event."""
        return frame({"type": kind, "sequence_number": next(self._number), **fields}, kind)


class OpenAIResponses:
    """Items that are added, grow and are done; the whole response in its last event."""

    def stream(self, reply: Reply, place: Place) -> Iterator[Frame]:
        """The reply as events."""
        events = Numbered(place)
        response = self._response(reply, place, "in_progress", [])
        yield events.event("response.created", response=response)
        yield events.event("response.in_progress", response=response)
        for block in reply.blocks:
            match block:
                case Text():
                    yield from self._message(events, block, place)
                case Thinking():
                    yield from self._reasoning(events, block, place)
                case Call():
                    yield from self._call(events, block)
                case Native(content):
                    item = {"id": f"{place.id('item')}_{len(events.output)}", **content}
                    where = {"output_index": len(events.output)}
                    yield events.event("response.output_item.added", **where, item={**item, "status": "in_progress"})
                    yield events.event("response.output_item.done", **where, item=item)
                    events.output.append(item)
                case Cut() | Gate():
                    yield block
        status = "incomplete" if reply.reason() == "length" else "completed"
        yield events.event(f"response.{status}", response=self._response(reply, place, status, events.output))

    def whole(self, reply: Reply, place: Place) -> dict[str, Any]:
        """The reply at once."""
        output: list[dict[str, Any]] = []
        for number, block in enumerate(reply.blocks):
            match block:
                case Text():
                    output.append(_message_item(block, place, number))
                case Thinking():
                    output.append(_reasoning_item(block, place, number))
                case Call():
                    output.append(_call_item(block, block.whole(), "completed"))
                case Native(content):
                    output.append({"id": f"{place.id('item')}_{number}", **content})
                case _:
                    pass
        status = "incomplete" if reply.reason() == "length" else "completed"
        return self._response(reply, place, status, output)

    def error(self, error: HttpError) -> dict[str, Any]:
        """The body of a refusal."""
        return {"error": {"message": error.message, "type": "server_error", "code": None, "param": None}}

    def _message(self, events: Numbered, block: Text, place: Place) -> Iterator[Frame]:
        number = len(events.output)
        item = _message_item(block, place, number)
        [part] = item["content"]
        where = {"output_index": number, "item_id": item["id"], "content_index": 0}
        yield events.event(
            "response.output_item.added", output_index=number, item={**item, "status": "in_progress", "content": []}
        )
        yield events.event("response.content_part.added", **where, part={**part, "text": ""})
        for piece in block.pieces:
            yield events.event("response.output_text.delta", **where, delta=piece, logprobs=[])
        yield events.event("response.output_text.done", **where, text=block.whole(), logprobs=[])
        yield events.event("response.content_part.done", **where, part=part)
        yield events.event("response.output_item.done", output_index=number, item=item)
        events.output.append(item)

    def _reasoning(self, events: Numbered, block: Thinking, place: Place) -> Iterator[Frame]:
        number = len(events.output)
        item = _reasoning_item(block, place, number)
        [part] = item["summary"]
        where = {"output_index": number, "item_id": item["id"], "summary_index": 0}
        yield events.event("response.output_item.added", output_index=number, item={**item, "summary": []})
        yield events.event("response.reasoning_summary_part.added", **where, part={**part, "text": ""})
        for piece in block.pieces:
            yield events.event("response.reasoning_summary_text.delta", **where, delta=piece)
        yield events.event("response.reasoning_summary_text.done", **where, text=block.whole())
        yield events.event("response.reasoning_summary_part.done", **where, part=part)
        yield events.event("response.output_item.done", output_index=number, item=item)
        events.output.append(item)

    def _call(self, events: Numbered, block: Call) -> Iterator[Frame]:
        number = len(events.output)
        item = _call_item(block, block.whole(), "completed")
        where = {"output_index": number, "item_id": item["id"]}
        yield events.event("response.output_item.added", output_index=number, item=_call_item(block, "", "in_progress"))
        for piece in block.pieces:
            yield events.event("response.function_call_arguments.delta", **where, delta=piece)
        yield events.event("response.function_call_arguments.done", **where, name=block.name, arguments=block.whole())
        yield events.event("response.output_item.done", output_index=number, item=item)
        events.output.append(item)

    def _response(self, reply: Reply, place: Place, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        usage = {
            "input_tokens": reply.input_tokens,
            "input_tokens_details": {"cached_tokens": reply.cached_tokens},
            "output_tokens": reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
            "total_tokens": reply.input_tokens + reply.output_tokens,
        }
        return {
            "id": place.id("resp"),
            "object": "response",
            "created_at": 1,
            "model": place.model,
            "status": status,
            "output": list(output),
            "usage": None if status == "in_progress" else usage,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
        }


def _message_item(block: Text, place: Place, number: int) -> dict[str, Any]:
    part = {"type": "output_text", "text": block.whole(), "annotations": [], "logprobs": []}
    item_id = f"{place.id('msg')}_{number}"
    return {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": [part]}


def _reasoning_item(block: Thinking, place: Place, number: int) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": block.whole()}]
    return {"type": "reasoning", "id": f"{place.id('rs')}_{number}", "summary": summary}


def _call_item(block: Call, arguments: str, status: str) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{block.id}",
        "call_id": block.id,
        "name": block.name,
        "arguments": arguments,
        "status": status,
    }
