"""What the events of a run say so far: the tree of subgraphs, messages, tool calls, and a log of what is finished.

A state machine without I/O, threads or a clock of its own: it is fed with the events of the raw log, and told the time.

Rules:

- A subgraph is in the tree from its first event on, in the nearest graph around it that is. Each parent keeps the last
  few that have ended, and counts the others.
- A message or a tool call is with its subgraph while it is under way, and goes to the log when it ends.
  - The view takes entries from the log. Those not taken in time are bounded: the oldest give way, and are counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, final

from anyiostream import Namespace, ProtocolEvent
from anyiostream.cli.terminal.given import GIVEN
from anyiostream.cli.terminal.nodes import ENDED, Data, Entry, Message, Node, Speech, ToolCall, ToolUse
from anyiostream.tooling import GraphState, MessageRecord, ModelCalls, around, task_path, tool_failure, tool_key

__all__ = ["RunModel"]


UNSHOWN: Final = 400
"""Entries of the log that wait to be shown."""


@final
class RunModel:
    """What is known of a run.

    Attributes:
        root: The run itself.
        events: Events so far.
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
        self.missed = 0
        self._state: Final = GraphState()
        self._log: deque[Entry] = deque()
        self._calls = ModelCalls()
        self._nodes: dict[Namespace, Node] = {scope: self.root}
        self._given: dict[Namespace, Any] = {}

    @property
    def interrupts(self) -> list[Any]:
        """What the graph waits for its user with."""
        return [*self._state.interrupts]

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
                    self._nearest(around(path)).forget_some()
        else:
            node = self._node(path, now)
            node.name = payload.get("graph_name") or node.name

    def _on_messages(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:
        node = self._node(namespace, now)
        for call, said, _ in self._calls.events(namespace, event["params"]["data"]):
            speech = node.messages.get(call)
            if speech is None:
                record = MessageRecord(node=call.node, namespace=namespace)
                speech = node.messages[call] = Speech(record, call.node, now, call.whole)
            speech.record.dispatch(said)
            if speech.record.status != "streaming":
                del node.messages[call]
                self._spoken(node, speech, now, speech.record.status)

    def _on_tools(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:
        data = event["params"]["data"]
        if not isinstance(data, Mapping):
            return
        node, call_id, kind = self._node(namespace, now), tool_key(data), data.get("event")
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
            where, error = self._where(namespace), tool_failure(data)
            self._note(ToolUse(where, tool.name, tool.given, data.get("output"), error, now - tool.since))

    def _on_given(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:  # noqa: ARG002
        told = event["params"]["data"]
        place = tuple(told["place"])
        node = self._nodes.get(place)
        if node is not None:
            node.given = told["given"]
        elif len(self._given) < UNSHOWN:
            self._given[place] = told["given"]

    def _on_values(self, namespace: Namespace, event: ProtocolEvent, now: float) -> None:
        self._node(namespace, now).snapshots += 1
        if namespace == self.root.namespace:
            self._state.observe(None, event["params"].get("interrupts", ()))

    # --- inside ---

    def _node(self, namespace: Namespace, now: float) -> Node:
        """The subgraph at `namespace`; made, with those round it, if it has not been seen."""
        node = self._nodes.get(namespace)
        if node is not None:
            return node
        depth = len(self.root.namespace)
        if namespace[:depth] != self.root.namespace:
            return self.root
        parent = self._nearest(around(namespace))
        # An ended one says something after all: it stays where it was, and stays ended.
        known = parent.children.get(namespace)
        if known is None:
            segment = task_path(namespace)[-1]
            name = segment.partition(":")[0] or segment
            parent.names[name] += 1
            known = parent.children[namespace] = Node(namespace, name, now, parent.names[name])
            known.given = self._given.pop(task_path(namespace), None)
        self._nodes[namespace] = known
        return known

    def _nearest(self, namespace: Namespace) -> Node:
        """The subgraph at `namespace`, or the nearest one round it that has been seen."""
        while namespace not in self._nodes:
            if len(namespace) <= len(self.root.namespace):
                return self.root
            namespace = around(namespace)
        return self._nodes[namespace]

    def _where(self, namespace: Namespace) -> tuple[str, ...]:
        """The names of the subgraphs from the run's own level down to `namespace`."""
        names: list[str] = []
        while len(namespace) > len(self.root.namespace):
            node = self._nodes.get(namespace)
            outer = self._nearest(around(namespace))
            name = task_path(namespace)[-1].partition(":")[0] if node is None else node.name
            names.append(f"{name} #{node.number}" if node is not None and outer.has_several(node) else name)
            namespace = around(namespace)
        return tuple(reversed(names))

    def _end_node(self, node: Node, status: str, now: float, error: str | None) -> None:
        for call, speech in node.messages.items():
            # What came as events and has no end has broken off, although the graph came to its end.
            ended = "finished" if call.chunks is not None else "failed"
            self._spoken(node, speech, now, ended if status == "completed" else status)
        for tool in node.tools.values():
            where = self._where(node.namespace)
            text = CUT_OFF.get(status, status)
            ended = "failed" if status == "completed" else status
            self._note(ToolUse(where, tool.name, tool.given, None, text, now - tool.since, ended))
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


CUT_OFF: Final[Mapping[str, str]] = {"completed": "it broke off", "failed": "its graph failed"}
"""Status of a graph -> what became of the tool calls that it left open, where the status does not say it."""

HANDLERS: Final[Mapping[str, Callable[[RunModel, Namespace, ProtocolEvent, float], None]]] = {
    "lifecycle": RunModel._on_lifecycle,  # noqa: SLF001 -- a table of its own methods
    "messages": RunModel._on_messages,  # noqa: SLF001
    GIVEN: RunModel._on_given,  # noqa: SLF001
    "tools": RunModel._on_tools,  # noqa: SLF001
    "values": RunModel._on_values,  # noqa: SLF001
}
