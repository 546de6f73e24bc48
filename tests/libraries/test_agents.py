"""`langchain.agents.create_agent`, with its middleware, shows through `open_run` what it shows through the original."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain.tools import ToolRuntime
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from ..conformance.adapter import Lab
from ..differential.graphs import THREAD, Built, one_at_a_time
from .cases import LOOPS, Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import PROVIDERS, anthropic, chat, responses
from .observing import drill, survey
from .provider.script import HttpError, call, say
from .provider.server import ModelServer

CASES = Cases()
VIEWS = {"survey": survey, "drill": drill}

BERGEN = call("call-1", "weather", '{"city": "Bergen"}')
OSLO = call("call-2", "weather", '{"city": "Oslo"}')


def asked(text: str = "What is the weather?") -> dict[str, Any]:
    """The user's message."""
    return {"messages": [("user", text)]}


def tool(lab: Lab, function: Callable[..., Any], **options: Any) -> BaseTool:
    """`function` as a tool of the lab's lane."""
    if not lab.is_async:
        return StructuredTool.from_function(function, **options)

    async def run(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return StructuredTool.from_function(function, coroutine=run, **options)


def weather(city: str) -> str:
    """Tells the weather."""
    return {"Bergen": "rain", "Oslo": "snow"}[city]


def streaming_weather(city: str) -> str:
    """Tells the weather, and of its progress."""
    writer = get_stream_writer()
    writer({"asking": city})
    writer({"asked": city})
    return weather(city)


def broken_weather(city: str) -> str:
    """Tells that it cannot."""
    raise ToolException(f"no station in {city}")


for name_, model_ in PROVIDERS.items():

    @CASES.add(
        {"model": [say("Let me look.", BERGEN, think="Bergen?"), say("Rain.", think="So it is.")]},
        name=f"one_tool-{name_}",
    )
    def one_tool(lab: Lab, server: ModelServer, model: Any = model_) -> Built:
        """An agent that calls one tool, of each provider."""
        return Built(create_agent(model(server), [tool(lab, weather)], system_prompt="Be brief."), [asked()])

    @CASES.add({"model": [say("", BERGEN, OSLO), say("Rain and snow.")]}, name=f"parallel_tools-{name_}", lanes=LOOPS)
    def parallel_tools(lab: Lab, server: ModelServer, model: Any = model_) -> Built:
        """An agent that calls two tools at once, of each provider."""
        agent = create_agent(model(server), [tool(lab, weather)])
        return Built(agent, [asked()], one_at_a_time(is_async=lab.is_async))


@CASES.add({"model": [say("", BERGEN), say("", OSLO), say("Rain and snow.")]})
def tools_in_turn(lab: Lab, server: ModelServer) -> Built:
    """Three model calls; every mode is asked for."""
    names = ["UpdatesTransformer", "CustomTransformer", "TasksTransformer", "DebugTransformer"]
    return Built(create_agent(chat(server), [tool(lab, weather)], name="forecaster"), [asked()], transformers=names)


@CASES.add({"model": [say("", call("call-1", "streaming_weather", '{"city": "Bergen"}')), say("Rain.")]})
def tool_that_writes(lab: Lab, server: ModelServer) -> Built:
    """A tool that writes custom data."""
    agent = create_agent(anthropic(server), [tool(lab, streaming_weather)])
    return Built(agent, [asked()], transformers=["CustomTransformer", "UpdatesTransformer"])


@CASES.add({"model": [say("", call("call-1", "report", '{"city": "Bergen"}')), say("Rain.")]})
def tool_with_output_deltas(lab: Lab, server: ModelServer) -> Built:
    """A tool that streams its output."""

    def report(city: str, runtime: ToolRuntime) -> str:
        """Reports the weather."""
        for piece in ("It ", "rains."):
            runtime.emit_output_delta(piece)
        return "It rains."

    return Built(create_agent(chat(server), [tool(lab, report)]), [asked()])


@CASES.add({"model": [say("", call("call-1", "broken_weather", '{"city": "Bergen"}')), say("I cannot tell.")]})
def tool_that_reports_an_error(lab: Lab, server: ModelServer) -> Built:
    """A tool whose error is shown to the model."""
    return Built(create_agent(chat(server), [tool(lab, broken_weather, handle_tool_error=True)]), [asked()])


@CASES.add({"model": [say("", BERGEN, call("call-2", "broken_weather", '{"city": "Bergen"}'))]}, lanes=LOOPS)
def tool_that_fails(lab: Lab, server: ModelServer) -> Built:
    """A tool that fails beside one that does not, and the run with it."""
    agent = create_agent(chat(server), [tool(lab, weather), tool(lab, broken_weather)])
    return Built(agent, [asked()], one_at_a_time(is_async=lab.is_async))


@CASES.add({"model": [say("", call("call-1", "nonsense", "{}")), say("There is no such tool.")]})
def unknown_tool(lab: Lab, server: ModelServer) -> Built:
    """A model that calls a tool that there is not."""
    return Built(create_agent(chat(server), [tool(lab, weather)]), [asked()])


@CASES.add({"model": [say("", call("call-1", "weather", '{"town": "Bergen"}')), say("I was wrong.")]})
def wrong_arguments(lab: Lab, server: ModelServer) -> Built:
    """A model that calls a tool with arguments that it does not take."""
    return Built(create_agent(chat(server), [tool(lab, weather)]), [asked()])


@CASES.add({"model": [say("", BERGEN), HttpError(400, "the conversation is too long")]})
def model_that_fails(lab: Lab, server: ModelServer) -> Built:
    """A provider that refuses the second call."""
    return Built(create_agent(chat(server), [tool(lab, weather)]), [asked()])


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


@CASES.add({"model": [say("", BERGEN), say("", call("call-2", "Forecast", '{"city": "Bergen", "rain": true}'))]})
def structured_response(lab: Lab, server: ModelServer) -> Built:
    """An agent whose answer is an object."""
    agent = create_agent(chat(server), [tool(lab, weather)], response_format=ToolStrategy(Forecast))
    return Built(agent, [asked()])


# --- middleware ---

DECISIONS = {
    "approve": {"type": "approve"},
    "edit": {"type": "edit", "edited_action": {"name": "weather", "args": {"city": "Oslo"}}},
    "reject": {"type": "reject", "message": "It is none of your business."},
}

for name_, decision_ in DECISIONS.items():

    @CASES.add({"model": [say("May I?", BERGEN), say("So it is.")]}, name=f"approval-{name_}")
    def approval(lab: Lab, server: ModelServer, decision: Any = decision_) -> Built:
        """A tool call that a human decides on."""
        middleware = [HumanInTheLoopMiddleware({"weather": True})]
        agent = create_agent(chat(server), [tool(lab, weather)], middleware=middleware, checkpointer=InMemorySaver())
        return Built(agent, [asked(), Command(resume={"decisions": [decision]})], THREAD)


@CASES.add({"model": [say("", BERGEN, OSLO), say("So it is.")]}, lanes=LOOPS)
def two_approvals(lab: Lab, server: ModelServer) -> Built:
    """Two tool calls that a human decides on at once, one each way."""
    middleware = [HumanInTheLoopMiddleware({"weather": True})]
    agent = create_agent(anthropic(server), [tool(lab, weather)], middleware=middleware, checkpointer=InMemorySaver())
    decisions = [DECISIONS["approve"], DECISIONS["reject"]]
    config = {**THREAD, **one_at_a_time(is_async=lab.is_async)}
    return Built(agent, [asked(), Command(resume={"decisions": decisions})], config)


@CASES.add({"model": [say("", call("call-1", "ask", '{"question": "Where?"}')), say("Rain.")]})
def tool_that_asks(lab: Lab, server: ModelServer) -> Built:
    """A tool that interrupts the run to ask its user."""

    def ask(question: str) -> str:
        """Asks the user."""
        return str(interrupt({"question": question}))

    agent = create_agent(chat(server), [tool(lab, ask)], checkpointer=InMemorySaver())
    return Built(agent, [asked(), Command(resume="In Bergen.")], THREAD)


@CASES.add({"first": [HttpError(400)], "second": [HttpError(400)], "third": [say("Rain.")]})
def fallback(lab: Lab, server: ModelServer) -> Built:
    """Models that stand in for one another, each of another provider."""
    middleware = [ModelFallbackMiddleware(anthropic(server, "second"), responses(server, "third"))]
    return Built(create_agent(chat(server, "first"), [tool(lab, weather)], middleware=middleware), [asked()])


@CASES.add({"first": [HttpError(400)], "second": [HttpError(400, "nor I")]})
def fallback_in_vain(lab: Lab, server: ModelServer) -> Built:
    """No model answers."""
    middleware = [ModelFallbackMiddleware(anthropic(server, "second"))]
    return Built(create_agent(chat(server, "first"), [], middleware=middleware), [asked()])


@CASES.add({"model": [HttpError(500), HttpError(500), say("Rain.")]})
def model_retry(lab: Lab, server: ModelServer) -> Built:
    """A model call that the agent, not the client, tries again."""
    middleware = [ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)]
    return Built(create_agent(chat(server, max_retries=0), [], middleware=middleware), [asked()])


