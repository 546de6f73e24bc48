"""What the events of a run say so far: the tree of subgraphs, messages, tool calls, and a log of what is finished.

A state machine without I/O, threads or a clock of its own: it is fed with the events of the raw log, and told the time.

Rules:

- A subgraph is in the tree from its first event on; of those that have ended, each parent keeps the last few, and
  counts the others.
- A message or a tool call is with the subgraph where it happens while it is under way, and goes to the log when it
  ends.
- The log is taken by whoever shows it. What is not taken in time is bounded: the oldest entries give way, and are
  counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Final, final

import attrs

from anyiostream.events import Namespace, ProtocolEvent
from anyiostream.projections.messages.calls import ModelCalls
from anyiostream.projections.messages.record import MessageRecord

__all__ = ["Data", "Message", "Node", "RunModel", "Speech", "ToolCall", "ToolUse"]

KEPT: Final = 8
"""Ended subgraphs that a parent keeps."""

UNSHOWN: Final = 400
"""Entries of the log that wait to be shown."""

ENDED: Final = frozenset({"completed", "failed", "interrupted", "drained", "aborted"})
"""Statuses of what has ended."""


@final
@attrs.frozen
class Message:
    """An entry of the log: a model call that has ended.

    Attributes:
        where: Names of the subgraphs round it, outermost first.
        node: The node that made it, or `None`.
        text: Its text.
        reasoning: Its reasoning.
        tool_calls: The tools that it asks for, as (name, arguments).
        usage: Token counts, or `None`.
        seconds: How long it took.
        ended: `"finished"`, or `"failed"`, or how the run ended before it did.
    """

    where: tuple[str, ...]
    node: str | None
    text: str
    reasoning: str
    tool_calls: tuple[tuple[str, Any], ...]
    usage: Mapping[str, Any] | None
    seconds: float
    ended: str


@final
@attrs.frozen
class ToolUse:
    """An entry of the log: a tool call that has ended.

    Attributes:
        where: As `Message.where`.
        name: The tool.
        given: Its arguments.
        output: What it returned.
        error: The text of its error, if it failed.
        seconds: How long it took.
    """

    where: tuple[str, ...]
    name: str
    given: Any
    output: Any
    error: str | None
    seconds: float


@final
@attrs.frozen
class Data:
    """An entry of the log: a payload that the graph, or a transformer, wanted to be seen.

    Attributes:
        where: As `Message.where`.
        label: What it is: `custom`, `updates`, the name of a channel, ...
        payload: The payload itself, not copied.
    """

    where: tuple[str, ...]
    label: str
    payload: Any


Entry = Message | ToolUse | Data


@final
@attrs.define(eq=False)
class Speech:
    """A model call that is under way.

    Attributes:
        record: Its message so far.
        node: The node that makes it.
        since: When it began.
        whole: Whether the graph gives it whole.
    """

    record: MessageRecord
    node: str | None
    since: float
    whole: bool


@final
@attrs.define(eq=False)
class ToolCall:
    """A tool call that is under way.

    Attributes:
        name: The tool.
        given: Its arguments.
        since: When it began.
        latest: The last thing that it put out.
    """

    name: str
    given: Any
    since: float
    latest: Any = None


@final
@attrs.define(eq=False)
class Node:
    """The run, or a subgraph of it.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        status: `"running"`, or how it ended.
        since: When it began.
        until: When it ended, or `None`.
        error: The text of its error, or `None`.
        snapshots: How many states it has shown.
        messages: Model calls that are under way.
        tools: Tool calls that are under way, by id.
        children: Its subgraphs.
        forgotten: Subgraphs that have ended and are not kept any more.
    """

    namespace: Namespace
    name: str
    since: float
    status: str = "running"
    until: float | None = None
    error: str | None = None
    snapshots: int = 0
    messages: dict[Hashable, Speech] = attrs.field(factory=dict)
    tools: dict[str, ToolCall] = attrs.field(factory=dict)
    children: dict[str, Node] = attrs.field(factory=dict)
    forgotten: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.until is None

    def walk(self) -> Iterator[Node]:
        """It and everything inside, outer before inner."""
        pending: list[Node] = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children.values()))

    def end(self, status: str, now: float, error: str | None = None) -> None:
        """It has ended; the first end counts."""
        if self.until is None:
            self.status, self.until, self.error = status, now, error

    def forget_some(self) -> None:
        """Keep no more of the subgraphs that have ended than the last few."""
        if len(self.children) > KEPT:
            ended = [segment for segment, child in self.children.items() if not child.is_open]
            for segment in ended[: len(ended) - KEPT]:
                del self.children[segment]
                self.forgotten += 1


@final
class RunModel:
    """What is known of a run.

    Attributes:
        root: The run itself.
        events: Events so far.
        interrupts: What the graph waits for its user with.
        missed: Entries of the log that gave way before they were taken, and have not been reported yet.
    """

    def __init__(self, name: str, now: float, scope: Namespace = ()) -> None:
        """A run that begins.

        Args:
            name: What the graph is called.
            now: The time, in s.
            scope: The run's namespace.
        """
        self.root: Final = Node(scope, name, now)
        self.events = 0
        self.interrupts: list[Any] = []
        self.missed = 0
        self._log: deque[Entry] = deque()
        self._calls = ModelCalls()
        self._nodes: dict[Namespace, Node] = {scope: self.root}

    def apply(self, event: ProtocolEvent, now: float) -> None:
        """Take an event of the raw log."""
        self.events += 1
        params, method = event["params"], event["method"]
        handle = HANDLERS.get(method)
        namespace = tuple(params["namespace"])
        if handle is not None:
            handle(self, namespace, event, now)
        else:
            label = method.removeprefix("custom:")
            self._note(Data(self._where(namespace), label, params["data"]))

    def conclude(self, status: str, now: float, error: str | None = None) -> None:
        """The run has ended; so has what is still open."""
        for node in list(self.root.walk()):
            self._end_node(node, status, now, error if node is self.root else None)
        self.root.status, self.root.error = status, error

    def take_log(self) -> list[Entry]:
        """The entries since it was last called, in order; they are not kept."""
        taken = list(self._log)
        self._log.clear()
        return taken

    # --- events ---

    def _on_lifecycle(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:  # noqa: ARG002
        payload = event["params"]["data"]
        path, status = tuple(payload["namespace"]), payload["event"]
        if status in ENDED:
            node = self._nodes.get(path)
            if node is not None:
                self._end_node(node, status, now, payload.get("error"))
                self._nodes.pop(path)
                if node is self.root:
                    self._nodes[path] = node
                else:
                    self._node(path[:-1], now).forget_some()
        else:
            node = self._node(path, now)
            node.name = payload.get("graph_name") or node.name

    def _on_messages(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:
        node = self._node(namespace, now)
        for call in self._calls.events(namespace, event["params"]["data"]):
            speech = node.messages.get(call.call)
            if call.event.get("event") == "message-start":
                if speech is not None:
                    self._spoken(node, node.messages.pop(call.call), now, "replaced")
                who = call.metadata.get("langgraph_node")
                record = MessageRecord(node=who, namespace=namespace)
                speech = node.messages[call.call] = Speech(record, who, now, call.whole)
            if speech is None:
                continue
            speech.record.dispatch(call.event)
            if speech.record.status != "streaming":
                del node.messages[call.call]
                self._spoken(node, speech, now, speech.record.status)

    def _on_tools(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:
        data = event["params"]["data"]
        if not isinstance(data, Mapping):
            return
        node, call_id, kind = self._node(namespace, now), str(data.get("tool_call_id")), data.get("event")
        if kind == "tool-started":
            node.tools[call_id] = ToolCall(str(data.get("tool_name", "")), data.get("input"), now)
            return
        tool = node.tools.get(call_id)
        if tool is None:
            return
        if kind == "tool-output-delta":
            tool.latest = data.get("delta")
        elif kind in {"tool-finished", "tool-error"}:
            del node.tools[call_id]
            error = str(data.get("message", "")) if kind == "tool-error" else None
            where = self._where(namespace)
            self._note(ToolUse(where, tool.name, tool.given, data.get("output"), error, now - tool.since))

    def _on_values(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:
        self._node(namespace, now).snapshots += 1
        if namespace == self.root.namespace:
            for each in event["params"].get("interrupts", ()):
                if each not in self.interrupts:
                    self.interrupts.append(each)

    # --- inside ---

    def _node(self, namespace: Namespace, now: float) -> Node:
        """The subgraph at `namespace`; made, with those round it, if it has not been seen."""
        node = self._nodes.get(namespace)
        if node is not None:
            return node
        depth = len(self.root.namespace)
        if namespace[:depth] != self.root.namespace:
            return self.root
        for end in range(depth + 1, len(namespace) + 1):
            path = namespace[:end]
            if path not in self._nodes:
                parent, segment = self._nodes[path[:-1]], path[-1]
                known = parent.children.get(segment)
                # One that has ended says something after all: it is where it was, and stays ended.
                self._nodes[path] = known or parent.children.setdefault(
                    segment, Node(path, segment.partition(":")[0] or segment, now)
                )
        return self._nodes[namespace]

    def _where(self, namespace: Namespace) -> tuple[str, ...]:
        """The names of the subgraphs from the run's own level down to `namespace`."""
        depth = len(self.root.namespace)
        names = []
        for end in range(depth + 1, len(namespace) + 1):
            node = self._nodes.get(namespace[:end])
            names.append(namespace[end - 1].partition(":")[0] if node is None else node.name)
        return tuple(names)

    def _end_node(self, node: Node, status: str, now: float, error: str | None) -> None:
        for speech in node.messages.values():
            self._spoken(node, speech, now, status if status != "completed" else "finished")
        for tool in node.tools.values():
            where = self._where(node.namespace)
            self._note(ToolUse(where, tool.name, tool.given, None, f"the run {status}", now - tool.since))
        node.messages.clear()
        node.tools.clear()
        node.end(status, now, error)

    def _spoken(self, node: Node, speech: Speech, now: float, ended: str) -> None:
        record = speech.record
        calls = tuple((call.get("name", ""), call.get("args")) for call in record.final_tool_calls())
        self._note(
            Message(
                self._where(node.namespace),
                speech.node,
                record.final_text(),
                record.final_reasoning(),
                calls,
                record.usage,
                now - speech.since,
                ended,
            )
        )

    def _note(self, entry: Entry) -> None:
        if len(self._log) >= UNSHOWN:
            self._log.popleft()
            self.missed += 1
        self._log.append(entry)


HANDLERS: Final[Mapping[str, Callable[[RunModel, Namespace, ProtocolEvent, float], None]]] = {
    "lifecycle": RunModel._on_lifecycle,  # noqa: SLF001 -- a table of its own methods
    "messages": RunModel._on_messages,  # noqa: SLF001
    "tools": RunModel._on_tools,  # noqa: SLF001
    "values": RunModel._on_values,  # noqa: SLF001
}
