"""Scripted chat models: in function graphs on every lane, and in LangGraph graphs."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import anyio
import pytest

from anyiostream import GraphWriter, MessageFailed, open_run
from anyiostream.errors import MissingExtra
from anyiostream.testing import FakeChatModel, Reply, ScriptExhausted
from anyiostream.testing.langchain import FakeStreamingChatModel

CALL = {"name": "forecast", "args": {"city": "Bergen"}, "id": "call-7"}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
WHOLE = Reply("It will rain.", reasoning="Clouds, wind.", tool_calls=[CALL], usage=USAGE)


def agent(model: FakeChatModel) -> Any:
    """A graph that calls the model once."""

    async def graph(question: str, writer: GraphWriter) -> str:
        return (await model(writer, node="think")).whole_text

    return graph


def test_a_reply_is_a_message_on_the_sync_lane() -> None:
    """Text and reasoning word by word, tool calls, usage, node and model."""
    model = FakeChatModel(WHOLE)
    with open_run(agent(model), "?") as run:
        (message,) = run.messages
        assert list(message.text) == ["It ", "will ", "rain."]
        assert list(message.reasoning) == ["Clouds, ", "wind."]
        assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls.get()] == [tuple(CALL.values())]
        assert message.usage == USAGE
        assert message.node == "think"
        assert message.output.text == "It will rain."
        assert run.output == "It will rain."
    assert model.called == 1


@pytest.mark.anyio
async def test_a_reply_is_a_message_on_the_async_lane() -> None:
    """The same, while it streams."""
    async with open_run(agent(FakeChatModel(WHOLE)), "?") as run:
        async for message in run.messages:
            assert [piece async for piece in message.text] == ["It ", "will ", "rain."]
            assert await message.usage == USAGE
            assert (await message.output).reasoning == "Clouds, wind."


def test_pieces_are_streamed_as_they_are_given() -> None:
    """A test that counts chunks decides what a chunk is."""
    with open_run(agent(FakeChatModel(Reply(["ab", "c", " d"]))), "?") as run:
        (message,) = run.messages
        assert list(message.text) == ["ab", "c", " d"]


def test_an_error_comes_after_what_was_streamed() -> None:
    """The message fails, and the graph with it."""
    error = TimeoutError("the model has gone")
    seen: list[str] = []
    with pytest.raises(TimeoutError) as caught, open_run(agent(FakeChatModel(Reply("It", error=error))), "?") as run:
        for message in run.messages:
            with pytest.raises(MessageFailed, match="the model has gone"):
                for piece in message.text:
                    seen.append(piece)
    assert caught.value is error
    assert (seen, message.status) == (["It"], "failed")


def test_a_call_too_many_is_an_error() -> None:
    """It says how many replies there were."""

    async def graph(_: Any, writer: GraphWriter) -> None:
        model = FakeChatModel("one")
        await model(writer)
        await model(writer)

    with pytest.raises(ScriptExhausted, match="called 2 times and has 1 reply"), open_run(graph) as run:
        _ = run.output


def langgraph_agent(model: FakeStreamingChatModel) -> Any:
    """An agent of LangChain's with one tool."""
    from langchain.agents import create_agent

    def forecast(city: str) -> str:
        """The weather."""
        return f"rain in {city}"

    return create_agent(model, tools=[forecast])


INPUT = {"messages": [{"role": "user", "content": "?"}]}


@pytest.mark.anyio
async def test_a_langgraph_agent_streams_the_script() -> None:
    """Pieces, tool calls with their arguments whole, usage, and the tool's answer."""
    model = FakeStreamingChatModel(Reply("Let me look.", tool_calls=[CALL], usage=USAGE), Reply(["It ", "rains."]))
    graph = langgraph_agent(model)
    seen: list[Any] = []

    async def read_tools(run: Any) -> None:
        seen.extend([(call.tool_name, call.input) async for call in run.tool_calls])

    async with open_run(graph, INPUT) as run, anyio.create_task_group() as tasks:
        tasks.start_soon(read_tools, run)
        first, second = [message async for message in run.messages]
        assert [piece async for piece in first.text] == ["Let ", "me ", "look."]
        assert [(call["name"], call["args"]) for call in await first.tool_calls] == [("forecast", {"city": "Bergen"})]
        assert (await first.usage)["total_tokens"] == 7
        assert await second.text == "It rains."
        state = await run.output()
    assert [type(message).__name__ for message in state["messages"]] == [
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "AIMessage",
    ]
    assert [name for name, _ in seen] == ["forecast"]
    assert model.called == 2


def test_a_langgraph_graph_streams_the_script_on_the_sync_lane() -> None:
    """Reasoning too, as content blocks."""
    model = FakeStreamingChatModel(Reply("Rain.", reasoning="Clouds, wind."))
    with open_run(langgraph_agent(model), INPUT) as run:
        (message,) = run.messages
        assert message.reasoning.get() == "Clouds, wind."
        assert message.text.get() == "Rain."


def test_the_langchain_model_may_be_invoked() -> None:
    """Without streaming, the reply comes whole; an error is raised."""
    model = FakeStreamingChatModel(WHOLE, Reply(error=OSError("gone")))
    message = model.invoke("?")
    assert message.text == "It will rain."
    assert message.tool_calls[0]["args"] == {"city": "Bergen"}
    with pytest.raises(OSError, match="gone"):
        model.invoke("?")


def test_without_langchain_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of `anyiostream.testing` does without it."""
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    monkeypatch.delitem(sys.modules, "anyiostream.testing.langchain")
    with pytest.raises(MissingExtra, match=r"anyiostream\.testing\.langchain needs the `langgraph` extra") as caught:
        import_module("anyiostream.testing.langchain")
    assert isinstance(caught.value, ImportError)
