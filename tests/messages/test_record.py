"""`MessageRecord`: one message as its events arrive, without a run."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from typing import Any

import pytest

from anyiostream import MalformedPart, MessageFailed, RunAborted
from anyiostream.outcome import COMPLETED
from anyiostream.projections.messages.assembling import assemble_chat_message
from anyiostream.projections.messages.record import MessageRecord

from .reading import block_finish, delta, finish, recorded, start, text

SEARCH = {"type": "tool_call", "id": "t1", "name": "search", "args": {"q": "x"}}


def chunk_start(index: Any = 0, **fields: Any) -> dict[str, Any]:
    """The start of a tool call's block."""
    content = {"type": "tool_call_chunk", "id": "t1", "name": "search", "args": "", **fields}
    return {"event": "content-block-start", "index": index, "content": content}


def block_delta(index: Any = 0, **fields: Any) -> dict[str, Any]:
    """A delta that gives a tool call's whole state so far."""
    given = {"type": "tool_call_chunk", **fields}
    return {"event": "content-block-delta", "index": index, "delta": {"type": "block-delta", "fields": given}}


def legacy(index: Any = 0, **block: Any) -> dict[str, Any]:
    """A delta from before deltas had a shape of their own."""
    return {"event": "content-block-delta", "index": index, "content_block": block}


def args(record: MessageRecord) -> list[str]:
    """The pieces of arguments that were shown."""
    return [chunk["args"] for chunk in record.tool_call_chunks.items]


# --- text and reasoning ---


def test_a_new_record_is_streaming_and_empty() -> None:
    """Nothing is known of a message before its first event, except what the record was made with."""
    record = MessageRecord(node="n", namespace=("a:1",), message_id="m")
    assert (record.node, record.namespace, record.message_id) == ("n", ("a:1",), "m")
    assert record.status == "streaming"
    assert record.final_text() == record.final_reasoning() == ""
    assert record.blocks() == record.final_tool_calls() == []
    assert record.usage is None
    assert record.metadata == {}
    assert record.text.outcome is None


def test_text_is_its_pieces_joined() -> None:
    """Pieces of text come out one by one, and together they are the text."""
    record = recorded(start(id="m"), *text("He", "llo"), block_finish({"type": "text", "text": "Hello"}), finish())
    assert record.text.items == ["He", "llo"]
    assert record.final_text() == "Hello"
    assert record.blocks() == [{"type": "text", "text": "Hello"}]
    assert record.message_id == "m"
    assert record.status == "finished"


def test_reasoning_and_text_are_kept_apart() -> None:
    """Reasoning is a projection of its own, and a block of its own."""
    record = recorded(start(), delta("reasoning", "hm"), delta("reasoning", "m"), *text("yes", index=1), finish())
    assert record.reasoning.items == ["hm", "m"]
    assert record.final_reasoning() == "hmm"
    assert record.final_text() == "yes"
    assert record.blocks() == [{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "yes"}]


def test_blocks_are_in_order_of_their_index() -> None:
    """The index orders blocks, not their arrival; the pieces stay in order of arrival."""
    record = recorded(start(), *text("b", index=10), *text("a", index=2), finish())
    assert record.text.items == ["b", "a"]
    assert record.final_text() == "ab"


def test_empty_and_wrong_pieces_are_no_pieces() -> None:
    """A delta whose text is empty, missing or no string adds nothing, and is kept in the raw events."""
    events = [start(), delta("text", ""), delta("text", None), delta("text", 7), delta("text", ["x"]), finish()]
    record = recorded(*events)
    assert record.text.items == []
    assert record.events.items == events


def test_finish_without_deltas_is_one_delta() -> None:
    """A block that comes whole is shown as one piece."""
    record = recorded(
        start(),
        block_finish({"type": "text", "text": "whole"}),
        block_finish({"type": "reasoning", "reasoning": "why"}, 1),
        finish(),
    )
    assert record.text.items == ["whole"]
    assert record.reasoning.items == ["why"]
    assert record.final_text() == "whole"


def test_finish_with_a_longer_text_adds_the_rest() -> None:
    """What a block's finish adds to the deltas is one more delta."""
    record = recorded(start(), *text("a", "b"), block_finish({"type": "text", "text": "abcd"}), finish())
    assert record.text.items == ["a", "b", "cd"]
    assert record.final_text() == "abcd"


