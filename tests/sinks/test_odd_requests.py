"""Requests in which one value is of another type than the protocol says: taken, or refused, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream.sinks import MalformedRequest, Request, open_sink, parse
from anyiostream.sinks.ai_sdk_history import ui_messages

from ..odd import ODD, deep, with_odd_values

CONSENT = {
    "type": "tool-search", "toolName": "search", "toolCallId": "c1", "state": "approval-responded",
    "approval": {"id": "i1", "approved": False, "reason": "no"}, "input": {"q": "x"},
}  # fmt: skip
QUESTION = {"type": "data-interrupt", "data": {"interruptId": "i1", "namespace": [], "value": {"tool_call_id": "c1"}}}
SEVERAL = {
    "type": "data-interrupt",
    "data": {"interruptId": "i2", "namespace": [], "value": {"action_requests": [{"name": "search", "args": {}}]}},
}
DECIDED = {**CONSENT, "toolCallId": "c2", "approval": {"id": "i2/0", "approved": True}}
ASSISTANT = {"id": "a1", "role": "assistant", "parts": [CONSENT, DECIDED, QUESTION, SEVERAL]}
USER = {
    "id": "u1", "role": "user",
    "parts": [
        {"type": "text", "text": "Hi"},
        {"type": "file", "url": "data:image/png;base64,AA==", "mediaType": "image/png"},
    ],
}  # fmt: skip
CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
IMAGE = {"type": "image", "source": {"type": "data", "value": "AA==", "mimeType": "image/png"}}
SAID = {"id": "u2", "role": "user", "content": [{"type": "text", "text": "Hi"}, IMAGE]}

REQUESTS: dict[str, tuple[str, Any]] = {
    "ai-sdk": ("ai-sdk", {"id": "c", "messages": [USER], "trigger": "submit-message", "messageId": "u1"}),
    "ai-sdk, consents": ("ai-sdk", {"id": "c", "messages": [USER, ASSISTANT], "trigger": "submit-message"}),
    "ai-sdk, answers": ("ai-sdk", {"id": "c", "messages": [USER, ASSISTANT], "answers": {"i1": {"a": 1}}}),
    "ag-ui": (
        "ag-ui",
        {
            "threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {},
            "messages": [
                {"id": "u1", "role": "user", "content": "Hi"},
                {"id": "a1", "role": "assistant", "content": "", "toolCalls": [CALL]},
                {"id": "r1", "role": "tool", "toolCallId": "c1", "content": "x"},
                SAID,
            ],
        },
    ),
    "ag-ui, answers": (
        "ag-ui",
        {
            "threadId": "t", "runId": "r", "messages": [SAID],
            "resume": [{"interruptId": "i1", "status": "resolved", "payload": {"a": 1}}],
        },
    ),
    "openai": (
        "openai",
        {
            "model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "n": 1,
            "stream": True, "stream_options": {"include_usage": True}, "tools": [], "functions": [],
        },
    ),
    "text": ("text", {"input": "Hi", "thread": "t"}),
    "langgraph": ("langgraph", {"input": {}, "thread_id": "t", "assistant_id": "a", "answers": {"i1": {"a": 1}}}),
}  # fmt: skip

STATE = [
    {"type": "human", "id": "1", "content": "Hi"},
    {
        "type": "ai", "id": "2", "content": [{"type": "text", "text": "x"}],
        "tool_calls": [{"name": "search", "id": "c1", "args": {"q": "x"}}],
    },
    {"type": "tool", "id": "3", "tool_call_id": "c1", "status": "error", "content": "x"},
]  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_one_odd_value_is_taken_or_refused(name: str) -> None:
    """Wherever it stands; a request that is taken can be answered."""
    protocol, body = REQUESTS[name]
    assert isinstance(parse(protocol, body), Request)
    for odd in with_odd_values(body, (*ODD, deep(100_000))):
        try:
            asked = parse(protocol, odd)
        except MalformedRequest:
            continue
        sink = open_sink(protocol, run_id=asked.run_id or "r", request=asked)
        assert isinstance(sink.opening("r-0") + sink.end(), bytes)


@pytest.mark.parametrize(
    ("protocol", "wrong", "named"),
    [
        ("ai-sdk", {"id": "1", "messages": [{**USER, "parts": 5}]}, "`parts` must be a list"),
        ("ai-sdk", {"id": "1", "messages": [{**ASSISTANT, "parts": 5}]}, "`parts` must be a list"),
        ("ai-sdk", {"id": "1", "messages": [{**USER, "role": ["user"]}]}, "`role` must be a string"),
        ("ai-sdk", {"id": "1", "messages": [{**ASSISTANT, "parts": [{**CONSENT, "state": []}]}]}, "`state` must"),
        ("ai-sdk", {"id": "1", "messages": [USER], "answers": []}, "`answers` must be an object"),
        ("ag-ui", {**REQUESTS["ag-ui"][1], "messages": [{**SAID, "role": ["user"]}]}, "`role` must be a string"),
        ("ag-ui", {**REQUESTS["ag-ui"][1], "messages": [{**SAID, "toolCalls": 5}]}, "`toolCalls` must be a list"),
        ("ag-ui", {**REQUESTS["ag-ui"][1], "resume": {}}, "`resume` must be a list"),
        ("openai", {**REQUESTS["openai"][1], "n": []}, "`n` must be 1"),
        ("langgraph", {"input": 1, "answers": False}, "`answers` must be an object"),
        ("langgraph", {"input": 1, "thread_id": 5}, "`thread_id` must be a string"),
        ("langgraph", {"input": 1, "assistant_id": ["a"]}, "`assistant_id` must be a string"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(protocol: str, wrong: Any, named: str) -> None:
    """So that whoever has sent it finds it."""
    with pytest.raises(MalformedRequest, match=named):
        parse(protocol, wrong)


@pytest.mark.protocol("ai-sdk")
def test_a_state_with_an_odd_value_has_a_history() -> None:
    """A client's input may be in it as it came."""
    for values in with_odd_values({"messages": STATE}):
        for finished in (True, False):
            assert isinstance(ui_messages(values, finished=finished), list)
