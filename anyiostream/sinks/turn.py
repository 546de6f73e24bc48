"""`Turn`: what the events of one turn amount to, told step by step, in an order that every protocol accepts.

Rules:

- A block or a call is opened before anything else is told of it, and closed once; a block without text is not told.
- Whatever began before the first event is opened when it is first mentioned.
- Ids are unique in the turn. What is written again under the same id gets another one.
- Whatever ends the turn, everything is closed before: blocks and calls in the order in which they were opened, and
  graphs from the innermost outwards.
- What comes after the end is not told.

The arguments of a tool call are told in pieces, and as a whole when it is closed. A tool output that comes in pieces is
told as it is so far, each time that it has grown by a quarter, and at the turn's end: telling it for each piece would
take quadratic time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, final

from anyiostream import Namespace
from anyiostream.sinks.approvals import Approval, approvals_of
from anyiostream.sinks.calls import Calls
from anyiostream.sinks.parts import FILES, INVALID, Block, Call, Graph, Message, Question, Usage, shortened_by
from anyiostream.sinks.sink import Status
from anyiostream.sinks.teller import Teller
from anyiostream.wire import Draft

__all__ = ["Turn"]

SPOKEN: Final = frozenset({"ai", "assistant", ""})
"""Roles whose messages are the graph's own. What its user said is shown already."""

TEXTS: Final = {"text": "text", "reasoning": "reasoning"}
"""Kinds of blocks that come in pieces of text -> the field that has it."""

CHUNKS: Final = frozenset({"tool_call_chunk", "server_tool_call_chunk"})

CALLS: Final = frozenset({"tool_call", "server_tool_call", "invalid_tool_call"})

ENDS: Final[Mapping[str, Status]] = {"completed": "completed", "failed": "failed", "interrupted": "interrupted"}

REASONS: Final[Mapping[str, Status]] = {"aborted": "aborted", "drained": "drained"}
"""Endings for which the protocol of the wire has no word."""

BROKEN: Final[Mapping[Status, str]] = {
    "failed": "The run failed before there was a result.",
    "aborted": "The run was stopped before there was a result.",
    "cut": "The connection ended before there was a result.",
}
"""What is said of tools that have no result when the turn ends like that."""


