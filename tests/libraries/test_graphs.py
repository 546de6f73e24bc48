"""Graphs that use providers' models in other ways show through `open_run` what they show through the original."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.constants import TAG_NOSTREAM
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import CachePolicy
from pydantic import BaseModel

from ..conformance.adapter import Lab
from ..differential.graphs import THREAD, Built
from .cases import Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import anthropic, chat, responses
from .observing import drill, survey
from .provider.script import Native, Text, call, say
from .provider.server import ModelServer

CASES = Cases()
VIEWS = {"survey": survey, "drill": drill}
ASKED = {"messages": [("user", "How is the weather?")]}
RAIN = say("It rains.", think="As ever.")


def calls(lab: Lab, model: Any, *, config: Any = None) -> Any:
    """A node that calls `model`."""

    def invoke(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"], config)]}

    async def ainvoke(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    return ainvoke if lab.is_async else invoke


def chain(*nodes: tuple[str, Any], **options: Any) -> Any:
    """A graph of nodes one after the other."""
    builder = StateGraph(MessagesState)
    before = START
    for name, node in nodes:
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder.compile(**options)


# --- what only one provider sends ---

NATIVE: dict[str, tuple[Any, list[Native]]] = {
    "redacted_thinking": (anthropic, [Native({"type": "redacted_thinking", "data": "c2VjcmV0"})]),
    "server_tool": (
        anthropic,
        [
            Native({"type": "server_tool_use", "id": "srv-1", "name": "web_search", "input": {"query": "rain"}}),
            Native(
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srv-1",
                    "content": [
                        {
                            "type": "web_search_result",
                            "url": "https://example.org/rain",
                            "title": "Rain",
                            "encrypted_content": "c2VjcmV0",
                            "page_age": None,
                        }
                    ],
                }
            ),
        ],
    ),
    "web_search": (
        responses,
        [
            Native(
                {
                    "type": "web_search_call",
                    "status": "completed",
                    "action": {"type": "search", "query": "rain", "sources": None},
                }
            )
        ],
    ),
    "encrypted_reasoning": (
        responses,
        [Native({"type": "reasoning", "summary": [], "encrypted_content": "c2VjcmV0"})],
    ),
    "image": (
        responses,
        [Native({"type": "image_generation_call", "status": "completed", "result": "aGVsbG8="})],
    ),
    "refusal": (chat, [Native({"refusal": "I must not."})]),
}

for name_, (model_, blocks_) in NATIVE.items():
    for kind_, options_ in {"streamed": {}, "at_once": {"disable_streaming": True}}.items():
        if (name_, kind_) == ("refusal", "at_once"):
            continue  # the original's output of a message that comes whole has no refusal

        @CASES.add({"model": [say("", *blocks_, Text(("It", " rains.")))]}, name=f"{name_}-{kind_}")
        def native(lab: Lab, server: ModelServer, model: Any = model_, options: Any = options_) -> Built:
            """A block that only one provider has."""
            return Built(chain(("model", calls(lab, model(server, **options)))), [ASKED])


@CASES.add({"model": [say("", call("call-1", "weather", '{"city": "Bergen'))]}, name="broken_arguments-chat")
def broken_chat(lab: Lab, server: ModelServer) -> Built:
    """A tool call whose arguments are no JSON."""
    return Built(chain(("model", calls(lab, chat(server)))), [ASKED])


@CASES.add({"model": [say("", call("call-1", "weather", '{"city": "Bergen'))]}, name="broken_arguments-responses")
def broken_responses(lab: Lab, server: ModelServer) -> Built:
    """The same by Responses."""
    return Built(chain(("model", calls(lab, responses(server)))), [ASKED])


@CASES.add({"model": [say("", call("call-1", "weather", '{"city": "Bergen')), say("I shall try again.")]})
def broken_arguments_of_an_agent(lab: Lab, server: ModelServer) -> Built:
    """An agent whose model calls a tool with arguments that are no JSON."""
    return Built(create_agent(chat(server), []), [ASKED])


# --- how models are used ---


class Forecast(BaseModel):
    """A forecast."""

    city: str
    rain: bool


STRUCTURED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "chat": (chat, Text(('{"city": "Ber', 'gen", "rain": true}')), {}),
    "anthropic": (
        anthropic,
        call("call-1", "Forecast", '{"city": "Bergen", "rain": true}'),
        {"thinking": {"type": "disabled"}},
    ),
}

for name_, (model_, block_, options_) in STRUCTURED.items():

    @CASES.add({"model": [say("", block_)]}, name=f"structured-{name_}")
    def structured(lab: Lab, server: ModelServer, model: Any = model_, options: Any = options_) -> Built:
        """A model whose answer is an object."""
        parser = model(server, **options).with_structured_output(Forecast)

        def invoke(state: MessagesState) -> Any:
            return {"messages": [HumanMessage(repr(parser.invoke(state["messages"])))]}

        async def ainvoke(state: MessagesState) -> Any:
            return {"messages": [HumanMessage(repr(await parser.ainvoke(state["messages"])))]}

        return Built(chain(("model", ainvoke if lab.is_async else invoke)), [ASKED])


@CASES.add({"model": [RAIN, say("It does.")]})
def untold(lab: Lab, server: ModelServer) -> Built:
    """A model whose words are not streamed, before one whose are."""
    quiet = calls(lab, anthropic(server), config={"tags": [TAG_NOSTREAM]})
    return Built(chain(("quiet", quiet), ("loud", calls(lab, chat(server)))), [ASKED])


@CASES.add({"model": [RAIN]})
def unused(lab: Lab, server: ModelServer) -> Built:
    """A model whose answer does not get into the state."""
    model = chat(server)

    def invoke(state: MessagesState) -> Any:
        model.invoke(state["messages"])

    async def ainvoke(state: MessagesState) -> Any:
        await model.ainvoke(state["messages"])

    return Built(chain(("model", ainvoke if lab.is_async else invoke)), [ASKED])


@CASES.add({"model": [RAIN, say("It does.")]})
def two_calls_of_a_node(lab: Lab, server: ModelServer) -> Built:
    """A node that calls its model twice."""
    model = anthropic(server)

    def invoke(state: MessagesState) -> Any:
        first = model.invoke(state["messages"])
        return {"messages": [first, model.invoke([*state["messages"], first, HumanMessage("Sure?")])]}

    async def ainvoke(state: MessagesState) -> Any:
        first = await model.ainvoke(state["messages"])
        return {"messages": [first, await model.ainvoke([*state["messages"], first, HumanMessage("Sure?")])]}

    return Built(chain(("model", ainvoke if lab.is_async else invoke)), [ASKED])


@CASES.add({"model": [RAIN]})
def messages_of_nodes(lab: Lab, server: ModelServer) -> Built:
    """Messages that nodes write beside those of the model."""

    def greet(state: MessagesState) -> Any:
        return {"messages": [SystemMessage("Be brief."), HumanMessage("Well?", name="Bob")]}

    return Built(chain(("greet", greet), ("model", calls(lab, chat(server)))), [ASKED])


@CASES.add({"model": [RAIN]})
def failure_after_the_model(lab: Lab, server: ModelServer) -> Built:
    """A node that fails after its model has answered."""

    def fail(state: MessagesState) -> Any:
        raise LookupError("no umbrella")

    return Built(chain(("model", calls(lab, anthropic(server))), ("fail", fail)), [ASKED])


@CASES.add({"model": [RAIN]})
def cached_node(lab: Lab, server: ModelServer) -> Built:
    """A node whose second run comes from the cache."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", calls(lab, chat(server)), cache_policy=CachePolicy(key_func=lambda state: "key"))
    builder.add_edge(START, "model")
    return Built(builder.compile(cache=InMemoryCache()), [ASKED, ASKED], transformers=["UpdatesTransformer"])


