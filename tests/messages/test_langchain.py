"""Messages of real LangGraph graphs show what LangGraph's own streams show, on every lane."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import StructuredTool, ToolException, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolRuntime

from anyiostream import FinishedMessage
from anyiostream.parts import messages

from ..conformance.adapter import Lab, Script
from .reading import block_finish, caught, delta, output, recorded, result, start, text, usage, whole

USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


class Boom(Exception):
    """What failing models raise."""


class FakeModel(BaseChatModel):
    """A chat model that streams what it was given; an exception among the chunks is raised."""

    chunks: list[Any]

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def answer(self, given: list[BaseMessage]) -> list[Any]:
        return self.chunks

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self.answer(messages):
            if isinstance(chunk, Exception):
                raise chunk
            message, info = chunk if isinstance(chunk, tuple) else (chunk, None)
            yield ChatGenerationChunk(message=message.model_copy(deep=True), generation_info=info)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        raise AssertionError("this model streams")


class WholeModel(BaseChatModel):
    """A chat model that does not stream."""

    reply: Any

    @property
    def _llm_type(self) -> str:
        return "whole"

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if isinstance(self.reply, Exception):
            raise self.reply
        return ChatResult(generations=[ChatGeneration(message=self.reply.model_copy(deep=True))])


class Agent(FakeModel):
    """A model that calls one tool, and answers when it has the tool's result."""

    chunks: Any = ()
    calls: list[dict[str, Any]]

    def answer(self, given: list[BaseMessage]) -> list[Any]:
        if isinstance(given[-1], ToolMessage):
            return words("got ", str(given[-1].content))
        return [AIMessageChunk("", tool_call_chunks=self.calls, chunk_position="last")]


def words(*pieces: str) -> list[Any]:
    """Chunks of text."""
    return [AIMessageChunk(piece) for piece in pieces]


