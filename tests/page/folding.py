"""What a log amounts to, told in Python from the classes that servers and readers use; and logs to tell it of."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import attrs

from anyiostream.remote.snapshot import ThreadSnapshot
from anyiostream.remote.totals import RESTARTED, Totals
from anyiostream.remote.tree import RunTree
from anyiostream.tooling import MessageRecord, tool_failure, tool_key
from anyiostream.wire import Draft, Entry

__all__ = ["folded", "placed", "random_log"]

ENDS: Final = {"completed", "failed", "interrupted"}


@attrs.define
class Said:
    """A message of a log."""

    message_id: str
    record: MessageRecord
    namespace: Sequence[str]
    began: int
    superseded: bool = False
    failed: bool = False

    def shown(self) -> dict[str, Any]:
        record = self.record
        return {
            "namespace": list(self.namespace),
            "id": self.message_id,
            "node": record.node or "",
            "role": record.role,
            "text": record.final_text(),
            "reasoning": record.final_reasoning(),
            "calls": [[call["id"], call["name"], call["args"]] for call in record.final_tool_calls()],
            "usage": record.usage,
            "status": "failed" if self.failed else record.status,
            "superseded": self.superseded,
        }


@attrs.define
class Called:
    """A tool call of a log."""

    call_id: str
    name: str
    given: Any
    namespace: Sequence[str]
    began: int
    deltas: list[Any] = attrs.field(factory=list)
    output: Any = None
    status: str = "running"
    superseded: bool = False

    def shown(self) -> dict[str, Any]:
        shown = attrs.asdict(self)
        del shown["began"]
        return {**shown, "namespace": list(self.namespace)}


def placed(drafts: Sequence[Draft], first: int = 1) -> list[dict[str, Any]]:
    """Events, as a viewer is sent them."""
    return [json.loads(Entry.of(draft, seq, f"1-{seq}").body) for seq, draft in enumerate(drafts, first)]


def folded(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a log amounts to."""
    snapshot, tree, totals = ThreadSnapshot(), RunTree(), Totals()
    messages: list[Said] = []
    open_messages: dict[Any, Said] = {}
    calls: list[Called] = []
    open_calls: dict[Any, Called] = {}
    run: Any = None
    ended = False
    for event in events:
        draft, data = Draft.of(json.dumps(event).encode()), event["params"]["data"]
        seq, namespace = event["seq"], tuple(event["params"]["namespace"])
        begins = draft.root_event is not None and draft.root_event not in ENDS
        if begins and (run is None or ended or data.get("run_id") != run):
            run, ended = data.get("run_id"), False
            tree.begin("graph")
            totals.begin()
            snapshot.begin()
        snapshot.observe(draft)
        tree.observe(draft)
        totals.observe(draft)
        if draft.method == "messages":
            key = (namespace, data.get("id"), data.get("run_id"))
            if key not in open_messages:
                record = MessageRecord(node=event["params"].get("node"), namespace=namespace)
                messages.append(Said(str(data["id"]), record, namespace, seq))
                open_messages[key] = messages[-1]
            open_messages[key].record.dispatch(data)
            if open_messages[key].record.status != "streaming":
                del open_messages[key]
        elif draft.method == "tools":
            _tool(calls, open_calls, namespace, data, seq)
        elif draft.channel == f"custom:{RESTARTED}":
            after = data["payload"]["after"]
            for each in (*messages, *calls):
                each.superseded |= each.began > after
            for key in [key for key, said in open_messages.items() if said.superseded]:
                open_messages.pop(key).failed = True
            for key in [key for key, called in open_calls.items() if called.superseded]:
                open_calls.pop(key).status = "failed"
        elif draft.root_event in ENDS:
            ended = True
            for said in open_messages.values():
                said.failed = True
            for called in open_calls.values():
                called.status = "interrupted" if draft.root_event == "interrupted" else "failed"
            open_messages.clear()
            open_calls.clear()
    return {
        "messages": [said.shown() for said in messages],
        "calls": [called.shown() for called in calls],
        "tree": tree.shown(),
        "values": snapshot.values,
        "status": snapshot.status,
        "events": totals.events,
        "tokens": [totals.input_tokens, totals.output_tokens],
        "attempt": totals.attempt,
    }


def _tool(calls: list[Called], under_way: dict[Any, Called], namespace: Any, data: Any, seq: int) -> None:
    key = (namespace, tool_key(data))
    kind = data["event"]
    if kind == "tool-started":
        if key in under_way:
            under_way[key].status = "failed"
        calls.append(Called(data["tool_call_id"], data["tool_name"], data.get("input"), namespace, seq))
        under_way[key] = calls[-1]
    elif key in under_way and kind == "tool-output-delta":
        under_way[key].deltas.append(data["delta"])
    elif key in under_way:
        call = under_way.pop(key)
        call.output = data.get("output")
        call.status = "completed" if tool_failure(data) is None else "failed"


# --- random logs ---

