"""`ChunkReader`: one message that comes as LangChain's message chunks, as content-block events.

A chunk is read as LangChain reads it (`content_blocks`), completed where that misses something. Which piece belongs to
which block is decided here, because providers identify blocks in more ways than LangChain's sum of chunks allows for:

- Text, reasoning, refusals and calls of a server's tools continue the block with their index; without one, the block of
  their type that was last written. What else their pieces say (signatures, citations, ids) is theirs when they finish.
- A piece of a tool call belongs to the call of its id, unless its index says otherwise; without an id, to the latest
  call of its index; without either, to the latest call.
- A piece that names a tool begins a call, unless its id or index says that it continues one: then it repeats the name,
  or goes on with it. They say so only until the call has all of its arguments, except to a piece without any; a piece
  with the same id, index and arguments repeats the call.

Imported only where such chunks have been seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import attrs

from anyiostream.projections.messages.output import arguments_of, finish_tool_call

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage

__all__ = ["ChunkReader"]

CALLS = frozenset({"tool_call_chunk", "tool_call", "invalid_tool_call"})

SERVER_CALL = "server_tool_call_chunk"

WRITTEN = {"text": "text", "reasoning": "reasoning", "refusal": "refusal", SERVER_CALL: "args"}
"""Types of blocks that are written in pieces -> the field that has a piece."""

PLACED = frozenset({"type", "index"})
"""Fields that tell which block a piece belongs to."""

REASONS = ("finish_reason", "stop_reason", "done_reason")
"""What providers call the field of the metadata that says why a message ended."""

DELTAS = {"text": "text-delta", "reasoning": "reasoning-delta", "refusal": None, SERVER_CALL: "tool-call-delta"}
"""Types of such blocks -> the type of a delta. The protocol has none for a refusal, which comes with its finish."""


@final
@attrs.define(eq=False)
class Part:
    """One content block, as far as it has come.

    Attributes:
        index: Its place in the message.
        kind: `"text"`, `"reasoning"`, that of a piece of a call, or the type of a block that comes in one piece.
        pieces: Its text, its reasoning, or its arguments.
        fields: What else is known of it: a call's id, name and index; citations, a signature; the whole of a block that
            came in one piece.
    """

    index: int
    kind: str
    pieces: list[str] = attrs.field(factory=list)
    fields: dict[str, Any] = attrs.field(factory=dict)

    @property
    def joined(self) -> str:
        """The pieces together."""
        return "".join(self.pieces)

    def finished(self) -> dict[str, Any]:
        """The block as it finishes."""
        if self.kind == "tool_call_chunk":
            return finish_tool_call({**self.fields, "args": self.joined})
        if self.kind not in WRITTEN:
            return self.fields
        block = {"type": self.kind, **self.fields, WRITTEN[self.kind]: self.joined}
        if self.kind == SERVER_CALL:
            call = finish_tool_call(block)
            if call["type"] == "tool_call":
                return {**call, "type": "server_tool_call"}
        return block


@final
class ChunkReader:
    """Turns the chunks of one message into events."""

    __slots__ = (
        "_by_both",
        "_by_id",
        "_by_index",
        "_chunks",
        "_latest_call",
        "_metadata",
        "_parts",
        "_provider",
        "_repeated",
        "_reports",
        "_said",
        "_summed",
        "_usage",
        "_written",
    )

    def __init__(self) -> None:
        self._chunks: list[AIMessageChunk] = []
        self._parts: list[Part] = []
        self._written: dict[tuple[str, Any], Part] = {}
        self._by_id: dict[str, Part] = {}
        self._by_index: dict[Any, Part] = {}
        self._by_both: dict[tuple[Any, Any], Part] = {}
        self._latest_call: Part | None = None
        self._usage: dict[str, Any] | None = None
        self._metadata: dict[str, Any] = {}
        self._reports: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        self._said: dict[str, str] = {}
        self._repeated: Mapping[str, Any] | None = None
        self._provider: str | None = None
        self._summed: AIMessage | None = None

    def events(self, chunk: AIMessageChunk) -> Iterator[Mapping[str, Any]]:
        """The events of one chunk."""
        if not self._chunks:
            yield {"event": "message-start", "role": "ai", "id": chunk.id, "metadata": {}}
        self._chunks.append(chunk)
        if chunk.usage_metadata is not None:
            self._usage = add_usage(self._usage, chunk.usage_metadata)
        metadata, additional = chunk.response_metadata, chunk.additional_kwargs
        if additional or (metadata and metadata != self._repeated):
            self._note(metadata or {}, additional)
        if isinstance(chunk.content, str) and not additional:
            blocks = [{"type": "text", "text": chunk.content}] if chunk.content else []
        else:
            from anyiostream.projections.messages import langchain  # noqa: PLC0415 -- imports this one's importers

            blocks = langchain.blocks_of_chunk(chunk, self._provider)
        for block in blocks:
            kind = block.get("type", "")
            field = WRITTEN.get(kind)
            if field is not None:
                yield from self._write(kind, field, block)
            elif kind not in CALLS:
                yield from self._whole_block(block)
            elif not chunk.tool_call_chunks:
                yield from self._call({**_readable(block), "args": arguments_of(block)})
        for piece in chunk.tool_call_chunks:
            yield from self._call(piece)

    def finish(self, message: BaseMessage | None = None) -> Iterator[Mapping[str, Any]]:
        """The events that finish the message.

        Args:
            message: The whole of it, if the graph has given that as well; what it says counts.
        """
        from anyiostream.projections.messages import langchain  # noqa: PLC0415 -- see above

        finish: dict[str, Any] = {"event": "message-finish"}
        additional: Mapping[str, Any] = {}
        if message is None:
            with suppress(Exception):  # whatever LangChain runs into: the message has ended
                self._metadata, additional = langchain.sum_of_reports(self._reports)
        else:
            usage = getattr(message, "usage_metadata", None)
            self._usage = self._usage if usage is None else dict(usage)
            self._metadata.update(message.response_metadata or {})
            additional = message.additional_kwargs
        if additional:
            finish["additional_kwargs"] = dict(additional)
        for part in self._parts:
            yield {"event": "content-block-finish", "index": part.index, "content": part.finished()}
        yield {**finish, "usage": self._usage, "metadata": self._metadata}

    @property
    def has_ended(self) -> bool:
        """Whether a chunk has told why the message ended, though not that it was the last one."""
        return any(self._metadata.get(name) for name in REASONS)

    def message(self) -> AIMessage:
        """The final message: LangChain's sum of the chunks, corrected where that misses or confuses something."""
        from anyiostream.projections.messages import langchain  # noqa: PLC0415 -- see above

        if self._summed is None:
            blocks = [part.finished() for part in self._parts]
            self._summed = langchain.sum_of(self._chunks, blocks, self._provider, self._usage, self._metadata)
        return self._summed

    # --- inside ---

    def _note(self, metadata: Mapping[str, Any], additional: Mapping[str, Any]) -> None:
        """What a chunk reports besides its content. Metadata that it repeats is not text that goes on."""
        new = {name: value for name, value in metadata.items() if name not in self._said or self._said[name] != value}
        self._said.update((name, value) for name, value in new.items() if isinstance(value, str))
        # Most chunks only name their provider again.
        self._repeated = dict(metadata) if all(isinstance(value, str) for value in metadata.values()) else None
        if new or additional:
            self._reports.append((new, additional))
        self._metadata.update(new)
        # Providers need not name themselves in each chunk.
        self._provider = self._provider or self._metadata.get("model_provider")

    def _write(self, kind: str, field: str, block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        piece, index = block.get(field), block.get("index")
        if not isinstance(piece, str):
            piece = ""
        if not isinstance(index, (int, str)):
            index = None
        # Nearly every piece is nothing but text, with its index perhaps.
        if piece and len(block) == (2 if index is None else 3):
            besides = None
        else:
            besides = _besides(block, field)
            if not piece and not besides:
                return
        part = self._written.get((kind, index))
        if part is None or (besides and index is None and _is_another(besides.get("id"), part)):
            part = self._new(kind)
            if index is not None:
                self._written[kind, index] = part
            started = {**(besides or {}), "type": kind} if kind == SERVER_CALL else {"type": kind}
            yield {"event": "content-block-start", "index": part.index, "content": {**started, field: ""}}
        self._written[kind, None] = part
        if besides and besides != {"id": part.fields.get("id")}:
            part.fields = merged(part.fields, besides)
        if piece:
            part.pieces.append(piece)
            shown = DELTAS[kind]
            if shown:
                yield {
                    "event": "content-block-delta",
                    "index": part.index,
                    "delta": {"type": shown, field: piece},
                }

    def _whole_block(self, block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        part = self._new(block.get("type", ""))
        part.fields = dict(block)
        yield {"event": "content-block-start", "index": part.index, "content": {"type": part.kind}}

    def _call(self, piece: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        args = piece.get("args")
        if isinstance(args, str) and args.rstrip().endswith("}") and self._repeats(piece, args):
            return
        part = self._call_of(piece)
        if part is None:
            part = self._new("tool_call_chunk")
            _learn(part, piece)
            content = {"type": "tool_call_chunk", **part.fields, "args": ""}
            yield {"event": "content-block-start", "index": part.index, "content": content}
        elif _learn(part, piece):
            fields = {"type": "tool_call_chunk", **part.fields}
            delta = {"type": "block-delta", "fields": fields}
            yield {"event": "content-block-delta", "index": part.index, "delta": delta}
        self._latest_call = part
        for field, known in (("id", self._by_id), ("index", self._by_index)):
            if part.fields.get(field) is not None:
                known[part.fields[field]] = part
        if part.fields.get("id") is not None and part.fields.get("index") is not None:
            self._by_both[part.fields["id"], part.fields["index"]] = part
        if isinstance(args, str) and args:
            part.pieces.append(args)
            yield {
                "event": "content-block-delta",
                "index": part.index,
                "delta": {"type": "tool-call-delta", "args": args},
            }

    def _repeats(self, piece: Mapping[str, Any], args: str) -> bool:
        """Whether a piece is the whole of a call whose pieces have come."""
        part = self._by_both.get((piece.get("id"), piece.get("index")))
        return (
            part is not None
            and piece.get("name") == part.fields.get("name")
            and _begins_another(piece, part)
            and args == part.joined
        )

    def _call_of(self, piece: Mapping[str, Any]) -> Part | None:
        """The call that a piece continues, or `None` if it begins one."""
        call_id, index, latest = piece.get("id") or None, piece.get("index"), self._latest_call
        if call_id is None and index is None:
            return None if piece.get("name") else latest
        if call_id is not None:
            part = self._by_id.get(call_id)
            if part is not None and index is not None and part.fields.get("index") not in {None, index}:
                part = self._by_both.get((call_id, index))
            if part is not None:
                args = piece.get("args")
                begins = isinstance(args, str) and args.strip() and _begins_another(piece, part)
                return None if begins else part
        # The call of that index, or the one that has had none so far.
        part = self._by_index.get(index) if index is not None else latest
        if part is None and latest is not None and latest.fields.get("index") is None:
            part = latest
        if part is None or (call_id is not None and part.fields.get("id") is not None):
            return None
        return None if _begins_another(piece, part) else part

    def _new(self, kind: str) -> Part:
        part = Part(len(self._parts), kind)
        self._parts.append(part)
        return part


def _readable(call: Mapping[str, Any]) -> dict[str, Any]:
    """What a call among the content says of itself, without an id, a name or an index of another type."""
    return {
        name: value
        for name, value in call.items()
        if isinstance(value, str) or (name == "index" and isinstance(value, int))
    }


def _is_another(block_id: Any, part: Part) -> bool:
    """Whether a piece without an index is of another block, because it has another id."""
    return block_id is not None and block_id != part.fields.get("id")


def _besides(block: Mapping[str, Any], field: str) -> dict[str, Any]:
    """What a piece of a block says besides its text, which is in `field`."""
    return {name: value for name, value in block.items() if value and name != field and name not in PLACED}


def _learn(part: Part, piece: Mapping[str, Any]) -> bool:
    """Record what a piece says of its call; returns whether that is new."""
    before = dict(part.fields)
    for field in ("id", "name", "index"):
        if part.fields.get(field) is None:
            part.fields[field] = piece.get(field) if piece.get(field) != "" else None
    name = piece.get("name")
    if name and not part.pieces and before.get("name") and not before["name"].endswith(name):
        # A name may come in pieces, too.
        part.fields["name"] = before["name"] + name
    if part.fields.get("index") is None:
        part.fields.pop("index", None)
    return part.fields != before


def _begins_another(piece: Mapping[str, Any], part: Part) -> bool:
    """Whether a piece that could continue a call begins another one: it names a tool, and the call is complete."""
    name = piece.get("name")
    if not name or part.fields.get("name") is None:
        return False
    if not part.pieces:
        return part.fields.get("id") is None and name != part.fields["name"]
    return part.pieces[-1].rstrip().endswith("}") and finish_tool_call({"args": part.joined})["type"] == "tool_call"


def merged(fields: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """What the pieces of a block say of it, together: lists and texts are added up, repetitions are not."""
    together = dict(fields)
    for name, value in more.items():
        have = together.get(name)
        if isinstance(have, Mapping) and isinstance(value, Mapping):
            together[name] = merged(have, value)
        elif isinstance(have, list) and isinstance(value, list):
            together[name] = have + value
        elif isinstance(have, str) and isinstance(value, str) and name != "id":
            together[name] = have if have == value else have + value
        elif have is None or name != "id":
            together[name] = value
    return together


def add_usage(total: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Token counts added up, those inside of details too."""
    summed = dict(total or {})
    for key, value in more.items():
        if isinstance(value, int):
            summed[key] = summed.get(key, 0) + value
        elif isinstance(value, Mapping):
            summed[key] = add_usage(summed.get(key), value)
    return summed
