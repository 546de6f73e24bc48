"""deepagents show through `open_run` what they show through the original: files, lists, subagents, approvals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from deepagents import create_deep_agent
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from ..conformance.adapter import Lab
from ..differential.graphs import THREAD, Built, one_at_a_time
from ..messages.reading import whole
from .cases import LANES, LOOPS, Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import anthropic, chat, responses
from .observing import drill, on_lane, open_agent, survey
from .provider.script import HttpError, Reply, call, say
from .provider.server import ModelServer, model_server

CASES = Cases()
VIEWS = {"survey": survey, "drill": drill}
ASKED = {"messages": [("user", "Find out about Bergen.")]}


def does(number: int, tool: str, **arguments: Any) -> Any:
    """A call of a tool."""
    return call(f"call-{number}", tool, json.dumps(arguments), size=24)


def task(number: int, subagent: str, about: str) -> Any:
    """A call of a subagent."""
    return does(number, "task", description=about, subagent_type=subagent)


def weather(lab: Lab) -> StructuredTool:
    """A tool of the lab's lane."""

    def weather(city: str) -> str:
        """Tells the weather."""
        return f"rain in {city}"

    async def aweather(city: str) -> str:
        return weather(city)

    return StructuredTool.from_function(weather, coroutine=aweather if lab.is_async else None)


def subagent(lab: Lab, name: str, model: Any, **options: Any) -> Any:
    """A subagent with one tool."""
    return {
        "name": name,
        "description": f"Knows all about {name}.",
        "system_prompt": f"You are an expert of {name}.",
        "model": model,
        "tools": [weather(lab)],
        **options,
    }


@CASES.add(
    {
        "boss": [
            say("", does(1, "write_todos", todos=[{"content": "write", "status": "in_progress"}])),
            say("", does(2, "write_file", file_path="/bergen.md", content="It rains.")),
            say("", does(3, "read_file", file_path="/bergen.md")),
            say("It rains.", think="That was easy."),
        ]
    }
)
def files_and_list(lab: Lab, server: ModelServer) -> Built:
    """An agent that keeps a list and files."""
    return Built(create_deep_agent(anthropic(server, "boss")), [ASKED], transformers=["UpdatesTransformer"])


@CASES.add(
    {
        "boss": [say("I shall ask.", task(1, "meteorology", "the weather of Bergen")), say("It rains.")],
        "worker": [say("", does(2, "weather", city="Bergen"), think="Which city?"), say("Rain in Bergen.")],
    }
)
def one_subagent(lab: Lab, server: ModelServer) -> Built:
    """An agent that sends work to another one, of another provider."""
    subagents = [subagent(lab, "meteorology", anthropic(server, "worker"))]
    return Built(create_deep_agent(responses(server, "boss"), subagents=subagents), [ASKED])


@CASES.add(
    {
        "boss": [
            say("", task(1, "meteorology", "the weather of Bergen"), task(2, "history", "Bergen's past")),
            say("It rains on old houses."),
        ],
        "first": [say("", does(3, "weather", city="Bergen")), say("Rain in Bergen.")],
        "second": [say("It was founded in 1070.")],
    },
    lanes=LOOPS,
)
def two_subagents(lab: Lab, server: ModelServer) -> Built:
    """An agent that sends work to two others in one superstep."""
    subagents = [
        subagent(lab, "meteorology", chat(server, "first")),
        subagent(lab, "history", anthropic(server, "second")),
    ]
    agent = create_deep_agent(chat(server, "boss"), subagents=subagents)
    return Built(agent, [ASKED], one_at_a_time(is_async=lab.is_async))


@CASES.add(
    {
        "boss": [say("", task(1, "meteorology", "Bergen")), say("", task(2, "meteorology", "Oslo")), say("It rains.")],
        "worker": [say("Rain in Bergen."), say("Rain in Oslo.")],
    }
)
def one_subagent_twice(lab: Lab, server: ModelServer) -> Built:
    """An agent that sends work to another one twice."""
    subagents = [subagent(lab, "meteorology", chat(server, "worker"))]
    return Built(create_deep_agent(chat(server, "boss"), subagents=subagents), [ASKED])


@CASES.add(
    {
        "boss": [say("", task(1, "meteorology", "the weather of Bergen"))],
        "worker": [HttpError(400, "the worker is ill")],
    }
)
def failing_subagent(lab: Lab, server: ModelServer) -> Built:
    """A subagent whose model refuses, and the run with it."""
    subagents = [subagent(lab, "meteorology", chat(server, "worker"))]
    return Built(create_deep_agent(chat(server, "boss"), subagents=subagents), [ASKED])


APPROVED: list[Reply] = [say("", does(1, "weather", city="Bergen")), say("It rains.")]


@CASES.add({"boss": APPROVED})
def approval(lab: Lab, server: ModelServer) -> Built:
    """A tool call that waits for its user."""
    agent = create_deep_agent(
        chat(server, "boss"), [weather(lab)], interrupt_on={"weather": True}, checkpointer=InMemorySaver()
    )
    return Built(agent, [ASKED, Command(resume={"decisions": [{"type": "approve"}]})], THREAD)


@CASES.add(
    {"boss": [say("", task(9, "meteorology", "Bergen")), say("It rains.")], "worker": APPROVED},
)
def approval_in_a_subagent(lab: Lab, server: ModelServer) -> Built:
    """A tool call of a subagent that waits for the user."""
    subagents = [subagent(lab, "meteorology", chat(server, "worker"), interrupt_on={"weather": True})]
    agent = create_deep_agent(chat(server, "boss"), subagents=subagents, checkpointer=InMemorySaver())
    return Built(agent, [ASKED, Command(resume={"decisions": [{"type": "approve"}]})], THREAD)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@in_every_lane(CASES)
def test_deep_agents(case: Case, lab: Lab, view: Any) -> None:
    """Messages, tool calls, values, subagents, interrupts, errors, the raw log and requests are the original's."""
    assert_alike(case, lab, view)


@pytest.mark.parametrize("lab", LANES, ids=lambda lab: lab.lane)
def test_two_subagents(lab: Lab) -> None:
    """Two subagents at work side by side are two handles, each with its own messages, on every lane."""
    [case] = [case for case in CASES if case.name == "two_subagents"]
    seen: dict[str, Any] = {}

    async def read(handle: Any) -> None:
        texts = [await whole(lab, message.text) for message in await lab.items(handle.messages)]
        seen[handle.cause["tool_call_id"]] = (handle.name, texts, await lab.output(handle) is not None)

    with model_server(case.script) as server:

        async def main() -> None:
            async with case.opened(lab, server) as built, open_agent(lab, built, ASKED) as run:
                for handle in await lab.items(run.subagents):
                    await read(handle)
                assert run.status == "completed"

        on_lane(lab, main)
    assert seen == {
        "call-1": ("meteorology", ["", "Rain in Bergen."], True),
        "call-2": ("history", ["It was founded in 1070."], True),
    }
