"""LangChain's message classes: what `messages` parts hold besides events, and what `message.output` is.

Imported only where such messages have been seen. A message is read as LangChain reads it (`content_blocks`), completed
where that leaves something out: thinking of a provider that is not named, `reasoning_content` where a provider's
reading passes over it, tool calls without an id, and calls whose arguments could not be parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.messages.ai import add_ai_message_chunks

from anyiostream.projections.messages.record import MessageRecord

__all__ = [
    "MESSAGES",
    "assemble_ai_message",
    "blocks_of",
    "blocks_of_chunk",
    "events_of_message",
    "is_chunk",
    "is_last",
    "is_message",
    "sum_of",
    "sum_of_reports",
]

MESSAGES: Final = BaseMessage
"""The class of all messages, also of those that are not shown."""

SPOKEN: Final = frozenset({"text", "reasoning"})
"""Types of blocks that come in pieces of text."""

CALLS: Final = frozenset({"tool_call", "invalid_tool_call", "tool_call_chunk"})

THEIR_CALLS: Final = frozenset({"function_call", "input_json_delta", "tool_use"})
"""Types of blocks in which providers have calls of tools, which are among a message's calls, too."""

LATER_FIELDS: Final = frozenset(
    {"annotations", "args", "base64", "data", "index", "output", "reasoning", "text", "transcript", "value"}
)
"""Fields of a block that its finish carries, and its start leaves out."""

ROLES: Final = {"user": "human", "human": "human", "system": "system", "developer": "system"}
"""Roles that a `ChatMessage` may have which no model wrote -> its role in the protocol."""


def is_chunk(payload: object) -> TypeGuard[AIMessageChunk]:
    """Whether it is a piece of a message."""
    return isinstance(payload, AIMessageChunk)


def is_last(chunk: AIMessageChunk) -> bool:
    """Whether the chunk says that it is the last of its message."""
    return getattr(chunk, "chunk_position", None) == "last"


def is_message(payload: object) -> TypeGuard[BaseMessage]:
    """Whether it is a whole message, other than a tool's. A `RemoveMessage` is an instruction, and not a message."""
    return isinstance(payload, BaseMessage) and not isinstance(payload, (ToolMessage, FunctionMessage, RemoveMessage))


# --- what a message says ---


def blocks_of(message: BaseMessage) -> list[dict[str, Any]]:
    """The content blocks of a whole message, in the standard form, tool calls included."""
    blocks = [block for block in _standard(message) if block.get("type") not in CALLS or "args" in block]
    if not isinstance(message, AIMessage):
        return blocks
    if message.tool_calls or message.invalid_tool_calls:
        blocks = [block for block in blocks if not _is_theirs(block)]
    # The message's own lists of calls count: content may name them in a provider's form, or not at all.
    calls = [dict(call) for call in (*message.tool_calls, *message.invalid_tool_calls)]
    placed: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") not in CALLS:
            placed.append(block)
            continue
        same = next((call for call in calls if call.get("id") and call.get("id") == block.get("id")), None)
        if same is not None:
            calls.remove(same)
            placed.append({**block, **same})
    return [*placed, *({"type": "tool_call", **call} for call in calls)]


def blocks_of_chunk(chunk: AIMessageChunk, provider: str | None) -> list[dict[str, Any]]:
    """The content blocks of one chunk; its `tool_call_chunks` may be among them.

    Args:
        chunk: The chunk.
        provider: Whose form it has, if an earlier chunk said so and this one does not.
    """
    blocks = _standard(chunk, provider)
    return [block for block in blocks if not _is_theirs(block)] if chunk.tool_call_chunks else blocks


def _standard(message: BaseMessage, provider: str | None = None) -> list[dict[str, Any]]:
    """LangChain's reading of a message's content, completed."""
    if provider is not None and "model_provider" not in message.response_metadata:
        metadata = {**message.response_metadata, "model_provider": provider}
        message = message.model_copy(update={"response_metadata": metadata})
    read = _read(message)
    if read is None:
        read = [message.content] if isinstance(message.content, str) else message.content
    blocks = [_block(each) for each in read if isinstance(each, (str, Mapping))]
    said = message.additional_kwargs.get("reasoning_content")
    if isinstance(said, str) and said and not any(block.get("type") == "reasoning" for block in blocks):
        blocks.insert(0, {"type": "reasoning", "reasoning": said})
    return blocks


