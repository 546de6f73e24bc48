"""Builders of parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

import pytest

from anyiostream import StreamPart, ToolCallTransformer, convert_to_protocol_event, open_run, parts, payloads

BUILT: dict[str, Callable[..., StreamPart]] = {
    "values": lambda **ns: parts.values({"n": 1}, **ns),
    "updates": lambda **ns: parts.updates({"node": {"n": 1}}, **ns),
    "custom": lambda **ns: parts.custom("x", **ns),
    "checkpoints": lambda **ns: parts.checkpoints({"values": {}}, **ns),
    "debug": lambda **ns: parts.debug({"step": 1}, **ns),
    "messages": lambda **ns: parts.messages("token", {"run_id": "1"}, **ns),
    "tools": lambda **ns: parts.tools({"event": "tool-started", "tool_call_id": "1"}, **ns),
    "message_start": lambda **ns: parts.message_start("1", **ns),
    "block_start": lambda **ns: parts.block_start("1", {"type": "text", "text": ""}, **ns),
    "text_delta": lambda **ns: parts.text_delta("1", "Good ", **ns),
    "reasoning_delta": lambda **ns: parts.reasoning_delta("1", "Hm.", **ns),
    "tool_call_delta": lambda **ns: parts.tool_call_delta("1", "{", **ns),
    "block_finish": lambda **ns: parts.block_finish("1", {"type": "text", "text": "Good "}, **ns),
    "message_finish": lambda **ns: parts.message_finish("1", **ns),
    "message_error": lambda **ns: parts.message_error("1", "no", **ns),
    "tool_started": lambda **ns: parts.tool_started("1", "search", **ns),
    "tool_output_delta": lambda **ns: parts.tool_output_delta("1", "a page", **ns),
    "tool_finished": lambda **ns: parts.tool_finished("1", "two pages", **ns),
    "tool_error": lambda **ns: parts.tool_error("1", "no", **ns),
    "task_start": lambda **ns: parts.task_start("1", "node", **ns),
    "task_result": lambda **ns: parts.task_result("1", "node", **ns),
}

BLOCKS: dict[str, tuple[type, Mapping[str, Any]]] = {
    "text_block": (payloads.TextBlock, parts.text_block("At six.")),
    "reasoning_block": (payloads.ReasoningBlock, parts.reasoning_block("Hm.")),
    "tool_call_chunk": (payloads.ToolCallChunk, parts.tool_call_chunk("c1", "search")),
    "tool_call_block": (payloads.ToolCallBlock, parts.tool_call_block("c1", "search", {"q": 1})),
    "invalid_tool_call_block": (payloads.InvalidToolCallBlock, parts.invalid_tool_call_block("c1", "s", "{", "no")),
    "server_tool_call_block": (payloads.ServerToolCallBlock, parts.server_tool_call_block("s1", "web", {})),
    "server_tool_result_block": (payloads.ServerToolResultBlock, parts.server_tool_result_block("s1", ["a page"])),
    "non_standard_block": (payloads.NonStandardBlock, parts.non_standard_block({"x": 1})),
}
"""Builders of content blocks: the type of what each builds, and an example."""

METHODS = {
    "task": "tasks",
    "tool": "tools",
    "tool_call_delta": "messages",
    **dict.fromkeys(("message", "block", "text", "reasoning"), "messages"),
}
"""How a builder's name begins -> the method of what it builds; otherwise the name is the method."""


def test_every_builder_is_tested_here() -> None:
    """The table of this module names every builder."""
    assert sorted([*BUILT, *BLOCKS]) == sorted(parts.__all__)


def test_every_event_of_a_run_has_a_builder() -> None:
    """But `lifecycle`, which the run makes of other parts."""
    methods = {get_args(get_type_hints(each)["method"])[0] for each in get_args(payloads.RunEvent)}
    built = {convert_to_protocol_event(build())["method"] for build in BUILT.values()}
    assert methods - built == {"lifecycle"}
    with open_run([parts.task_start("1", "search", ns=("a:1",)), parts.task_result("1", "a")]) as run:
        assert [event["method"] for event in run] == ["lifecycle", "lifecycle"]


