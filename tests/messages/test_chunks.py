"""Messages that come as LangChain's chunks: one interpretation, whichever way they are told apart."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
)
from langchain_core.messages.ai import add_ai_message_chunks

from anyiostream.parts import messages
from anyiostream.projections.messages import langchain
from anyiostream.projections.messages.langchain import assemble_ai_message
from anyiostream.projections.messages.record import MessageRecord

from ..conformance.adapter import Lab, Script
from .reading import output, usage, whole

OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'


def call(args: str | None = "", **fields: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    return {"type": "tool_call_chunk", "id": None, "name": None, "index": None, "args": args, **fields}


def chunk(*calls: Any, content: Any = "", **fields: Any) -> AIMessageChunk:
    """A chunk of the message `m`."""
    return AIMessageChunk(content, tool_call_chunks=list(calls), id="m", **fields)


LAST = chunk(chunk_position="last")

BOTH = [("c0", "Oslo"), ("c1", "Rome")]

PARALLEL: dict[str, list[AIMessageChunk]] = {
    "whole, without an index": [
        chunk(call(OSLO, id="c0", name="weather")),
        chunk(call(ROME, id="c1", name="weather")),
    ],
    "whole, in one chunk": [chunk(call(OSLO, id="c0", name="weather"), call(ROME, id="c1", name="weather"))],
    "in pieces, one after the other, without an index": [
        chunk(call(OSLO[:5], id="c0", name="weather")),
        chunk(call(OSLO[5:])),
        chunk(call(ROME[:7], id="c1", name="weather")),
        chunk(call(ROME[7:], id="")),
    ],
    "side by side, by index": [
        chunk(call(id="c0", name="weather", index=0), call(id="c1", name="weather", index=1)),
        chunk(call(OSLO[:4], index=0), call(ROME[:3], index=1)),
        chunk(call(ROME[3:], index=1), call(OSLO[4:], index=0)),
    ],
    "with an index that they share": [
        chunk(call(OSLO, id="c0", name="weather", index=0)),
        chunk(call(ROME[:3], id="c1", name="weather", index=0)),
        chunk(call(ROME[3:], index=0, id="")),
    ],
    "side by side, by id": [
        chunk(call(OSLO[:4], id="c0", name="weather"), call(ROME[:3], id="c1", name="weather")),
        chunk(call(ROME[3:], id="c1"), call(OSLO[4:], id="c0")),
    ],
    "an id that comes later": [
        chunk(call(name="weather", index=0), call(name="weather", index=1)),
        chunk(call(OSLO[:4], id="c0", index=0), call(ROME[:3], id="c1", index=1)),
        chunk(call(OSLO[4:], index=0), call(ROME[3:], index=1)),
    ],
    "a name in pieces": [
        chunk(call(id="c0", name="wea", index=0), call(id="c1", name="weather", index=1)),
        chunk(call(name="ther", index=0), call(ROME, index=1)),
        chunk(call(OSLO, index=0)),
    ],
    "line breaks inside of strings": [
        chunk(call('{"city": "Oslo", "why": "a\nb"}', id="c0", name="weather", index=0)),
        chunk(call(ROME, id="c1", name="weather", index=1)),
    ],
    "a trailing piece": [
        chunk(call(OSLO, id="c0", name="weather")),
        chunk(call(ROME, id="c1", name="weather")),
        chunk(call("", id="c1", name="weather")),
    ],
    "a trailing piece, with all that identifies its call": [
        chunk(call(OSLO, id="c0", name="weather", index=0)),
        chunk(call("\n", id="c0", name="weather", index=0)),
        chunk(call(ROME, id="c1", name="weather", index=1)),
    ],
    "a call that comes in pieces, and again as a whole": [
        chunk(call(OSLO[:4], id="c0", name="weather", index=0)),
        chunk(call(OSLO[4:], index=0)),
        chunk(call(OSLO, id="c0", name="weather", index=0)),
        chunk(call(ROME, id="c1", name="weather", index=1)),
    ],
}


def short(calls: Sequence[Any]) -> list[Any]:
    """The ids of calls, and what they ask for."""
    return [(each["id"], each["args"]["city"]) for each in calls]


async def agreed(lab: Lab, stream: Any) -> BaseMessage:
    """The final message of a stream, whose projections all say what it says."""
    final = await output(lab, stream)
    assert await whole(lab, stream.text) == "".join(await lab.items(stream.text)) == final.text
    reasoning = "".join(block["reasoning"] for block in final.content_blocks if block["type"] == "reasoning")
    assert await whole(lab, stream.reasoning) == "".join(await lab.items(stream.reasoning)) == reasoning
    calls = [(each["id"], each["name"], each["args"]) for each in await whole(lab, stream.tool_calls)]
    assert calls == [(each["id"], each["name"], each["args"]) for each in final.tool_calls]
    counts = await usage(lab, stream)
    assert (None if counts is None else dict(counts)) == final.usage_metadata
    return final


def script(*payloads: Any) -> Script:
    """A graph that gives these messages or chunks."""
    return Script([messages(payload, {"langgraph_node": "n"}) for payload in payloads])


@pytest.mark.parametrize("chunks", PARALLEL.values(), ids=PARALLEL)
@pytest.mark.parametrize("last", [True, False], ids=["said", "unsaid"])
async def test_parallel_tool_calls_are_told_apart(lab: Lab, chunks: list[AIMessageChunk], last: bool) -> None:
    """By id and by index, as far as a provider gives them; each piece shows the call that it belongs to."""
    async with lab.open(script(*chunks, *[LAST] * last)) as run:
        (stream,) = await lab.items(run.messages)
        final: Any = await agreed(lab, stream)
        assert short(final.tool_calls) == BOTH
        assert not final.invalid_tool_calls
        if "later" not in str(chunks):
            pieces: dict[str | None, str] = {}
            for piece in await lab.items(stream.tool_calls):
                pieces[piece["id"]] = pieces.get(piece["id"], "") + piece["args"]
            assert {name: json.loads(args, strict=False)["city"] for name, args in pieces.items() if name} == dict(BOTH)


@pytest.mark.parametrize("index", [None, 0])
async def test_another_name_is_another_call(lab: Lab, index: int | None) -> None:
    """Where there is no id: arguments do not go to the tool that was named before."""
    chunks = [chunk(call(name="now", index=index)), chunk(call('{"city": "Rome"}', name="weather", index=index))]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final: Any = await agreed(lab, stream)
        assert [(each["name"], each["args"]) for each in final.tool_calls] == [
            ("now", {}),
            ("weather", {"city": "Rome"}),
        ]


async def test_calls_of_one_id_are_told_apart_by_their_index(lab: Lab) -> None:
    """Some servers give every call the same id."""
    chunks = [
        chunk(call(OSLO[:3], id="x", name="weather", index=0), call(ROME[:4], id="x", name="weather", index=1)),
        chunk(call(ROME[4:], index=1), call(OSLO[3:], index=0)),
    ]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final: Any = await agreed(lab, stream)
        assert short(final.tool_calls) == [("x", "Oslo"), ("x", "Rome")]


@pytest.mark.parametrize("index", [None, 0])
async def test_a_call_that_is_complete_is_not_continued(lab: Lab, index: int | None) -> None:
    """Some models give all calls one id."""
    chunks = [chunk(call(args, id="x", name="weather", index=index)) for args in (OSLO, ROME)]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final: Any = await agreed(lab, stream)
        assert short(final.tool_calls) == [("x", "Oslo"), ("x", "Rome")]


async def test_calls_of_one_id_may_have_the_same_arguments(lab: Lab) -> None:
    """What is sent again has the same name, too."""
    chunks = [chunk(call("{}", id="x", name=name, index=0)) for name in ("time", "place", "place")]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final: Any = await agreed(lab, stream)
        assert [each["name"] for each in final.tool_calls] == ["time", "place"]


async def test_whole_calls_among_the_content(lab: Lab) -> None:
    """Content blocks may hold calls that are in no list of the chunk."""
    chunks = [
        AIMessageChunk([{"type": "tool_call", "id": f"c{number}", "name": "weather", "args": {"city": city}}], id="m")
        for number, city in enumerate(("Oslo", "Rome"))
    ]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final: Any = await agreed(lab, stream)
        assert short(final.tool_calls) == BOTH


THINKING: dict[str, list[AIMessageChunk]] = {
    "thinking of a known provider": [
        chunk(
            content=[{"type": "thinking", "thinking": piece, "index": 0}],
            response_metadata={"model_provider": "anthropic"},
        )
        for piece in ("Let me ", "see.")
    ],
    "thinking whose provider is named once": [
        chunk(content=[{"type": "thinking", "thinking": "Let me "}], response_metadata={"model_provider": "anthropic"}),
        chunk(content=[{"type": "thinking", "thinking": "see."}]),
    ],
    "thinking of a provider that is not named": [
        chunk(content=[{"type": "thinking", "thinking": piece, "index": 0}]) for piece in ("Let me ", "see.")
    ],
    "reasoning in the provider's own field": [
        chunk(additional_kwargs={"reasoning_content": piece}) for piece in ("Let me ", "see.")
    ],
    "that field beside a known provider": [
        chunk(additional_kwargs={"reasoning_content": piece}, response_metadata={"model_provider": "openai"})
        for piece in ("Let me ", "see.")
    ],
    "standard blocks": [
        chunk(content=[{"type": "reasoning", "reasoning": piece, "index": 0}]) for piece in ("Let me ", "see.")
    ],
}


@pytest.mark.parametrize("summed", [False, True], ids=["chunk by chunk", "summed"])
@pytest.mark.parametrize("chunks", THINKING.values(), ids=THINKING)
async def test_thinking_is_reasoning(lab: Lab, chunks: list[AIMessageChunk], summed: bool) -> None:
    """Whatever a provider calls it, and whether it comes in chunks or as the sum of them."""
    answer = chunk(content="42" if isinstance(chunks[0].content, str) else [{"type": "text", "text": "42", "index": 1}])
    given = [each.model_copy(deep=True) for each in (*chunks, answer)]
    if summed:
        total = given[0]
        for each in given[1:]:
            total = total + each
        given = [total]
    async with lab.open(script(*given)) as run:
        (stream,) = await lab.items(run.messages)
        await agreed(lab, stream)
        assert await whole(lab, stream.reasoning) == "Let me see."
        assert await whole(lab, stream.text) == "42"


async def test_text_with_and_without_an_index_keeps_its_order(lab: Lab) -> None:
    """What has no index goes on with what was written last."""
    contents: list[Any] = ["pre ", [{"type": "text", "text": "one ", "index": 0}]]
    contents += [[{"type": "text", "text": "two ", "index": 1}], "post"]
    async with lab.open(script(*(chunk(content=content) for content in contents), LAST)) as run:
        (stream,) = await lab.items(run.messages)
        assert await whole(lab, stream.text) == "pre one two post"
        assert (await output(lab, stream)).text == "pre one two post"


async def test_chunks_of_one_message_may_change_their_id(lab: Lab) -> None:
    """The provider names it in one chunk, LangChain in the others; what comes after its end says nothing new."""
    chunks = [
        AIMessageChunk("", id="resp_1"),
        AIMessageChunk("a", id="lc_run--1"),
        AIMessageChunk("b", id="lc_run--1", chunk_position="last"),
    ]
    async with lab.open(script(*chunks, AIMessageChunk("", id="resp_1"), AIMessage("ab", id="resp_1"))) as run:
        (stream,) = await lab.items(run.messages)
        assert (await whole(lab, stream.text), stream.status) == ("ab", "finished")


async def test_an_id_may_come_late(lab: Lab) -> None:
    """Chunks that have none are of the message that the next one names."""
    named = [AIMessageChunk("b", id="own"), AIMessageChunk("c"), AIMessageChunk("d", id="own", chunk_position="last")]
    async with lab.open(script(AIMessageChunk("a"), *named, AIMessage("abcd", id="own"))) as run:
        (stream,) = await lab.items(run.messages)
        assert (await agreed(lab, stream)).text == "abcd"
        assert (stream.message_id, stream.status) == ("own", "finished")


@pytest.mark.parametrize(
    ("ended", "run_ids"),
    [({"finish_reason": "stop"}, (None, None)), ({}, ("1", "2"))],
    ids=["it has told why it ended", "it is of another run"],
)
async def test_an_id_is_not_that_of_another_message(lab: Lab, ended: dict[str, Any], run_ids: Any) -> None:
    """A message whose chunks have no id is not continued by every other that has one."""
    chunks = [AIMessageChunk("a", response_metadata=ended), AIMessageChunk("b", id="own")]
    told = [{"langgraph_node": "n", **({"run_id": each} if each else {})} for each in run_ids]
    async with lab.open(Script([messages(*each) for each in zip(chunks, told, strict=True)])) as run:
        first, second = await lab.items(run.messages)
        assert [await whole(lab, each.text) for each in (first, second)] == ["a", "b"]
        assert (first.message_id, second.message_id) == (None, "own")


@pytest.mark.parametrize("together", [True, False], ids=["at once", "in turn"])
async def test_messages_of_two_tasks_may_have_one_id(lab: Lab, together: bool) -> None:
    """There are servers that give all messages the same one."""

    def said(task: str) -> list[Any]:
        pieces = [AIMessageChunk(task, id="chatcmpl-0"), AIMessageChunk("!", id="chatcmpl-0", chunk_position="last")]
        return [messages(each, {"langgraph_node": "n", "langgraph_checkpoint_ns": f"n:{task}"}) for each in pieces]

    one, two = said("1"), said("2")
    parts = [one[0], two[0], one[1], two[1]] if together else [*one, *two]
    repeated = messages(AIMessage("2!", id="chatcmpl-0"), {"langgraph_node": "m", "langgraph_checkpoint_ns": "m:3"})
    async with lab.open(Script([*parts, repeated])) as run:
        streams = await lab.items(run.messages)
        assert [await whole(lab, stream.text) for stream in streams] == ["1!", "2!"]
        assert {stream.status for stream in streams} == {"finished"}


async def test_langchains_own_chunks_say_which_is_the_last(lab: Lab) -> None:
    """Of a provider's or a hand-made message nobody knows; of theirs, one without a last chunk broke off."""
    async with lab.open(script(AIMessageChunk("a", id="lc_run--1"), AIMessageChunk("b", id="own"))) as run:
        first, second = await lab.items(run.messages)
        assert (first.status, second.status) == ("failed", "finished")


