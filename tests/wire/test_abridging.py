"""An event that is too large: what stays of it, and what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyiostream.tooling import CUT
from anyiostream.wire import Draft, Entry, channel_of
from anyiostream.wire.abridging import ABRIDGED, LEAST, PART, abridged

MOST = 64 * 1024
"""Bytes that an event may take here."""

HUGE = "x" * MOST

CALL = {"id": "m1", "run_id": "r1"}

ASKED = [{"id": f"i{n}", "value": HUGE} for n in range(3)]

EVENTS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "values": ("values", {"step": 1, "text": HUGE, "messages": [{"type": "ai", "id": "a1", "content": HUGE}]}, {}),
    "a value that is a text": ("values", HUGE, {}),
    "a value that is a list": ("values", [HUGE, HUGE, 1], {}),
    "values with questions": ("values", {"step": 1}, {"interrupts": ASKED}),
    "updates": ("updates", {"node": {"text": HUGE}, "__metadata__": {"cached": True}}, {}),
    "the updates of questions": ("updates", {"__interrupt__": ASKED}, {}),
    "message-start": ("messages", {"event": "message-start", **CALL, "metadata": {"model": HUGE}}, {"node": "n"}),
    "a piece of a text": (
        "messages",
        {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": HUGE}, **CALL},
        {"node": "n"},
    ),
    "a piece of a call": (
        "messages",
        {
            "event": "content-block-delta", "index": 0, **CALL,
            "delta": {"type": "tool-call-delta", "args": HUGE}, "content": {"type": "tool_call_chunk", "args": HUGE},
        },
        {},
    ),
    "an image": (
        "messages",
        {"event": "content-block-finish", "index": 0, "content": {"type": "image", "base64": HUGE, "id": "f1"}, **CALL},
        {},
    ),
    "message-finish": (
        "messages", {"event": "message-finish", "usage": {"input_tokens": 1}, "metadata": HUGE, **CALL}, {},
    ),
    "tool-started": ("tools", {"event": "tool-started", "tool_call_id": "c1", "tool_name": "t", "input": [HUGE]}, {}),
    "tool-finished": ("tools", {"event": "tool-finished", "tool_call_id": "c1", "output": {"content": HUGE}}, {}),
    "tool-error": ("tools", {"event": "tool-error", "tool_call_id": "c1", "message": HUGE}, {}),
    "a task": ("tasks", {"id": "t1", "name": "n", "input": {"text": HUGE}, "interrupts": []}, {}),
    "the result of a task": ("tasks", {"id": "t1", "name": "n", "result": [HUGE], "error": None, "interrupts": []}, {}),
    "a task that asks": ("tasks", {"id": "t1", "name": "n", "result": {}, "error": None, "interrupts": ASKED}, {}),
    "a named channel": ("custom", {"name": "progress", "payload": [HUGE]}, {}),
    "what the graph writes": ("custom", {"payload": HUGE}, {"written": True}),
    "a checkpoint": ("checkpoints", {"id": "p1", "parent_id": "p0", "step": 1, "source": "loop", "more": HUGE}, {}),
    "the end of the run": ("lifecycle", {"event": "failed", "run_id": "r1", "error": "it failed.", "more": HUGE}, {}),
    "a question": ("input.requested", {"interrupt_id": "i1", "payload": {"a": HUGE}, "value": {"a": HUGE}}, {}),
}  # fmt: skip
"""Every kind of event, with what may be large in it."""


def size_of(draft: Draft) -> int:
    """Bytes of an event."""
    return len(Entry.of(draft, 1, "1-1").body)


def made(draft: Draft, most: int = MOST) -> Draft:
    """What becomes of an event."""
    return abridged(draft, size_of(draft), most)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], Any]:
    """What a value has at its ends."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not inner:
        return {path: value}
    return {place: end for name, each in inner for place, end in leaves(each, (*path, name)).items()}


