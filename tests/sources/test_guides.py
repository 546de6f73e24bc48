"""The fragments in the guides to frameworks and interrupts do what they say, with scripted models."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest

from anyiostream import Resumption, open_run

if not find_spec("pydantic_ai"):
    pytest.skip("needs pydantic-ai: `nox -s tests-sources`", allow_module_level=True)

from pydantic_ai import Agent, DeferredToolRequests, RunContext
from pydantic_ai.models.test import TestModel

from anyiostream.sources.pydantic_ai import PydanticAgent

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"


def fragments(guide: str) -> list[str]:
    return re.findall(r"^```py\n(.*?)^```$", (GUIDES / guide).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(fragment: str, **names: Any) -> dict[str, Any]:
    """Run a fragment that awaits, as in a coroutine; its names when it has ended."""
    code = compile(fragment, "guide", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    async def main() -> None:
        awaited = eval(code, names)
        if awaited is not None:
            await awaited

    anyio.run(main)
    return names


def test_an_agent_is_a_graph(capsys: pytest.CaptureFixture[str]) -> None:
    """It says what its model says, and a second run goes on with the conversation."""
    fragment, _ = fragments("frameworks.md")
    assert 'Agent("openai:gpt-5"), deps=...' in fragment
    names = run(
        fragment.replace('Agent("openai:gpt-5"), deps=...', "agent"), agent=Agent(TestModel(custom_output_text="Here."))
    )
    assert capsys.readouterr().out == "Here.\n"
    assert set(names["state"]) >= {"messages", "output", "usage"}


def test_an_agent_that_a_tool_calls_is_a_subgraph() -> None:
    """With messages of its own."""
    _, fragment = fragments("frameworks.md")
    agent, expert = Agent(TestModel()), Agent(TestModel(custom_output_text="It is at the sea."))
    run(fragment, agent=agent, expert=expert, RunContext=RunContext)

    async def main() -> list[str]:
        async with open_run(PydanticAgent(agent), "Where is Bergen?") as opened:
            return [await message.text async for handle in opened.subgraphs async for message in handle.messages]

    assert anyio.run(main) == ["It is at the sea."]


def test_a_call_that_waits_for_approval_is_a_question() -> None:
    """Its answer begins a run that calls the tool."""
    fragment, _ = fragments("interrupts.md")
    agent = Agent(TestModel(), output_type=[str, DeferredToolRequests])
    paid = []

    @agent.tool_plain(requires_approval=True)
    def pay(amount: int) -> str:
        paid.append(amount)
        return "paid"

    names = run(fragment, agent_graph=PydanticAgent(agent), Resumption=Resumption, open_run=open_run)
    (question,) = names["questions"]
    assert (question.value["type"], question.value["tool_name"]) == ("approval", "pay")
    assert paid == [question.value["args"]["amount"]]