NAMESPACES: Final = ((), ("a:1",), ("a:2",), ("a:1", "b:3"), ("a:1", "2"), ("c:4", "d:5", "7"), ("__proto__:1",))
TEXTS: Final = ("", "one ", "zwei ", "\u202etres", "🦆", "<b>", "\n", '{"q": ', '"x"}', "constructor")


def random_log(seed: int, length: int = 80) -> list[dict[str, Any]]:
    """A log that no graph need ever write, but that is one: beginnings, pieces and ends in any order."""
    dice = random.Random(seed)
    drafts: list[Draft] = []
    run = 0
    for number in range(length):
        kind = dice.choices(("messages", "tools", "tasks", "values", "lifecycle", "root", "restart"), WEIGHTS)[0]
        namespace = dice.choice(NAMESPACES)
        data: Any
        extra: dict[str, Any] = {}
        method = kind
        if kind == "messages":
            data = _message_event(dice)
            extra = {"node": dice.choice(("n", "toString"))} if dice.random() < 0.7 else {}
        elif kind == "tools":
            data = _tool_event(dice)
        elif kind == "tasks":
            data = {"id": str(dice.randrange(4)), "name": dice.choice("xyz")}
            data |= (
                {"result": [], "error": None, "interrupts": []} if dice.random() < 0.5 else {"input": 1, "triggers": []}
            )
        elif kind == "values":
            data = {dice.choice(TEXTS): number}
        elif kind == "restart":
            method, namespace = "custom", ()
            data = {"name": RESTARTED, "payload": {"run_id": str(run), "after": dice.randrange(number + 1)}}
        elif kind == "root":
            method, namespace = "lifecycle", ()
            run += dice.random() < 0.3
            data = {"event": dice.choice(("running", "running", *ENDS_IN_ORDER)), "run_id": str(run)}
            if data["event"] != "running" and drafts and not _is_under_way(drafts, data["run_id"]):
                continue
        else:
            namespace = dice.choice(NAMESPACES[1:])
            data = {"event": dice.choice(("started", "running", *ENDS_IN_ORDER))}
            data |= {"graph_name": "g"} if dice.random() < 0.5 else {}
        drafts.append(Draft(method, namespace, data, 1000 + number, extra))
    return placed(drafts)


WEIGHTS: Final = (60, 15, 8, 5, 6, 6, 2)
ENDS_IN_ORDER: Final = ("completed", "failed", "interrupted")


def _is_under_way(drafts: Sequence[Draft], run_id: str) -> bool:
    told = [draft.data["run_id"] for draft in drafts if draft.root_event == "running"]
    return bool(told) and told[-1] == run_id


def _message_event(dice: random.Random) -> dict[str, Any]:
    event = _bare_message_event(dice)
    return {**event, "id": dice.choice(("m1", "m2", "__proto__")), "run_id": dice.choice(("r1", "r2"))}


def _bare_message_event(dice: random.Random) -> dict[str, Any]:
    index = dice.choice((0, 1, 2, 10, "x"))
    text = dice.choice(TEXTS)
    kind = dice.choice(("text", "reasoning"))
    chunk = {"type": "tool_call_chunk", "id": dice.choice(("c", None)), "name": dice.choice(("search", None))}
    return dice.choices(
        (
            {"event": "message-start", "role": dice.choice(("ai", "human")), "metadata": {"model": "m"}},
            {"event": "content-block-start", "index": index, "content": {**chunk, "args": text}},
            {"event": "content-block-delta", "index": index, "delta": {"type": f"{kind}-delta", kind: text}},
            {"event": "content-block-delta", "index": index, "delta": {"type": "tool-call-delta", "args": text}},
            {
                "event": "content-block-delta",
                "index": index,
                "delta": {"type": "block-delta", "fields": {**chunk, "args": text}},
            },
            {"event": "content-block-finish", "index": index, "content": {"type": kind, kind: text}},
            {
                "event": "content-block-finish",
                "index": index,
                "content": {"type": "tool_call", "id": "c", "name": "search", "args": {"q": text}},
            },
            {"event": "message-finish", "usage": {"input_tokens": 3, "output_tokens": dice.randrange(9)}},
            {"event": "error", "message": text},
            {"event": "something-new"},
        ),
        (4, 4, 30, 10, 6, 5, 3, 4, 1, 1),
    )[0]


def _tool_event(dice: random.Random) -> dict[str, Any]:
    kind = dice.choice(("tool-started", "tool-output-delta", "tool-output-delta", "tool-finished", "tool-error"))
    event: dict[str, Any] = {"event": kind, "tool_call_id": dice.choice(("t1", "t2"))}
    if dice.random() < 0.2:
        event["run_id"] = "r1"
    if kind == "tool-started":
        return {**event, "tool_name": "search", "input": {"q": dice.choice(TEXTS)}}
    if kind == "tool-output-delta":
        return {**event, "delta": dice.choice(TEXTS)}
    if kind == "tool-error":
        return {**event, "message": "no"}
    said = {"type": "tool", "content": "no", "tool_call_id": event["tool_call_id"]}
    return {**event, "output": dice.choice(({"found": 1}, {**said, "status": "success"}, {**said, "status": "error"}))}
