"""A run's raw log as the wire has it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage, ToolMessage

from anyiostream import PendingInterrupt, RunAborted, parts
from anyiostream.events import convert_to_protocol_event, synthetic_event
from anyiostream.wire import jsonable
from anyiostream.wire.drafts import Draft
from anyiostream.wire.encoder import WireEncoder, failure_text

from ..thorough import THOROUGH


def drafts(*events: Any, encoder: WireEncoder | None = None) -> list[Draft]:
    """What a new encoder, or the given one, makes of events; parts are converted."""
    encoder = encoder or WireEncoder()
    made = []
    for event in events:
        made += encoder.encode(event if "method" in event else convert_to_protocol_event(event))
    return made


def lifecycle(event: str, *namespace: str, at: tuple[str, ...] = (), **fields: Any) -> Any:
    """A lifecycle event of the graph at `namespace`, forwarded while an event at `at` was handled."""
    return synthetic_event("lifecycle", at, {"event": event, "namespace": list(namespace), **fields})


def message(event: str, run_id: str = "r", **fields: Any) -> Any:
    """A part of a model call."""
    return parts.messages({"event": event, **fields}, {"run_id": run_id, "langgraph_node": "model"})


@pytest.mark.parametrize(
    ("part", "data"),
    [
        (parts.values({"x": (1,)}), {"x": [1]}),
        (parts.updates({"node": {"x": 1}}), {"node": {"x": 1}}),
        (parts.custom(3), {"payload": 3}),
        (parts.custom({"a": 1}), {"payload": {"a": 1}}),
        (parts.custom({"name": "n", "a": 1}), {"name": "n", "a": 1}),
        (parts.tools({"event": "tool-started", "tool_call_id": "1"}), {"event": "tool-started", "tool_call_id": "1"}),
        (
            parts.tools({"event": "tool-error", "tool_call_id": "1", "message": "in /etc/x"}),
            {"event": "tool-error", "tool_call_id": "1", "message": "in <path>"},
        ),
        (parts.checkpoints({"mine": 1}), {"mine": 1}),
    ],
)
def test_payloads(part: Any, data: Any) -> None:
    """Updates are raw, custom data that does not name itself is wrapped, errors are cleaned."""
    (draft,) = drafts(part)
    assert (draft.method, draft.data, draft.namespace) == (part["type"], data, ())


def test_named_channels_are_custom_with_a_name() -> None:
    """In the raw log their name is part of the method; so is a native channel's that the protocol does not know."""
    made = drafts(synthetic_event("custom:progress", ("a:1",), 1), synthetic_event("mine", (), 2))
    assert [(each.method, each.data) for each in made] == [
        ("custom", {"name": "progress", "payload": 1}),
        ("custom", {"name": "mine", "payload": 2}),
    ]
    assert [each.channel for each in made] == ["custom:progress", "custom:mine"]


def test_debug_has_no_channel() -> None:
    """It stays in the process."""
    assert drafts(parts.debug({})) == []


def test_lifecycle_is_at_the_graph_it_tells_of() -> None:
    """Not where the event was handled; and what the protocol has no word for is mapped."""
    made = drafts(
        lifecycle(
            "started", "a:1", graph_name="a", trigger_call_id="1", cause={"type": "toolCall", "tool_call_id": "t"}
        ),
        lifecycle("completed", "a:1"),
        lifecycle("drained", "b:1"),
        lifecycle("aborted", "c:1"),
        lifecycle("failed", "d:1", error="in /etc/x"),
        lifecycle("running"),
    )
    assert [(each.namespace, each.data["event"]) for each in made] == [
        (("a:1",), "started"),
        (("a:1",), "completed"),
        (("b:1",), "interrupted"),
        (("c:1",), "failed"),
        (("d:1",), "failed"),
        ((), "running"),
    ]
    assert made[0].data["cause"] == {"type": "toolCall", "tool_call_id": "t"}
    assert made[4].data["error"] == "in <path>"
    assert [each.root_event for each in made] == [None] * 5 + ["running"]


def test_checkpoints_are_references() -> None:
    """The state is in `values`; what goes out is what the schema has."""
    state = {
        "config": {"configurable": {"checkpoint_id": "c2", "thread_id": "t"}},
        "parent_config": {"configurable": {"checkpoint_id": "c1"}},
        "metadata": {"source": "loop", "step": 2, "parents": {}},
        "values": {"secret": 1},
    }
    (draft,) = drafts(parts.checkpoints(state))
    assert draft.data == {"id": "c2", "parent_id": "c1", "step": 2, "source": "loop"}


def test_tasks_lose_their_paths() -> None:
    """An error's text is cleaned there, too."""
    (draft,) = drafts(parts.task_result("1", "a", error="no /etc/x"))
    assert draft.data["error"] == "no <path>"


