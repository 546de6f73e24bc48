"""What every protocol is told of a turn, shown by the AI SDK's chunks; and what flat protocols make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from anyiostream.sinks import Request, Status, open_sink
from anyiostream.sinks.json_patch import difference
from anyiostream.wire import Draft

from .logs import placed

pytestmark = [pytest.mark.protocol("ai-sdk"), pytest.mark.protocol("text")]


def message(event: str, at: tuple[str, ...] = (), message_id: str = "m", **fields: Any) -> Draft:
    """An event of a message."""
    return Draft("messages", at, {"event": event, "id": message_id, "run_id": f"r-{message_id}", **fields}, 1)


def text(said: str, at: tuple[str, ...] = (), message_id: str = "m", index: int = 0) -> Draft:
    """A piece of a text."""
    return message("content-block-delta", at, message_id, index=index, delta={"type": "text-delta", "text": said})


def tool(event: str, **fields: Any) -> Draft:
    """What a tool says of itself."""
    return Draft("tools", (), {"event": event, "tool_call_id": "c", **fields}, 1)


def root(event: str, **fields: Any) -> Draft:
    """What a run says of itself."""
    return Draft("lifecycle", (), {"event": event, **fields}, 1)


def chunks(*drafts: Draft, end: Status | None = "cut", **options: Any) -> list[Any]:
    """The chunks of a turn."""
    sink = open_sink("ai-sdk", run_id="r", **options)
    body = b"".join(map(sink.encode, placed(list(drafts))))
    if end is not None:
        body += sink.end(end)
    return [json.loads(line[6:]) for line in body.decode().split("\n") if line.startswith("data: {")]


def kinds(*drafts: Draft, **options: Any) -> list[str]:
    """What kinds of chunks they are."""
    return [each["type"] for each in chunks(*drafts, **options)]


def flat(*drafts: Draft) -> str:
    """What plain text shows."""
    sink = open_sink("text", run_id="r")
    return b"".join(map(sink.encode, placed(list(drafts)))).decode()


FINISH = {"finish-step", "finish"}


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (root("completed"), ["finish-step", "finish"]),
        (root("failed", error="no"), ["error", "finish-step", "finish"]),
        (root("failed", error="no", reason="aborted"), ["abort"]),
        (root("interrupted", reason="drained"), ["finish-step", "finish"]),
    ],
)
def test_whatever_ends_the_turn_closes_what_is_open(end: Draft, last: list[str]) -> None:
    """Before the end is told; and nothing is told after it."""
    told = kinds(root("running"), text("a"), text("b", message_id="n"), end, text("late"), root("completed"))
    opened = ["text-start", "text-delta", "text-start", "text-delta", "text-end", "text-end"]
    assert told == ["start", "start-step", *opened, *last]


@pytest.mark.protocol("ag-ui")
@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (root("completed"), "success"),
        (root("failed", error="no", reason="aborted"), "cancelled"),
        (root("interrupted", reason="drained"), "cancelled"),
        (root("interrupted"), "success"),
    ],
)
def test_an_outcome_of_ag_ui_says_whether_the_run_was_stopped(end: Draft, outcome: str) -> None:
    """A breakpoint without a question stops nothing, and there is nothing to answer."""
    sink = open_sink("ag-ui", run_id="r")
    *_, last = b"".join(map(sink.encode, placed([root("running"), text("a"), end]))).decode().split("data: ")
    assert json.loads(last)["outcome"] == {"type": outcome}


def test_a_turn_without_an_end_is_cut() -> None:
    """Which is no success."""
    told = chunks(text("a"))
    assert [each["type"] for each in told[-3:]] == ["error", "finish-step", "finish"]
    assert told[-1]["finishReason"] == "error"


def test_tools_without_a_result_do_not_look_at_work_for_ever() -> None:
    """If the turn fails, is stopped or is cut; but not if it waits for its user."""
    started = tool("tool-started", tool_name="t", input={})
    assert "tool-output-error" in kinds(started, root("failed"))
    assert "tool-output-error" in kinds(started)
    assert "tool-output-error" not in kinds(started, root("interrupted"))


def test_what_a_block_did_not_say_in_pieces_is_said_at_its_end() -> None:
    """Whole messages have no pieces; and a block whose start was not seen may have lost some."""
    start = message("content-block-start", index=0, content={"type": "text", "text": ""})
    finish = message("content-block-finish", index=0, content={"type": "text", "text": "Good morning"})
    for before in ([start], [start, text("Good ")], []):
        told = chunks(*before, finish)
        assert "".join(each["delta"] for each in told if each["type"] == "text-delta") == "Good morning"
    late = chunks(text("morning"), finish)
    assert [each["delta"] for each in late if each["type"] == "text-delta"] == ["morning"]


def test_what_takes_the_place_of_a_text_ends_it() -> None:
    """A call, in pieces or whole: graphs may write anything."""
    piece = message("content-block-delta", index=0, delta={"type": "tool-call-delta", "args": "{}"})
    whole = message("content-block-finish", index=0, content={"type": "tool_call", "id": "c", "name": "t", "args": {}})
    for call in (piece, whole):
        told = kinds(text("a"), call, root("completed"))
        assert told.index("text-end") < told.index("tool-input-start")


@pytest.mark.protocol("ag-ui")
def test_a_text_has_its_messages_id_after_reasoning_too() -> None:
    """So that the calls of the message stand in the message that has its text."""
    thought = message("content-block-delta", index=0, delta={"type": "reasoning-delta", "reasoning": "hm"})
    call = {"type": "tool_call", "id": "c", "name": "t", "args": {}}
    called = message("content-block-finish", index=2, content=call)
    sink = open_sink("ag-ui", run_id="r")
    drafts = [root("running"), thought, text("a", index=1), text("b", index=3), called, root("completed")]
    lines = b"".join(map(sink.encode, placed(drafts))).decode().split("\n")
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert [each["messageId"] for each in told if each["type"] == "TEXT_MESSAGE_START"] == ["m", "m:3"]
    assert [each["messageId"] for each in told if each["type"] == "REASONING_START"] == ["m:reasoning"]
    assert [each["parentMessageId"] for each in told if each["type"] == "TOOL_CALL_START"] == ["m"]


def test_a_call_whose_arguments_are_wrong_has_no_result() -> None:
    """It is not made, so it must not look at work."""
    content = {"type": "invalid_tool_call", "id": "c", "name": "t", "args": '{"a', "error": "it breaks off"}
    for given, why in ((content, "it breaks off"), ({**content, "error": None}, "The arguments are no JSON object.")):
        told = chunks(message("content-block-finish", index=0, content=given), root("completed"))
        assert [each["input"] for each in told if each["type"] == "tool-input-available"] == ['{"a']
        assert [each["errorText"] for each in told if each["type"] == "tool-output-error"] == [why]


@pytest.mark.protocol("openai")
@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"done_reason": "length"}, "length"),
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"finish_reason": "content_filter"}, "content_filter"),
        ({"finish_reason": "SAFETY"}, "content_filter"),
        ({"finish_reason": "tool_calls"}, "stop"),
        ({"finish_reason": ["length"], "incomplete_details": "length"}, "stop"),
        (None, "stop"),
    ],
)
def test_an_answer_that_is_not_whole_says_so(metadata: Any, reason: str) -> None:
    """Its reader may ask for the rest, and must not take it for all of it."""
    said = [text("a"), message("message-finish", metadata=metadata)]
    told = chunks(root("running"), *said, root("completed"))
    assert told[-1]["finishReason"] == reason.replace("_", "-")
    more = [text("b", message_id="n"), message("message-finish", message_id="n", metadata={"finish_reason": "stop"})]
    assert chunks(*said, *more, root("completed"))[-1]["finishReason"] == "stop"
    for stream in (True, False):
        sink = open_sink("openai", run_id="r", request=Request(stream=stream, assistant="m"))
        body = b"".join(map(sink.encode, placed([root("running"), *said, root("completed")]))).decode()
        assert f'"finish_reason":"{reason}"' in body


def test_a_refusal_is_said() -> None:
    """It is all that the model has to say."""
    start = message("content-block-start", index=0, content={"type": "refusal", "refusal": ""})
    finish = message("content-block-finish", index=0, content={"type": "refusal", "refusal": "I cannot."})
    told = chunks(start, finish, root("completed"))
    assert [each["delta"] for each in told if each["type"] == "text-delta"] == ["I cannot."]
    assert flat(start, finish, root("completed")) == "I cannot."


def test_a_call_is_told_once() -> None:
    """Also if a message and the tool tell of it, or two messages."""
    content = {"type": "tool_call", "id": "c", "name": "t", "args": {"q": 1}}
    told = kinds(
        message("content-block-finish", index=0, content=content),
        message("content-block-finish", message_id="n", index=0, content=content),
        tool("tool-started", tool_name="t", input={"q": 1}),
        tool("tool-finished", output=2),
    )
    assert told.count("tool-input-start") == told.count("tool-input-available") == 1
    assert told.count("tool-output-available") == 1


@pytest.mark.parametrize("written", [dict, lambda given: {**given, "role": given.pop("type")}, lambda given: [given]])
def test_a_result_that_a_node_has_written_is_the_calls(written: Any) -> None:
    """Nodes may call tools in their own way, or not at all: then the tools say nothing."""
    call = message("content-block-finish", index=0, content={"type": "tool_call", "id": "c", "name": "t", "args": {}})

    def update(*given: Any) -> Draft:
        return Draft("updates", (), {"node": {"messages": [written(each) for each in given]}}, 1)

    result = {"type": "tool", "content": "found", "tool_call_id": "c", "status": "success"}
    refused = {**result, "content": "refused", "status": "error"}
    other = {**result, "tool_call_id": "another"}
    told = chunks(call, update({"type": "ai", "content": "x"}, other, dict(result)), root("completed"))
    assert [each["output"]["content"] for each in told if each["type"] == "tool-output-available"] == ["found"]
    assert "data-updates" not in {each["type"] for each in told}
    told = chunks(call, update(dict(refused)), update(dict(result)), root("completed"), include=["updates"])
    assert [each["errorText"] for each in told if each["type"] == "tool-output-error"] == ["refused"]
    assert "tool-output-available" not in {each["type"] for each in told}
    assert "data-updates" in {each["type"] for each in told}
    said = chunks(call, tool("tool-finished", output=1), update(dict(result)), root("completed"))
    assert [each["output"] for each in said if each["type"] == "tool-output-available"] == [1]


def test_an_error_that_is_a_tools_answer_is_an_error() -> None:
    """Whether the tool says it itself, or a node writes it."""
    refused = {"type": "tool", "content": "refused", "tool_call_id": "c", "status": "error"}
    told = chunks(tool("tool-started", tool_name="t", input={}), tool("tool-finished", output=refused))
    assert [each["errorText"] for each in told if each["type"] == "tool-output-error"] == ["refused"]
    assert "tool-output-available" not in {each["type"] for each in told}


def test_a_result_that_the_front_end_has_is_not_told_again() -> None:
    """Nodes may write all messages anew."""
    messages = [{"type": "tool", "content": "found", "tool_call_id": each} for each in ("c", "d")]
    update = Draft("updates", (), {"node": {"messages": messages}}, 1)
    told = chunks(update, root("completed"), request=Request(calls={"c": "t", "d": "t"}, results=("c",)))
    assert [each["toolCallId"] for each in told if each["type"] == "tool-output-available"] == ["d"]


def test_consent_is_asked_for_a_call_that_has_no_result() -> None:
    """Where the question names a tool only: what has been called already keeps its result."""
    asked = {"interrupt_id": "i", "payload": {"action_requests": [{"name": "t", "args": {"q": 1}}]}}
    question = [Draft("input.requested", (), asked, 1), root("interrupted")]
    called = tool("tool-started", tool_name="t", input={"q": 1})
    waiting = chunks(called, *question)
    assert [each["toolCallId"] for each in waiting if each["type"] == "tool-approval-request"] == ["c"]
    told = chunks(called, tool("tool-finished", output=1), *question)
    assert [each["toolCallId"] for each in told if each["type"] == "tool-approval-request"] == ["i/0"]
    assert [each["input"] for each in told if each["type"] == "tool-input-available"] == [{"q": 1}, {"q": 1}]


def test_output_in_pieces_does_not_grow_with_its_square() -> None:
    """It is told so far whenever it has grown by a quarter."""
    told = chunks(tool("tool-started", tool_name="t"), *[tool("tool-output-delta", delta="x" * 10)] * 1000)
    outputs = [each["output"] for each in told if each["type"] == "tool-output-available"]
    assert sum(map(len, outputs)) < 6 * 10_000
    assert len(outputs[-1]) > 10_000 / 1.3


def test_output_that_comes_to_no_end_is_told_as_far_as_it_came() -> None:
    """All of it, however small its last piece was."""
    told = chunks(
        tool("tool-started"), tool("tool-output-delta", delta="long text"), tool("tool-output-delta", delta="x")
    )
    assert [each["output"] for each in told if "output" in each][-1] == "long textx"
    over = chunks(tool("tool-output-delta", delta="a"), tool("tool-finished", output="b"), root("completed"))
    assert [each["output"] for each in over if "output" in each] == ["a", "b"]


def test_messages_of_ones_user_are_not_the_models() -> None:
    """Graphs may emit them, too."""
    human = message("message-start", role="human")
    assert kinds(human, text("hi"), root("completed")) == ["start", "start-step", "finish-step", "finish"]


def test_an_id_that_is_used_again_is_another_one() -> None:
    """Readers would take the second message for the first one's end."""
    told = chunks(text("a"), message("message-finish"), message("message-start", role="ai"), text("b"))
    assert [each["id"] for each in told if each["type"] == "text-start"] == ["m", "m#2"]


