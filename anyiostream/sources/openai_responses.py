"""A streamed response of OpenAI's Responses API as the content blocks of a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyiostream.projections.messages.output import finish_tool_call
from anyiostream.sources.agents import Blocks

__all__ = ["arguments_of", "call_id_of", "field_of", "input_items", "write_event"]

PIECES: Final[Mapping[str, tuple[str, str]]] = {
    "response.output_text": ("text", "content_index"),
    "response.refusal": ("text", "content_index"),
    "response.reasoning_summary_text": ("reasoning", "summary_index"),
    "response.reasoning_text": ("reasoning", "content_index"),
}
"""What comes in pieces, as `<name>.delta`: the kind of block, and where the event says which one."""

ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


async def write_event(data: Any, blocks: Blocks) -> bool:
    """Write what a response gains; whether it has ended."""
    name, _, what = data.type.rpartition(".")
    if name in PIECES:
        kind, place = PIECES[name]
        await _write_piece((kind, data.output_index, getattr(data, place)), what, data, blocks)
    elif data.type == "response.output_item.added" and data.item.type == "function_call":
        await blocks.begin_call(data.output_index, data.item.name, data.item.call_id)
    elif data.type == "response.function_call_arguments.delta" and blocks.has(data.output_index):
        await blocks.add(data.output_index, data.delta)
    elif data.type == "response.output_item.done":
        await _done(data.output_index, data.item, blocks)
    elif data.type in ENDS:
        if not blocks.count:  # a model that streams nothing gives all of it at the end
            for index, item in enumerate(data.response.output):
                await _done(index, item, blocks)
        await blocks.end_all()
        return True
    return False


async def _write_piece(key: tuple[str, int, int], what: str, data: Any, blocks: Blocks) -> None:
    if what == "delta":
        if not blocks.has(key):
            await blocks.begin(key, key[0])
        await blocks.add(key, data.delta)
    elif what == "done":
        await blocks.end(key)


async def _done(index: int, item: Any, blocks: Blocks) -> None:
    """Write the content of a response item that has not come in pieces."""
    if item.type == "function_call":
        if not blocks.has(index):
            await blocks.begin_call(index, item.name, item.call_id)
            await blocks.add(index, item.arguments)
        await blocks.end(index, item.arguments)
    elif item.type == "message":
        for place, part in enumerate(item.content):
            said = part.refusal if part.type == "refusal" else part.text
            await blocks.fill(("text", index, place), "text", said)
    elif item.type == "reasoning":
        for place, part in enumerate(item.summary or item.content or ()):
            await blocks.fill(("reasoning", index, place), "reasoning", part.text)
    else:
        await blocks.whole({"type": "non_standard", "value": item.model_dump(mode="json", exclude_unset=True)})


def arguments_of(call: Any) -> Any:
    """The arguments of a tool call; as they are, if they are not a JSON object."""
    given = field_of(call, "arguments")
    return finish_tool_call({"args": given})["args"] if isinstance(given, str) else given


def call_id_of(item: Any) -> str:
    """The id of a tool call, or of the call that an output belongs to."""
    return str(field_of(item, "call_id") or field_of(item, "id"))


def field_of(item: Any, name: str) -> Any:
    """A field of an item, which is a mapping or a data model."""
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def input_items(prompt: Any) -> list[Any]:
    """What a user says, as input items."""
    if prompt is None:
        return []
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