def test_finish_with_another_text_replaces_it_in_the_final_value() -> None:
    """A finish that contradicts the deltas wins; what was read stays as it was."""
    record = recorded(start(), *text("a", "b"), block_finish({"type": "text", "text": "xyz"}), finish())
    assert record.text.items == ["a", "b"]
    assert record.final_text() == "xyz"
    assert record.blocks() == [{"type": "text", "text": "xyz"}]


@pytest.mark.parametrize("final", [{"type": "text", "text": ""}, {"type": "text"}, {"type": "text", "text": None}])
def test_finish_without_a_text_keeps_the_deltas(final: dict[str, Any]) -> None:
    """A finish that repeats no text leaves the text as it was streamed."""
    record = recorded(start(), *text("a", "b"), block_finish(final), finish())
    assert record.final_text() == "ab"
    assert record.blocks() == [{"type": "text", "text": "ab"}]


def test_finish_keeps_what_else_a_block_has() -> None:
    """Annotations and other fields of a finished block are in the final block."""
    final = {"type": "text", "text": "ab", "annotations": [{"type": "citation"}], "extras": {"k": 1}}
    record = recorded(start(), *text("a", "b"), block_finish(final), finish())
    assert record.blocks() == [final]


def test_the_older_name_of_a_blocks_content_is_read() -> None:
    """`content_block` is read as `content`."""
    content = {"type": "text", "text": "x"}
    record = recorded(start(), {"event": "content-block-finish", "index": 0, "content_block": content}, finish())
    assert record.final_text() == "x"


def test_legacy_text_deltas_are_read() -> None:
    """Deltas that are blocks themselves are pieces too."""
    record = recorded(
        start(),
        legacy(type="text", text="a"),
        legacy(type="text", text="b"),
        legacy(1, type="reasoning", reasoning="r"),
    )
    assert record.text.items == ["a", "b"]
    assert record.reasoning.items == ["r"]


def test_a_delta_needs_no_start_of_its_block() -> None:
    """A block begins with its first delta, if its start was left out."""
    assert recorded(start(), *text("a")).final_text() == "a"


# --- tool calls ---


def test_tool_call_chunks_carry_what_is_known_of_the_call() -> None:
    """Each piece of arguments names its call, and the finished block is the call."""
    record = recorded(
        start(),
        chunk_start(index=3),
        delta("tool-call", '{"q":', 3),
        delta("tool-call", ' "x"}', 3),
        block_finish(SEARCH, 3),
        finish(),
    )
    expected = {"type": "tool_call_chunk", "id": "t1", "name": "search"}
    assert record.tool_call_chunks.items == [{**expected, "args": '{"q":'}, {**expected, "args": ' "x"}'}]
    assert record.final_tool_calls() == [SEARCH]


def test_a_chunk_tells_the_models_own_index() -> None:
    """A provider's index of a call, where it gives one, is shown with each piece."""
    content = {**chunk_start()["content"], "index": 5}
    record = recorded(start(), {**chunk_start(), "content": content}, delta("tool-call", "{}"))
    assert record.tool_call_chunks.items[0]["index"] == 5


def test_arguments_in_a_blocks_start_are_a_piece() -> None:
    """What a start brings along of the arguments is not lost."""
    record = recorded(start(), chunk_start(args='{"q": '), delta("tool-call", '"x"}'), finish())
    assert args(record) == ['{"q": ', '"x"}']
    assert record.final_tool_calls() == [SEARCH]


def test_a_call_without_a_finish_is_parsed_at_the_end() -> None:
    """The arguments are parsed from their pieces where no finished block gives them."""
    record = recorded(start(), chunk_start(), delta("tool-call", '{"q": "x"}'), finish())
    assert record.final_tool_calls() == [SEARCH]


def test_a_call_without_arguments_has_none() -> None:
    """No arguments at all are an empty mapping."""
    record = recorded(start(), chunk_start(), finish())
    assert record.final_tool_calls() == [{**SEARCH, "args": {}}]
    assert args(record) == []


