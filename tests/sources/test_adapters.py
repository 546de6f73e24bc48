"""What each framework has of its own: handoffs, denials, answers in parts, models that do not stream; bad input."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import Resumption, ToolCallTransformer, open_run
from anyiostream.errors import AgentAnswerInvalid, AgentInputInvalid, MissingExtra, NotAGraph
from anyiostream.sources.agents import AgentInput, Approval
from anyiostream.sources.asyncio_graph import AsyncioGraph
from anyiostream.testing import Reply

from .adapters import ADAPTERS, FRAMEWORKS
from .conversations import Agent, Conversation, Shown, Tools, call

INSTALLED = [name for name, spec in FRAMEWORKS.items() if spec is not None]
needs_openai = pytest.mark.skipif("openai-agents" not in INSTALLED, reason="`nox -s tests-sources` installs it")


class Echo(AsyncioGraph):
    """Gives back what it is given."""

    async def produce(self, given: Any, writer: Any) -> Any:
        return given


def test_what_needs_asyncio_has_no_sync_lane() -> None:
    """It says which lane to use."""
    with pytest.raises(NotAGraph, match="async with open_run"), open_run(Echo(), 1):
        pass


@pytest.mark.parametrize("thread", [False, True])
def test_on_trio_it_runs_on_either_host(thread: bool) -> None:
    """In trio's own thread, or in another one."""
    from anyiostream import asyncio_host

    async def program() -> None:
        async with asyncio_host(thread=thread), open_run(Echo(), 1) as run:
            assert await run.output() == 1

    anyio.run(program, backend="trio")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "None"),
        ("", "''"),
        ({"question": "Hi"}, "the key 'question'"),
        ({}, "neither `prompt` nor `messages`"),
        ({"prompt": "Hi", "messages": "Ho"}, "not a list"),
        (Resumption({"a": 1}), "not the output of an interrupted run"),
    ],
)
def test_wrong_input(given: Any, problem: str) -> None:
    """It says what is wrong, and what to pass."""
    with pytest.raises(AgentInputInvalid, match=problem) as refused:
        AgentInput.of(given)
    assert "Pass a prompt" in str(refused.value)


@pytest.mark.parametrize("answer", ["yes", 1, None, {}, {"approved": "yes"}, {"approved": True, "reason": ""}])
def test_wrong_answer(answer: Any) -> None:
    """An approval is yes or no, never guessed."""
    with pytest.raises(AgentAnswerInvalid, match="true or false"):
        Approval.of("c1", answer)


def test_an_answer_to_nothing() -> None:
    """It names what is pending."""
    with pytest.raises(AgentAnswerInvalid, match="'c1'"):
        AgentInput.of(Resumption({"c2": True}, {"messages": [], "pending": {"c1": {}}}))


TWO = (call("pay", "c1", amount=5), call("pay", "c2", amount=7))


@pytest.mark.parametrize("source", INSTALLED)
def test_answers_come_one_by_one(source: str) -> None:
    """What is not answered is asked again; a denial goes to the model with its message."""
    agent = Agent("main", (Reply(tool_calls=TWO), Reply("Done.")), ("pay",))

    async def program() -> None:
        adapter = ADAPTERS[source]()
        opened = adapter.opened(Conversation(agent, Shown()), Tools())
        graph = opened["graph"]
        async with open_run(graph, "Hi") as run:
            assert sorted(each.id for each in await run.interrupts()) == ["c1", "c2"]
            state = await run.output()
        async with open_run(graph, Resumption({"c2": True}, state)) as run:
            assert [each.id for each in await run.interrupts()] == ["c1"]
            state = await run.output()
        denial = {"approved": False, "message": "Too dear."}
        async with open_run(graph, Resumption({"c1": denial}, state), transformers=[ToolCallTransformer]) as run:
            calls = {call.tool_call_id: call async for call in run.tool_calls}
            assert calls["c2"].output == "paid 7"
            assert "Too dear." in str(calls["c1"].output or calls["c1"].error)
            state = await run.output()
        assert adapter.output(state) == "Done."

    anyio.run(program)


@pytest.mark.parametrize("source", INSTALLED)
def test_a_conversation_goes_on(source: str) -> None:
    """The messages of an output are the beginning of the next run's."""
    agent = Agent("main", (Reply("Hello."), Reply("Bye.")))

    async def program() -> None:
        adapter = ADAPTERS[source]()
        graph = adapter.opened(Conversation(agent, Shown()), Tools())["graph"]
        async with open_run(graph, "Hi") as run:
            state = await run.output()
        async with open_run(graph, {**state, "prompt": "Good bye"}) as run:
            history = adapter.history(await run.output())
        assert history == [("user", "Hi"), ("ai", "Hello."), ("user", "Good bye"), ("ai", "Bye.")]

    anyio.run(program)


@needs_openai
@pytest.mark.parametrize("streams", [True, False])
def test_handoffs_are_subgraphs(streams: bool) -> None:
    """The agent that a conversation is handed to is one, whether its model streams or not."""
    import agents

    from anyiostream.sources.openai_agents import OpenAIAgent

    from .openai_model import ScriptedModel

    billing = agents.Agent("billing", model=ScriptedModel([Reply("You owe five.")], streams=streams))
    transfer = call("transfer_to_billing", "h1")
    desk = agents.Agent("desk", model=ScriptedModel([Reply("One moment.", tool_calls=[transfer])]), handoffs=[billing])

    async def program() -> None:
        graph = OpenAIAgent(desk, run_config=agents.RunConfig(tracing_disabled=True))
        async with open_run(graph, "Hi") as run:
            said = []
            async for name, item in run.interleave("messages", "subgraphs"):
                if name == "messages":
                    said.append(("desk", await item.text))
                else:
                    said += [(item.graph_name, await message.text) async for message in item.messages]
            assert said == [("desk", "One moment."), ("billing", "You owe five.")]
            assert (await run.output())["output"] == "You owe five."

    anyio.run(program)


@pytest.mark.skipif("pydantic-ai" not in INSTALLED, reason="`nox -s tests-sources` installs it")
def test_a_nested_agent_needs_no_run() -> None:
    """Without one it runs as if nobody looked."""
    from types import SimpleNamespace

    import pydantic_ai
    from pydantic_ai.models.test import TestModel

    from anyiostream.sources.pydantic_ai import run_nested

    agent = pydantic_ai.Agent(TestModel(custom_output_text="six"))

    async def program() -> None:
        result = await run_nested(agent, "When?", context=SimpleNamespace(usage=None, tool_call_id="c1"))
        assert result.output == "six"

    anyio.run(program)


@pytest.mark.parametrize(("module", "name"), [("pydantic_ai", "PydanticAgent"), ("openai_agents", "OpenAIAgent")])
def test_a_framework_that_is_not_there(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    import importlib
    import sys

    adapter = importlib.import_module(f"anyiostream.sources.{module}")
    monkeypatch.setitem(sys.modules, adapter.FRAMEWORK, None)
    with pytest.raises(MissingExtra, match=module.replace("_", "-")):
        getattr(adapter, name)(object())
