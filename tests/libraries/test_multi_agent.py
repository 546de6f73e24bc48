"""Supervisors and swarms show through `open_run` what they show through the original."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

from ..conformance.adapter import Lab
from ..differential.graphs import THREAD, Built
from .cases import Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import anthropic, chat
from .observing import drill, survey
from .provider.script import call, say
from .provider.server import ModelServer

CASES = Cases()
VIEWS = {"survey": survey, "drill": drill}


def asked(text: str = "How is the weather, and what is 2 + 3?") -> dict[str, Any]:
    """The user's message."""
    return {"messages": [("user", text)]}


def expert(lab: Lab, model: Any, name: str, *tools: Any) -> Any:
    """An agent with a tool of its own."""

    def look_up(what: str) -> str:
        """Looks something up."""
        return f"found {what}"

    async def alook_up(what: str) -> str:
        return look_up(what)

    looking = StructuredTool.from_function(look_up, coroutine=alook_up if lab.is_async else None)
    return create_agent(model, [looking, *tools], name=name)


@CASES.add(
    {
        "boss": [
            say("", call("call-1", "transfer_to_weather", "{}")),
            say("", call("call-2", "transfer_to_sums", "{}")),
            say("Rain, and 5."),
        ],
        "first": [say("", call("call-3", "look_up", '{"what": "rain"}')), say("It rains.")],
        "second": [say("It is 5.", think="2 and 3 make 5.")],
    }
)
def supervisor(lab: Lab, server: ModelServer) -> Built:
    """A supervisor that asks two agents in turn."""
    agents = [expert(lab, chat(server, "first"), "weather"), expert(lab, anthropic(server, "second"), "sums")]
    graph = create_supervisor(agents, model=chat(server, "boss"), prompt="You lead two experts.")
    return Built(graph.compile(), [asked()], transformers=["UpdatesTransformer"])


@CASES.add(
    {
        "boss": [say("", call("call-1", "transfer_to_weather", "{}")), say("It rains.")],
        "first": [say("", call("call-2", "look_up", '{"what": "rain"}')), say("It rains.")],
    }
)
def supervisor_with_full_history(lab: Lab, server: ModelServer) -> Built:
    """A supervisor that gets all messages of its agent."""
    agents = [expert(lab, chat(server, "first"), "weather")]
    return Built(
        create_supervisor(agents, model=anthropic(server, "boss"), output_mode="full_history").compile(), [asked()]
    )


@CASES.add(
    {
        "first": [say("", call("call-1", "transfer_to_sums", "{}"))],
        "second": [say("", call("call-2", "look_up", '{"what": "sums"}')), say("It is 5.")],
    }
)
def swarm(lab: Lab, server: ModelServer) -> Built:
    """Two agents, one of which hands over to the other."""
    agents = [
        expert(lab, chat(server, "first"), "weather", create_handoff_tool(agent_name="sums")),
        expert(lab, anthropic(server, "second"), "sums", create_handoff_tool(agent_name="weather")),
    ]
    return Built(create_swarm(agents, default_active_agent="weather").compile(), [asked()])


@CASES.add(
    {
        "first": [say("", call("call-1", "transfer_to_sums", "{}")), say("It rains.")],
        "second": [say("It is 5."), say("", call("call-2", "transfer_to_weather", "{}"))],
    },
)
def swarm_that_remembers(lab: Lab, server: ModelServer) -> Built:
    """The agent that is active at the end of a run begins the next one."""
    agents = [
        expert(lab, chat(server, "first"), "weather", create_handoff_tool(agent_name="sums")),
        expert(lab, chat(server, "second"), "sums", create_handoff_tool(agent_name="weather")),
    ]
    graph = create_swarm(agents, default_active_agent="weather").compile(checkpointer=InMemorySaver())
    return Built(graph, [asked(), asked("And the weather?")], THREAD)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@in_every_lane(CASES)
def test_multi_agent(case: Case, lab: Lab, view: Any) -> None:
    """Messages, tool calls, values, subgraphs, the raw log and requests are the original's."""
    assert_alike(case, lab, view)