@CASES.add({"model": [HttpError(500), HttpError(500, "still not")]})
def model_retry_in_vain(lab: Lab, server: ModelServer) -> Built:
    """A model call that fails each time, whose error becomes the answer."""
    middleware = [ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)]
    return Built(create_agent(chat(server, max_retries=0), [], middleware=middleware), [asked()])


@CASES.add({"model": [say("", BERGEN), say("Rain.")]})
def tool_retry(lab: Lab, server: ModelServer) -> Built:
    """A tool that succeeds the second time."""
    attempts: list[str] = []

    def unsteady(city: str) -> str:
        """Tells the weather."""
        attempts.append(city)
        if len(attempts) == 1:
            raise ConnectionError("no signal")
        return weather(city)

    middleware = [ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)]
    return Built(create_agent(chat(server), [tool(lab, unsteady, name="weather")], middleware=middleware), [asked()])


@CASES.add({"model": [say("", BERGEN), say("I cannot tell.")]})
def tool_retry_in_vain(lab: Lab, server: ModelServer) -> Built:
    """A tool that fails each time, whose error is shown to the model."""

    def unsteady(city: str) -> str:
        """Tells the weather."""
        raise ConnectionError("no signal")

    middleware = [ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)]
    return Built(create_agent(chat(server), [tool(lab, unsteady, name="weather")], middleware=middleware), [asked()])