def of(provider: str, *blocks: dict[str, Any]) -> list[AIMessageChunk]:
    """A chunk for each block."""
    return [chunk(content=[block], response_metadata={"model_provider": provider}) for block in blocks]


def said_of(message: BaseMessage) -> list[dict[str, Any]]:
    """The content of a message in the standard form, without places."""
    return [{name: value for name, value in block.items() if name != "index"} for block in message.content_blocks]


DETAILED: dict[str, list[AIMessageChunk]] = {
    "signature and citation": of(
        "anthropic",
        {"type": "thinking", "thinking": "hm", "index": 0},
        {"type": "thinking", "thinking": "", "signature": "s", "index": 0},
        {"type": "text", "text": "yes", "index": 1},
        {"type": "text", "text": "", "citations": [{"type": "char_location", "cited_text": "x"}], "index": 1},
    ),
    "call of a server's tool": of(
        "anthropic",
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}, "index": 0},
        {"type": "input_json_delta", "partial_json": '{"query": ', "index": 0},
        {"type": "input_json_delta", "partial_json": '"x"}', "index": 0},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "u"}], "index": 1},
        {"type": "text", "text": "done", "index": 2},
    ),
    "ids and annotations": of(
        "openai",
        {"type": "reasoning", "id": "r", "summary": [], "index": 0},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm", "index": 0}], "index": 0},
        {"type": "text", "text": "yes", "id": "t", "index": 1},
        {"type": "text", "text": "", "annotations": [{"type": "url_citation", "url": "u"}], "index": 1},
    ),
    "refusal": of("openai", *({"type": "refusal", "refusal": piece, "index": 0} for piece in ("I ca", "nnot"))),
    "fields of the provider": [
        chunk(additional_kwargs={"audio": {"transcript": piece}}, response_metadata={"logprobs": [piece]})
        for piece in ("a", "b")
    ],
}