def test_calls_side_by_side_are_kept_apart() -> None:
    """Interleaved pieces of two calls go to their own call."""
    record = recorded(
        start(),
        chunk_start(0),
        chunk_start(1, id="t2", name="other"),
        delta("tool-call", '{"q":', 0),
        delta("tool-call", '{"n":', 1),
        delta("tool-call", '"x"}', 0),
        delta("tool-call", "1}", 1),
        finish(),
    )
    assert [chunk["id"] for chunk in record.tool_call_chunks.items] == ["t1", "t2", "t1", "t2"]
    assert record.final_tool_calls() == [SEARCH, {"type": "tool_call", "id": "t2", "name": "other", "args": {"n": 1}}]


@pytest.mark.parametrize("first", ["text", "call"])
def test_blocks_of_several_kinds_may_share_an_index(first: str) -> None:
    """Models number their texts and their calls each on its own; nothing of either is lost."""
    said = [*text("Let ", "me."), block_finish({"type": "text", "text": "Let me."})]
    called = [chunk_start(), delta("tool-call", '{"q":'), delta("tool-call", '"x"}'), block_finish(SEARCH)]
    thought = [delta("reasoning", "Hm."), block_finish({"type": "thinking", "value": 1})]
    record = recorded(start(), *thought, *(said + called if first == "text" else called + said), finish())
    assert (record.final_text(), record.final_reasoning()) == ("Let me.", "Hm.")
    assert record.final_tool_calls() == [SEARCH]
    assert args(record) == ['{"q":', '"x"}']
    assembled = assemble_chat_message(record)
    assert (assembled.text, assembled.reasoning, assembled.tool_calls) == ("Let me.", "Hm.", (SEARCH,))


def test_a_text_whose_finish_is_of_another_kind_is_kept() -> None:
    """LangChain's events of some providers end a text with a block that says nothing of it."""
    record = recorded(start(), *text("Hi"), block_finish({"type": "non_standard", "value": {}}), finish())
    assert record.final_text() == assemble_chat_message(record).text == "Hi"


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("ends", [True, False], ids=["finished", "unfinished"])
def test_calls_may_come_at_one_index_after_the_other(index: Any, ends: bool) -> None:
    """Or without an index; the start of each says that it is another one."""
    other = {**SEARCH, "id": "t2", "args": {"q": "y"}}
    events = []
    for call in (SEARCH, other):
        events += [chunk_start(index, id=call["id"]), delta("tool-call", f'{{"q":"{call["args"]["q"]}"}}', index)]
        events += [block_finish(call, index)] if ends else []
    record = recorded(start(), *events, finish())
    assert record.final_tool_calls() == [SEARCH, other]
    assert [(chunk["id"], chunk["args"]) for chunk in record.tool_call_chunks.items] == [
        ("t1", '{"q":"x"}'),
        ("t2", '{"q":"y"}'),
    ]


