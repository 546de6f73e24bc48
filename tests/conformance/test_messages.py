"""`run.messages`: one stream per model call, as LangGraph shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from anyiostream import parts

from .adapter import OURS, Lab, Script, on
from .graphs import node


def start(message_id: str = "m", role: str = "ai") -> dict[str, Any]:
    """A message's start, under both names of its id."""
    return {"event": "message-start", "role": role, "id": message_id, "message_id": message_id}


def text(*pieces: str) -> list[dict[str, Any]]:
    """Pieces of text."""
    return [
        {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": piece}} for piece in pieces
    ]


def end(*pieces: str) -> list[dict[str, Any]]:
    """The end of a message of these pieces."""
    content = {"type": "text", "text": "".join(pieces)}
    return [{"event": "content-block-finish", "index": 0, "content": content}, {"event": "message-finish"}]


def part(payload: Any, run_id: str = "r", ns: tuple[str, ...] = (), **metadata: Any) -> Any:
    """A part of a model call."""
    return parts.messages(payload, {"run_id": run_id, **metadata}, ns=ns)


def call(*pieces: str, run_id: str = "r", ns: tuple[str, ...] = (), **metadata: Any) -> list[Any]:
    """The parts of a whole model call."""
    return [part(each, run_id, ns, **metadata) for each in (start(run_id), *text(*pieces), *end(*pieces))]


async def whole(lab: Lab, projection: Any) -> Any:
    """The final value of a message's projection."""
    return await projection if lab.is_async else projection.get()


async def output(lab: Lab, message: Any) -> Any:
    """The final message."""
    return await message.output if lab.is_async else message.output


def text_of(message: Any) -> str:
    """The text of a final message, of LangChain's class or ours."""
    return message.text if isinstance(message.text, str) else message.text()


async def test_a_stream_at_the_start(lab: Lab) -> None:
    """(123) A model call is visible at its start, before it has any content."""
    script = Script([*call("a", "b"), parts.values("end")])
    async with lab.open(script) as run:
        message = await lab.reader(run.messages).next()
        assert not message.done
        assert await whole(lab, message.text) == "ab"
        assert message.done


async def test_one_stream_per_call(lab: Lab) -> None:
    """(123) Each model call has a stream of its own."""
    script = [*call("a"), *call("b", run_id="s"), *call("c", run_id="t")]
    async with lab.open(script) as run:
        messages = await lab.items(run.messages)
        assert [await whole(lab, message.text) for message in messages] == ["a", "b", "c"]


async def test_concurrent_calls(lab: Lab) -> None:
    """(124) Interleaved events are told apart by their run."""
    one, two = call("a", "b", run_id="1"), call("x", "y", run_id="2")
    script = [each for pair in zip(one, two, strict=True) for each in pair]
    async with lab.open(script) as run:
        first, second = await lab.items(run.messages)
        assert await lab.items(first.text) == ["a", "b"]
        assert await lab.items(second.text) == ["x", "y"]


async def test_deltas_without_a_start(lab: Lab) -> None:
    """(125) Deltas of a call whose start was not seen are ignored."""
    async with lab.open([*call("lost")[1:], *call("a", run_id="s")]) as run:
        (message,) = await lab.items(run.messages)
        assert await lab.items(message.text) == ["a"]


async def test_tool_role(lab: Lab) -> None:
    """(126) A message whose role is a tool's is ignored from its start to its finish."""
    hidden = [part(each, "t") for each in (start("t", "tool"), *text("hidden"), *end("hidden"))]
    async with lab.open([*hidden, *call("a")]) as run:
        (message,) = await lab.items(run.messages)
        assert await whole(lab, message.text) == "a"


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("hello", id="m"),
        AIMessage([{"type": "text", "text": "hello"}], id="m"),
        HumanMessage("hello", id="m"),
        AIMessage("hello", id="m", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    ],
    ids=["text", "blocks", "human", "usage"],
)
async def test_whole_messages(lab: Lab, message: Any) -> None:
    """(127) A whole message is shown as a model call with all of its events."""
    async with lab.open([part(message, langgraph_node="n")]) as run:
        (stream,) = await lab.items(run.messages)
        assert stream.done
        assert stream.message_id == "m"
        assert stream.node == "n"
        assert await lab.items(stream.text) == ["hello"]
        assert await whole(lab, stream.text) == "hello"
        events = [each["event"] for each in await lab.items(stream)]
        final = await output(lab, stream)
    assert events == [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ]
    if lab.ours:
        assert final is message
    usage = getattr(final, "usage_metadata", None)
    assert usage == getattr(message, "usage_metadata", None)
    assert text_of(final) == "hello"