@pytest.mark.parametrize("summed", [False, True], ids=["chunk by chunk", "summed"])
@pytest.mark.parametrize("chunks", DETAILED.values(), ids=DETAILED)
async def test_events_say_all_that_the_message_does(lab: Lab, chunks: list[AIMessageChunk], summed: bool) -> None:
    """Clients and front ends have nothing else."""
    given = [add_ai_message_chunks(*chunks)] if summed else chunks
    async with lab.open(script(*(each.model_copy(deep=True) for each in given), LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final: Any = await agreed(lab, stream)
        record = MessageRecord()
        for event in await lab.items(stream):
            record.dispatch(event)
    told = assemble_ai_message(record)
    assert said_of(told) == said_of(final)
    assert told.additional_kwargs == final.additional_kwargs
    assert told.response_metadata == {**final.response_metadata, "output_version": "v1"}


async def test_metadata_that_chunks_repeat_is_said_once(lab: Lab) -> None:
    """LangChain's sum takes it for text that goes on."""
    reports = [{"model_name": "large", "logprobs": [each]} for each in ("a", "a", "b")]
    chunks = [chunk(content="x", response_metadata=each) for each in reports]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final = await agreed(lab, stream)
        (*_, finish) = await lab.items(stream)
    assert finish["metadata"] == final.response_metadata == {"model_name": "large", "logprobs": ["a", "a", "b"]}


async def test_a_message_finishes_whose_chunks_do_not_add_up(lab: Lab) -> None:
    """Only its output cannot be made."""
    chunks = [chunk(content="x", additional_kwargs={"y": each}) for each in (1, "one")]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        assert (await whole(lab, stream.text), stream.status) == ("xx", "finished")
        with pytest.raises(TypeError):
            await output(lab, stream)


async def test_nothing_is_added_up_that_nobody_asks_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message's sum takes as long as reading it."""
    asked: list[Any] = []
    monkeypatch.setattr(langchain, "sum_of", lambda *given: asked.append(given))
    chunks = [chunk(content="x", response_metadata={"model_provider": "openai"}) for _ in range(2)]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        assert (await whole(lab, stream.text), stream.status) == ("xx", "finished")
    assert not asked


async def test_thinking_of_a_provider_that_is_not_named_keeps_its_signature(lab: Lab) -> None:
    """A model that is given the message again asks for it; and a call in the provider's form is not another block."""
    chunks = [
        chunk(content=[{"type": "thinking", "thinking": "hm", "index": 0}]),
        chunk(content=[{"type": "thinking", "thinking": "", "signature": "s", "index": 0}]),
        chunk(
            call(OSLO, id="c0", name="weather", index=1),
            content=[{"type": "tool_use", "id": "c0", "name": "weather", "input": {}, "index": 1}],
        ),
    ]
    async with lab.open(script(*chunks, LAST)) as run:
        (stream,) = await lab.items(run.messages)
        final = await agreed(lab, stream)
        assert said_of(final) == [
            {"type": "reasoning", "reasoning": "hm", "extras": {"signature": "s"}},
            {"type": "tool_call", "id": "c0", "name": "weather", "args": {"city": "Oslo"}},
        ]


SHAPES: list[Any] = [
    [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]}],
    [{"type": "reasoning", "reasoning": ["h", "m"]}],
    [{"type": "reasoning", "reasoning": "hm", "index": ["u"]}],
    [{"type": "reasoning", "reasoning": piece, "id": ["u"]} for piece in "hm"],
    [{"type": "reasoning", "reasoning": "hm"}, {"type": "tool_call", "id": "c", "name": "t", "args": {}, "index": [0]}],
    ["", {"type": "text", "text": 5}, {"type": ["a"]}, {"type": "reasoning", "reasoning": "hm"}],
]


