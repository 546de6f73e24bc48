"""What front ends ask for, in no protocol's terms; and what is none of it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from anyiostream.sinks import PROTOCOLS, MalformedRequest, Request, UnknownInclude, UnknownProtocol, open_sink, parse
from anyiostream.sinks.ai_sdk_history import ui_messages

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
def test_a_file_keeps_its_name_and_comes_back_as_it_was() -> None:
    """Some models need it; and a page that is loaded anew shows the file."""
    files = [
        {"type": "file", "url": "data:text/csv;base64,AA==", "mediaType": "text/csv", "filename": "a.csv"},
        {"type": "file", "url": "https://x/y.png", "mediaType": "image/png"},
    ]
    given = parse("ai-sdk", {"id": "c", "messages": [{**USER, "parts": [*USER["parts"], *files]}]}).input
    assert given["messages"][0]["content"] == [
        {"type": "text", "text": "Hi"},
        {"type": "file", "mime_type": "text/csv", "base64": "AA==", "extras": {"filename": "a.csv"}},
        {"type": "image", "mime_type": "image/png", "url": "https://x/y.png"},
    ]
    (message,) = ui_messages(given)
    assert message["parts"] == [{"type": "text", "text": "Hi", "state": "done"}, *files]


THOUGHTS: list[tuple[Any, dict[str, Any]]] = [
    ([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Hi"}], {}),
    ([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Hi"}], {}),
    ([{"type": "reasoning", "id": "1", "summary": [{"type": "summary_text", "text": "hm"}]}, "Hi"], {}),
    ("Hi", {"reasoning_content": "hm"}),
]
"""What models have thought and said, as LangChain's messages keep it: the content, and more."""


@pytest.mark.parametrize(("content", "more"), THOUGHTS)
def test_the_history_has_what_a_model_has_thought(content: Any, more: dict[str, Any]) -> None:
    """In whatever form its provider has it."""
    (message,) = ui_messages({"messages": [{"type": "ai", "id": "1", "content": content, "additional_kwargs": more}]})
    said = [(each["type"], each["text"]) for each in message["parts"] if "text" in each]
    assert said == [("reasoning", "hm"), ("text", "Hi")]


def test_tools_of_a_turn_that_has_failed_do_not_look_at_work() -> None:
    """Nor do those of an earlier one, or those whose arguments were wrong."""
    call = {"name": "t", "args": {}, "id": "c1"}
    wrong = {"name": "t", "args": "{", "id": "c2", "error": "no"}
    turn = [
        {"type": "human", "content": "Hi", "id": "1"},
        {"type": "ai", "content": "", "id": "2", "tool_calls": [call], "invalid_tool_calls": [wrong]},
    ]

    def states(messages: Any, *, finished: bool = True, failed: bool = False) -> list[Any]:
        shown = ui_messages({"messages": messages}, finished=finished, failed=failed)
        return [part["state"] for each in shown for part in each["parts"] if part["type"] == "dynamic-tool"]

    assert states(turn, failed=True) == ["output-error", "output-error"]
    assert states(turn) == ["input-available", "output-error"]
    assert states([*turn, *turn]) == ["output-error", "output-error", "input-available", "output-error"]
    assert states([*turn, *turn], finished=False, failed=True) == ["output-error", "output-error"]


@pytest.mark.protocol("ai-sdk")
def test_results_that_the_front_end_has_are_known() -> None:
    """The final ones."""
    kind = {"type": "dynamic-tool", "toolName": "t"}
    parts = [
        {**kind, "toolCallId": "c1", "state": "output-available", "output": 1},
        {**kind, "toolCallId": "c2", "state": "output-error", "errorText": "no"},
        {**kind, "toolCallId": "c3", "state": "output-available", "output": 1, "preliminary": True},
        {**kind, "toolCallId": "c4", "state": "input-available"},
    ]
    body = {"id": "c", "messages": [USER, {"id": "a1", "role": "assistant", "parts": parts}], "answers": {"i1": 1}}
    asked = parse("ai-sdk", body)
    assert asked.results == ("c1", "c2")
    assert list(asked.calls) == ["c1", "c2", "c3", "c4"]


@pytest.mark.protocol("ag-ui")
def test_results_among_the_messages_of_ag_ui_are_known() -> None:
    """Those of the call."""
    call = {"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    messages = [
        {"id": "2", "role": "assistant", "toolCalls": [call, {**call, "id": "c2"}]},
        {"id": "3", "role": "tool", "toolCallId": "c1", "content": "x"},
        {"id": "4", "role": "user", "content": "Hi"},
    ]
    asked = parse("ag-ui", {**RUN, "messages": messages})
    assert (asked.calls, asked.results) == ({"c1": "t", "c2": "t"}, ("c1",))


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