def test_texts_may_come_at_one_index_after_the_other() -> None:
    """What is said of one that has finished is not said of the next."""
    one = [*text("a", "b"), block_finish({"type": "text", "text": "ab"})]
    begun = {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
    record = recorded(start(), *one, begun, *text("c"), block_finish({"type": "text", "text": "cd"}), finish())
    assert record.text.items == ["a", "b", "c", "d"]
    assert record.final_text() == "abcd"
    assert [block["text"] for block in record.blocks()] == ["ab", "cd"]


def test_cumulative_deltas_are_shown_as_what_they_add() -> None:
    """A block-delta repeats the arguments so far; readers get only what is new."""
    record = recorded(
        start(),
        block_delta(id="t1", name="search", args='{"q"'),
        block_delta(args='{"q": "x"'),
        block_delta(args='{"q": "x"'),
        block_delta(args='{"q": "x"}'),
        finish(),
    )
    assert args(record) == ['{"q"', ': "x"', "}"]
    assert {chunk["name"] for chunk in record.tool_call_chunks.items} == {"search"}
    assert record.final_tool_calls() == [SEARCH]


def test_cumulative_deltas_that_contradict_themselves_are_shown_no_more() -> None:
    """Arguments that do not extend the earlier ones replace them in the final value, and no more pieces come."""
    record = recorded(
        start(),
        block_delta(id="t1", name="search", args='{"a": 1'),
        block_delta(args='{"q": '),
        block_delta(args='{"q": "x"}'),
        finish(),
    )
    assert args(record) == ['{"a": 1']
    assert record.final_tool_calls() == [SEARCH]


def test_cumulative_deltas_after_a_start_belong_to_its_call() -> None:
    """A block-delta continues the call that its index's start has named."""
    record = recorded(start(), chunk_start(), block_delta(args='{"q": "x"}'), finish())
    assert record.final_tool_calls() == [SEARCH]


def test_legacy_tool_call_deltas_are_read() -> None:
    """Deltas that are tool-call chunks themselves are pieces, each in addition to the last."""
    record = recorded(
        start(),
        legacy(type="tool_call_chunk", id="t1", name="search", args='{"q": '),
        legacy(type="tool_call_chunk", id=None, name=None, args='"x"}'),
        finish(),
    )
    assert args(record) == ['{"q": ', '"x"}']
    assert record.final_tool_calls() == [SEARCH]


@pytest.mark.parametrize("raw", ["{", "nonsense", "[1]", '"text"', "1"])
def test_arguments_that_never_parse_make_an_invalid_call(raw: str) -> None:
    """Arguments that are no JSON object are kept as they came, apart from the calls that can be made."""
    record = recorded(start(), chunk_start(), delta("tool-call", raw), finish())
    assert record.final_tool_calls() == []
    block = record.blocks()[0]
    assert (block["type"], block["id"], block["name"], block["args"]) == ("invalid_tool_call", "t1", "search", raw)
    assert block["error"]
    assert args(record) == [raw]


def test_a_finish_may_say_that_a_call_is_invalid() -> None:
    """An invalid call that the model reports is no tool call, whatever its pieces parse to."""
    final = {"type": "invalid_tool_call", "id": "t1", "name": "search", "args": "{}", "error": "refused"}
    record = recorded(start(), chunk_start(), delta("tool-call", "{}"), block_finish(final), finish())
    assert record.final_tool_calls() == []
    assert record.blocks() == [final]


def test_a_finished_call_without_deltas_is_a_call() -> None:
    """A call that comes whole is one piece, and in the final calls."""
    record = recorded(start(), block_finish(SEARCH), finish())
    assert args(record) == ['{"q": "x"}']
    assert record.final_tool_calls() == [SEARCH]


def test_calls_that_the_server_makes_are_blocks_but_no_tool_calls() -> None:
    """A server's own tool call is in the content and not among the calls that the application has to make."""
    begin = {"type": "server_tool_call_chunk", "id": "s1", "name": "web", "args": ""}
    record = recorded(
        start(),
        {"event": "content-block-start", "index": 0, "content": begin},
        delta("tool-call", '{"q": 1}'),
        finish(),
    )
    assert args(record) == []
    assert record.final_tool_calls() == []
    assert record.blocks() == [{"type": "server_tool_call", "id": "s1", "name": "web", "args": {"q": 1}}]


# --- what is unknown or wrong ---


@pytest.mark.parametrize(
    "event",
    [
        {"event": "message-pause"},
        {"event": None},
        {},
        {"event": "content-block-start", "index": 0},
        {"event": "content-block-start", "content": {"type": "tool_call_chunk"}},
        {"event": "content-block-start", "index": 0, "content": "text"},
        {"event": "content-block-start", "index": 0, "content": {}},
        {"event": "content-block-delta"},
        {"event": "content-block-delta", "index": 0},
        {"event": "content-block-delta", "index": 0, "delta": "text"},
        {"event": "content-block-delta", "index": 0, "delta": {}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "future-delta", "text": "x"}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "tool-call-delta", "args": "{}"}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "block-delta"}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "block-delta", "fields": {"type": "image"}}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "data-delta", "data": "QUJD"}},
        {"event": "content-block-delta", "index": 0, "content_block": "x"},
        {"event": "content-block-finish", "index": 0},
        {"event": "content-block-finish", "index": 0, "content": "x"},
    ],
    ids=str,
)
def test_unknown_and_incomplete_events_are_kept_and_passed_over(event: dict[str, Any]) -> None:
    """What the record does not know stays in the raw events, and the message goes on."""
    record = recorded(start(), *text("a"), event, *text("b"), finish())
    assert event in record.events.items
    assert record.text.items == ["a", "b"]
    assert record.status == "finished"


