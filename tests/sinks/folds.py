"""What this package's projections make of a log, and the same of what a reader was sent.

Both are a `Fold`, so that one test compares them for every protocol. Each graph of a log is projected by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import pytest

from anyiostream import ToolCallTransformer, open_run
from anyiostream.errors import MessageFailed
from anyiostream.wire import Draft, Placed

__all__ = ["Fold", "differences", "events_of", "projected", "read_by", "read_ourselves"]

LARGEST = 2**30
"""Bytes that an event may have."""

DONE = {"output-available", "output-error"}


@attrs.define
class Fold:
    """What stays of a turn.

    Attributes:
        texts: Kind of a block -> what the blocks of that kind say, of messages that were finished.
        broken: Kind of a block -> what messages that were not say of that kind.
        messages: The text of each message, if it has any.
        tools: Id of a call -> its output, or its error as a tuple.
        state: The last snapshot of the run's own state.
    """

    texts: dict[str, list[str]] = attrs.field(factory=lambda: {"text": [], "reasoning": []})
    broken: dict[str, list[str]] = attrs.field(factory=lambda: {"text": [], "reasoning": []})
    messages: list[str] = attrs.field(factory=list)
    tools: dict[str, Any] = attrs.field(factory=dict)
    state: Any = None


def receiving() -> Any:
    """The module of this package's client that reads the wire; without it the test is skipped."""
    return pytest.importorskip("anyiostream.remote.receiving")


def projected(events: Iterable[Mapping[str, Any]]) -> Fold:
    """What the projections make of events of the wire."""
    part_of = receiving().part_of
    fold = Fold()
    graphs: dict[tuple[str, ...], list[Any]] = {(): []}
    for event in events:
        params = event["params"]
        graphs.setdefault(tuple(params["namespace"]), []).append({**event, "params": {**params, "namespace": []}})
    for namespace, inside in graphs.items():
        parts = [part for part in map(part_of, inside) if part is not None]
        with open_run(parts, transformers=[ToolCallTransformer]) as run:
            messages, calls, snapshots = [], [], [None]
            into = {"messages": messages, "tool_calls": calls, "values": snapshots}
            for name, item in run.interleave(*into):
                into[name].append(item)
        for message in messages:
            _add(fold, message)
        ends = [part["data"] for part in parts if part["type"] == "tools" and _ends(part["data"])]
        # Front ends are shown the whole of a tool message, of which a call's output is the content.
        ended = {data["tool_call_id"]: data.get("output") for data in ends}
        for call in calls:
            if call.tool_call_id in ended:
                fold.tools[call.tool_call_id] = (call.error,) if call.error else ended[call.tool_call_id]
        if not namespace:
            fold.state = snapshots[-1]
    return fold


def _ends(data: Mapping[str, Any]) -> bool:
    return data["event"] in {"tool-finished", "tool-error"}


def _add(fold: Fold, message: Any) -> None:
    said, is_whole = _pieces(message.text)
    if is_whole:
        for block in message.output.content:
            if block["type"] in fold.texts and block[block["type"]]:
                fold.texts[block["type"]].append(block[block["type"]])
    else:
        fold.broken["text"].append(said)
        fold.broken["reasoning"].append(_pieces(message.reasoning)[0])
    if said:
        fold.messages.append(said)


def _pieces(pieces: Iterable[str]) -> tuple[str, bool]:
    """What a message says, and whether it was finished."""
    said = ""
    try:
        for piece in pieces:
            said += piece
    except MessageFailed:
        return said, False
    return said, True


def events_of(drafts: Iterable[Draft]) -> list[dict[str, Any]]:
    """Events of the wire, as the clients of a server have them."""
    return [json.loads(Placed(place, f"1-{place}", draft).body) for place, draft in enumerate(drafts, 1)]


def read_ourselves(body: bytes) -> list[dict[str, Any]]:
    """The events of a response in our own protocol, as our own client reads them."""
    client = receiving()
    return [dict(client.checked_event(event)) for event in client.EventDecoder(LARGEST).feed(body)]


def read_by(reader: str, folded: Any) -> Fold:
    """What an official reader has at the end."""
    fold = Fold()
    if reader == "ag-ui":
        for message in folded["messages"]:
            if message["role"] == "tool":
                error = message.get("metadata", {}).get("error")
                fold.tools[message["toolCallId"]] = (message["content"],) if error else message["content"]
        said: dict[str, str] = {}
        for message in folded["messages"]:
            if message["role"] == "assistant" and message.get("content"):
                whose = message["id"].partition(":")[0]
                said[whose] = said.get(whose, "") + message["content"]
        fold.messages, fold.state = list(said.values()), folded["state"] or None
        return fold
    for part in (folded["message"] or {"parts": []})["parts"]:
        if part["type"] in fold.texts:
            fold.texts[part["type"]].append(part["text"])
        elif part["type"] == "data-values" and part["id"] == "values":
            fold.state = part["data"]
        elif part["type"] == "dynamic-tool" and part["state"] in DONE and not part.get("preliminary"):
            failed = part["state"] == "output-error"
            fold.tools[part["toolCallId"]] = (part["errorText"],) if failed else part["output"]
    return fold


def differences(reader: str, ours: Fold, read: Fold) -> list[Any]:
    """In what the fold of a reader differs from ours; empty if in nothing."""
    pairs: list[tuple[Any, Any]] = [(ours.state, read.state)]
    if reader == "ag-ui":
        pairs.append((sorted(ours.messages), sorted(read.messages)))
    else:
        for kind, said in ours.texts.items():
            rest = Counter(read.texts[kind])
            rest.subtract(said)
            # Of a message that breaks off the projections do not tell which block a piece is of.
            more = "".join(rest.elements())
            pairs += [(sorted("".join(ours.broken[kind])), sorted(more)), (True, min(rest.values(), default=0) >= 0)]
    for call_id, output in ours.tools.items():
        shown = json.dumps(output) if reader == "ag-ui" and not isinstance(output, (str, tuple)) else output
        pairs.append((shown, read.tools.get(call_id)))
    return [each for each in pairs if each[0] != each[1]]