@pytest.mark.parametrize("content", SHAPES, ids=repr)
@pytest.mark.parametrize("kind", [AIMessage, AIMessageChunk])
async def test_content_of_any_shape_is_read(lab: Lab, kind: Any, content: Any) -> None:
    """Text in nested lists is text; what is no text at all is passed over."""
    async with lab.open(script(kind(content, id="m"))) as run:
        (stream,) = await lab.items(run.messages)
        assert await whole(lab, stream.reasoning) == "hm"
        assert await whole(lab, stream.text) == ""
        await output(lab, stream)
        await lab.output(run)


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hello", id="h", name="Ann", additional_kwargs={"x": 1}, response_metadata={"y": 2}),
        AIMessage("hello", id="a", name="bot", additional_kwargs={"x": 1}, response_metadata={"y": 2}),
        AIMessage(
            "", id="a", tool_calls=[{"type": "tool_call", "id": None, "name": "weather", "args": {"city": "Oslo"}}]
        ),
        AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}], id="a"),
        AIMessage("yes", id="a", additional_kwargs={"reasoning_content": "hm"}),
    ],
    ids=["human", "ai", "a call without an id", "thinking", "reasoning_content"],
)
async def test_a_whole_message_is_its_own_output(lab: Lab, message: Any) -> None:
    """The very object, with its type, name, id and whatever else it holds."""
    async with lab.open(script(message)) as run:
        (stream,) = await lab.items(run.messages)
        assert await output(lab, stream) is message
        assert stream.message_id == message.id
        assert await whole(lab, stream.text) == message.text
        calls = getattr(message, "tool_calls", [])
        assert [each["args"] for each in await whole(lab, stream.tool_calls)] == [each["args"] for each in calls]
        expected = "hm" if "hm" in repr(message) else ""
        assert await whole(lab, stream.reasoning) == expected


