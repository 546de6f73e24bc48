"""What front ends ask for, in no protocol's terms; and what is none of it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from anyiostream.sinks import PROTOCOLS, MalformedRequest, Request, UnknownInclude, UnknownProtocol, open_sink, parse

USER = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}


RUN = {"threadId": "t", "runId": "r", "messages": [{"id": "u1", "role": "user", "content": "Hi"}]}


def question(**fields: Any) -> dict[str, Any]:
    """A part by which a graph has asked."""
    return {"type": "data-interrupt", "data": {"interruptId": "i1", "namespace": [], **fields}}


@pytest.mark.parametrize(
    ("protocol", "body", "asked"),
    [
        (
            "ai-sdk",
            {"id": "c", "messages": [USER], "trigger": "submit-message", "mode": "fast"},
            Request(
                input={"messages": [{"role": "user", "content": "Hi", "id": "u1"}]}, thread="c", extra={"mode": "fast"}
            ),
        ),
        (
            "ai-sdk",
            {"id": "c", "messages": [USER], "trigger": "regenerate-message", "messageId": "a1"},
            Request(
                input={"messages": [{"role": "user", "content": "Hi", "id": "u1"}]}, thread="c", regenerate="u1"
            ),
        ),
        (
            "ai-sdk",
            {"id": "c", "messages": [USER], "trigger": "submit-message", "messageId": "u1"},
            Request(
                input={"messages": [{"role": "user", "content": "Hi", "id": "u1"}]}, thread="c", regenerate="u1"
            ),
        ),
        (
            "ai-sdk",
            {"id": "c", "messages": [USER, {"id": "a1", "role": "assistant", "parts": []}], "answers": {"i1": "yes"}},
            Request(thread="c", answers={"i1": "yes"}, continues="a1", extra={"answers": {"i1": "yes"}}),
        ),
        (
            "ag-ui",
            {
                "threadId": "t", "runId": "r", "tools": [],
                "messages": [
                    {"id": "1", "role": "user", "content": "old"},
                    {"id": "2", "role": "assistant", "content": "x"},
                    {"id": "3", "role": "user", "content": [{"type": "text", "text": "new"}]},
                ],
            },
            Request(
                input={"messages": [{"role": "user", "content": [{"type": "text", "text": "new"}], "id": "3"}]},
                thread="t", run_id="r", users=("1", "3"), extra={"tools": []},
            ),
        ),
        (
            "openai",
            {"model": "agent", "messages": [{"role": "user", "content": "Hi"}], "stream": True},
            Request(input={"messages": [{"role": "user", "content": "Hi"}]}, assistant="agent"),
        ),
        (
            "text",
            {"input": "Hi", "thread": "t"},
            Request(input={"messages": [{"role": "user", "content": "Hi"}]}, thread="t"),
        ),
        ("langgraph", {"input": 1, "thread_id": "t", "assistant_id": "a"}, Request(input=1, thread="t", assistant="a")),
    ],
)  # fmt: skip
def test_a_request_is_read(protocol: str, body: Any, asked: Request) -> None:
    """As each protocol has it."""
    assert attrs.evolve(parse(protocol, body), once=None) == asked


@pytest.mark.parametrize(("protocol", "body"), [("ai-sdk", {"id": "c", "messages": [USER]}), ("ag-ui", RUN)])
def test_a_request_that_is_sent_again_is_known(protocol: str, body: Any) -> None:
    """It is the same in whatever order its fields come, and another one if any of it differs."""
    once = parse(protocol, body).once
    assert once is not None
    assert parse(protocol, dict(reversed([*body.items()]))).once == once
    for more in ({"extra": 1}, {"messages": [*body["messages"], {**body["messages"][0], "id": "u2"}]}):
        assert parse(protocol, {**body, **more}).once != once


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("ai-sdk", {"id": "c", "messages": [{name: value for name, value in USER.items() if name != "id"}]}),
        ("ai-sdk", {"id": "c", "messages": [], "answers": {"i1": "yes"}}),
        ("ai-sdk", {"id": "c", "messages": [USER], "extra": object()}),
        ("ai-sdk", {"id": "c", "messages": [USER], ("no", "json"): 1}),
        ("ag-ui", {**RUN, "extra": {1, 2}}),
        ("openai", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}),
        ("text", {"input": "Hi", "thread": "t"}),
        ("langgraph", {"input": 1, "thread_id": "t"}),
    ],
)
def test_a_request_that_names_nothing_is_another_one_each_time(protocol: str, body: Any) -> None:
    """Somebody may say the same once more. So is what is no JSON, which nobody has sent."""
    assert parse(protocol, body).once is None


def test_a_deep_request_is_read() -> None:
    """However deep the decoder has let it be."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert parse("ai-sdk", {"id": "c", "messages": [USER], "deep": deep}).thread == "c"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("body", [None, 3, [], {"messages": 3, "answers": 3}, {"messages": ["x"], "answers": ["y"]}])
