"""`MessageRecord`: one message as its events arrive. A state machine without I/O.

Rules:

- Events are content-block events: `message-start`, then for each block (told by `index`) `content-block-start`,
  `content-block-delta`s and `content-block-finish`, then `message-finish`; or `error`.
- Blocks of several kinds may share an index, and others come at the place of one that has finished: all are kept.
- Deltas are appended, and joined only on demand, so that a message costs time linear in its length.
- A block's finish is authoritative: text that it adds to the deltas is one more delta; text that contradicts them
  replaces them in the final value, and the deltas that have been read stay as they were.
- Unknown events, deltas without a block, and blocks of unknown types are kept in the raw events and otherwise ignored,
  as the protocol demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, final

from anyiostream.errors import MessageFailed
from anyiostream.outcome import COMPLETED, Outcome
from anyiostream.projections.deltas import DeltaLog
from anyiostream.projections.messages.block import CHUNK_TYPES, Block, Place, in_order, place_of
from anyiostream.projections.messages.output import arguments_of

__all__ = ["STREAMING", "Assembler", "MessageRecord", "MessageStatus", "text_in"]

MessageStatus = Literal["streaming", "finished", "failed", "aborted"]
"""How a message stands."""

STREAMING: Final = "streaming"
"""The status of a message that has not ended."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

UNHASHABLE = frozenset({list, dict, set})
"""Types of an index that cannot tell blocks apart."""


