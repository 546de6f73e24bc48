"""Messages on the wire: what a run's `messages` events hold, as the content-block events that both clients read.

Rules:

- Every event of a message carries its id, for Python, and its run's id, for JavaScript: so each client tells messages
  apart that are written at the same time.
- A tool call's arguments go out in pieces, each written twice: as `delta` for Python, and as `content` for JavaScript.
  The JavaScript client up to 1.12 took the delta of a piece for the end of all messages; it reads `content` first, as
  the block's next piece. Snapshots, which some graphs make, would grow with the square of the arguments: only what they
  add goes out.
- The more there is of a call, the larger its pieces: a part in `GRAIN` of what has gone out already. So their number
  grows with the logarithm of the arguments' size, and they take little more on the wire than the arguments themselves.
- `ModelCalls` decides which event belongs to which call, and how calls that break off end, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, final
from uuid import uuid4

import attrs

from anyiostream import Namespace
from anyiostream.tooling import ENDS, CallEvent, ModelCall, ModelCalls
from anyiostream.wire.jsonable import plain
from anyiostream.wire.redaction import redacted

__all__ = ["MessageEncoder"]

CHUNK_TYPES = {"tool_call_chunk", "server_tool_call_chunk"}


GRAIN: Final = 256
"""Pieces of a tool call's arguments that go out one by one; later ones are joined until they add that part to them."""


@final
class OpenCall:
    """A tool call that is being written.

    Attributes:
        kind: The type of its block.
        fields: What is known of it besides its arguments: `id`, `name`, ...
    """

    __slots__ = ("_held", "_out", "_pieces", "_shown", "_size", "fields", "kind")

    def __init__(self, content: Mapping[str, Any]) -> None:
        """The call that a block begins with."""
        self.kind: Final[str] = content["type"]
        self.fields = {name: value for name, value in content.items() if name != "args"}
        self._shown = 0
        self.replace(content.get("args"))

    def replace(self, args: Any) -> None:
        """`args` are all its arguments so far, and have gone out."""
        self._pieces = [args] if isinstance(args, str) else []
        self._out, self._size, self._held = len(self._pieces), sum(map(len, self._pieces)), 0

    def add(self, piece: str) -> str:
        """One more piece of its arguments; what is to go out now."""
        self._pieces.append(piece)
        self._held += len(piece)
        return self.rest() if self._held * GRAIN >= self._size else ""

    def grow(self, args: str) -> str | None:
        """`args` are all its arguments so far; what is to go out now, or `None` if they contradict those before."""
        before = "".join(self._pieces)
        if not args.startswith(before):
            return None
        # One piece for what has gone out, and one for what is held back.
        self._pieces, self._out = [before[: self._size], before[self._size :]], 1
        return self.add(args[len(before) :])

    def whole(self) -> str | None:
        """All arguments so far, gone out with this; `None` if they are not twice what they were the last time."""
        if self._size + self._held < 2 * self._shown:
            return None
        args = "".join(self._pieces)
        self.replace(args)
        self._shown = len(args)
        return args

    def rest(self) -> str:
        """What has not gone out yet; it does now."""
        piece = "".join(self._pieces[self._out :])
        self._out, self._size, self._held = len(self._pieces), self._size + self._held, 0
        return piece


@final
@attrs.define(eq=False)
class OpenMessage:
    """A message that has not ended.

    Attributes:
        message_id: Its id.
        run_id: The id of the model call.
        node: The node that makes the call.
        calls: Index of a block -> that block's tool call so far.
    """

    message_id: str
    run_id: str
    node: str | None
    calls: dict[Any, OpenCall] = attrs.field(factory=dict)


Shown = tuple[Namespace, dict[str, Any], str | None]
"""Where an event of the wire happened, the event, and the node that it comes from."""