def tool_chunk(index: int, args: str | None, **fields: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    return {"type": "tool_call_chunk", "index": index, "id": None, "name": None, "args": args, **fields}


MODELS: dict[str, BaseChatModel] = {
    "text": FakeModel(chunks=words("He", "llo", "", "!")),
    "empty": FakeModel(chunks=words("")),
    "no id": FakeModel(chunks=[AIMessageChunk("a"), AIMessageChunk("b", chunk_position="last")]),
    "blocks": FakeModel(
        chunks=[
            AIMessageChunk([{"type": "text", "text": "a", "index": 0}]),
            AIMessageChunk([{"type": "text", "text": "b", "index": 0}]),
            AIMessageChunk([{"type": "text", "text": "c", "index": 1}]),
        ]
    ),
    "tool call": FakeModel(
        chunks=[
            AIMessageChunk("", tool_call_chunks=[tool_chunk(0, "", id="t1", name="search")]),
            AIMessageChunk("", tool_call_chunks=[tool_chunk(0, '{"q": ')]),
            AIMessageChunk("", tool_call_chunks=[tool_chunk(0, '"x"}')]),
        ]
    ),
    "tool calls side by side": FakeModel(
        chunks=[
            AIMessageChunk("both", tool_call_chunks=[tool_chunk(1, "", id="t1", name="search")]),
            AIMessageChunk("", tool_call_chunks=[tool_chunk(2, "", id="t2", name="other")]),
            AIMessageChunk("", tool_call_chunks=[tool_chunk(1, '{"q": 1}'), tool_chunk(2, '{"n": 2}')]),
        ]
    ),
    "invalid tool call": FakeModel(
        chunks=[
            AIMessageChunk("", tool_call_chunks=[tool_chunk(0, "{", id="t1", name="search")]),
            AIMessageChunk("", tool_call_chunks=[tool_chunk(0, "nonsense")]),
        ]
    ),
    "reasoning": FakeModel(
        chunks=[
            AIMessageChunk([{"type": "reasoning", "reasoning": "h", "index": 0}]),
            AIMessageChunk([{"type": "reasoning", "reasoning": "m", "index": 0, "extras": {"signature": "s"}}]),
            AIMessageChunk([{"type": "text", "text": "yes", "index": 1}]),
        ]
    ),
    "usage": FakeModel(
        chunks=[
            AIMessageChunk("a", usage_metadata={"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}),
            AIMessageChunk(
                "b",
                usage_metadata={
                    "input_tokens": 0,
                    "output_tokens": 4,
                    "total_tokens": 4,
                    "output_token_details": {"reasoning": 2},
                },
            ),
        ]
    ),
    "metadata": FakeModel(
        chunks=[
            AIMessageChunk("a", response_metadata={"model_name": "m", "model_provider": "p"}),
            (AIMessageChunk("b", response_metadata={"stop_reason": "end"}), {"finish_reason": "stop"}),
        ]
    ),
    "additional": FakeModel(chunks=[AIMessageChunk("a", additional_kwargs={"thought": "x"}), AIMessageChunk("b")]),
    "image": FakeModel(
        chunks=[
            AIMessageChunk([{"type": "text", "text": "see", "index": 0}]),
            AIMessageChunk([{"type": "image", "base64": "QUJD", "mime_type": "image/png", "index": 1}]),
        ]
    ),
    "whole": WholeModel(reply=AIMessage("whole", usage_metadata=USAGE, response_metadata={"model_name": "m"})),
    "whole with a tool call": WholeModel(
        reply=AIMessage("", tool_calls=[{"id": "t1", "name": "search", "args": {"q": 1}, "type": "tool_call"}])
    ),
}


def asking(lab: Lab, model: BaseChatModel) -> Any:
    """A node that asks the model and returns its answer."""
    if lab.is_async:

        async def anode(state: Any) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        return anode

    def node(state: Any) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    return node


def plain(lab: Lab, function: Callable[[Any], Any]) -> Any:
    """A function as a node of the lab's lane."""

    async def anode(state: Any) -> Any:
        return function(state)

    return anode if lab.is_async else function


def graph_of(lab: Lab, **nodes: Any) -> Any:
    """A graph that runs its nodes in one superstep."""
    builder = StateGraph(MessagesState)
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile()


QUESTION = {"messages": [HumanMessage("question", id="q")]}


REBUILT = (
    "tool calls",
    "content",
    "content blocks",
    "final tool calls",
    "invalid tool calls",
    "response metadata",
    "additional",
)
"""What LangGraph shows otherwise of a message that comes whole: it builds it anew, and its calls have no pieces."""


async def describe(lab: Lab, stream: Any) -> dict[str, Any]:
    """All that a message shows, without its id."""
    final = await output(lab, stream)
    assert isinstance(final, BaseMessage)
    assert final.id == stream.message_id
    return {
        "final": final,
        "node": stream.node,
        "text": await lab.items(stream.text),
        "whole text": await whole(lab, stream.text),
        "reasoning": await lab.items(stream.reasoning),
        "whole reasoning": await whole(lab, stream.reasoning),
        "tool calls": await lab.items(stream.tool_calls),
        "whole tool calls": await whole(lab, stream.tool_calls),
        "usage": await usage(lab, stream) if lab.ours else getattr(final, "usage_metadata", None),
        "events": [each["event"] for each in await lab.items(stream)],
        "content": final.content,
        "content blocks": final.content_blocks,
        "final tool calls": getattr(final, "tool_calls", []),
        "invalid tool calls": getattr(final, "invalid_tool_calls", []),
        "usage metadata": getattr(final, "usage_metadata", None),
        "response metadata": final.response_metadata,
        "additional": final.additional_kwargs,
    }


async def survey(lab: Lab, graph: Any, given: Any = QUESTION) -> list[dict[str, Any]]:
    """All messages of a run, by node."""
    async with lab.open_graph(graph, given) as run:
        streams = await lab.items(run.messages)
        described = [await describe(lab, stream) for stream in streams]
    return sorted(described, key=lambda each: str(each["node"]))


def compare(lab: Lab, build: Callable[[Lab], Any], *, whole: bool = False) -> list[dict[str, Any]]:
    """What both libraries show of a graph's messages, which must be the same.

    Args:
        lab: Ours.
        build: Makes the graph for a lab.
        whole: Whether the graph gives its messages whole, so that ours shows them as they are.
    """
    shown: list[Any] = []
    for each in (lab, Lab("theirs", "asyncio" if lab.is_async else "sync")):

        async def main(each: Lab = each) -> None:
            shown.append(await survey(each, build(each)))

        each.run(main)
    ours, theirs = shown
    assert len(ours) == len(theirs)
    for got, want in zip(ours, theirs, strict=True):
        # A call without arguments comes whole, which is a piece here.
        got["tool calls"] = [piece for piece in got["tool calls"] if piece["args"] != "{}"]
        for name, value in want.items():
            if name != "final" and not ((whole or got["node"] == "whole") and name in REBUILT):
                assert got[name] == value, name
    return list(ours)


# --- compared with LangGraph's own streams ---


@pytest.mark.parametrize("model", MODELS)
def test_a_model_call_shows_what_langgraph_shows(lab: Lab, model: str) -> None:
    """Pieces, final values, usage, events and the final message of a model call in a node."""
    given = MODELS[model]
    shown = compare(lab, lambda each: graph_of(each, model=asking(each, given)), whole=isinstance(given, WholeModel))
    assert len(shown) == 1


def test_parallel_model_calls_show_what_langgraph_shows(lab: Lab) -> None:
    """Calls that run in one superstep are kept apart."""
    names = ["text", "tool call", "reasoning", "whole"]
    shown = compare(lab, lambda each: graph_of(each, **{name: asking(each, MODELS[name]) for name in names}))
    assert [each["node"] for each in shown] == sorted(names)


def test_several_calls_of_one_node_show_what_langgraph_shows(lab: Lab) -> None:
    """A node may call its model several times, and return only one answer."""

    def build(each: Lab) -> Any:
        async def anode(state: Any) -> Any:
            first = await MODELS["text"].ainvoke("one")
            await MODELS["tool call"].ainvoke("two")
            return {"messages": [first]}

        def node(state: Any) -> Any:
            first = MODELS["text"].invoke("one")
            MODELS["tool call"].invoke("two")
            return {"messages": [first]}

        return graph_of(each, node=anode if each.is_async else node)

    shown = compare(lab, build)
    assert [each["whole text"] for each in shown] == ["Hello!", ""]
    assert [len(each["whole tool calls"]) for each in shown] == [0, 1]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("hello", id="a"),
        AIMessage("hello"),
        HumanMessage("hello", id="h"),
        SystemMessage("hello", id="s"),
        AIMessage([{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}], id="a"),
        AIMessage("hello", id="a", usage_metadata=USAGE, response_metadata={"model_name": "m"}),
        AIMessage("", id="a", tool_calls=[{"id": "t1", "name": "search", "args": {"q": 1}, "type": "tool_call"}]),
        AIMessage("", id="a", invalid_tool_calls=[{"id": "t1", "name": "search", "args": "{", "error": "bad"}]),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "yes"}], id="a"),
    ],
    ids=["ai", "without an id", "human", "system", "blocks", "usage", "tool call", "invalid tool call", "reasoning"],
)
def test_a_whole_message_is_shown_as_it_is(lab: Lab, message: Any) -> None:
    """A message that a node returns, without a model call: its pieces are LangGraph's, its output is itself."""

    def build(each: Lab) -> Any:
        return graph_of(each, node=plain(each, lambda state: {"messages": [message.model_copy(deep=True)]}))

    (shown,) = compare(lab, build, whole=True)
    final = shown["final"]
    assert type(final) is type(message)
    assert final.model_copy(update={"id": message.id}) == message
    assert shown["final tool calls"] == [
        {name: call[name] for name in ("name", "args", "id", "type")} for call in shown["whole tool calls"]
    ]