OWN_IDS = {
    "data-progress": "id",
    "source-url": "sourceId",
    "tool-input-start": "toolCallId",
    "TOOL_CALL_START": "toolCallId",
    "TOOL_CALL_RESULT": "messageId",
}
"""Where a chunk has an id that the sink may have made: by the chunk's type."""


def own_ids(protocol: str, run_ids: str, request: Request | None = None) -> list[str]:
    """The ids that a sink makes by counting, in a turn of these runs, whose graph gives none."""
    block = {"type": "text", "text": "x", "annotations": [{"type": "citation", "url": "http://x"}]}
    call = {"type": "tool_call", "name": "t", "args": {}}
    drafts: list[Draft] = []
    for run_id in run_ids:
        drafts += [
            root("running", run_id=run_id),
            *[Draft("custom", (), {"name": "progress", "payload": done}, 1) for done in range(2)],
            Draft("custom", ("a:1",), {"name": "progress", "payload": 2}, 1),
            message("content-block-finish", message_id=run_id, index=0, content=block),
            message("content-block-finish", message_id=run_id, index=1, content=call),
            tool("tool-finished", output=1),
        ]
    sink = open_sink(protocol, run_id="as its front end calls it", request=request)
    lines = b"".join(map(sink.encode, placed(drafts))).decode().split("\n")
    told = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return [each[OWN_IDS[each["type"]]] for each in told if each["type"] in OWN_IDS]