def test_interrupts_are_asked_before_the_run_is_interrupted() -> None:
    """One event each, with both names for its value, at the innermost graph that has shown it."""
    inner = PendingInterrupt("which?", "i2")
    encoder = WireEncoder()
    made = drafts(
        parts.values({"x": 1}, interrupts=[inner], ns=("a:1",)),
        parts.task_result("2", "a", interrupts=[{"value": "which?", "id": "i2"}]),
        parts.values({"x": 1}, interrupts=[PendingInterrupt("who?", "i1"), inner]),
        lifecycle("interrupted"),
        encoder=encoder,
    )
    asked = [each for each in made if each.method == "input.requested"]
    assert [(each.namespace, each.data) for each in asked] == [
        ((), {"interrupt_id": "i1", "payload": "who?", "value": "who?"}),
        (("a:1",), {"interrupt_id": "i2", "payload": "which?", "value": "which?"}),
    ]
    assert made[-1].root_event == "interrupted"
    assert list(encoder.interrupts) == ["i1", "i2"]
    assert made[2].extra["interrupts"] == [{"id": "i1", "value": "who?"}, {"id": "i2", "value": "which?"}]


def test_a_message_carries_its_ids() -> None:
    """Every event has the message's id and its run's; the node is named for both clients."""
    made = drafts(
        message("message-start", role="ai", id="m1"),
        message("content-block-start", index=0, content={"type": "text", "text": ""}),
        message("content-block-delta", index=0, delta={"type": "text-delta", "text": "hi"}),
        message("message-finish"),
    )
    assert {(each.data["id"], each.data["run_id"], each.extra["node"]) for each in made} == {("m1", "r", "model")}
    assert made[0].data["metadata"]["langgraph_node"] == "model"


def test_messages_at_the_same_time_are_told_apart() -> None:
    """Events between each other keep to their own message."""
    made = drafts(
        message("message-start", "a", id="m1"),
        message("message-start", "b", id="m2"),
        message("content-block-delta", "a", index=0, delta={"type": "text-delta", "text": "1"}),
        message("content-block-delta", "b", index=0, delta={"type": "text-delta", "text": "2"}),
        message("message-finish", "a"),
        message("message-finish", "b"),
    )
    assert [each.data["id"] for each in made] == ["m1", "m2"] * 3


CALL = {"type": "tool_call_chunk", "id": "t", "name": "f", "args": ""}


def call_of(*deltas: Any, content: Any = CALL) -> list[Any]:
    """The data of what follows the start of a message with one tool call."""
    made = drafts(
        message("message-start", id="m"),
        message("content-block-start", index=0, content=content),
        *(message("content-block-delta", index=0, delta=delta) for delta in deltas),
        message("content-block-finish", index=0, content={**content, "type": "tool_call", "args": {}}),
    )
    return [each.data for each in made[2:]]


def piece(args: Any) -> Any:
    """A piece of a tool call's arguments."""
    return {"type": "tool-call-delta", "args": args}


def snapshot(args: Any, **fields: Any) -> Any:
    """All of a tool call."""
    return {"type": "block-delta", "fields": {**CALL, **fields, "args": args}}


@pytest.mark.parametrize("kind", ["tool_call_chunk", "server_tool_call_chunk"])
def test_tool_calls_grow_in_pieces(kind: str) -> None:
    """Each delta has one, said to Python, and said to JavaScript in what it reads first."""
    made = call_of(piece('{"a":'), piece("1}"), content={**CALL, "type": kind})
    assert [each["delta"] for each in made[:-1]] == [piece('{"a":'), piece("1}")]
    assert [each["content"] for each in made[:-1]] == [{"type": kind, "args": '{"a":'}, {"type": kind, "args": "1}"}]
    assert made[-1]["event"] == "content-block-finish"


def test_snapshots_of_a_tool_call_become_pieces() -> None:
    """What they add to each other; one that contradicts those before goes out as it is, and so does a new field."""
    made = call_of(
        snapshot("{"), snapshot('{"a'), snapshot('{"a'), snapshot("[1"), snapshot("[1]"), piece(None), piece("")
    )
    deltas = [piece("{"), piece('"a'), snapshot("[1"), piece("]")]
    assert [each["delta"] for each in made[:-1]] == deltas
    made = call_of(piece("{"), snapshot("{1", id="late"), snapshot("{1", id="later"))
    assert made[1]["delta"] == snapshot("{1", id="late")
    late = {name: value for name, value in snapshot("", id="later")["fields"].items() if name != "args"}
    assert made[2]["delta"] == {"type": "block-delta", "fields": late}


