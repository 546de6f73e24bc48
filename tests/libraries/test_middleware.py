"""Middleware that works on the stream or calls models of its own shows what it shows through the original."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    ToolCallLimitMiddleware,
    ToolErrorMiddleware,
    dynamic_prompt,
)
from langchain.agents.middleware.internal_call_transformer import InternalCallTransformer
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver

from ..conformance.adapter import Lab
from ..differential.graphs import THREAD, Built, one_at_a_time
from .cases import LOOPS, Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import PROVIDERS, anthropic, chat
from .observing import drill, survey
from .provider.script import call, say
from .provider.server import ModelServer

CASES = Cases()
VIEWS = {"survey": survey, "drill": drill}
ASKED = {"messages": [("user", "Who lives in Bergen?")]}

LOOK_UP = call("call-1", "look_up", '{"who": "ada@example.org"}')


def look_up(lab: Lab, answer: str = "It is ada@example.org.") -> StructuredTool:
    """A tool whose answer has an address in it."""

    def look_up(who: str) -> str:
        """Looks somebody up."""
        return answer

    async def alook_up(who: str) -> str:
        return answer

    return StructuredTool.from_function(look_up, coroutine=alook_up if lab.is_async else None)


for name_, model_ in PROVIDERS.items():

    @CASES.add(
        {
            "model": [
                say("I look for ada@example.org now.", LOOK_UP, think="They mean ada@example.org it seems."),
                say("She is ada@example.org and " + "well " * 40 + "known."),
            ]
        },
        name=f"redaction-{name_}",
    )
    def redaction(lab: Lab, server: ModelServer, model: Any = model_) -> Built:
        """Addresses are redacted in all that readers see."""
        middleware = [PIIMiddleware("email", apply_to_output=True, apply_to_tool_results=True)]
        return Built(create_agent(model(server), [look_up(lab)], middleware=middleware), [ASKED])


@CASES.add({"model": [say("She is ada@example.org and known.")]})
def blocking(lab: Lab, server: ModelServer) -> Built:
    """An address in the answer fails the run, from within the stream."""
    middleware = [PIIMiddleware("email", strategy="block", apply_to_output=True)]
    return Built(create_agent(chat(server), [], middleware=middleware), [ASKED])


class Deliberation(AgentMiddleware):
    """Asks a model for its opinion before the agent's model is called; readers are not to see that."""

    def __init__(self, model: Any, *, hidden: bool) -> None:
        super().__init__()
        self.model = model
        self.transformers = (InternalCallTransformer,) if hidden else ()

    def before_model(self, state: Any, runtime: Any) -> Any:
        return self._told(self.model.invoke(state["messages"], self._config))

    async def abefore_model(self, state: Any, runtime: Any) -> Any:
        return self._told(await self.model.ainvoke(state["messages"], self._config))

    @property
    def _config(self) -> Any:
        from langchain.agents.middleware.internal_call_transformer import internal_call_metadata

        return {"metadata": internal_call_metadata()}

    def _told(self, opinion: Any) -> Any:
        return {"messages": [HumanMessage(f"An opinion: {opinion.text}")]}


for hidden_ in (True, False):
    for at_once_ in (True, False):

        @CASES.add(
            {"model": [say("Ada does.")], "other": [say("I think it is Ada.")]},
            name=f"internal_calls-{'hidden' if hidden_ else 'shown'}-{'at_once' if at_once_ else 'streamed'}",
        )
        def internal_calls(lab: Lab, server: ModelServer, hidden: bool = hidden_, at_once: bool = at_once_) -> Built:
            """A middleware's own model calls, kept from readers, or not."""
            middleware = [Deliberation(anthropic(server, "other", disable_streaming=at_once), hidden=hidden)]
            return Built(create_agent(chat(server), [], middleware=middleware), [ASKED])


@CASES.add(
    {
        "model": [say("", LOOK_UP), say("Ada.")],
        "clerk": [say("", call("c-1", "ToolSelectionResponse", '{"tools": ["look_up"]}'))] * 2,
    }
)
def tool_selector(lab: Lab, server: ModelServer) -> Built:
    """A model that chooses the tools of another one."""
    clerk = anthropic(server, "clerk", thinking={"type": "disabled"})
    middleware = [LLMToolSelectorMiddleware(model=clerk, always_include=[])]
    return Built(create_agent(chat(server), [look_up(lab)], middleware=middleware), [ASKED])


