"""Replies that break off: what has arrived is shown, and that it is not all of it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy

from anyiostream import MessageFailed

from ..conformance.adapter import Lab
from ..differential.graphs import Built
from ..messages.reading import output, whole
from .cases import Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import PROVIDERS, chat
from .observing import drill, on_lane, open_agent, survey
from .provider.script import Cut, call, say
from .provider.server import ModelServer, model_server

VIEWS = {"survey": survey, "drill": drill}
ASKED = {"messages": [("user", "How is the weather?")]}
CUT = say("It rains", Cut())
CUT_CALL = say("", call("call-1", "weather", '{"city": "Ber'), Cut())
WHOLE = say("Rain.")

FATAL = Cases()
"""The run fails with its model."""

MENDED = Cases()
"""Something tries again: the run completes with a message that has failed, and one that has not."""


def one_node(lab: Lab, model: Any, **options: Any) -> Built:
    """A graph of one node that calls `model`."""

    def invoke(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def ainvoke(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", ainvoke if lab.is_async else invoke, **options)
    return Built(builder.add_edge(START, "model").compile(), [ASKED])


for name_, model_ in PROVIDERS.items():

    @FATAL.add({"model": [CUT]}, name=f"text-{name_}")
    def text(lab: Lab, server: ModelServer, model: Any = model_) -> Built:
        """A reply that breaks off in its text."""
        return one_node(lab, model(server))

    @FATAL.add({"model": [CUT_CALL]}, name=f"arguments-{name_}")
    def arguments(lab: Lab, server: ModelServer, model: Any = model_) -> Built:
        """A reply that breaks off in the arguments of a tool call."""
        return one_node(lab, model(server))

    @MENDED.add({"model": [CUT, WHOLE]}, name=f"retry_policy-{name_}")
    def retry_policy(lab: Lab, server: ModelServer, model: Any = model_) -> Built:
        """A node that is tried again."""
        policy = RetryPolicy(initial_interval=0, jitter=False, max_attempts=2, retry_on=Exception)
        return one_node(lab, model(server), retry_policy=policy)

    @MENDED.add({"model": [CUT], "other": [WHOLE]}, name=f"with_fallbacks-{name_}")
    def with_fallbacks(lab: Lab, server: ModelServer, model: Any = model_) -> Built:
        """A model with another one in reserve."""
        return one_node(lab, model(server).with_fallbacks([model(server, "other")]))


@FATAL.add({"model": [CUT]})
def agent(lab: Lab, server: ModelServer) -> Built:
    """An agent whose model breaks off."""
    return Built(create_agent(chat(server), []), [ASKED])


@MENDED.add({"model": [CUT, WHOLE]})
def retry_middleware(lab: Lab, server: ModelServer) -> Built:
    """An agent that tries its model again."""
    middleware = [ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)]
    return Built(create_agent(chat(server), [], middleware=middleware), [ASKED])


@MENDED.add({"model": [CUT], "other": [WHOLE]})
def fallback_middleware(lab: Lab, server: ModelServer) -> Built:
    """An agent with another model in reserve."""
    middleware = [ModelFallbackMiddleware(PROVIDERS["anthropic"](server, "other"))]
    return Built(create_agent(chat(server), [], middleware=middleware), [ASKED])


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@in_every_lane(FATAL)
def test_fatal(case: Case, lab: Lab, view: Any) -> None:
    """What arrived before the break, and the error after it, are the original's."""
    assert_alike(case, lab, view)


@in_every_lane(MENDED)
def test_mended(case: Case, lab: Lab) -> None:
    """The message that broke off has failed, with what there was; the one after it has not."""
    with model_server(case.script) as server:

        async def main() -> None:
            async with case.opened(lab, server) as built, open_agent(lab, built, ASKED) as run:
                cut, good = await lab.items(run.messages)
                pieces, error = await lab.outcome(cut.text)
                assert (cut.status, "".join(pieces)) == ("failed", "It rains")
                assert isinstance(error, MessageFailed)
                with pytest.raises(MessageFailed):
                    await output(lab, cut)
                assert (await whole(lab, good.text), good.status) == ("Rain.", "finished")
                assert (await lab.output(run))["messages"][-1].text == "Rain."
                assert run.status == "completed"

        on_lane(lab, main)