@CASES.add(
    {"model": [say("Hello."), say("", BERGEN), say("Rain.")], "clerk": [say("They greeted each other.")] * 3},
)
def summarization(lab: Lab, server: ModelServer) -> Built:
    """A conversation whose beginning is summed up by another model."""
    middleware = [SummarizationMiddleware(anthropic(server, "clerk"), trigger=("messages", 3), keep=("messages", 1))]
    agent = create_agent(chat(server), [tool(lab, weather)], middleware=middleware, checkpointer=InMemorySaver())
    return Built(agent, [asked("Hello!"), asked()], THREAD, transformers=["UpdatesTransformer"])


@CASES.add(
    {
        "model": [
            say("", call("call-1", "write_todos", '{"todos": [{"content": "ask", "status": "completed"}]}')),
            say("Done."),
        ]
    }
)
def todos(lab: Lab, server: ModelServer) -> Built:
    """An agent that keeps a list."""
    return Built(create_agent(chat(server), [], middleware=[TodoListMiddleware()]), [asked()])


@CASES.add({"model": [say("", BERGEN), say("", OSLO)]})
def call_limit(lab: Lab, server: ModelServer) -> Built:
    """An agent that may not go on."""
    middleware = [ModelCallLimitMiddleware(run_limit=1)]
    return Built(create_agent(chat(server), [tool(lab, weather)], middleware=middleware), [asked()])


# --- agents as tools ---


@CASES.add(
    {
        "boss": [say("", call("call-1", "consult", '{"about": "Bergen"}')), say("Rain.")],
        "model": [say("", BERGEN), say("It rains.")],
    }
)
def agent_as_a_tool(lab: Lab, server: ModelServer) -> Built:
    """A tool that runs another agent."""
    expert = create_agent(anthropic(server), [tool(lab, weather)], name="expert")

    def consult(about: str) -> str:
        """Consults an expert."""
        return str(expert.invoke(asked(about))["messages"][-1].text)

    async def aconsult(about: str) -> str:
        return str((await expert.ainvoke(asked(about)))["messages"][-1].text)

    consulting = StructuredTool.from_function(consult, coroutine=aconsult if lab.is_async else None)
    return Built(create_agent(chat(server, "boss"), [consulting], name="boss"), [asked()])


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@in_every_lane(CASES)
def test_agents(case: Case, lab: Lab, view: Any) -> None:
    """Messages, tool calls, values, subagents, interrupts, errors, the raw log and requests are the original's."""
    assert_alike(case, lab, view)
