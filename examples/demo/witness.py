"""What a reader sees: shown as it arrives, and noted for the comparison."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import attrs

LABEL_WIDTH = 11


@attrs.define
class Witness:
    """Shows and notes what one reader of a run sees.

    The notes leave out what differs from run to run: ids of tasks and of messages, and times.

    Attributes:
        seen: Projection name -> what was seen of it, in order, as plain data.
    """

    seen: dict[str, list[Any]] = attrs.field(factory=dict)
    _screen: TextIO = attrs.field(factory=lambda: sys.stdout)
    _mid_line: bool = False

    def token(self, text: str) -> None:
        """A piece of a message's text."""
        self._continue("message", text)
        self._note("tokens", text)

    def message(self, text: str, tool_calls: Sequence[Mapping[str, Any]]) -> None:
        """The end of a message."""
        calls = [f"{call['name']}({_pairs(call['args'])})" for call in tool_calls]
        if calls:
            self._continue("message", f" -> {', '.join(calls)}")
        self._note("messages", {"text": text, "tool_calls": calls})

    def tool_call(self, name: str, given: Mapping[str, Any]) -> None:
        """The start of a tool call."""
        self._show("tool call", f"{name}({_pairs(given)})")
        self._note("tool_calls", {"name": name, "input": dict(given)})

    def tool_output(self, name: str, output: Any) -> None:
        """The end of a tool call; its output is a message or plain text."""
        text = getattr(output, "text", output)
        self._show("tool call", f"{name} -> {text}")
        self._note("tool_outputs", {"name": name, "output": str(text)})

    def snapshot(self, state: Mapping[str, Any]) -> None:
        """A `values` snapshot."""
        self._show("values", _summary(state))
        self._note("values", _plain(state))

    def custom(self, data: Mapping[str, Any]) -> None:
        """Custom data."""
        self._show("custom", _pairs(data))
        self._note("custom", dict(data))

    def lifecycle(self, payload: Mapping[str, Any]) -> None:
        """A subgraph has started or ended."""
        path = [segment.partition(":")[0] for segment in payload["namespace"]]
        self._show("lifecycle", f"{'/'.join(path)} {payload['event']}")
        self._note("lifecycle", {"event": payload["event"], "path": path, "graph_name": payload.get("graph_name")})

    def inside_subgraph(self, name: str, projection: str, item: Mapping[str, Any]) -> None:
        """Something that a subgraph's own handle shows."""
        self._show("subgraph", f"{name}: {_summary(item) if projection == 'values' else _pairs(item)}")
        self._note(f"{name}.{projection}", _plain(item))

    def subgraph_ended(self, name: str, status: str, output: Mapping[str, Any]) -> None:
        """How a subgraph has ended."""
        self._show("subgraph", f"{name}: {status}")
        self._note(f"{name}.end", {"status": status, "output": _plain(output)})

    def ended(self, status: str, output: Mapping[str, Any]) -> None:
        """How the run has ended."""
        self._show("output", f"{status}, {_summary(output)}")
        self._note("end", {"status": status, "output": _plain(output)})

    def _continue(self, label: str, text: str) -> None:
        if not self._mid_line:
            self._screen.write(f"  {label:{LABEL_WIDTH}}")
        self._screen.write(text)
        self._screen.flush()
        self._mid_line = True

    def _show(self, label: str, text: str) -> None:
        if self._mid_line:
            self._screen.write("\n")
            self._mid_line = False
        self._screen.write(f"  {label:{LABEL_WIDTH}}{text}\n")
        self._screen.flush()

    def _note(self, projection: str, item: Any) -> None:
        self.seen.setdefault(projection, []).append(item)


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as plain data."""
    plain = dict(state)
    if "messages" in plain:
        plain["messages"] = [f"{message.type}: {message.text}" for message in plain["messages"]]
    return plain


def _summary(state: Mapping[str, Any]) -> str:
    count = len(state["messages"])
    bag = ", ".join(state.get("bag", [])) or "empty"
    return f"{count} message{'s' if count > 1 else ''}, bag: {bag}"


def _pairs(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in data.items())
