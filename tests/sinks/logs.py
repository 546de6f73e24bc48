"""Random logs of turns, and what a reader should have made of them. A seed makes one log, always the same."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import attrs

from anyiostream.sinks import Placed
from anyiostream.wire import Draft

__all__ = ["LogMaker", "Said", "hostile", "placed", "said_in"]

Said = tuple[tuple[str, ...], str, str]
"""Where, of what kind, and what."""


def placed(drafts: list[Draft]) -> list[Placed]:
    """Events, in a log of their own."""
    return [Placed(seq, f"1-{seq}", draft) for seq, draft in enumerate(drafts, 1)]


@attrs.define
class Speaking:
    """A message that is being written."""

    at: tuple[str, ...]
    run_id: str
    message_id: str
    index: int = -1
    kind: str = ""
    text: str = ""
    call_id: str = ""


class LogMaker:
    """Writes the log of one turn, as a graph with several things at once under way might."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.drafts: list[Draft] = []
        self.graphs: list[tuple[str, ...]] = [()]
        self.speaking: list[Speaking] = []
        self.calls: list[tuple[tuple[str, ...], str]] = []
        self.count = 0

    def make(self) -> list[Draft]:
        """The log."""
        self.lifecycle((), "running")
        actions = [self.speak, self.go_on, self.go_on, self.go_on, self.tool, self.graph, self.other]
        for _ in range(self.random.randrange(5, 60)):
            self.random.choice(actions)()
        end = self.random.choice(["completed", "completed", "failed", "aborted", "interrupted", "asked"])
        if end not in {"failed", "aborted"}:
            while self.speaking:
                self.finish(self.speaking[0])
            while len(self.graphs) > 1:
                self.lifecycle(self.graphs.pop(), "completed")
        if end == "asked":
            self.ask()
            end = "interrupted"
        reason = {"reason": "aborted"} if end == "aborted" else {}
        error = {"error": "it broke"} if end in {"failed", "aborted"} else {}
        self.lifecycle((), "failed" if end == "aborted" else end, **reason, **error)
        return self.drafts

    def put(self, method: str, at: tuple[str, ...], data: Any, **extra: Any) -> None:
        self.drafts.append(Draft(method, at, data, 1_700_000_000_000 + len(self.drafts), extra))

    def lifecycle(self, at: tuple[str, ...], event: str, **fields: Any) -> None:
        self.put("lifecycle", at, {"event": event, **fields})

    def new(self, name: str) -> str:
        self.count += 1
        return f"{name}{self.count}"

    def word(self) -> str:
        return self.random.choice(["a ", "bé ", "\n", "\u2028", '"', "😀", "data: x", "</script>", "{}"])

    # --- messages ---

    def event(self, speaking: Speaking, event: str, **fields: Any) -> None:
        known = {"id": speaking.message_id, "run_id": speaking.run_id}
        self.put("messages", speaking.at, {"event": event, **fields, **known})

    def speak(self) -> None:
        message_id = self.random.choice([self.new("m"), "same"])
        if any(each.message_id == message_id for each in self.speaking):
            return
        speaking = Speaking(self.random.choice(self.graphs), self.new("r"), message_id)
        self.speaking.append(speaking)
        self.event(speaking, "message-start", role="ai", metadata={"provider": "p", "model": "m"})

    def go_on(self) -> None:
        if not self.speaking:
            self.speak()
            return
        speaking = self.random.choice(self.speaking)
        if not speaking.kind:
            if self.random.random() < 0.3 and speaking.index >= 0:
                self.finish(speaking)
            else:
                self.begin_block(speaking)
        elif self.random.random() < 0.3:
            self.finish_block(speaking)
        else:
            piece = self.word()
            speaking.text += piece
            if speaking.kind == "call":
                # Arguments are JSON: a string that grows.
                delta: dict[str, Any] = {"type": "tool-call-delta", "args": json.dumps(piece)[1:-1]}
            else:
                delta = {"type": f"{speaking.kind}-delta", speaking.kind: piece}
            self.event(speaking, "content-block-delta", index=speaking.index, delta=delta)

    def begin_block(self, speaking: Speaking) -> None:
        speaking.index += 1
        speaking.kind, speaking.text = self.random.choice(["text", "text", "reasoning", "call"]), ""
        content: dict[str, Any] = {"type": speaking.kind, speaking.kind: ""}
        if speaking.kind == "call":
            speaking.call_id = self.new("c")
            content = {"type": "tool_call_chunk", "id": speaking.call_id, "name": "tool", "args": ""}
        self.event(speaking, "content-block-start", index=speaking.index, content=content)
        if speaking.kind == "call":
            delta = {"type": "tool-call-delta", "args": '{"q": "'}
            self.event(speaking, "content-block-delta", index=speaking.index, delta=delta)

    def finish_block(self, speaking: Speaking) -> None:
        if speaking.kind == "call":
            delta = {"type": "tool-call-delta", "args": '"}'}
            self.event(speaking, "content-block-delta", index=speaking.index, delta=delta)
            content: dict[str, Any] = {"type": "tool_call", "id": speaking.call_id, "name": "tool"}
            content["args"] = {"q": speaking.text}
            self.calls.append((speaking.at, speaking.call_id))
        else:
            content = {"type": speaking.kind, speaking.kind: speaking.text}
        self.event(speaking, "content-block-finish", index=speaking.index, content=content)
        speaking.kind = ""

    def finish(self, speaking: Speaking) -> None:
        if speaking.kind:
            self.finish_block(speaking)
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        self.event(speaking, "message-finish", usage=usage)
        self.speaking.remove(speaking)

    # --- tools, graphs, and the rest ---

    def tool(self) -> None:
        at, call_id = self.calls.pop() if self.calls else (self.random.choice(self.graphs), self.new("c"))
        self.put(
            "tools", at, {"event": "tool-started", "tool_call_id": call_id, "tool_name": "tool", "input": {"a": 1}}
        )
        for _ in range(self.random.randrange(3)):
            self.put("tools", at, {"event": "tool-output-delta", "tool_call_id": call_id, "delta": self.word()})
        end = self.random.choice(["tool-finished", "tool-error", ""])
        if end == "tool-finished":
            self.put("tools", at, {"event": end, "tool_call_id": call_id, "output": {"found": [self.word()]}})
        elif end:
            self.put("tools", at, {"event": end, "tool_call_id": call_id, "message": "no"})

    def graph(self) -> None:
        if len(self.graphs) > 1 and self.random.random() < 0.5:
            at = self.graphs[-1]
            if not any(each.at == at for each in self.speaking):
                self.graphs.pop()
                self.lifecycle(at, self.random.choice(["completed", "failed"]))
            return
        at = (*self.graphs[-1], f"inner:{self.new('')}")
        self.graphs.append(at)
        self.lifecycle(at, "started", graph_name="inner")

    def other(self) -> None:
        at = self.random.choice(self.graphs)
        state = {"n": self.count, "list": list(range(self.random.randrange(4))), "a/b~": self.word()}
        kind = self.random.randrange(4)
        if kind == 0:
            self.put("values", at, state)
        elif kind == 1:
            self.put("custom", at, {"name": "progress", "payload": state})
        elif kind == 2:
            self.put("custom", at, {"payload": self.word()})
        else:
            self.put("updates", at, {"node": state})

    def ask(self) -> None:
        values: list[Any] = ["sure?", {"q": 1}, {"action_requests": [{"name": "tool", "args": {"q": "x"}}] * 2}]
        if self.calls:
            values.append({"tool_call_id": self.calls[-1][1]})
        value = self.random.choice(values)
        self.put("input.requested", (), {"interrupt_id": self.new("i"), "payload": value, "value": value})