def _read(message: BaseMessage) -> Sequence[Any] | None:
    """LangChain's reading of a message; `None` where it fails, on content that is not quite its provider's."""
    try:
        return message.content_blocks
    except Exception:  # noqa: BLE001 -- whatever a provider's reading runs into
        return None


def _block(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """A block of content in the standard form: thinking as reasoning, transcripts as text; its type is a string."""
    block: dict[str, Any] = {"type": "text", "text": given} if isinstance(given, str) else dict(given)
    kind = block.get("type")
    if not isinstance(kind, str):
        return {"type": "non_standard", "value": block}
    if kind in SPOKEN:
        if not isinstance(block.get(kind, ""), str):
            block[kind] = _words(block[kind])
        return block
    value = block.get("value") if kind == "non_standard" else block
    if not isinstance(value, Mapping) or value.get("type") != "thinking":
        return block
    reasoning: dict[str, Any] = {"type": "reasoning", "reasoning": _words(value.get("thinking"))}
    if value.get("signature"):
        reasoning["extras"] = {"signature": value["signature"]}
    index = value.get("index", block.get("index"))
    return reasoning if index is None else {**reasoning, "index": index}


def _is_theirs(block: Mapping[str, Any]) -> bool:
    """Whether a block is a call of a tool in the form of a provider that is not named."""
    value = block.get("value") if block.get("type") == "non_standard" else None
    return isinstance(value, Mapping) and value.get("type") in THEIR_CALLS


def _words(given: Any) -> str:
    """Text that may come in a list of blocks, of which some are text."""
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        return _words(given.get("text"))
    return "".join(_words(each) for each in given) if isinstance(given, (list, tuple)) else ""


# --- as events ---


def events_of_message(message: BaseMessage) -> Iterator[Mapping[str, Any]]:
    """A whole message as the events of a call that gave it."""
    metadata = message.response_metadata or {}
    start: dict[str, Any] = {"event": "message-start", "role": _role(message), "id": message.id or ""}
    described = {
        "provider": metadata.get("model_provider"),
        "model": metadata.get("model_name"),
        "name": message.name,
    }
    if any(described.values()):
        start["metadata"] = {name: value for name, value in described.items() if value is not None}
    yield start
    for index, block in enumerate(blocks_of(message)):
        kind = block.get("type", "")
        skeleton = {key: value for key, value in block.items() if key not in LATER_FIELDS}
        if kind in SPOKEN:
            skeleton[kind] = ""
        elif kind == "tool_call":
            skeleton["args"] = {}
        yield {"event": "content-block-start", "index": index, "content": skeleton}
        if kind in SPOKEN and block.get(kind):
            delta = {"type": f"{kind}-delta", kind: block[kind]}
            yield {"event": "content-block-delta", "index": index, "delta": delta}
        yield {"event": "content-block-finish", "index": index, "content": block}
    usage = getattr(message, "usage_metadata", None)
    finish: dict[str, Any] = {"event": "message-finish"}
    if usage:
        finish["usage"] = dict(usage)
    if metadata:
        finish["metadata"] = dict(metadata)
    if message.additional_kwargs:
        finish["additional_kwargs"] = dict(message.additional_kwargs)
    yield finish


def _role(message: BaseMessage) -> str:
    """Who says it, in the protocol's words."""
    if isinstance(message, ChatMessage):
        return ROLES.get(message.role, "ai")
    return "human" if isinstance(message, HumanMessage) else "system" if isinstance(message, SystemMessage) else "ai"


# --- the final message ---


def assemble_ai_message(record: MessageRecord) -> AIMessage:
    """The `AIMessage` of a record, as LangChain assembles it; of what there is, if it was cut off."""
    return _of_blocks(
        record.numbered_blocks(),
        message_id=record.message_id,
        usage=record.usage,
        metadata={**_origin(record.origin), **record.report},
        additional=record.additional,
    )


def sum_of_reports(
    reports: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What chunks report besides their content: their metadata, and fields under the provider's own names.

    Their content is left out: adding that up takes as long as reading it has, and not everybody asks for the message.
    """
    if len(reports) < 2:  # noqa: PLR2004 -- there is nothing to add up
        metadata, additional = reports[0] if reports else ({}, {})
        return dict(metadata), dict(additional)
    chunks = [
        AIMessageChunk.model_construct(content="", response_metadata=metadata, additional_kwargs=additional)
        for metadata, additional in reports
    ]
    summed = add_ai_message_chunks(*chunks)
    return dict(summed.response_metadata), dict(summed.additional_kwargs)


def sum_of(
    chunks: Sequence[AIMessageChunk],
    blocks: Sequence[Mapping[str, Any]],
    provider: str | None,
    usage: Any,
    metadata: Mapping[str, Any],
) -> AIMessage:
    """The message that chunks add up to.

    Args:
        chunks: The chunks, at least one.
        blocks: What they say. Where LangChain's sum says something else, this counts.
        provider: Whose form they have.
        usage: Token counts of all of them.
        metadata: What they report, without repetitions.
    """
    summed = message_chunk_to_message(add_ai_message_chunks(*chunks))
    assert isinstance(summed, AIMessage)
    summed.response_metadata = dict(metadata)
    summed.name = next((chunk.name for chunk in chunks if chunk.name), None)  # which LangChain's sum leaves out
    calls, invalid = _calls(blocks)
    if (_bare(summed.tool_calls), _bare(summed.invalid_tool_calls)) != (_bare(calls), _bare(invalid)):
        summed = summed.model_copy(update={"tool_calls": calls, "invalid_tool_calls": invalid})
    if provider is not None:
        summed.response_metadata.setdefault("model_provider", provider)
    read = _read(summed) or ()
    if all(_said(kind, read) == _said(kind, blocks) for kind in SPOKEN) and summed.text == _said("text", blocks):
        return summed
    return _of_blocks(
        list(enumerate(blocks)),
        name=summed.name,
        message_id=summed.id,
        usage=usage,
        metadata=summed.response_metadata,
        additional=summed.additional_kwargs,
    )


def _of_blocks(
    blocks: Sequence[tuple[Any, Mapping[str, Any]]],
    *,
    message_id: str | None,
    usage: Mapping[str, Any] | None,
    metadata: Mapping[str, Any],
    additional: Mapping[str, Any] | None,
    name: str | None = None,
) -> AIMessage:
    calls, invalid = _calls([block for _, block in blocks])
    # Calls go without an index, as LangChain has them: chunks that are added to the message later are not theirs.
    content: list[Any] = [
        dict(block) if block.get("type") in CALLS else {**block, "index": block.get("index", index)}
        for index, block in blocks
    ]
    return AIMessage(
        content=content or "",
        name=name,
        id=message_id,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=_usage(usage),
        # The content has the standard form, whatever form the provider's has: no translator may read it again.
        response_metadata={**metadata, "output_version": "v1"},
        additional_kwargs=dict(additional or {}),
    )


def _calls(blocks: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[Any]]:
    calls = [
        {"type": "tool_call", **{field: block.get(field) for field in ("id", "name", "args")}}
        for block in blocks
        if block.get("type") == "tool_call"
    ]
    invalid = [
        {"type": "invalid_tool_call", **{field: block.get(field) or None for field in ("id", "name", "args", "error")}}
        for block in blocks
        if block.get("type") == "invalid_tool_call"
    ]
    return calls, invalid


def _bare(calls: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The parts of calls that have to be equal; a parser's wording of what is wrong with one need not be."""
    return [(call.get("id"), call.get("name"), call.get("args")) for call in calls]


def _said(kind: str, blocks: Sequence[Any]) -> str:
    said = [block.get(kind) for block in blocks if isinstance(block, Mapping) and block.get("type") == kind]
    return "".join(each for each in said if isinstance(each, str))


def _origin(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the start of a message says of the model, under the names that LangChain's messages have for it."""
    names = (("provider", "model_provider"), ("model", "model_name"))
    return {theirs: metadata[name] for name, theirs in names if name in metadata}


def _usage(usage: Mapping[str, Any] | None) -> Any:
    """Token counts as LangChain's messages take them: with all three totals."""
    if not usage:
        return None
    given, answered = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    return {"input_tokens": given, "output_tokens": answered, "total_tokens": given + answered, **usage}
