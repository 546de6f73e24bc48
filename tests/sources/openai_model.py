"""A model of the OpenAI Agents SDK that follows a script, and streams it as the Responses API does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agents.models.interface import Model
from openai.types import responses as r

from anyiostream.testing import Reply
from anyiostream.testing.models import pieces

__all__ = ["ScriptedModel"]


class ScriptedModel(Model):
    """A model that follows a script."""

    def __init__(self, replies: Sequence[Reply], *, streams: bool = True) -> None:
        self._replies = iter(replies)
        self._streams = streams
        self._count = 0

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        reply = next(self._replies)
        self._count += 1
        events = Events(f"response-{self._count}")
        yield events.event("created", response=events.response())
        for event in events.of(reply):
            if self._streams:
                yield event
        if reply.error is not None:
            raise reply.error
        yield events.event("completed", response=events.response(reply.usage))


class Events:
    """The events of one response."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.output: list[Any] = []

    def event(self, kind: str, **fields: Any) -> Any:
        """An event, with its number."""
        self.number += 1
        whole = {"type": f"response.{kind}", "sequence_number": self.number, **fields}
        return CLASSES[kind].model_construct(**whole)

    def response(self, usage: Any = None) -> Any:
        """The response as it is."""
        counts = usage or {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        details = {
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        return r.Response.model_validate(
            {
                "id": self.name, "created_at": 0, "model": "scripted", "object": "response", "tool_choice": "auto",
                "tools": [], "parallel_tool_calls": True, "output": [each.model_dump() for each in self.output],
                "usage": None if usage is None else {**counts, **details},
            }
        )  # fmt: skip

    def of(self, reply: Reply) -> Any:
        """The events of a reply, up to its end."""
        if reply.reasoning:
            place = {"item_id": f"{self.name}-r", "output_index": len(self.output), "summary_index": 0}
            for piece in pieces(reply.reasoning):
                yield self.event("reasoning_summary_text.delta", delta=piece, **place)
            yield self.event("reasoning_summary_text.done", text=reply.whole_reasoning, **place)
            summary = [{"type": "summary_text", "text": reply.whole_reasoning}]
            yield self.done(r.ResponseReasoningItem(id=place["item_id"], summary=summary, type="reasoning"))
        if reply.text:
            place = {"item_id": f"{self.name}-m", "output_index": len(self.output), "content_index": 0}
            for piece in pieces(reply.text):
                yield self.event("output_text.delta", delta=piece, logprobs=[], **place)
            yield self.event("output_text.done", text=reply.whole_text, logprobs=[], **place)
            content = [{"type": "output_text", "text": reply.whole_text, "annotations": []}]
            message = {"id": place["item_id"], "content": content, "role": "assistant", "status": "completed"}
            yield self.done(r.ResponseOutputMessage(**message, type="message"))
        for call in reply.calls:
            args = json.dumps(call["args"])
            item = {"call_id": call["id"], "name": call["name"], "type": "function_call", "id": f"f-{call['id']}"}
            place = {"item_id": item["id"], "output_index": len(self.output)}
            begun = r.ResponseFunctionToolCall(**item, arguments="")
            yield self.event("output_item.added", item=begun, output_index=len(self.output))
            for piece in (args[: len(args) // 2], args[len(args) // 2 :]):
                yield self.event("function_call_arguments.delta", delta=piece, **place)
            yield self.event("function_call_arguments.done", arguments=args, name=call["name"], **place)
            yield self.done(r.ResponseFunctionToolCall(**item, arguments=args, status="completed"))

    def done(self, item: Any) -> Any:
        """An item has ended."""
        self.output.append(item)
        return self.event("output_item.done", item=item, output_index=len(self.output) - 1)


CLASSES = {
    "created": r.ResponseCreatedEvent,
    "completed": r.ResponseCompletedEvent,
    "output_item.added": r.ResponseOutputItemAddedEvent,
    "output_item.done": r.ResponseOutputItemDoneEvent,
    "output_text.delta": r.ResponseTextDeltaEvent,
    "output_text.done": r.ResponseTextDoneEvent,
    "reasoning_summary_text.delta": r.ResponseReasoningSummaryTextDeltaEvent,
    "reasoning_summary_text.done": r.ResponseReasoningSummaryTextDoneEvent,
    "function_call_arguments.delta": r.ResponseFunctionCallArgumentsDeltaEvent,
    "function_call_arguments.done": r.ResponseFunctionCallArgumentsDoneEvent,
}