async def test_whole_message_with_a_tool_call(lab: Lab) -> None:
    """(127) The tool calls of a whole message are those of its stream."""
    calls = [{"id": "t1", "name": "search", "args": {"q": 1}, "type": "tool_call"}]
    async with lab.open([part(AIMessage("", id="m", tool_calls=calls))]) as run:
        (stream,) = await lab.items(run.messages)
        assert await whole(lab, stream.tool_calls) == calls


async def test_tool_messages(lab: Lab) -> None:
    """(128) A tool's whole message is ignored."""
    async with lab.open([part(ToolMessage("result", tool_call_id="t1")), *call("a")]) as run:
        (message,) = await lab.items(run.messages)
        assert await whole(lab, message.text) == "a"


async def test_message_chunks(lab: Lab) -> None:
    """(129) LangGraph ignores message chunks; here they make a message, as the documentation says."""
    chunks = [AIMessageChunk("a", id="m"), AIMessageChunk("b", id="m", chunk_position="last")]
    async with lab.open([*map(part, chunks), *call("c", run_id="s")]) as run:
        messages = await lab.items(run.messages)
        texts = [await whole(lab, message.text) for message in messages]
    assert texts == (["ab", "c"] if lab.ours else ["c"])


async def test_other_namespaces(lab: Lab) -> None:
    """(130) Model calls of other scopes are not shown."""
    async with lab.open([*call("below", ns=("sub:1",)), *call("a", run_id="s")]) as run:
        (message,) = await lab.items(run.messages)
        assert await whole(lab, message.text) == "a"


async def test_own_scope(lab: Lab) -> None:
    """(130) In a run with a scope of its own, that is the scope whose model calls are shown."""
    async with lab.open([*call("outer"), *call("a", run_id="s", ns=("outer:1",))], scope=("outer:1",)) as run:
        (message,) = await lab.items(run.messages)
        assert await whole(lab, message.text) == "a"


async def test_run_failure(lab: Lab) -> None:
    """(131) The run's failure fails an open message, after its pieces, with the same exception."""
    boom = ValueError("boom")
    async with lab.open(Script(call("a", "b")[:-2], boom)) as run:
        message = await lab.reader(run.messages).next()
        assert await lab.outcome(message.text) == (["a", "b"], boom)
        with pytest.raises(ValueError, match="boom") as caught:
            await whole(lab, message.text)
        assert caught.value is boom
        with pytest.raises(ValueError, match="boom") as caught:
            await output(lab, message)
        assert caught.value is boom


async def test_finished_messages_survive_a_failure(lab: Lab) -> None:
    """(131) A message that has finished before stays good."""
    async with lab.open(Script(call("a"), ValueError("boom"))) as run:
        messages = lab.reader(run.messages)
        message = await messages.next()
        assert isinstance((await messages.outcome())[1], ValueError)
        assert await whole(lab, message.text) == "a"


async def test_projections_by_lane(lab: Lab) -> None:
    """(132) On each lane, pieces are iterated and final values waited for, as that lane does it."""
    async with lab.open(call("a", "b")) as run:
        message = await lab.reader(run.messages).next()
        with pytest.raises(TypeError):
            (iter if lab.is_async else aiter)(message.text)
        if not lab.is_async:
            with pytest.raises(TypeError):
                await message.text
        assert await lab.items(message.text) == ["a", "b"]
        assert await lab.items(message.text) == ["a", "b"]
        assert text_of(await output(lab, message)) == "ab"
        if lab.is_async:
            assert text_of(await message) == "ab"
        else:
            assert str(message.text) == "ab"