@final
class MessageEncoder:
    """Turns the payloads of `messages` events into events of the wire; one for each run."""

    def __init__(self) -> None:
        self._calls = ModelCalls()
        self._open: dict[ModelCall, OpenMessage] = {}

    def encode(self, namespace: Namespace, data: Any) -> Iterator[Shown]:
        """The events that a payload makes."""
        return self._shown(self._calls.events(namespace, data))

    def task_ended(self, namespace: Namespace, result: Mapping[str, Any]) -> Iterator[Shown]:
        """The ends of the messages that a task has left open; `result` is the payload that reports its result."""
        return self._shown(self._calls.task_ended(namespace, result))

    def end(self, *, failed: bool) -> Iterator[Shown]:
        """The ends of the messages that the graph has left open. If it failed, they end with it, without a word."""
        if failed:
            for call, message in self._open.items():
                yield from self._rest(call, message, list(message.calls))
        else:
            yield from self._shown(self._calls.end())
        self._calls.clear()
        self._open.clear()

    # --- inside ---

    def _shown(self, events: Iterable[CallEvent]) -> Iterator[Shown]:
        for call, event, metadata in events:
            kind = event.get("event")
            if kind == "message-start":
                message = self._open[call] = _opened(call)
                said = event.get("metadata")
                shown: dict[str, Any] = plain(event)
                shown["metadata"] = {**_described(metadata), **(plain(said) if isinstance(said, Mapping) else {})}
            else:
                message, shown = self._open[call], plain(event)
                if kind == "content-block-delta" and _is_of_call(message, shown):
                    for delta in _told(message, shown):
                        yield _placed(call, message, delta)
                    continue
                if kind == "content-block-start":
                    _remember(message, shown)
                elif kind == "content-block-finish" and _is_index(shown.get("index")):
                    yield from self._rest(call, message, [shown["index"]])
                    message.calls.pop(shown["index"], None)
                elif kind == "error":
                    shown["message"] = redacted(str(shown.get("message", "")))
            if kind in ENDS:
                yield from self._rest(call, message, list(message.calls))
                del self._open[call]
            yield _placed(call, message, shown)

    def _rest(self, call: ModelCall, message: OpenMessage, indices: Iterable[Any]) -> Iterator[Shown]:
        """What is held back of the arguments of tool calls."""
        for index in indices:
            held = message.calls[index].rest() if index in message.calls else ""
            if held:
                yield _placed(call, message, _piece(index, message.calls[index].kind, held))


def _opened(call: ModelCall) -> OpenMessage:
    message_id = str(call.message_id or call.run_id or uuid4())
    return OpenMessage(message_id, str(call.run_id or message_id), call.node)


def _placed(call: ModelCall, message: OpenMessage, event: dict[str, Any]) -> Shown:
    return call.namespace, {**event, "id": message.message_id, "run_id": message.run_id}, message.node


def _remember(message: OpenMessage, event: dict[str, Any]) -> None:
    content = event.get("content")
    if isinstance(content, dict) and content.get("type") in CHUNK_TYPES and _is_index(event.get("index")):
        message.calls[event["index"]] = OpenCall(content)


def _is_of_call(message: OpenMessage, event: dict[str, Any]) -> bool:
    """Whether it is a delta of a tool call's arguments."""
    delta, index = event.get("delta"), event.get("index")
    if not isinstance(delta, dict) or not _is_index(index):
        return False
    return delta.get("type") == "tool-call-delta" or (delta.get("type") == "block-delta" and index in message.calls)


def _told(message: OpenMessage, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The deltas that tell every client what one delta of a tool call says."""
    index, delta = event["index"], event["delta"]
    call = message.calls.get(index)
    if call is None:
        # Whose beginning was not seen.
        call = message.calls[index] = OpenCall({"type": "tool_call_chunk"})
    piece: str | None
    if delta["type"] == "tool-call-delta":
        args = delta.get("args")
        piece = call.add(args) if isinstance(args, str) else ""
    else:
        said = delta.get("fields")
        fields = dict(said) if isinstance(said, dict) else {}
        args = fields.pop("args", None)
        piece = call.grow(args) if isinstance(args, str) else ""
        if piece is None:
            call.replace(args)
            fields["args"], piece = args, ""
        if any(call.fields.get(name, call) != value for name, value in fields.items()):
            call.fields |= {name: value for name, value in fields.items() if name != "args"}
            fields = {**call.fields, **fields}
            args = call.whole()
            if args is not None:
                fields["args"], piece = args, ""
            yield {**event, "delta": {"type": "block-delta", "fields": fields}}
    if piece:
        yield _piece(index, call.kind, piece)


def _piece(index: Any, kind: str, piece: str) -> dict[str, Any]:
    """A piece of a tool call's arguments."""
    return {
        "event": "content-block-delta",
        "index": index,
        "delta": {"type": "tool-call-delta", "args": piece},
        "content": {"type": kind, "args": piece},
    }


def _is_index(index: Any) -> bool:
    return isinstance(index, (int, str))


def _described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What viewers may know of a model call: scalars only, as the protocol has it, and nothing about checkpoints."""
    shown = {"run_id": metadata.get("run_id"), "langgraph_node": metadata.get("langgraph_node")}
    shown["provider"], shown["model"] = metadata.get("ls_provider"), metadata.get("ls_model_name")
    return {name: value for name, value in shown.items() if isinstance(value, (str, int, float, bool))}