@pytest.mark.parametrize("size", [1, 5, 300])
@pytest.mark.parametrize("source", ["pieces", "snapshots", "late fields"])
def test_a_tool_call_takes_on_the_wire_what_it_says(size: int, source: str) -> None:
    """In however small pieces it is written: 5 KB, or 20, never take more than 40 times that, and nothing is lost."""
    whole = "0123456789" * 500 * min(THOROUGH, 4)
    deltas = [piece(whole[start : start + size]) for start in range(0, len(whole), size)]
    if source != "pieces":
        deltas = [snapshot(whole[:end]) for end in range(size, len(whole) + size, size)]
    if source == "late fields":
        deltas = [snapshot(each["fields"]["args"], extra=n) for n, each in enumerate(deltas[::4])]
        whole = deltas[-1]["fields"]["args"]
    *made, end = call_of(*deltas)
    assert end["event"] == "content-block-finish"
    assert sum(len(jsonable.encode(each)) for each in made) < 40 * len(whole) * (5 if source == "late fields" else 1)
    read = ""
    for each in made:
        fields = each["delta"].get("fields", {})
        read = fields.get("args", read) if fields else read + each["delta"]["args"]
    assert read == whole
    if size == 300 and source == "pieces":
        assert len(made) == len(deltas)


@pytest.mark.parametrize("end", ["finish", "error", "completed", "failed"])
def test_what_is_held_back_goes_out_before_the_end(end: str) -> None:
    """However the message, or the run, ends."""
    ends = {
        "finish": message("message-finish"),
        "error": message("error", message="no"),
        "completed": lifecycle("completed"),
        "failed": lifecycle("failed", error="no"),
    }
    made = drafts(
        message("message-start", id="m"),
        message("content-block-start", index=0, content=CALL),
        *(message("content-block-delta", index=0, delta=piece("x")) for _ in range(1000)),
        ends[end],
    )
    deltas = [each.data["delta"]["args"] for each in made if each.data.get("event") == "content-block-delta"]
    assert len(deltas) < 900
    assert "".join(deltas) == "x" * 1000
    assert made[-1].data["event"] != "content-block-delta"


def test_chunks_become_events() -> None:
    """A message in LangChain's chunks is read as one in events; one without a last chunk ends with the run."""
    metadata = {"run_id": "r", "langgraph_node": "n"}
    made = drafts(
        parts.messages(AIMessageChunk("he", id="m"), metadata),
        parts.messages(AIMessageChunk("llo", id="m"), metadata),
        lifecycle("completed"),
    )
    assert [each.data["event"] for each in made] == [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
        "completed",
    ]
    assert {each.data["id"] for each in made[:6]} == {"m"}


def test_whole_messages_become_events_once() -> None:
    """Also after their chunks, which they then only end; a tool's message is none."""
    metadata = {"run_id": "r"}
    made = drafts(
        parts.messages(AIMessage("hello", id="w"), metadata),
        parts.messages(AIMessageChunk("he", id="m"), metadata),
        parts.messages(AIMessage("he", id="m"), metadata),
        parts.messages(ToolMessage("done", tool_call_id="t"), metadata),
    )
    events = [(each.data["id"], each.data["event"]) for each in made]
    assert events.count(("w", "message-start")) == events.count(("w", "message-finish")) == 1
    assert events.count(("m", "message-start")) == events.count(("m", "message-finish")) == 1


def test_whole_messages_say_who_speaks() -> None:
    """And by which name, in the place that the protocol has for what else is known of a message."""
    made = drafts(
        parts.messages(HumanMessage("hello", id="h", name="Ann"), {}),
        parts.messages(RemoveMessage(id="x"), {}),
    )
    assert (made[0].data["role"], made[0].data["metadata"]["name"]) == ("human", "Ann")
    assert {each.data["id"] for each in made} == {"h"}


def test_a_calls_late_id_goes_out_with_all_of_it() -> None:
    """A delta that names the call keeps the arguments so far: clients put deltas in each other's place."""
    made = drafts(
        message("message-start", id="m"),
        message("content-block-start", index=0, content={"type": "tool_call_chunk", "name": "f", "args": ""}),
        message("content-block-delta", index=0, delta={"type": "tool-call-delta", "args": "{"}),
        message(
            "content-block-delta",
            index=0,
            delta={"type": "block-delta", "fields": {"type": "tool_call_chunk", "id": "t", "name": "f"}},
        ),
    )
    fields = {"type": "tool_call_chunk", "id": "t", "name": "f", "args": "{"}
    assert made[-1].data["delta"] == {"type": "block-delta", "fields": fields}


def test_a_run_that_could_not_begin_has_failed() -> None:
    """Its end is there all the same, once."""
    encoder = WireEncoder()
    (draft,) = encoder.fail(ValueError("no /etc/x"))
    assert draft.data == {"event": "failed", "error": "no <path>"}
    assert list(encoder.fail(ValueError())) == []


@pytest.mark.parametrize(
    ("error", "text"),
    [(RunAborted(), "it was aborted."), (KeyError(), "KeyError"), (ValueError("x"), "x")],
)
def test_a_failure_has_a_text(error: Exception, text: str) -> None:
    """The exception's own, or its class's name."""
    assert failure_text(error) == text