@pytest.mark.parametrize("kind", ["image", "audio", "hologram"])
def test_blocks_of_unknown_types_are_in_the_content(kind: str) -> None:
    """A finished block of any type is kept as it came, whether it had data deltas or not."""
    final = {"type": kind, "data": "QUJDRA==", "mime_type": "x/y"}
    record = recorded(
        start(),
        {"event": "content-block-start", "index": 0, "content": {"type": kind}},
        {"event": "content-block-delta", "index": 0, "delta": {"type": "data-delta", "data": "QUJD"}},
        block_finish(final),
        *text("t", index=1),
        finish(),
    )
    assert record.blocks() == [final, {"type": "text", "text": "t"}]
    assert record.text.items == ["t"]


@pytest.mark.parametrize("index", [[1], {"a": 1}], ids=str)
def test_an_index_that_cannot_tell_blocks_apart_is_passed_over_or_refused(index: Any) -> None:
    """An index that is a list or a mapping is no programming error of the library's: it is survived, or malformed."""
    record = recorded(start(), *text("a"))
    for event in (text("x", index=index)[0], chunk_start(index), block_finish({"type": "text", "text": "x"}, index)):
        with contextlib.suppress(MalformedPart):
            record.dispatch(event)
    record.dispatch(finish())
    assert record.status == "finished"
    assert record.text.items[0] == "a"


@pytest.mark.parametrize("index", ["b0", 1.5, None, True, -1, (1, 2)], ids=str)
def test_an_index_of_any_type_is_survived(index: Any) -> None:
    """A block whose index is no number is told apart by it where that is possible; the other blocks are unharmed."""
    record = recorded(
        start(),
        *text("a", index=7),
        *text("x", index=index),
        chunk_start(index),
        block_finish({"type": "text", "text": "x"}, index),
        finish(),
    )
    assert record.status == "finished"
    assert "a" in record.final_text()
    assert record.text.items[0] == "a"


@pytest.mark.parametrize("value", ["text", 7, ["x"], [("a",)]], ids=str)
def test_metadata_of_a_wrong_type_is_passed_over_or_refused(value: Any) -> None:
    """Metadata that is no mapping is no programming error of the library's: it is survived, or malformed."""
    record = MessageRecord()
    for event in (start(metadata=value), *text("a"), finish(metadata=value)):
        with contextlib.suppress(MalformedPart):
            record.dispatch(event)
    assert record.final_text() == "a"


# --- the end ---


def test_usage_and_metadata_are_taken_from_the_start_and_the_finish() -> None:
    """The finish adds to what the start has said."""
    counts = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    record = recorded(
        start(metadata={"provider": "p", "model": "m"}), finish(usage=counts, metadata={"model": "m2", "stop": "end"})
    )
    assert record.usage == counts
    assert record.metadata == {"provider": "p", "model": "m2", "stop": "end"}


def test_finish_ends_every_projection() -> None:
    """Each log ends, without an error."""
    record = recorded(start(), finish())
    for log in (record.text, record.reasoning, record.tool_call_chunks, record.events):
        assert log.outcome is COMPLETED


def test_an_error_event_fails_the_message() -> None:
    """Each log keeps what it has and ends with an error that has the event's text."""
    record = recorded(start(), *text("a"), {"event": "error", "message": "overloaded"})
    assert record.status == "failed"
    assert record.text.items == ["a"]
    for log in (record.text, record.reasoning, record.tool_call_chunks, record.events):
        assert log.outcome is not None
        assert log.outcome.raises
        assert isinstance(log.outcome.error, MessageFailed)
        assert log.outcome.message == "overloaded"
    assert record.events.items[-1]["event"] == "error"


def test_an_error_event_without_a_text_says_so() -> None:
    """There is always something to read."""
    record = recorded(start(), {"event": "error"})
    assert record.text.outcome is not None
    assert record.text.outcome.message