@pytest.mark.parametrize("name", EVENTS)
def test_what_an_event_is_stays(name: str) -> None:
    """Its form, and all of it that is small; the rest is as much as there is room for, and marked as such."""
    method, data, extra = EVENTS[name]
    draft = Draft(method, ("g:1",) if method == "tools" else (), data, 7, extra)
    shown = made(draft)
    assert size_of(draft) > MOST
    assert size_of(shown) <= MOST // PART + 500
    assert (shown.method, shown.namespace, shown.timestamp) == (draft.method, draft.namespace, draft.timestamp)
    assert (shown.channel, shown.root_event) == (draft.channel, draft.root_event)
    told = dict(shown.extra)
    mark = told.pop(ABRIDGED)
    assert (mark["bytes"], mark["limit"]) == (size_of(draft), MOST)
    assert f"{size_of(draft)} bytes" in mark["message"]
    assert f"Limits.event is {MOST}" in mark["message"]
    before, after = leaves([data, extra]), leaves([shown.data, told])
    assert after.keys() == before.keys()
    for place, value in before.items():
        if value == HUGE:
            assert after[place].endswith(CUT)
            assert HUGE.startswith(after[place].removesuffix(CUT))
        else:
            assert after[place] == value


def test_the_largest_parts_give_way_first() -> None:
    """What a page shows of a conversation is whole, but for the picture in it."""
    messages: list[Any] = [{"type": "human", "id": f"h{n}", "content": f"question {n}"} for n in range(20)]
    messages[7]["content"] = [{"type": "text", "text": "look"}, {"type": "image", "base64": HUGE}]
    shown = made(Draft("values", (), {"messages": messages, "document": HUGE}, 1)).data
    assert [each["id"] for each in shown["messages"]] == [each["id"] for each in messages]
    assert shown["messages"][7]["content"][0] == {"type": "text", "text": "look"}
    assert shown["messages"][:7] + shown["messages"][8:] == messages[:7] + messages[8:]
    assert shown["document"].endswith(CUT)


def test_what_has_too_many_parts_ends_before() -> None:
    """A list, an object, and a list of objects, of which each that is shown has a form."""
    many = {"list": list(range(50_000)), "object": {f"key {n}": n for n in range(50_000)}}
    objects = [{"type": "ai", "id": str(n), "content": "x" * 300} for n in range(1000)]
    shown = made(Draft("values", (), {**many, "objects": objects}, 1)).data
    assert shown.keys() == {*many, "objects"}
    assert shown["list"][-1] == CUT
    assert shown["list"][:-1] == list(range(len(shown["list"]) - 1))
    assert len(shown["list"]) > 10
    assert shown["object"].pop(CUT) == CUT
    assert shown["object"].items() <= many["object"].items()
    *whole, end = shown["objects"]
    assert end == CUT
    assert all((each["type"], each["id"]) == ("ai", str(n)) for n, each in enumerate(whole))


@pytest.mark.parametrize("method", ["values", "tasks"])
def test_every_question_can_be_answered(method: str) -> None:
    """However many there are, and however small the limit is."""
    asked = [{"id": f"interrupt {n}", "value": {"ask": HUGE}} for n in range(1000)]
    if method == "values":
        draft = Draft("values", (), {}, 1, {"interrupts": asked})
        shown = made(draft, 1).extra["interrupts"]
    else:
        draft = Draft("tasks", (), {"id": "t", "name": "n", "interrupts": asked, "result": {}}, 1)
        shown = made(draft, 1).data["interrupts"]
    assert [each["id"] for each in shown] == [each["id"] for each in asked]
    assert all("value" in each for each in shown)


def test_a_question_says_the_same_twice() -> None:
    """One client reads it here, another one there."""
    asked = {"action_requests": [{"name": f"tool {n}", "args": {"text": HUGE}} for n in range(5)], "more": [HUGE]}
    data = made(Draft("input.requested", (), {"interrupt_id": "i", "payload": asked, "value": asked}, 1)).data
    assert data["payload"] == data["value"]
    assert [each["name"] for each in data["payload"]["action_requests"]] == [f"tool {n}" for n in range(5)]


def test_names_are_not_abridged() -> None:
    """An event that is large for nothing else stays as it is."""
    draft = Draft("values", ("x" * MOST,), {"step": 1}, 1)
    assert made(draft) is draft


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)

json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=400),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=80), inner, max_size=30),
    max_leaves=60,
)


@given(st.sampled_from(["values", "tasks", "custom", "messages", "updates"]), json_values, st.integers(1, 5000))
def test_anything_can_be_abridged(method: str, data: Any, most: int) -> None:
    """It is bounded, whatever it is; what was given is left as it is."""
    draft = Draft(method, (), data, 1, {"node": "n"})
    before = json.dumps(data)
    shown = made(draft, most)
    assert json.dumps(data) == before
    assert shown.channel == channel_of(method, shown.data)
    # A character takes up to 6 bytes; questions and the protocol's own fields are left whatever the limit.
    assert size_of(shown) <= 6 * max(most // PART, LEAST) + 30 * 256 + 1000 or shown is draft
