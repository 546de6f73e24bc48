"""The events of model calls at every namespace, whatever form their parts have."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

from anyiostream.projections.messages.calls import ModelCalls

from .reading import finish, start, text

A, B = {"run_id": "a"}, {"run_id": "b"}


def told(*data: Any, calls: ModelCalls | None = None, ns: tuple[str, ...] = ()) -> list[tuple[Any, str]]:
    """(call, event) of payloads."""
    calls = calls or ModelCalls()
    return [(each.call, each.event["event"]) for payload in data for each in calls.events(ns, payload)]


def test_calls_are_told_apart() -> None:
    """By run id and namespace."""
    calls = ModelCalls()
    here = told((start(), A), (start(), B), (finish(), A), calls=calls)
    there = told((start(), A), calls=calls, ns=("inner:1",))
    assert [event for _, event in here] == ["message-start", "message-start", "message-finish"]
    assert here[0][0] == here[2][0]
    assert len({here[0][0], here[1][0], there[0][0]}) == 3


def test_calls_without_a_run_id_are_told_by_their_node() -> None:
    """And its checkpoint namespace, as `run.messages` does."""
    first, second = ({"langgraph_node": "n", "langgraph_checkpoint_ns": ns} for ns in ("n:1", "n:2"))
    assert len({call for call, _ in told((start(), first), (start(), second))}) == 2


def test_what_has_no_start_is_passed_over() -> None:
    """Also what comes after the end, and tool messages."""
    (piece,) = text("x")
    assert told((piece, A), (finish(), A)) == []
    assert told((start(role="tool"), A), (piece, A), (finish(), A)) == []
    after = told((start(), A), (finish(), A), (piece, A))
    assert [event for _, event in after] == ["message-start", "message-finish"]


@pytest.mark.parametrize("data", [None, 1, (), (1, 2, 3), ("text", {}), (ToolMessage("x", tool_call_id="t"), {})])
def test_what_is_no_message_gives_nothing(data: Any) -> None:
    """Payloads of any other shape."""
    assert told(data) == []


def test_metadata_that_is_none() -> None:
    """Is taken for none at all."""
    assert [event for _, event in told((start(), None), (finish(), None))] == ["message-start", "message-finish"]


def test_chunks_become_events() -> None:
    """Of one call, until the last chunk, or the whole message."""
    chunks = [(AIMessageChunk("a", id="1"), A), (AIMessageChunk("b", id="1", chunk_position="last"), A)]
    expected = [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ]
    for given in (chunks, [chunks[0], (AIMessageChunk("b", id="1"), A), (AIMessage("ab", id="1"), A)]):
        events = told(*given)
        assert [event for _, event in events] == expected
        assert len({call for call, _ in events}) == 1


def test_whole_messages_are_marked() -> None:
    """Nothing is known of the call that made them."""
    events = list(ModelCalls().events((), (AIMessage("hi", id="1"), A)))
    assert events[0].event["event"] == "message-start"
    assert events[-1].event["event"] == "message-finish"
    assert all(each.call.whole for each in events)


def test_a_call_ends_once_though_its_task_and_its_handler_have() -> None:
    """A handler of errors may call a task that fails, and catch that."""
    calls = ModelCalls()
    (begun,) = calls.events((), (start(), {**A, "langgraph_checkpoint_ns": "n:1|__error_handler__n:2|called:3"}))
    assert list(calls.task_ended((), {"id": "3", "name": "called", "error": "no"})) == []
    ended = calls.task_ended((), {"id": "2", "name": "__error_handler__n", "result": {}})
    assert [(each.call, each.event["event"]) for each in ended] == [(begun.call, "error")]
    assert len(calls) == 0