@final
class MessageRecord:
    """One message.

    Attributes:
        node: The node that made the model call, or `None`.
        namespace: The namespace of its graph.
        message_id: The message's id, once it is known.
        text: Pieces of text, in order of arrival.
        reasoning: Pieces of reasoning.
        tool_call_chunks: Pieces of tool calls: `{"type", "id", "name", "args"}`.
        events: The raw events.
        usage: Token counts, once they are known.
        role: Who speaks: `"ai"`, `"human"`, or `"system"`.
        origin: What its start reports: provider and model.
        report: What its finish reports.
        additional: What its finish reports besides, under the provider's own names; `None` if nothing.
        status: How it stands.
        message: Makes the final message, where the graph has given it in its own class.
    """

    __slots__ = (
        "_blocks",
        "_texts",
        "additional",
        "events",
        "message",
        "message_id",
        "namespace",
        "node",
        "origin",
        "reasoning",
        "report",
        "role",
        "status",
        "text",
        "tool_call_chunks",
        "usage",
    )

    def __init__(
        self, *, node: str | None = None, namespace: tuple[str, ...] = (), message_id: str | None = None
    ) -> None:
        self.node = node
        self.namespace = namespace
        self.message_id = message_id
        self.text: DeltaLog[str] = DeltaLog("the text of a message")
        self.reasoning: DeltaLog[str] = DeltaLog("the reasoning of a message")
        self.tool_call_chunks: DeltaLog[dict[str, Any]] = DeltaLog("the tool calls of a message")
        self.events: DeltaLog[Mapping[str, Any]] = DeltaLog("the events of a message")
        self.usage: Mapping[str, Any] | None = None
        self.role = "ai"
        self.origin: Mapping[str, Any] = NOTHING
        self.report: Mapping[str, Any] = NOTHING
        self.additional: Mapping[str, Any] | None = None
        self.status: MessageStatus = STREAMING
        self.message: Callable[[], Any] | None = None
        self._blocks: dict[Place, Block] = {}  # by index and family; others at their place have a number, too
        self._texts: dict[Any, Block] = {}  # those of text that have not finished, by index

    def dispatch(self, event: Mapping[str, Any]) -> None:
        """Take an event."""
        events = self.events
        events.items.append(event)
        if events.parked is not None:
            events.wake()
        try:
            # Nearly every event is a piece of text for a known block. Checking for exactly that first, without the
            # calls that the general case takes, makes a token cost a fifth less.
            delta = event["delta"]
            is_text = delta["type"] == "text-delta" and event["event"] == "content-block-delta"
            piece: Any = delta["text"] if is_text else None
            block = self._texts[event["index"]]
        except (KeyError, TypeError):
            self._dispatch(event)
            return
        if type(piece) is str and piece:
            block.pieces.append(piece)
            text = self.text
            text.items.append(piece)
            if text.parked is not None:
                text.wake()
        else:
            self._dispatch(event)

    def _dispatch(self, event: Mapping[str, Any]) -> None:
        handle = _HANDLERS.get(text_in(event, "event"))
        if handle is not None and type(event.get("index")) not in UNHASHABLE:
            handle(self, event)
        if self.status is not STREAMING:
            self._end(COMPLETED if self.status == "finished" else self._failure(event))

    def fail(self, error: BaseException) -> None:
        """The run has ended with `error` before the message had."""
        if self.status == "streaming":
            self.status = "failed"
            self._end(Outcome.by(error))

    def abort(self, assemble: Callable[[], Any]) -> None:
        """The run was aborted before the message had ended: iteration ends, awaiting raises `RunAborted`."""
        if self.status == "streaming":
            self.status = "aborted"
            self._end(Outcome.aborted("the message", partial=assemble()))

    @property
    def metadata(self) -> dict[str, Any]:
        """What its start and its finish report."""
        return {**self.origin, **self.report}

    def final_text(self) -> str:
        """The text of all blocks, as they finished."""
        return self._joined("text")

    def final_reasoning(self) -> str:
        """The reasoning of all blocks, as they finished."""
        return self._joined("reasoning")

    def final_tool_calls(self) -> list[dict[str, Any]]:
        """The tool calls whose arguments could be parsed, in order of their blocks."""
        return [block for block in self.blocks() if block["type"] == "tool_call"]

    def blocks(self) -> list[dict[str, Any]]:
        """The content blocks in order of their index, finished if they were not."""
        return [block for _, block in self.numbered_blocks()]

    def numbered_blocks(self) -> list[tuple[Any, dict[str, Any]]]:
        """As `blocks`, each with its index."""
        return [(place[0], self._blocks[place].finished()) for place in sorted(self._blocks, key=in_order)]

    # --- events ---

    def _start(self, event: Mapping[str, Any]) -> None:
        message_id = event.get("id") or event.get("message_id")
        if message_id is not None:
            self.message_id = str(message_id)
        self.role = str(event.get("role") or self.role)
        self.origin = _mapping(event.get("metadata"))

    def _start_block(self, event: Mapping[str, Any]) -> None:
        content, index = _content(event), event.get("index")
        if content is None:
            return
        kind = text_in(content, "type")
        known = self._blocks.get(place_of(self._blocks, index, kind))
        if known is not None and (not content.get("id") or content["id"] != known.chunk.get("id")):
            self._leave(index, kind)
        if kind in CHUNK_TYPES:
            self._extend_tool_call(self._block(index, kind), content, content.get("args"))

    def _delta(self, event: Mapping[str, Any]) -> None:
        delta = event.get("delta")
        if delta is None:
            delta = _legacy_delta(event.get("content_block"))
        if type(delta) is not dict and not isinstance(delta, Mapping):
            return
        kind = text_in(delta, "type")
        index = event.get("index")
        if kind == "text-delta":
            self._piece("text", self.text, index, delta.get("text"))
        elif kind == "reasoning-delta":
            self._piece("reasoning", self.reasoning, index, delta.get("reasoning"))
        elif kind == "tool-call-delta":
            for kind in CHUNK_TYPES.values():
                block = self._blocks.get((index, kind))
                if block is not None and block.final is None:
                    self._extend_tool_call(block, {}, delta.get("args"))
                    break
        elif kind in {"block-delta", "legacy-block-delta"}:
            self._fields(index, delta.get("fields"), cumulative=kind == "block-delta")

    def _finish_block(self, event: Mapping[str, Any]) -> None:
        content, index = _content(event), event.get("index")
        if content is None:
            return
        kind = text_in(content, "type")
        block = self._block(index, kind)
        final = {**content, "type": kind}
        if kind in {"text", "reasoning"}:
            said = content.get(kind)
            whole = self._reconcile(kind, block, said if isinstance(said, str) else "")
            if whole or kind == "text" or not isinstance(said, str):
                final[kind] = whole
        elif kind in {"tool_call", "invalid_tool_call"}:
            final.pop("index", None)
            final = {"type": kind, "id": "", "name": "", "args": {} if kind == "tool_call" else "", **final}
            if block.kind not in CHUNK_TYPES:
                # It came in one piece, which is shown as such.
                self._show_call(final, arguments_of(final))
        block.final = final
        if kind == "text":
            del self._texts[index]

    def _finish(self, event: Mapping[str, Any]) -> None:
        self.usage = event.get("usage")
        self.report = _mapping(event.get("metadata"))
        self.additional = event.get("additional_kwargs")
        self.status = "finished"

    def _error(self, event: Mapping[str, Any]) -> None:  # noqa: ARG002 -- a handler
        self.status = "failed"

    # --- inside ---

    def _piece(self, kind: str, log: DeltaLog[str], index: Any, piece: Any) -> None:
        if piece and isinstance(piece, str):
            self._block(index, kind).pieces.append(piece)
            log.push(piece)

    def _reconcile(self, kind: str, block: Block, whole: str) -> str:
        have = block.joined
        if not whole or whole == have:
            return have
        if whole.startswith(have):
            (self.text if kind == "text" else self.reasoning).push(whole[len(have) :])
        block.pieces = [whole]
        return whole

    def _fields(self, index: Any, fields: Any, *, cumulative: bool) -> None:
        if not isinstance(fields, Mapping) or text_in(fields, "type") not in CHUNK_TYPES:
            return
        if index is None:
            index = fields.get("index", len(self._blocks))
        block = self._block(index, fields["type"])
        args = fields.get("args")
        if cumulative and isinstance(args, str):
            have = block.joined
            if args.startswith(have):
                args = args[len(have) :]
            else:
                block.quiet = True
                block.pieces = [args]
                args = ""
        self._extend_tool_call(block, fields, args)

    def _extend_tool_call(self, block: Block, fields: Mapping[str, Any], args: Any) -> None:
        for key, value in fields.items():
            if key not in {"args", "type"} and value is not None:
                block.chunk.setdefault(key, value)
        if not isinstance(args, str) or not args:
            return
        block.pieces.append(args)
        if block.kind == "tool_call_chunk" and not block.quiet:
            self._show_call(block.chunk, args)

    def _show_call(self, call: Mapping[str, Any], args: str) -> None:
        shown = {"type": "tool_call_chunk", "id": call.get("id"), "name": call.get("name"), "args": args}
        if "index" in call:
            shown["index"] = call["index"]
        self.tool_call_chunks.push(shown)

    def _block(self, index: Any, kind: str) -> Block:
        """The block of this kind that is under way at this index; a new one if there is none."""
        place = place_of(self._blocks, index, kind)
        block = self._blocks.get(place)
        if block is not None and block.final is None:
            return block
        if block is not None:
            self._leave(index, kind)
        block = self._blocks[place] = Block(kind)
        if kind == "text":
            self._texts[index] = block
        return block

    def _leave(self, index: Any, kind: str) -> None:
        """The block that is there stays, and another one may come there."""
        place = place_of(self._blocks, index, kind)
        self._blocks[*place, len(self._blocks)] = self._blocks.pop(place)
        if kind == "text":
            self._texts.pop(index, None)

    def _joined(self, kind: str) -> str:
        blocks = (self._blocks[place] for place in sorted(self._blocks, key=in_order))
        return "".join(block.joined for block in blocks if block.kind == kind)

    def _failure(self, event: Mapping[str, Any]) -> Outcome:
        return Outcome.by(MessageFailed(str(event.get("message", "Unknown error"))))

    def _end(self, outcome: Outcome) -> None:
        for log in (self.text, self.reasoning, self.tool_call_chunks, self.events):
            log.end(outcome)