@pytest.mark.parametrize("protocol", ["ai-sdk", pytest.param("ag-ui", marks=pytest.mark.protocol("ag-ui"))])
def test_a_run_that_goes_on_gives_no_id_of_the_run_before(protocol: str) -> None:
    """It would replace what the page has of that one. Who comes back is told all of it with the same ids."""
    first = own_ids(protocol, "1")
    mine = {*first} - {"c"}
    assert len(first) == len(mine) + 1 > 2
    then = own_ids(protocol, "2", Request(continues="1", calls=dict.fromkeys(first, "t")))
    assert mine & {*then} == set()
    replayed = own_ids(protocol, "12")
    assert [each for each in replayed if each != "c"] == [each for each in first + then if each != "c"]


def test_a_run_that_has_no_id_of_its_own_has_that_of_its_response() -> None:
    """Runs in a response do not say theirs."""
    custom = Draft("custom", (), {"name": "progress", "payload": 1}, 1)
    assert [each["id"] for each in chunks(custom) if "id" in each] == ["r:progress-1"]


def test_a_graph_that_goes_on_after_a_question_is_the_same_part() -> None:
    """In each run of the message, and when it is replayed; one that is called twice in a run is two."""
    inside = [Draft("lifecycle", ("a:1",), {"event": event}, 1) for event in ("started", "interrupted")]
    again = [root("running", run_id="2"), *inside]

    def ids(*drafts: Draft) -> list[str]:
        return [each["id"] for each in chunks(*drafts) if each["type"] == "data-subgraph"]

    assert ids(root("running", run_id="1"), *inside, *again) == ids(*again) * 2 == ["a:1"] * 4
    assert ids(*again, *inside) == ["a:1", "a:1", "a:1#2", "a:1#2"]