@pytest.mark.parametrize(
    "about",
    [{}, {"response_metadata": {"model_provider": "openai"}, "additional_kwargs": {"reasoning_content": "r"}}],
    ids=["as it is", "put together anew"],
)
async def test_a_message_keeps_the_name_that_a_node_gives_it(lab: Lab, about: Any) -> None:
    """LangChain's sum leaves it out; and where its reading passes over some reasoning, that sum is not the message."""
    async with lab.open(script(chunk(content="Hello", name="clerk", **about, chunk_position="last"))) as run:
        (stream,) = await lab.items(run.messages)
        assert (await agreed(lab, stream)).name == "clerk"


async def test_who_says_a_message_of_any_role(lab: Lab) -> None:
    """A model's are told from those of others; what a function has returned is no message of a call."""
    roles = {"user": "human", "human": "human", "developer": "system", "system": "system", "critic": "ai"}
    given = [ChatMessage("hello", role=role, id=role) for role in roles]
    async with lab.open(script(FunctionMessage("42", name="add", id="f"), *given)) as run:
        starts = {stream.message_id: (await lab.items(stream))[0] for stream in await lab.items(run.messages)}
        assert {name: start["role"] for name, start in starts.items()} == roles


async def test_a_removal_is_not_a_message(lab: Lab) -> None:
    """It tells the state to forget one."""
    async with lab.open(script(RemoveMessage(id="x"), AIMessage("hello", id="a"))) as run:
        assert [stream.message_id for stream in await lab.items(run.messages)] == ["a"]