Assembler = Callable[[MessageRecord], Any]
"""Builds the final message of a record; of what there is, if that has not finished."""


_HANDLERS: dict[str, Callable[[MessageRecord, Mapping[str, Any]], None]] = {
    "message-start": MessageRecord._start,  # noqa: SLF001 -- the table of its own handlers
    "content-block-start": MessageRecord._start_block,  # noqa: SLF001
    "content-block-delta": MessageRecord._delta,  # noqa: SLF001
    "content-block-finish": MessageRecord._finish_block,  # noqa: SLF001
    "message-finish": MessageRecord._finish,  # noqa: SLF001
    "error": MessageRecord._error,  # noqa: SLF001
}


def text_in(given: Mapping[str, Any], field: str) -> str:
    """A field that should be text, as text: a graph may write anything."""
    value = given.get(field)
    return value if isinstance(value, str) else ""


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if type(given) is dict or isinstance(given, Mapping) else NOTHING


def _content(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    content = event.get("content") or event.get("content_block")
    return content if type(content) is dict or isinstance(content, Mapping) else None


def _legacy_delta(block: Any) -> Mapping[str, Any] | None:
    """A delta in the older form, in which deltas had no type."""
    if not isinstance(block, Mapping):
        return None
    kind = text_in(block, "type")
    if kind in {"text", "reasoning"}:
        return {"type": f"{kind}-delta", kind: block.get(kind, "")}
    return {"type": "legacy-block-delta", "fields": block}
