"""Open defects of the official adapter of LangGraph to AG-UI, as what a front end sees. Ours has none of them.

By their numbers at ag-ui-protocol/ag-ui: 1277, 1016, 2326, 2173. The official client reads what is sent.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from anyiostream.sinks import open_sink, parse
from anyiostream.wire import Draft

from .logs import LogMaker, placed
from .readers import Readers
from .test_turn import message, root, text

pytestmark = [pytest.mark.protocol("ag-ui")]


def read(readers: Readers, *drafts: Draft) -> list[dict[str, Any]]:
    """The messages that the official client has at the end of a turn."""
    sink = open_sink("ag-ui", run_id="r")
    body = b"".join(map(sink.encode, placed(list(drafts)))) + sink.end()
    (found,) = readers.read([{"protocol": "ag-ui", "body": body.decode()}])
    assert found["ok"], found
    messages: list[dict[str, Any]] = found["folded"]["messages"]
    return messages


def test_users_at_the_same_time_do_not_share_anything(readers: Readers) -> None:
    """1277: state of one request in an object for all corrupts the others."""
    logs = [LogMaker(seed).make() for seed in range(8)]
    alone = [read(readers, *log) for log in logs]
    sinks = [open_sink("ag-ui", run_id="r") for _ in logs]
    bodies = [b"" for _ in logs]
    for step in range(max(map(len, logs))):
        for n, log in enumerate(logs):
            bodies[n] += b"".join(map(sinks[n].encode, placed(log)[step : step + 1]))
    found = readers.read([{"protocol": "ag-ui", "body": body.decode()} for body in bodies])
    assert [each["folded"]["messages"] for each in found] == alone


def test_calls_side_by_side_keep_their_own_arguments(readers: Readers) -> None:
    """1016: two tool calls of one message, or of two, that are written at the same time."""

    def start(message_id: str, index: int, call: str) -> Draft:
        content = {"type": "tool_call_chunk", "id": call, "name": call, "args": ""}
        return message("content-block-start", message_id=message_id, index=index, content=content)

    def piece(message_id: str, index: int, args: str) -> Draft:
        delta = {"type": "tool-call-delta", "args": args}
        return message("content-block-delta", message_id=message_id, index=index, delta=delta)

    calls = [("m", 0, "a"), ("m", 1, "b"), ("n", 0, "c")]
    drafts = [start(*call) for call in calls]
    for part in ('{"x"', ": ", '"%s"', "}"):
        drafts += [piece(where, index, part.replace("%s", name)) for where, index, name in calls]
    messages = read(readers, root("running"), *drafts, root("completed"))
    found = {call["id"]: json.loads(call["function"]["arguments"]) for each in messages for call in each["toolCalls"]}
    assert found == {"a": {"x": "a"}, "b": {"x": "b"}, "c": {"x": "c"}}


def test_a_call_that_is_not_shown_takes_nothing_from_the_next_one(readers: Readers) -> None:
    """2326: of an inner call the start is suppressed, and the one after it has none."""
    inner = [message("message-finish", message_id="inner"), message("error", message_id="inner", message="no")]
    shown = [message("message-start", role="ai"), text("Hello"), message("message-finish")]
    assert [each["content"] for each in read(readers, root("running"), *inner, *shown, root("completed"))] == ["Hello"]


def test_an_answer_is_not_an_input() -> None:
    """2173: a request that resumes has all messages along, and they are no new input."""
    messages = [
        {"id": "1", "role": "user", "content": "pay"},
        {"id": "2", "role": "assistant", "content": "Sure?"},
        {"id": "3", "role": "user", "content": "yes"},
    ]
    resume = [
        {"interruptId": "i1", "status": "resolved", "payload": {"approved": True}},
        {"interruptId": "i2", "status": "cancelled"},
    ]
    asked = parse("ag-ui", {"threadId": "t", "runId": "r", "messages": messages, "resume": resume})
    assert asked.input is None
    assert asked.answers == {"i1": {"approved": True}, "i2": None}