# --- any calls, cut into any pieces, in any order ---

ARGUMENTS = st.dictionaries(st.sampled_from(["city", "day"]), st.text(max_size=6) | st.integers(), max_size=2)


@st.composite
def streamed_calls(draw: Any) -> tuple[list[AIMessageChunk], list[tuple[str, Any]]]:
    """Chunks of one message that asks for several calls, and the calls."""
    calls = [(f"c{number}", given) for number, given in enumerate(draw(st.lists(ARGUMENTS, min_size=1, max_size=4)))]
    numbered = draw(st.booleans())
    lanes = []
    for index, (call_id, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=3)) | {0, len(text)})
        pieces = [text[start:end] for start, end in itertools.pairwise(cuts)] or [text]
        repeats = draw(st.booleans())
        lanes.append(
            [
                call(
                    piece,
                    id=call_id if not place or repeats else draw(st.sampled_from([None, ""])),
                    name=None if place else "weather",
                    index=index if numbered else None,
                )
                for place, piece in enumerate(pieces)
            ]
        )
    order = []
    # Side by side only where each piece can be told: by index, or by an id that is repeated.
    mixed = numbered or all(piece["id"] for lane in lanes for piece in lane)
    while any(lanes):
        waiting = [lane for lane in lanes if lane]
        lane = draw(st.sampled_from(waiting)) if mixed else waiting[0]
        order.append(lane.pop(0))
    chunks = []
    while order:
        size = draw(st.integers(1, len(order)))
        chunks.append(chunk(*order[:size]))
        order = order[size:]
    return chunks, calls


@given(streamed_calls())
def test_calls_in_any_pieces_and_order(made: Any) -> None:
    """The calls come out as they were asked for, in the projection as in the final message."""
    chunks, calls = made

    async def main() -> None:
        async with lab.open(script(*chunks, LAST)) as run:
            (stream,) = await lab.items(run.messages)
            final: Any = await agreed(lab, stream)
            assert sorted((each["id"], each["args"]) for each in final.tool_calls) == sorted(calls, key=lambda c: c[0])

    lab = Lab("ours", "sync")
    lab.run(main)