ODD: list[Any] = [None, True, 1.5, [], ["x"], {}, {"x": [1]}, "", "text", "\ud800"]


def spoilt(draft: Draft, random: Random) -> Draft:
    """An event in which something is what it should not be: graphs may write anything."""

    def spoil(value: Any) -> Any:
        if isinstance(value, dict) and value and random.random() < 0.8:
            name = random.choice(sorted(value))
            return {**value, name: spoil(value[name])}
        return random.choice(ODD)

    return attrs.evolve(draft, data=spoil(draft.data)) if random.random() < 0.1 else draft


def hostile(seed: int) -> list[Draft]:
    """Events of several logs, some lost, some twice, some spoilt, in any order."""
    random = Random(seed)
    drafts = [spoilt(draft, random) for each in range(2) for draft in LogMaker(seed * 7 + each).make()]
    chosen = random.choices(drafts, k=random.randrange(1, 60))
    return chosen if random.random() < 0.5 else [each for each in drafts if random.random() < 0.8]


def said_in(drafts: list[Draft]) -> list[Said]:
    """What the models say in a part of a log, by blocks, in the order in which these begin. A fold of its own."""
    blocks: dict[Any, list[Any]] = {}
    said: list[list[Any]] = []
    for draft in drafts:
        if draft.root_event in {"completed", "failed", "interrupted"}:
            break
        if draft.method != "messages" or "index" not in draft.data:
            continue
        data = draft.data
        key = (draft.namespace, data["run_id"], data["id"], data["index"])
        delta = data.get("delta", {})
        content = data.get("content", {})
        if data["event"] == "content-block-finish" and key not in blocks and content.get(content.get("type")):
            said.append([draft.namespace, content["type"], content[content["type"]]])
        if delta.get("type") in {"text-delta", "reasoning-delta"}:
            kind = delta["type"].removesuffix("-delta")
            if key not in blocks:
                blocks[key] = [draft.namespace, kind, ""]
                said.append(blocks[key])
            blocks[key][2] += delta[kind]
    return [(at, kind, text) for at, kind, text in said]