@CASES.add({"model": [say("", LOOK_UP), say("Ada.")], "actor": [say("It is ada, I would say.")]})
def tool_emulator(lab: Lab, server: ModelServer) -> Built:
    """A model that plays a tool."""
    middleware = [LLMToolEmulator(model=anthropic(server, "actor"))]
    return Built(create_agent(chat(server), [look_up(lab)], middleware=middleware), [ASKED])


@CASES.add({"model": [say("", LOOK_UP), say("I cannot tell.")]})
def tool_errors(lab: Lab, server: ModelServer) -> Built:
    """A tool's exception that a handler makes an answer of."""

    def broken(who: str) -> str:
        """Looks somebody up."""
        raise LookupError(who)

    async def abroken(who: str) -> str:
        raise LookupError(who)

    tool = StructuredTool.from_function(broken, coroutine=abroken if lab.is_async else None, name="look_up")
    middleware = [ToolErrorMiddleware(lambda error, request: f"not found: {error}")]
    return Built(create_agent(chat(server), [tool], middleware=middleware), [ASKED])


@CASES.add({"model": [say("", LOOK_UP), say("", call("call-2", "look_up", '{"who": "bob"}')), say("Ada.")]})
def context_editing(lab: Lab, server: ModelServer) -> Built:
    """Old results of tools that are cleared."""
    middleware = [ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=1)])]
    return Built(create_agent(chat(server), [look_up(lab, "somebody " * 50)], middleware=middleware), [ASKED])


for behaviour_ in ("continue", "end", "error"):

    @CASES.add(
        {"model": [say("", LOOK_UP), say("", call("call-2", "look_up", '{"who": "bob"}')), say("Ada.")]},
        name=f"tool_call_limit-{behaviour_}",
    )
    def tool_call_limit(lab: Lab, server: ModelServer, behaviour: Any = behaviour_) -> Built:
        """A tool that may be called once."""
        middleware = [ToolCallLimitMiddleware(run_limit=1, exit_behavior=behaviour)]
        return Built(create_agent(chat(server), [look_up(lab)], middleware=middleware), [ASKED])


@CASES.add({"model": [say("Ada.")]})
def prompt_of_the_context(lab: Lab, server: ModelServer) -> Built:
    """A prompt that depends on the run's context."""

    @dynamic_prompt
    def prompt(request: Any) -> str:
        return f"You speak to {request.runtime.context['user']}."

    agent = create_agent(chat(server), [], middleware=[prompt], context_schema=dict)
    return Built(agent, [ASKED], options={"context": {"user": "Bob"}})


@CASES.add(
    {"model": [say("", LOOK_UP, call("call-2", "look_up", '{"who": "bob"}')), say("Ada.")]},
    lanes=LOOPS,
)
def approval_per_call(lab: Lab, server: ModelServer) -> Built:
    """Two interrupts of one model call."""
    middleware = [HumanInTheLoopMiddleware({"look_up": True}, interrupt_mode="per_call")]
    agent = create_agent(chat(server), [look_up(lab)], middleware=middleware, checkpointer=InMemorySaver())
    return Built(agent, [ASKED], {**THREAD, **one_at_a_time(is_async=lab.is_async)})


@CASES.add({"model": [say("Ada.")], "clerk": [say("They spoke of Bergen.")]})
def summary_of_a_long_input(lab: Lab, server: ModelServer) -> Built:
    """A conversation that is too long from the start."""
    middleware = [SummarizationMiddleware(chat(server, "clerk"), trigger=("messages", 4), keep=("messages", 2))]
    spoken = [HumanMessage("Hello!"), AIMessage("Hello."), HumanMessage("I am Bob."), AIMessage("I know.")]
    agent = create_agent(chat(server), [], middleware=middleware)
    return Built(agent, [{"messages": [*spoken, HumanMessage("Who lives in Bergen?")]}])


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@in_every_lane(CASES)
def test_middleware(case: Case, lab: Lab, view: Any) -> None:
    """Messages, tool calls, values, interrupts, errors, the raw log and requests are the original's."""
    # Redacted messages are copies, made before or after LangGraph has given the message its id.
    assert_alike(case, lab, view, without=("raw log",) if case.name.startswith("redaction") else ())