@final
class Turn:
    """Reads the events of one turn.

    Args:
        teller: Who is told.
        include: Methods that show state, and are told of.
        calls: Tool calls that the teller's reader has already: id -> name.
        results: Those of them whose result it has, too.
        own_id: Makes an id for what the graph has given none.

    Attributes:
        over: Whether it has ended.
        questions: What the graph waits for its user with.
        usage: The tokens that were used, by model.
        shortened: Why the last message that has ended is not whole: `length`, `content_filter`; else nothing.
    """

    def __init__(
        self,
        teller: Teller,
        *,
        include: Collection[str] = (),
        calls: Mapping[str, str] | None = None,
        results: Collection[str] = (),
        own_id: Callable[[str], str] = str,
    ) -> None:
        self.over = False
        self.questions: Final[dict[str, Question]] = {}
        self.usage: Final[dict[tuple[str, str], Usage]] = {}
        self.shortened = ""
        self._tell = teller
        self._include = frozenset(include)
        self._own_id = own_id
        self._begun = False
        self._messages: dict[tuple[Any, ...], Message] = {}
        self._calls = Calls(teller, calls or {}, results=results, at_work=self._graph, unique=self._unique_own)
        self._graphs: dict[Namespace, Graph] = {}
        self._used: set[str] = set()
        self._read = {
            **dict.fromkeys(self._include, self._state),
            "messages": self._message_event,
            "tools": self._calls.tool_event,
            "lifecycle": self._lifecycle,
            "input.requested": self._asked,
            "custom": self._custom,
            "updates": self._updated,
        }

    def read(self, draft: Draft) -> None:
        """Tell what an event says."""
        read = self._read.get(draft.method)
        if read is None or self.over:
            return
        self.begin()
        read(draft)

    def begin(self) -> None:
        """Tell that the turn has begun, unless that has been told."""
        if not self._begun:
            self._begun = True
            self._tell.begun()

    def end(self, status: Status, error: str = "") -> None:
        """Close everything, and tell how the turn has ended. Idempotent."""
        if self.over:
            return
        self.begin()
        self._close(())
        self._calls.catch_up()
        approvals: list[Approval] = []
        if status == "interrupted":
            approvals = approvals_of(self.questions.values(), self._calls.known, self._calls.make)
        if status in BROKEN:
            self._calls.give_up(BROKEN[status])
        for namespace in sorted(self._graphs, key=len, reverse=True):
            self._close_graph(namespace, status, "")
        self.over = True
        self._tell.ended(status, error, approvals)

    # --- messages ---

    def _message_event(self, draft: Draft) -> None:
        data = draft.data
        if not isinstance(data, Mapping):
            return
        key = (draft.namespace, str(data.get("run_id")), str(data.get("id")))
        event = str(data.get("event"))
        if event == "message-start":
            if key in self._messages:
                self._finish(key)
            self._message(key, draft, data)
            return
        message = self._messages.get(key)
        if event == "content-block-delta":
            self._block_delta(message or self._message(key, draft, data), data)
        elif event == "content-block-start":
            content = data.get("content")
            if isinstance(content, Mapping):
                self._block_start(message or self._message(key, draft, data), _index(data), content)
        elif event == "content-block-finish":
            content = data.get("content")
            if isinstance(content, Mapping):
                self._block_finish(message or self._message(key, draft, data), _index(data), content)
        elif event in {"message-finish", "error"} and message is not None:
            self._count(message, data.get("usage"))
            self.shortened = shortened_by(data.get("metadata"))
            self._finish(key)

    def _message(self, key: tuple[Any, ...], draft: Draft, data: Mapping[str, Any]) -> Message:
        metadata = data.get("metadata")
        described: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
        self._messages[key] = made = Message(
            id=self._unique(str(data.get("id") or data.get("run_id") or self._own_id("message"))),
            namespace=draft.namespace,
            node=draft.extra.get("node"),
            role=str(data.get("role") or ""),
            provider=str(described.get("provider") or ""),
            model=str(described.get("model") or ""),
        )
        if draft.namespace:
            self._graph(draft.namespace)
        return made

    def _finish(self, key: tuple[Any, ...]) -> None:
        message = self._messages.pop(key)
        for part in message.open:
            self._close_part(part)

    def _block_start(self, message: Message, index: Any, content: Mapping[str, Any]) -> None:
        self._close_part(message.parts.get(index))
        kind = str(content.get("type"))
        if kind in TEXTS:
            block = Block(self._block_id(message, index, kind), kind, message)
            block.whole = True
            message.parts[index] = block
            self._add_text(block, content.get(TEXTS[kind]))
        elif kind in CHUNKS or kind in CALLS:
            self._calls.add(message, index, content)

    def _block_delta(self, message: Message, data: Mapping[str, Any]) -> None:
        index, delta = _index(data), data.get("delta")
        if not isinstance(delta, Mapping):
            return
        part, kind = message.parts.get(index), str(delta.get("type"))
        if kind in {"text-delta", "reasoning-delta"}:
            kind = kind.removesuffix("-delta")
            if not isinstance(part, Block) or part.kind != kind or part.closed:
                self._close_part(part)
                message.parts[index] = part = Block(self._block_id(message, index, kind), kind, message)
            self._add_text(part, delta.get(TEXTS[kind]))
        elif kind in {"tool-call-delta", "block-delta"}:
            said = delta if kind == "tool-call-delta" else delta.get("fields")
            if not isinstance(said, Mapping) or (kind == "block-delta" and not isinstance(part, Call)):
                return
            call = self._call(message, index, {})
            if kind == "tool-call-delta":
                self._calls.add_args(call, said.get("args"))
            else:
                self._calls.name(call, said)
                self._calls.replace_args(call, said.get("args"))

    def _block_finish(self, message: Message, index: Any, content: Mapping[str, Any]) -> None:
        kind, part = str(content.get("type")), message.parts.get(index)
        if kind == "refusal":  # which is what the model says, too, and comes whole
            kind, content = "text", {"text": content.get("refusal")}
        if kind in TEXTS:
            if not isinstance(part, Block) or part.kind != kind or part.closed:
                self._close_part(part)
                message.parts[index] = part = Block(self._block_id(message, index, kind), kind, message)
                part.whole = True
            text = content.get(TEXTS[kind])
            if part.whole and isinstance(text, str) and text.startswith(part.text):
                self._add_text(part, text[len(part.text) :])
            self._close_part(part)
            for annotation in _mappings(content.get("annotations")):
                self._tell.source(message, annotation)
        elif kind in CALLS or isinstance(part, Call):
            call = self._call(message, index, content)
            self._calls.name(call, content)
            self._calls.close(call, content["args"] if content.get("args") is not None else call.parsed())
            if kind == "invalid_tool_call":
                self._calls.fail(call, str(content.get("error") or INVALID))
        elif kind == "server_tool_result":
            self._calls.answer(str(content.get("tool_call_id")), content)
        elif kind in FILES and message.role in SPOKEN:
            self._tell.file(message, content)

    def _call(self, message: Message, index: Any, content: Mapping[str, Any]) -> Call:
        """The call that stands at a place. A text that stood there is over."""
        part = message.parts.get(index)
        if isinstance(part, Call):
            return part
        self._close_part(part)
        return self._calls.add(message, index, content)

    def _block_id(self, message: Message, index: Any, kind: str) -> str:
        if kind != "text":
            return self._unique(f"{message.id}:{kind}")
        # The first text of a message is known by the message's id, also after reasoning.
        first = not message.named
        message.named = True
        return message.id if first else self._unique(f"{message.id}:{index}")

    def _add_text(self, block: Block, text: Any) -> None:
        if not isinstance(text, str) or not text or block.closed or block.message.role not in SPOKEN:
            return
        if not block.opened:
            block.opened = True
            self._tell.block_opened(block)
        block.add(text)
        self._tell.block_delta(block, text)

    def _close_part(self, part: Block | Call | None) -> None:
        if isinstance(part, Call):
            self._calls.close(part, part.parsed())
        elif part is not None and not part.closed:
            part.closed = True
            if part.opened:
                self._tell.block_closed(part)

    def _count(self, message: Message, usage: Any) -> None:
        if isinstance(usage, Mapping):
            self.usage.setdefault((message.provider, message.model), Usage()).add(usage)

    # --- graphs ---

    def _lifecycle(self, draft: Draft) -> None:
        data = draft.data
        if not isinstance(data, Mapping):
            return
        event, error = str(data.get("event")), str(data.get("error") or "")
        if draft.namespace:
            if event in {"started", "running"}:
                self._graph(draft.namespace, str(data.get("graph_name") or ""))
            else:
                self._close_graph(draft.namespace, str(event), error)
        elif event in ENDS:
            self.end(REASONS.get(str(data.get("reason"))) or ENDS[event], error)

    def _graph(self, namespace: Namespace, name: str = "") -> None:
        """A graph is at work, and so are those around it."""
        if namespace in self._graphs:
            return
        if namespace[:-1]:
            self._graph(namespace[:-1])
        graph = Graph(
            self._unique("/".join(namespace)),
            name or namespace[-1].partition(":")[0] or "graph",
            namespace,
            self._graphs.get(namespace[:-1]),
        )
        self._graphs[namespace] = graph
        self._tell.graph_opened(graph)

    def _close_graph(self, namespace: Namespace, status: str, error: str) -> None:
        if namespace not in self._graphs:
            return
        self._close(namespace)
        inside = [each for each in self._graphs if each[: len(namespace)] == namespace]
        for each in sorted(inside, key=len, reverse=True):
            own = each == namespace
            self._tell.graph_closed(self._graphs.pop(each), status, error if own else "")

    def _close(self, namespace: Namespace) -> None:
        """Close the messages of a graph, and of those inside it."""
        for key in [each for each in self._messages if each[0][: len(namespace)] == namespace]:
            self._finish(key)

    # --- what else is said ---

    def _asked(self, draft: Draft) -> None:
        data = draft.data
        if isinstance(data, Mapping) and data.get("interrupt_id"):
            interrupt_id = str(data["interrupt_id"])
            self.questions[interrupt_id] = Question(interrupt_id, draft.namespace, data.get("payload"))

    def _custom(self, draft: Draft) -> None:
        data = draft.data
        if not isinstance(data, Mapping):
            return
        if not isinstance(data.get("name"), str) or not data["name"]:
            self._tell.custom("custom", draft.namespace, data.get("payload"))
        elif "payload" in data:
            self._tell.custom(data["name"], draft.namespace, data["payload"])
        else:
            payload = {name: value for name, value in data.items() if name != "name"}
            self._tell.custom(data["name"], draft.namespace, payload)

    def _state(self, draft: Draft) -> None:
        self._tell.state(draft.method, draft.namespace, draft.data)

    def _updated(self, draft: Draft) -> None:
        if draft.method in self._include:
            self._state(draft)
        self._calls.update(draft.data)

    def _unique_own(self, wanted: str) -> str:
        return self._unique(self._own_id(wanted))

    def _unique(self, wanted: str) -> str:
        found, count = wanted, 1
        while found in self._used:
            count += 1
            found = f"{wanted}#{count}"
        self._used.add(found)
        return found


def _mappings(given: Any) -> Iterable[Mapping[str, Any]]:
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else ()


def _index(data: Mapping[str, Any]) -> int | str:
    """Where in its message a block stands. Graphs may write anything there."""
    index = data.get("index")
    return index if isinstance(index, (int, str)) else str(index)