def test_tool_messages_of_a_node_are_not_shown(lab: Lab) -> None:
    """As in LangGraph."""
    given = [ToolMessage("result", tool_call_id="t1", id="t")]
    assert compare(lab, lambda each: graph_of(each, node=plain(each, lambda state: {"messages": given}))) == []


# --- on our lanes ---


async def test_the_answer_in_the_state_is_the_output(lab: Lab) -> None:
    """`message.output` has the text and the id of the message that the node returned."""
    async with lab.open_graph(graph_of(lab, model=asking(lab, MODELS["text"])), QUESTION) as run:
        (stream,) = await lab.items(run.messages)
        final = await output(lab, stream)
        state = await lab.output(run)
    assert state["messages"][-1].text == final.text == "Hello!"
    assert state["messages"][-1].id == final.id


async def test_a_message_is_read_while_its_model_streams(lab: Lab) -> None:
    """The pieces of a model arrive before its node has ended."""
    done: list[bool] = []

    class Slow(FakeModel):
        def answer(self, given: list[BaseMessage]) -> Any:
            yield from words(*"abc")
            done.append(True)
            yield from words("d")

    model = Slow(chunks=[])
    async with lab.open_graph(graph_of(lab, model=asking(lab, model)), QUESTION, prefetch=0) as run:
        stream = await lab.reader(run.messages).next()
        pieces = lab.reader(stream.text)
        assert await pieces.next() == "a"
        assert await pieces.rest() == ["b", "c", "d"]
    assert done == [True]