def test_failing_keeps_the_very_exception() -> None:
    """The error of the run ends the message as the same object, for every projection."""
    boom = ValueError("boom")
    record = recorded(start(), *text("a"))
    record.fail(boom)
    assert record.status == "failed"
    for log in (record.text, record.reasoning, record.tool_call_chunks, record.events):
        assert log.outcome is not None
        assert log.outcome.raises
        assert log.outcome.error is boom


def test_a_message_ends_once() -> None:
    """What ended well is neither failed nor aborted afterwards."""
    record = recorded(start(), *text("a"), finish())
    record.fail(ValueError("late"))
    record.abort(lambda: pytest.fail("a finished message is not assembled again"))
    assert record.status == "finished"
    assert record.text.outcome is COMPLETED


def test_aborting_ends_iteration_well_and_waiting_with_the_partial_message() -> None:
    """Iterating an aborted message just ends; what waits for its value is told."""
    record = recorded(start(), *text("a"))
    record.abort(lambda: "so far")
    assert record.status == "aborted"
    assert record.text.outcome is not None
    assert not record.text.outcome.raises
    error = record.text.outcome.error
    assert isinstance(error, RunAborted)
    assert error.partial == "so far"


# --- the final message ---


def test_assembling_makes_a_chat_message() -> None:
    """The events of a call make one message with all of its content."""
    record = recorded(
        start(id="m", metadata={"model": "x"}),
        delta("reasoning", "why"),
        *text("He", "llo", index=1),
        chunk_start(2),
        delta("tool-call", '{"q": "x"}', 2),
        chunk_start(3, id="t2"),
        delta("tool-call", "{", 3),
        finish(usage={"total_tokens": 3}, metadata={"stop": "end"}),
    )
    message = assemble_chat_message(record)
    assert message.id == "m"
    assert message.text == "Hello"
    assert message.reasoning == "why"
    assert message.tool_calls == (SEARCH,)
    assert [call["id"] for call in message.invalid_tool_calls] == ["t2"]
    assert [block["type"] for block in message.content] == ["reasoning", "text", "tool_call", "invalid_tool_call"]
    assert message.usage == {"total_tokens": 3}
    assert message.metadata == {"model": "x", "stop": "end"}


def test_assembling_nothing_makes_an_empty_message() -> None:
    """A message of which nothing came is empty, and keeps the id it was given."""
    message = assemble_chat_message(MessageRecord(message_id="m"))
    assert (message.id, message.content, message.text, message.usage) == ("m", (), "", None)


# --- cost ---


class Counted(str):
    """Text that counts the characters that are copied by joining it to other text."""

    __slots__ = ()
    copied = 0

    def __add__(self, other: str) -> str:
        Counted.copied += len(self) + len(other)
        return Counted(str(self) + other)

    __radd__ = __add__


def pieces(count: int) -> Iterable[dict[str, Any]]:
    """As many deltas of one character."""
    return (delta("text", Counted("x")) for _ in range(count))


def test_deltas_are_not_added_up_one_by_one() -> None:
    """100 000 pieces of text are never concatenated while they arrive, and joined once when asked for."""
    Counted.copied = 0
    count = 100_000
    record = MessageRecord()
    for event in itertools.chain([start()], pieces(count)):
        record.dispatch(event)
    assert Counted.copied == 0
    assert record.final_text() == "x" * count
    assert Counted.copied == 0
    assert record.final_text() is record.final_text()


def test_looking_at_the_text_between_the_pieces_keeps_it_joined() -> None:
    """Joining keeps what it has joined, so that asking again costs nothing."""
    record = recorded(start(), *text("a", "b"))
    first = record.final_text()
    record.dispatch(text("c")[0])
    assert first == "ab"
    assert record.final_text() == "abc"
    assert record.text.items == ["a", "b", "c"]


def test_many_blocks_cost_no_more_than_their_pieces() -> None:
    """Each of many blocks finishes by looking at its own pieces only."""
    count = 2000
    record = recorded(start())
    for index in range(count):
        record.dispatch(delta("text", "x", index))
        record.dispatch(block_finish({"type": "text", "text": "xy"}, index))
    record.dispatch(finish())
    assert len(record.text.items) == 2 * count
    assert record.final_text() == "xy" * count
