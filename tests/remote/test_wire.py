"""A run's raw log as the wire has it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

from anyiostream import Interrupt, RunAborted, parts
from anyiostream.events import convert_to_protocol_event, synthetic_event
from anyiostream.remote.log import Draft
from anyiostream.remote.wire import WireEncoder, failure_text


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
    inner = Interrupt("which?", "i2")
    encoder = WireEncoder()
    made = drafts(
        parts.values({"x": 1}, interrupts=[inner], ns=("a:1",)),
        parts.task_result("2", "a", interrupts=[{"value": "which?", "id": "i2"}]),
        parts.values({"x": 1}, interrupts=[Interrupt("who?", "i1"), inner]),
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


def test_tool_calls_grow_in_whole() -> None:
    """Each delta has all of the arguments so far; the delta that JavaScript cannot read never goes out."""
    made = drafts(
        message("message-start", id="m"),
        message(
            "content-block-start", index=0, content={"type": "tool_call_chunk", "id": "t", "name": "f", "args": ""}
        ),
        message("content-block-delta", index=0, delta={"type": "tool-call-delta", "args": '{"a":'}),
        message("content-block-delta", index=0, delta={"type": "tool-call-delta", "args": "1}"}),
    )
    assert [each.data["delta"] for each in made[2:]] == [
        {"type": "block-delta", "fields": {"type": "tool_call_chunk", "id": "t", "name": "f", "args": '{"a":'}},
        {"type": "block-delta", "fields": {"type": "tool_call_chunk", "id": "t", "name": "f", "args": '{"a":1}'}},
    ]


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
        "content-block-delta",
        "content-block-delta",
        "message-finish",
        "completed",
    ]
    assert {each.data["id"] for each in made[:4]} == {"m"}


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