@CASES.add({"model": [RAIN]})
def durable_at_the_exit(lab: Lab, server: ModelServer) -> Built:
    """A thread that is stored at the end only."""
    graph = chain(("model", calls(lab, chat(server))), checkpointer=InMemorySaver())
    return Built(graph, [ASKED], THREAD, {"durability": "exit"}, ["CheckpointsTransformer"])


@CASES.add({"model": [say("One."), say("Two."), say("Three.")]})
def functional(lab: Lab, server: ModelServer) -> Built:
    """An entry point whose tasks call models."""
    model = chat(server)

    @task
    def ask(question: str) -> Any:
        return model.invoke(question)

    @task
    async def aask(question: str) -> Any:
        return await model.ainvoke(question)

    def workflow(given: Any) -> Any:
        return [ask(given).result().text, ask(given).result().text, model.invoke(given).text]

    async def aworkflow(given: Any) -> Any:
        return [(await aask(given)).text, (await aask(given)).text, (await model.ainvoke(given)).text]

    return Built(entrypoint()(aworkflow if lab.is_async else workflow), ["Well?"])


@CASES.add({"model": [RAIN, RAIN], "inner": [say("Snow.")]})
def models_at_three_levels(lab: Lab, server: ModelServer) -> Built:
    """Models in a graph, in a subgraph, and in a subgraph of that."""
    inner = chain(("inner", calls(lab, anthropic(server, "inner"))))
    middle = chain(("middle", calls(lab, chat(server))), ("below", inner))
    return Built(chain(("outer", calls(lab, responses(server))), ("sub", middle)), [ASKED])


@CASES.add({"model": [say("", call(f"call-{n}", "nothing", "{}")) for n in range(6)]})
def recursion_limit(lab: Lab, server: ModelServer) -> Built:
    """An agent that does not end."""

    def nothing() -> str:
        """Does nothing."""
        return "nothing"

    async def anothing() -> str:
        """Does nothing."""
        return "nothing"

    anothing.__name__ = "nothing"
    agent = create_agent(chat(server), [anothing if lab.is_async else nothing])
    return Built(agent, [ASKED], {"recursion_limit": 5})


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@in_every_lane(CASES)
def test_graphs(case: Case, lab: Lab, view: Any) -> None:
    """Messages, values, subgraphs, errors, the raw log and requests are the original's."""
    assert_alike(case, lab, view)
