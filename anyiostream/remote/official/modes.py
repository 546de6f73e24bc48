"""A run's events in the stream modes of the official `runs.stream`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

from anyiostream.remote.refusals import Refusal
from anyiostream.wire.abridging import ABRIDGED
from anyiostream.wire.drafts import Entry

__all__ = ["CHANNELS", "ModeReader", "read_modes"]

CHANNELS: Final = {
    "values": "values",
    "updates": "updates",
    "custom": "custom",
    "messages-tuple": "messages",
    "tasks": "tasks",
    "checkpoints": "checkpoints",
}
"""Stream mode -> the channel that has it."""

INTERRUPT: Final = "__interrupt__"


def read_modes(given: Any) -> frozenset[str]:
    """The stream modes of a request.

    Raises:
        Refusal: One of them is not served; HTTP status 400.
    """
    modes = ["values"] if given is None else given if isinstance(given, list) else [given]
    for mode in modes:
        if not isinstance(mode, str) or mode not in CHANNELS:
            known = ", ".join(sorted(CHANNELS))
            raise Refusal(
                "not_supported", f"the stream mode {mode!r} is not supported; these are: {known}.", status=400
            )
    return frozenset(modes or ["values"])


@final
class ModeReader:
    """Turns the entries of one run into `(event, data)` of `runs.stream`.

    Args:
        run_id: The run.
        modes: Its stream modes.
        subgraphs: Whether events of subgraphs are read.
        begun: Whether the entry that says that it runs has been read already.

    Attributes:
        channels: Those to be read.
        values: The last snapshot of the run, with what it has asked.
        abridged: Whether the log does not have all of that snapshot.
        error: What it failed with.
        ended: Whether the run has ended.
    """

    def __init__(self, run_id: str, modes: frozenset[str], *, subgraphs: bool, begun: bool = False) -> None:
        self.channels = frozenset({"lifecycle", "input", "values", *(CHANNELS[mode] for mode in modes)})
        self.values: Any = None
        self.abridged = False
        self.error: str | None = None
        self.ended = False
        self._run_id = run_id
        self._modes = modes
        self._subgraphs = subgraphs
        self._begun = begun
        self._asked: list[dict[str, Any]] = []
        self._messages: dict[Any, str] = {}

    def read(self, entry: Entry) -> Iterator[tuple[str, Any]]:
        """What one entry says in these modes."""
        params = json.loads(entry.body)["params"]
        data = params["data"]
        if entry.root_event is not None:
            yield from self._lifecycle(entry.root_event, data)
        elif not self._begun or self.ended:
            return
        elif entry.method == "input.requested":
            self._asked.append({"id": data["interrupt_id"], "value": data.get("value", data.get("payload"))})
        elif entry.namespace and not self._subgraphs:
            return
        else:
            if entry.method == "values" and not entry.namespace:
                self.values, self.abridged = data, ABRIDGED in params
            yield from self._shown(entry, data)

    def complete(self, values: Any) -> None:
        """Have the whole of a snapshot that is abridged."""
        self.values = values if not self._asked else self._with_questions(values)

    def _with_questions(self, values: Any) -> Any:
        asked = {INTERRUPT: self._asked}
        return {**values, **asked} if isinstance(values, dict) else asked

    def _lifecycle(self, event: str, data: Any) -> Iterator[tuple[str, Any]]:
        if data.get("run_id") != self._run_id:
            return
        if event == "running":
            self._begun = True
            return
        self.ended = event in {"completed", "failed", "interrupted"}
        if event == "interrupted" and self._asked:
            self.values = self._with_questions(self.values)
            if "updates" in self._modes:
                yield "updates", {INTERRUPT: self._asked}
            if "values" in self._modes:
                yield "values", self.values
        elif event == "failed":
            self.error = str(data.get("error") or "the run failed")
            yield "error", {"error": "RunFailed", "message": self.error}

    def _shown(self, entry: Entry, data: Any) -> Iterator[tuple[str, Any]]:
        mode = "messages-tuple" if entry.method == "messages" else entry.method
        if mode not in self._modes:
            return
        name = "|".join(("messages" if mode == "messages-tuple" else mode, *entry.namespace))
        if mode == "messages-tuple":
            event = _mapping(data)
            chunk = self._chunk(event)
            if chunk is not None:
                node = _mapping(event.get("metadata")).get("langgraph_node")
                yield name, [chunk, {"langgraph_node": node, "run_id": self._run_id}]
        elif mode == "custom":
            payload = data.get("payload") if isinstance(data, dict) and "payload" in data else data
            yield name, payload
        else:
            yield name, data

    def _chunk(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """A message chunk of LangChain's for an event of a model call, if it adds to the message.

        Graphs may write anything there.
        """
        content: Any = ""
        calls: list[Any] = []
        usage = None
        kind = event.get("event")
        if kind == "content-block-delta":
            delta = _mapping(event.get("delta"))
            if delta.get("type") == "text-delta":
                content = _text(delta.get("text"))
            elif delta.get("type") == "reasoning-delta":
                reasoning = _text(delta.get("reasoning"))
                content = [{"type": "reasoning", "reasoning": reasoning, "index": event.get("index", 0)}]
            else:
                fields = _mapping(delta.get("fields")) or delta
                calls = [_call_chunk(fields, event.get("index", 0))]
        elif kind == "content-block-start" and _mapping(event.get("content")).get("type") == "tool_call_chunk":
            calls = [_call_chunk(event["content"], event.get("index", 0))]
        elif kind == "message-finish" and event.get("usage"):
            usage = event["usage"]
        elif kind != "message-start":
            return None
        message_id = event.get("id") or event.get("message_id")
        return {
            "type": "AIMessageChunk", "id": message_id, "content": content, "tool_call_chunks": calls,
            "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": usage,
            "additional_kwargs": {}, "response_metadata": {},
        }  # fmt: skip


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _call_chunk(fields: Mapping[str, Any], index: Any) -> dict[str, Any]:
    about = {name: fields.get(name) for name in ("name", "args", "id")}
    return {"type": "tool_call_chunk", **about, "index": index}