def test_a_model_that_is_called_after_a_tool_begins_a_step() -> None:
    """As the AI SDK has it, which sends the steps back to models."""
    told = kinds(tool("tool-started", tool_name="t"), tool("tool-finished", output=1), text("a"), root("completed"))
    place = told.index("tool-output-available")
    assert told[place + 1 : place + 4] == ["finish-step", "start-step", "text-start"]


def test_what_an_inner_graph_says_is_marked() -> None:
    """And its graphs are told of, those around it first."""
    told = chunks(text("deep", at=("a:1", "b:2")))
    graphs = [each["data"]["name"] for each in told if each["type"] == "data-subgraph"]
    assert graphs == ["a", "b", "b", "a"]
    (opened,) = [each for each in told if each["type"] == "text-start"]
    assert opened["providerMetadata"] == {"anyiostream": {"namespace": ["a:1", "b:2"]}}


def test_flat_texts_come_one_after_the_other() -> None:
    """The first as it comes; what others say meanwhile waits for its end."""
    one = [text("1a", message_id="1"), text("2a", message_id="2"), text("1b", message_id="1")]
    ends = [message("message-finish", message_id="2"), message("message-finish", message_id="1")]
    assert flat(*one) == "1a1b"
    assert flat(*one, *ends) == "1a1b\n\n2a"
    assert flat(*one, ends[1], text("2b", message_id="2")) == "1a1b\n\n2a2b"


@pytest.mark.parametrize(
    ("before", "after", "operations"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": [1]}, {"a": [1, 2]}, [{"op": "add", "path": "/a/-", "value": 2}]),
        ({"a/~": 1}, {}, [{"op": "remove", "path": "/a~1~0"}]),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [{"op": "replace", "path": "/a/b", "value": 2}]),
        ({"a": [1, 2]}, {"a": [1]}, [{"op": "replace", "path": "/a", "value": [1]}]),
        ({"a": 1}, {"a": True}, [{"op": "replace", "path": "/a", "value": True}]),
    ],
)
def test_state_that_has_changed_is_told_by_what_has(before: Any, after: Any, operations: Any) -> None:
    """In a JSON Patch."""
    assert list(difference(before, after)) == operations