def test_what_is_no_request_is_refused(protocol: str, body: Any) -> None:
    """With a text for whoever has sent it."""
    with pytest.raises(MalformedRequest, match="not a request of the protocol") as caught:
        parse(protocol, body)
    assert caught.value.protocol == protocol


@pytest.mark.protocol("ai-sdk")
@pytest.mark.parametrize(
    ("value", "approvals", "answer"),
    [
        ({"tool_call_id": "c1"}, {"i1": {"approved": True}}, {"approved": True}),
        ({"tool_call_id": "c1"}, {"i1": {"approved": False, "reason": "no"}}, {"approved": False, "reason": "no"}),
        (
            {"action_requests": [{"name": "a"}, {"name": "b"}]},
            {"i1/0": {"approved": True}, "i1/1": {"approved": False, "reason": "no"}},
            {"decisions": [{"type": "approve"}, {"type": "reject", "message": "no"}]},
        ),
        ({"action_requests": [{"name": "a"}, {"name": "b"}]}, {"i1/0": {"approved": True}}, None),
        ("sure?", {"i1": {"approved": True}}, None),
    ],
)
def test_consents_are_answers(value: Any, approvals: dict[str, Any], answer: Any) -> None:
    """In the form in which the graph has asked, when all of them are there."""
    parts = [
        {
            "type": "dynamic-tool", "toolName": "t", "toolCallId": f"c{n}", "state": "approval-responded",
            "approval": {"id": approval_id, **said},
        }
        for n, (approval_id, said) in enumerate(approvals.items())
    ]  # fmt: skip
    message = {"id": "a1", "role": "assistant", "parts": [*parts, question(value=value)]}
    body = {"id": "c", "messages": [USER, message]}
    if answer is None:
        with pytest.raises(MalformedRequest, match="neither"):
            parse("ai-sdk", body)
        return
    asked = parse("ai-sdk", body)
    assert asked.answers == {"i1": answer}
    assert (asked.continues, bool(asked.calls)) == ("a1", True)


@pytest.mark.protocol("ai-sdk")
def test_what_there_is_not_is_refused() -> None:
    """Protocols and state, by name."""
    with pytest.raises(UnknownProtocol, match="'ai-sdk'"):
        parse("soap", {})
    with pytest.raises(UnknownProtocol):
        open_sink("soap", run_id="1")
    with pytest.raises(UnknownInclude, match="checkpoints"):
        open_sink("ai-sdk", run_id="1", include=["secrets"])


@pytest.mark.protocol("openai")
@pytest.mark.parametrize("wanted", [{"n": 2}, {"tools": [{"type": "function"}]}, {"messages": []}, {"model": ""}])
def test_what_a_run_cannot_do_for_openai_is_refused(wanted: dict[str, Any]) -> None:
    """Several answers, tools of the caller's, and nothing at all."""
    body = {"model": "agent", "messages": [{"role": "user", "content": "Hi"}], **wanted}
    with pytest.raises(MalformedRequest):
        parse("openai", body)