def test_every_content_block_has_a_builder() -> None:
    """Of a message as it is finished, and as it comes."""
    assert {kind for kind, _ in BLOCKS.values()} == set(get_args(payloads.AnyBlock))


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_builder_makes_a_content_block(name: str) -> None:
    """With the keys of its type, and the type that tells it."""
    kind, block = BLOCKS[name]
    hints = get_type_hints(kind)
    assert block.keys() == hints.keys()
    assert (block["type"],) == get_args(hints["type"])
    for build in (parts.block_start, parts.block_finish):
        payload, _ = build("m1", block)["data"]
        assert payload["content"] == block


@pytest.mark.parametrize("name", sorted(BUILT))
def test_a_builder_makes_a_part(name: str) -> None:
    """What a builder returns converts to an event of its type, at the graph's own level."""
    event = convert_to_protocol_event(BUILT[name]())
    assert event["method"] == METHODS.get(name) or METHODS.get(name.partition("_")[0], name)
    assert event["params"]["namespace"] == []


@pytest.mark.parametrize("name", sorted(BUILT))
def test_a_builder_takes_a_namespace(name: str) -> None:
    """With `ns` the part is produced at that namespace."""
    assert BUILT[name](ns=("a:1",))["ns"] == ("a:1",)


def test_data_is_the_object_given() -> None:
    """Payloads are passed on as they are."""
    state: dict[str, int] = {}
    assert parts.tools(state)["data"] is state
    assert parts.values(state)["data"] is state
    assert parts.updates(state)["data"] is state
    assert parts.custom(state)["data"] is state
    assert parts.debug(state)["data"] is state
    assert parts.checkpoints(state)["data"] is state


def test_values_always_has_interrupts() -> None:
    """A snapshot carries its interrupts as a tuple, empty if there are none."""
    assert parts.values({})["interrupts"] == ()
    assert parts.values({}, interrupts=iter(["a", "b"]))["interrupts"] == ("a", "b")


def test_a_message_is_a_pair() -> None:
    """The data of a message part is (payload, metadata), metadata being an own dict if none is given."""
    assert parts.messages("token", {"run_id": "1"})["data"] == ("token", {"run_id": "1"})
    first, second = parts.messages("a")["data"][1], parts.messages("b")["data"][1]
    assert first == second == {}
    assert first is not second


def test_a_task_start_tells_what_runs() -> None:
    """The payload of a task's start is as LangGraph's; metadata is there only if given."""
    data = parts.task_start("1", "node", input={"a": 1}, triggers=iter(["branch"]))["data"]
    assert data == {"id": "1", "name": "node", "input": {"a": 1}, "triggers": ["branch"]}
    metadata: Any = parts.task_start("1", "node", metadata={"lc_agent_name": "x"})["data"]["metadata"]
    assert metadata == {"lc_agent_name": "x"}


def test_a_task_result_tells_how_it_ended() -> None:
    """The payload of a task's result has a result, an error and a list of interrupts."""
    data = parts.task_result("1", "node", result={"a": 1}, error="no", interrupts=("wait",))["data"]
    assert data == {"id": "1", "name": "node", "error": "no", "result": {"a": 1}, "interrupts": ["wait"]}
    assert parts.task_result("1", "node")["data"] == {
        "id": "1",
        "name": "node",
        "error": None,
        "result": None,
        "interrupts": [],
    }


def test_a_message_and_a_tool_call_are_read_as_they_were_built() -> None:
    """The pieces of one model call have its id in common, those of one call of a tool have that."""
    graph = [
        parts.message_start("m"),
        parts.text_delta("m", "Good "),
        parts.text_delta("m", "morning"),
        parts.message_finish("m", usage={"total_tokens": 2}),
        parts.tool_started("t", "search", {"q": "x"}),
        parts.tool_output_delta("t", "a page"),
        parts.tool_finished("t", ["a page"]),
    ]
    with open_run(graph, transformers=[ToolCallTransformer]) as run:
        message, call = (item for _, item in run.interleave("messages", "tool_calls"))
    assert (message.output.text, message.usage) == ("Good morning", {"total_tokens": 2})
    assert (call.tool_name, call.input, call.output) == ("search", {"q": "x"}, ["a page"])
