"""Model calls of providers' packages show through `open_run` what they show through the original."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langgraph.graph import START, MessagesState, StateGraph

from ..conformance.adapter import Lab
from ..differential.graphs import Built
from ..messages.reading import output
from .cases import Case, Cases, in_every_lane
from .comparing import assert_alike
from .models import PROVIDERS
from .observing import on_lane, open_agent, survey
from .provider.script import HttpError, Reply, call, say
from .provider.server import ModelServer, model_server
from .reading import as_read, expected_reading, reading

CASES = Cases()

QUESTION = {"messages": [("user", "What is the weather in Bergen?")]}

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

REPLIES: dict[str, list[Any]] = {
    "text": [say("It rains in Bergen.")],
    "reasoning": [say("It rains.", think="Bergen is wet as ever.")],
    "one_call": [say("", call("call-1", "weather", '{"city": "Bergen"}'))],
    "everything": [
        say(
            "Let me look.",
            call("call-1", "weather", '{"city": "Bergen"}'),
            call("call-2", "weather", '{"city": "Oslo"}', size=100),
            think="Two cities.",
        )
    ],
    "interleaved_calls": [
        say(
            "",
            call("call-1", "weather", '{"city": "Bergen"}', size=3),
            call("call-2", "weather", '{"city": "Oslo"}', size=4),
            interleaved=True,
        )
    ],
    "no_arguments": [say("", call("call-1", "now", "{}"))],
    "nothing": [Reply((), output_tokens=0, reasoning_tokens=0)],
    "too_long": [say("It rains and", finish="length")],
    "refused": [HttpError(400, "no such model")],
    "tried_again": [HttpError(500), HttpError(429), say("It rains.")],
}


def one_node(lab: Lab, model: Any, **options: Any) -> Any:
    """A graph of one node that calls `model`."""

    def invoke(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def ainvoke(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", ainvoke if lab.is_async else invoke, **options)
    return builder.add_edge(START, "model").compile()


def streaming_node(lab: Lab, model: Any) -> Any:
    """A graph of one node that loops over the model's stream and returns the sum of its chunks."""

    def stream(state: MessagesState) -> Any:
        chunks = list(model.stream(state["messages"]))
        return {"messages": [sum(chunks[1:], chunks[0])]}

    async def astream(state: MessagesState) -> Any:
        chunks = [chunk async for chunk in model.astream(state["messages"])]
        return {"messages": [sum(chunks[1:], chunks[0])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", astream if lab.is_async else stream)
    return builder.add_edge(START, "model").compile()


def add(provider: str, reply: str, make: Callable[[Lab, ModelServer], Any], kind: str) -> None:
    """Register a case of a provider's model."""
    CASES.add({"model": REPLIES[reply]}, name=f"{provider}-{reply}-{kind}")(
        lambda lab, server: Built(make(lab, server), [QUESTION])
    )


for provider_, model_ in PROVIDERS.items():
    for reply_ in REPLIES:
        add(
            provider_,
            reply_,
            lambda lab, server, model=model_: one_node(lab, model(server).bind_tools([WEATHER])),
            "invoked",
        )
    for reply_ in ("text", "reasoning", "everything"):
        add(
            provider_,
            reply_,
            lambda lab, server, model=model_: one_node(lab, model(server, disable_streaming=True)),
            "at_once",
        )
        add(provider_, reply_, lambda lab, server, model=model_: streaming_node(lab, model(server)), "streamed")


@in_every_lane(CASES)
def test_models(case: Case, lab: Lab) -> None:
    """Text, reasoning, tool calls, usage, outputs, values, the raw log and requests are the original's."""
    # Chunks that a node streams itself are messages here, while the original ignores them.
    assert_alike(case, lab, survey, without=("messages",) if case.name.endswith("streamed") else ())


WITH_READING = [case for case in CASES if isinstance(case.script["model"][-1], Reply)]


@in_every_lane(WITH_READING)
def test_agreement(case: Case, lab: Lab) -> None:
    """A message's text, reasoning, tool calls and usage are those of its output, of the state and of the model."""
    reply = case.script["model"][-1]
    with model_server(case.script) as server:

        async def main() -> None:
            async with case.opened(lab, server) as built, open_agent(lab, built, built.given[0]) as run:
                [message] = await lab.items(run.messages)
                seen, wanted = await reading(lab, message), expected_reading(reply)
                if case.name.startswith("chat-"):
                    wanted["reasoning"] = ""  # which `ChatOpenAI` drops
                assert seen == wanted
                assert as_read(await output(lab, message)) == wanted
                assert as_read((await lab.output(run))["messages"][-1]) == wanted

        on_lane(lab, main)