OPENAI: Any = {"response_metadata": {"model_provider": "openai"}}
BEDROCK: Any = {"response_metadata": {"model_provider": "bedrock_converse"}}


@pytest.mark.parametrize(
    "chunks",
    [
        [
            AIMessageChunk("", additional_kwargs={"reasoning_content": "Let "}, **OPENAI),
            AIMessageChunk("", additional_kwargs={"reasoning_content": "me."}, **OPENAI),
            AIMessageChunk("42", **OPENAI),
        ],
        [
            AIMessageChunk(
                [{"type": "reasoning_content", "reasoning_content": {"text": "Let me."}, "index": 0}], **BEDROCK
            ),
            AIMessageChunk([{"type": "text", "text": "4", "index": 1}], **BEDROCK),
            AIMessageChunk([{"type": "text", "text": "2", "index": 1}], **BEDROCK),
            AIMessageChunk([{"index": 1}], **BEDROCK),
        ],
        [
            AIMessageChunk([{"type": "reasoning", "reasoning": "Let me.", "index": 0}]),
            AIMessageChunk([{"type": "text", "text": "42", "index": 1}]),
            AIMessageChunk([], tool_call_chunks=[tool_chunk(1, '{"n": 1}', id="t1", name="double")]),
        ],
    ],
    ids=["reasoning in a field that the provider does not have", "an empty end", "a call with the index of the text"],
)
async def test_a_message_is_read_in_one_way(lab: Lab, chunks: list[Any]) -> None:
    """Its text, reasoning and calls are those of its output, where LangChain's events have less of it in the end."""
    model = FakeModel(chunks=chunks)
    async with lab.open_graph(graph_of(lab, model=asking(lab, model)), QUESTION) as run:
        (stream,) = await lab.items(run.messages)
        final = await output(lab, stream)
        assert await whole(lab, stream.text) == "".join(await lab.items(stream.text)) == final.text == "42"
        reasoning = "".join(block["reasoning"] for block in final.content_blocks if block["type"] == "reasoning")
        assert (
            await whole(lab, stream.reasoning) == "".join(await lab.items(stream.reasoning)) == reasoning == "Let me."
        )
        calls = await whole(lab, stream.tool_calls)
        assert [(each["id"], each["args"]) for each in calls] == [
            (each["id"], each["args"]) for each in final.tool_calls
        ]


@pytest.mark.parametrize("kind", ["while streaming", "whole"])
async def test_a_models_error_fails_its_message_with_the_run(lab: Lab, kind: str) -> None:
    """An exception of a model leaves the run, and an open message, as itself."""
    boom = Boom("boom")
    model: Any = FakeModel(chunks=[*words("a", "b"), boom]) if kind == "while streaming" else WholeModel(reply=boom)
    async with lab.open_graph(graph_of(lab, model=asking(lab, model)), QUESTION) as run:
        streams, error = await lab.outcome(run.messages)
        assert error is boom
        assert len(streams) == (1 if kind == "while streaming" else 0)
        for stream in streams:
            pieces, error = await lab.outcome(stream.text)
            assert pieces == ["a", "b"]
            assert str(error) == "boom"
            assert stream.status == "failed"
            assert str(await caught(output, lab, stream)) == "boom"
        assert await caught(lab.output, run) is boom


