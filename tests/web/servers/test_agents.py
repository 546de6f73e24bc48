"""A LangGraph agent with messages, tools and a question, in every protocol, on real servers and both event loops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from langgraph.types import Command

from anyiostream import open_run
from anyiostream.sinks import PROTOCOLS, parse
from anyiostream.web import RunResponse

from ...serving import SERVERS
from ...sinks.test_agents import agent
from ...waiting import PATIENCE

USER = {"id": "u1", "role": "user", "content": "pay 3", "parts": [{"type": "text", "text": "pay 3"}]}

APPROVED = {"decisions": [{"type": "approve"}]}


@pytest.fixture(params=SERVERS)
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of a service under a server, with an agent for each protocol."""
    api, graphs = FastAPI(), {protocol: agent() for protocol in PROTOCOLS}

    @api.get("/v1/models")
    async def models() -> dict[str, Any]:
        from anyiostream.sinks import openai  # a protocol may be left out

        return openai.models(["agent", "another"])

    @api.post("/v1/chat/completions", response_model=None)
    async def complete(request: Request) -> RunResponse:
        return await answer(request, "openai")

    @api.post("/{protocol}", response_model=None)
    async def answer(request: Request, protocol: Any) -> RunResponse:
        asked = parse(protocol, await request.json())
        given = Command(resume=asked.answers) if asked.answers else asked.input
        config = {"configurable": {"thread_id": asked.thread or "1"}}
        return RunResponse(open_run(graphs[protocol], given, config=config), protocol=protocol, request=asked)

    with SERVERS[request.param](api) as url, httpx.Client(base_url=url, timeout=PATIENCE) as made:
        yield made


def events(response: httpx.Response) -> list[Any]:
    """The data of its events."""
    return [json.loads(line[6:]) for line in response.text.split("\n") if line.startswith("data: {")]


def question(protocol: str) -> Any:
    """What a front end posts first."""
    return {
        "langgraph": {"thread_id": "1", "input": {"messages": [("user", "pay 3")]}},
        "ai-sdk": {"id": "1", "messages": [USER]},
        "ag-ui": {"threadId": "1", "runId": "1", "messages": [USER]},
        "openai": {"model": "agent", "messages": [{"role": "user", "content": "pay 3"}], "stream": True},
        "text": {"thread": "1", "input": "pay 3"},
    }[protocol]


def consent(protocol: str, told: list[Any]) -> Any:
    """What it posts when its user has consented, given what it was told."""
    if protocol == "langgraph":
        (asked,) = (each["params"]["data"]["interrupt_id"] for each in told if each.get("method") == "input.requested")
        return {"thread_id": "1", "answers": {asked: APPROVED}}
    if protocol == "ai-sdk":
        (asked,) = (each["id"] for each in told if each["type"] == "data-interrupt")
        assistant = {"id": told[0]["messageId"], "role": "assistant", "parts": []}
        return {"id": "1", "messages": [USER, assistant], "answers": {asked: APPROVED}}
    (interrupt,) = told[-1]["outcome"]["interrupts"]
    resume = [{"interruptId": interrupt["id"], "status": "resolved", "payload": APPROVED}]
    return {"threadId": "1", "runId": "2", "messages": [USER], "resume": resume}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_asks_and_goes_on(client: httpx.Client, protocol: str) -> None:
    """Its words, its tools and its question come; with the answer it goes on."""
    pytest.importorskip(f"anyiostream.sinks.{PROTOCOLS[protocol]}")
    first = client.post(f"/{protocol}", json=question(protocol))
    assert first.status_code == 200
    if protocol == "text":
        assert first.text == "Let me see."
        return
    if protocol == "openai":
        said = [each["choices"][0]["delta"].get("content", "") for each in events(first)]
        assert "".join(said) == "Let me see."
        assert first.text.endswith("data: [DONE]\n\n")
        return
    assert "look" in first.text
    assert "saw x" not in first.text
    then = client.post(f"/{protocol}", json=consent(protocol, events(first)))
    assert then.status_code == 200
    assert "saw x" in then.text
    assert "paid 3" in then.text
    assert "done" in then.text


def test_the_client_of_openai_lists_the_models(client: httpx.Client) -> None:
    """And asks one of them."""
    pytest.importorskip("anyiostream.sinks.openai")
    from openai import OpenAI  # not at the top, where it takes each worker a second

    with OpenAI(api_key="none", base_url=f"{client.base_url}/v1", max_retries=0, timeout=PATIENCE) as official:
        listed = list(official.models.list())
        assert [(each.id, each.object) for each in listed] == [("agent", "model"), ("another", "model")]
        asked: Any = {"model": listed[0].id, "messages": [{"role": "user", "content": "pay 3"}]}
        whole = official.chat.completions.create(**asked)
        assert whole.choices[0].message.content == "Let me see."