async def test_node_and_id(lab: Lab) -> None:
    """(133) A stream tells the node that made the call, and the message's id."""
    async with lab.open(call("a", run_id="m7", langgraph_node="model")) as run:
        message = await lab.reader(run.messages).next()
        assert message.node == "model"
        assert message.message_id == "m7"
        assert (await output(lab, message)).id == "m7"


async def test_before_builtins_changes_what_messages_show(lab: Lab) -> None:
    """(43) What a transformer before the built-in ones does to a piece is what the message shows."""

    class Shout(lab.api.StreamTransformer):  # type: ignore[name-defined,misc]
        before_builtins = True

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            if event["method"] == "messages":
                payload = event["params"]["data"][0]
                for key, field in (("delta", "text"), ("content", "text")):
                    if isinstance(payload.get(key), Mapping) and field in payload[key]:
                        payload[key][field] = payload[key][field].upper()
            return True

    async with lab.open(call("a", "b"), transformers=[Shout]) as run:
        message = await lab.reader(run.messages).next()
        assert await lab.items(message.text) == ["A", "B"]
        assert await whole(lab, message.text) == "AB"


@on([*OURS, Lab("theirs", "sync")])
async def test_interleaving_with_messages(lab: Lab) -> None:
    """(99) Values, messages, lifecycle and custom data can be read together, in order of arrival."""
    script = [
        parts.values(1),
        *call("a"),
        parts.custom("c"),
        parts.task_start("1", "sub"),
        parts.task_start("2", "x", ns=("sub:1",)),
        *call("b", run_id="s"),
        parts.task_result("1", "sub"),
        parts.values(2),
    ]
    custom = {"ours": lab.api, "theirs": None}[lab.library] or _their_transformers()
    async with lab.open(script, transformers=[custom.CustomTransformer]) as run:
        seen = []
        for name, item in await lab.items(run.interleave("values", "messages", "lifecycle", "custom")):
            if name == "messages":
                seen.append(await whole(lab, item.text))
            else:
                seen.append(item["event"] if name == "lifecycle" else item)
    assert seen == [1, "a", "c", "started", "b", "completed", 2]


def _their_transformers() -> Any:
    from langgraph.stream import transformers

    return transformers


@on([*OURS, Lab("theirs", "sync")])
async def test_reading_messages_while_interleaving(lab: Lab) -> None:
    """(99) A message may be read to its end in the body of the loop that interleaves."""
    script = [parts.values(1), *call("a", "b"), parts.values(2), *call("c", run_id="s"), parts.values(3)]
    async with lab.open(script) as run:
        seen: list[Any] = []
        reader = lab.reader(run.interleave("values", "messages"))
        try:
            while True:
                name, item = await reader.next()
                seen.append(await lab.items(item.text) if name == "messages" else item)
        except StopAsyncIteration:
            pass
    assert seen == [1, ["a", "b"], 2, ["c"], 3]


async def test_a_graphs_messages(lab: Lab) -> None:
    """(127) Messages that a node of a real graph returns are shown, tool messages and repetitions are not."""
    answer = AIMessage("answer", id="a1")

    def speak(state: Any) -> Any:
        return {"messages": [answer, ToolMessage("result", tool_call_id="t1")]}

    builder = StateGraph(MessagesState)
    builder.add_node("speak", node(lab, speak))
    builder.add_node("repeat", node(lab, lambda state: {"messages": [answer]}))
    builder.add_edge(START, "speak")
    builder.add_edge("speak", "repeat")
    builder.add_edge("repeat", END)
    async with lab.open_graph(builder.compile(), {"messages": [HumanMessage("question", id="q")]}) as run:
        messages = await lab.items(run.messages)
        shown = [(m.node, m.message_id, await whole(lab, m.text)) for m in messages]
        finals = [await output(lab, m) for m in messages]
    assert shown == [("speak", "a1", "answer")]
    assert all(isinstance(final, AIMessage) for final in finals)