async def test_an_abort_leaves_the_message_so_far(lab: Lab) -> None:
    """The partial message of a LangGraph graph is an `AIMessage` with the text so far."""
    async with lab.open_graph(graph_of(lab, model=asking(lab, MODELS["text"])), QUESTION, prefetch=0) as run:
        stream = await lab.reader(run.messages).next()
        assert await lab.reader(stream.text).next() == "He"
        await lab.abort(run)
        error: Any = await caught(output, lab, stream)
    assert isinstance(error.partial, AIMessage)
    assert error.partial.text.startswith("He")
    assert stream.status == "aborted"


async def test_an_abort_after_the_reasoning_leaves_the_text_so_far(lab: Lab) -> None:
    """The partial message has the blocks that have ended and the one that has not."""
    chunks = [AIMessageChunk([{"type": "reasoning", "reasoning": "hm", "index": 0}])]
    chunks += [AIMessageChunk([{"type": "text", "text": piece, "index": 1}]) for piece in ("He", "llo", "!")]
    model = FakeModel(chunks=chunks)
    async with lab.open_graph(graph_of(lab, model=asking(lab, model)), QUESTION, prefetch=0) as run:
        stream = await lab.reader(run.messages).next()
        assert await lab.reader(stream.text).next() == "He"
        await lab.abort(run)
        error: Any = await caught(output, lab, stream)
    assert isinstance(error.partial, AIMessage)
    assert error.partial.text.startswith("He")
    kinds = [block["type"] for block in error.partial.content_blocks]
    assert kinds == ["reasoning", "text"]


async def test_an_unfinished_block_beside_a_finished_one_is_in_the_partial_message(lab: Lab) -> None:
    """A block that has ended does not hide the text of one that has not."""
    from anyiostream.projections.messages.langchain import assemble_ai_message

    events = [
        start(id="m"),
        delta("reasoning", "hm"),
        block_finish({"type": "reasoning", "reasoning": "hm"}),
        *text("He", "llo", index=1),
    ]
    message = assemble_ai_message(recorded(*events))
    assert message.text == "Hello"
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


# --- message chunks ---

CHUNKED = [name for name, model in MODELS.items() if isinstance(model, FakeModel) and name != "no id"]


def merged(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """The chunks added up, as LangChain does it."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total


@pytest.mark.parametrize("ending", ["a last chunk", "the whole message", "nothing"])
@pytest.mark.parametrize("model", CHUNKED)
async def test_message_chunks_are_read_into_a_message(lab: Lab, model: str, ending: str) -> None:
    """Parts that hold LangChain's chunks show the same text, reasoning, calls and usage as the chunks added up."""
    chunks = [
        (chunk[0] if isinstance(chunk, tuple) else chunk).model_copy(update={"id": "m"}, deep=True)
        for chunk in MODELS[model].chunks  # type: ignore[attr-defined]
    ]
    total = merged([chunk.model_copy(deep=True) for chunk in chunks])
    script = [messages(chunk, {"run_id": "r", "langgraph_node": "n"}) for chunk in chunks]
    if ending == "a last chunk":
        script.append(messages(AIMessageChunk("", id="m", chunk_position="last"), {"langgraph_node": "n"}))
    elif ending == "the whole message":
        script.append(messages(AIMessage("", id="m"), {"langgraph_node": "n"}))
    async with lab.open(Script(script)) as run:
        (stream,) = await lab.items(run.messages)
        final = await output(lab, stream)
        assert isinstance(final, (AIMessage, FinishedMessage))
        assert (stream.node, stream.message_id, stream.status) == ("n", "m", "finished")
        assert await whole(lab, stream.text) == "".join(await lab.items(stream.text)) == total.text
        reasoning = [block["reasoning"] for block in total.content_blocks if block["type"] == "reasoning"]
        assert await whole(lab, stream.reasoning) == "".join(reasoning)
        calls = await whole(lab, stream.tool_calls)
        assert [(call["id"], call["name"], call["args"]) for call in calls] == [
            (call["id"], call["name"], call["args"]) for call in _parsed(total)
        ]
        counts = await usage(lab, stream)
        assert (None if counts is None else dict(counts)) == total.usage_metadata


def _parsed(total: AIMessage) -> list[Any]:
    """The calls whose arguments are whole; adding chunks up guesses at incomplete ones."""
    return [] if "nonsense" in repr(total) else list(total.tool_calls)


@pytest.mark.parametrize("model", [name for name in CHUNKED if name != "invalid tool call"])
async def test_graphs_whose_tokens_come_as_chunks(lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where LangGraph offers no content-block events, the final message is still the one that the model gave."""
    monkeypatch.setattr("anyiostream.sources.langgraph.CONTENT_BLOCKS_KEY", None)
    async with lab.open_graph(graph_of(lab, model=asking(lab, MODELS[model])), QUESTION) as run:
        (stream,) = await lab.items(run.messages)
        final = await output(lab, stream)
        state = (await lab.output(run))["messages"][-1]
        assert isinstance(final, AIMessage)
        assert final.id == state.id
        assert final.text == state.text
        assert await whole(lab, stream.text) == state.text
        assert final.usage_metadata == state.usage_metadata
        assert [call["args"] for call in final.tool_calls] == [call["args"] for call in state.tool_calls]
        kinds = {"reasoning", "image"}
        assert [block["type"] for block in final.content_blocks if block["type"] in kinds] == [
            block["type"] for block in state.content_blocks if block["type"] in kinds
        ]


async def test_chunks_of_two_calls_side_by_side(lab: Lab) -> None:
    """Chunks are told apart by the id of their message."""
    script = []
    for pieces in ("ax", "by"):
        for name, piece in zip("12", pieces, strict=True):
            script.append(messages(AIMessageChunk(piece, id=name), {"run_id": "r"}))
    async with lab.open(Script(script)) as run:
        streams = await lab.items(run.messages)
        assert {stream.message_id: await whole(lab, stream.text) for stream in streams} == {"1": "ab", "2": "xy"}


async def test_chunks_are_pieces_as_they_come(lab: Lab) -> None:
    """The message appears with its first chunk, and each further one is a piece."""
    script = Script([messages(AIMessageChunk(piece, id="m")) for piece in "abc"])
    async with lab.open(script, prefetch=0) as run:
        stream = await lab.reader(run.messages).next()
        pieces = lab.reader(stream.text)
        assert await pieces.take(2) == ["a", "b"]
        assert script.pulled == 2
        assert stream.status == "streaming"
        assert await pieces.rest() == ["c"]
        assert stream.status == "finished"


# --- agents ---


@tool
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


@tool
def broken(n: int) -> int:
    """Fail."""
    raise Boom("boom")


def calling(name: str, **args: Any) -> Agent:
    """A model that calls a tool once."""
    return Agent(calls=[tool_chunk(0, json.dumps(args), id="t1", name=name)])


async def test_an_agents_messages_and_tool_calls(lab: Lab) -> None:
    """`run.messages` has the agent's model calls and `run.tool_calls` what its tools did."""
    agent = create_agent(calling("double", n=21), [double])
    async with lab.open_graph(agent, {"messages": [HumanMessage("question")]}) as run:
        calls = lab.reader(run.tool_calls)
        first, second = await lab.items(run.messages)
        assert [call["name"] for call in await whole(lab, first.tool_calls)] == ["double"]
        assert await whole(lab, first.text) == ""
        assert await whole(lab, second.text) == "got 42"
        assert (first.node, second.node) == ("model", "model")
        (call,) = await calls.rest()
        assert (call.tool_call_id, call.tool_name) == ("t1", "double")
        assert call.completed
        assert call.error is None
        assert str(await result(lab, call)) == "42"
        state = await lab.output(run)
        assert state["messages"][-1].text == "got 42"
    assert run.status == "completed"


async def test_an_agents_tool_error(lab: Lab) -> None:
    """A tool's exception fails its call by its text and the run by itself."""
    agent = create_agent(calling("broken", n=1), [broken])
    async with lab.open_graph(agent, {"messages": [HumanMessage("question")]}) as run:
        calls, error = await lab.outcome(run.tool_calls)
        assert isinstance(error, Boom)
        (call,) = calls
        assert call.completed
        assert "boom" in call.error
        assert run.status == "failed"


async def test_a_tools_error_that_is_its_answer(lab: Lab) -> None:
    """The agent goes on with it, and yet the tool has failed."""

    def refusing(n: int) -> int:
        """Refuse."""
        raise ToolException("not today")

    refusal = StructuredTool.from_function(refusing, handle_tool_error=True)
    agent = create_agent(calling("refusing", n=1), [refusal])
    async with lab.open_graph(agent, {"messages": [HumanMessage("question")]}) as run:
        (call,) = await lab.items(run.tool_calls)
        assert (call.status, call.error, call.output) == ("failed", "not today", "not today")
        state = await lab.output(run)
        assert state["messages"][-1].text == "got not today"
        assert run.status == "completed"


@pytest.mark.parametrize(
    ("outer_name", "inner_name", "shown"),
    [("outer", "inner", "inner"), (None, "inner", "inner"), ("same", "same", "same"), (None, None, None)],
)
async def test_an_agent_called_by_a_tool(
    lab: Lab, outer_name: str | None, inner_name: str | None, shown: str | None
) -> None:
    """A sub-agent with a name is on `run.subagents`, with its own messages, and tells the call that caused it."""
    inner = create_agent(calling("double", n=4), [double], name=inner_name)

    @tool
    async def aask(question: str) -> str:
        """Ask another agent."""
        state = await inner.ainvoke({"messages": [HumanMessage(question)]})
        return str(state["messages"][-1].text)

    @tool
    def sask(question: str) -> str:
        """Ask another agent."""
        return str(inner.invoke({"messages": [HumanMessage(question)]})["messages"][-1].text)

    ask = aask if lab.is_async else sask
    outer = create_agent(calling(ask.name, question="?"), [ask], name=outer_name)
    async with lab.open_graph(outer, {"messages": [HumanMessage("question")]}) as run:
        root, calls = lab.reader(run.messages), lab.reader(run.tool_calls)
        handles = lab.reader(run.subagents)
        seen = []
        try:
            while True:
                handle = await handles.next()
                texts = [await whole(lab, stream.text) for stream in await lab.items(handle.messages)]
                assert (await lab.output(handle))["messages"][-1].text == "got 8"
                seen.append((handle.graph_name, handle.status, handle.cause, texts))
        except StopAsyncIteration:
            pass
        assert [await whole(lab, stream.text) for stream in await root.rest()] == ["", "got got 8"]
        (call,) = await calls.rest()
        assert call.tool_name == ask.name
        assert await result(lab, call) == "got 8"
    cause = {"type": "toolCall", "tool_call_id": "t1"}
    assert seen == ([] if shown is None else [(shown, "completed", cause, ["", "got 8"])])


def test_subagents_are_langchains(lab: Lab) -> None:
    """Whatever the names of two nested agents, the handles are those that LangChain's own transformer makes."""

    async def handles(each: Lab) -> list[Any]:
        seen = []
        for outer_name, inner_name in itertools.product(["a", None], ["a", "b", None]):
            inner = create_agent(calling("double", n=4), [double], name=inner_name)

            @tool
            async def aask(question: str, inner: Any = inner) -> str:
                """Ask another agent."""
                return str((await inner.ainvoke({"messages": [HumanMessage(question)]}))["messages"][-1].text)

            @tool
            def sask(question: str, inner: Any = inner) -> str:
                """Ask another agent."""
                return str(inner.invoke({"messages": [HumanMessage(question)]})["messages"][-1].text)

            ask = aask if each.is_async else sask
            outer = create_agent(calling(ask.name, question="?"), [ask], name=outer_name)
            async with each.open_graph(outer, {"messages": [HumanMessage("question")]}) as run:
                agents = await each.items(run.subagents)
                seen.append([(agent.name, agent.cause, agent.status) for agent in agents])
        return seen

    shown: list[Any] = []
    for each in (lab, Lab("theirs", "asyncio" if lab.is_async else "sync")):

        async def main(each: Lab = each) -> None:
            shown.append(await handles(each))

        each.run(main)
    assert shown[0] == shown[1]


async def test_what_a_tool_streams_is_on_its_call(lab: Lab) -> None:
    """A tool's output deltas are the pieces of its call."""

    @tool
    def counting(n: int, runtime: ToolRuntime) -> str:
        """Count."""
        for each in range(n):
            runtime.emit_output_delta(each)
        return "done"

    agent = create_agent(calling("counting", n=3), [counting])
    async with lab.open_graph(agent, {"messages": [HumanMessage("question")]}) as run:
        (call,) = await lab.items(run.tool_calls)
        assert await lab.items(call) == [0, 1, 2]
        assert await result(lab, call) == "done"
