"""An agent of LangChain's, with a tool that asks for consent, in every protocol and read by the official readers."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from anyiostream import open_run
from anyiostream.sinks import Request, open_sink, parse
from anyiostream.sinks.ai_sdk_history import ui_messages
from anyiostream.sinks.parts import Question
from anyiostream.wire import Draft, Placed, WireRun, plain

from .readers import READERS, Readers


@tool
async def pay(amount: int) -> str:  # no thread: the order of two calls at once is the event loop's
    """Pay."""
    return f"paid {amount}"


@tool
async def look(what: str) -> str:
    """Look."""
    return f"saw {what}"


def agent() -> Any:
    """It calls two tools at once, one of which asks, and then says so."""
    from anyiostream.testing import Reply
    from anyiostream.testing.langchain import FakeStreamingChatModel

    calls = [
        {"name": "look", "args": {"what": "x"}, "id": "c1"},
        {"name": "pay", "args": {"amount": 3}, "id": "c2"},
    ]
    model = FakeStreamingChatModel(
        Reply("Let me see.", tool_calls=calls, usage={"input_tokens": 2, "output_tokens": 3}), "All done."
    )
    asking = HumanInTheLoopMiddleware(interrupt_on={"pay": True})
    return create_agent(model, [pay, look], middleware=[asking], checkpointer=InMemorySaver())


CONFIG = {"configurable": {"thread_id": "1"}}


def events(graph: Any, given: Any, config: Any = None) -> list[Placed]:
    """The events of a run."""

    async def main() -> list[Placed]:
        async with WireRun(open_run(graph, given, config=config), run_id="run") as run:
            return [event async for event in run]

    return anyio.run(main)


def shown(protocol: str, log: list[Placed], request: Request | None = None) -> str:
    """A response."""
    sink = open_sink(protocol, run_id="run" if request is None else "another", request=request)
    return b"".join([sink.opening("run-0"), *map(sink.encode, log), sink.end()]).decode()


QUESTION = {"messages": [("user", "pay 3")]}


@pytest.mark.parametrize("reader", ["ai-6", "ai-7"])
@pytest.mark.parametrize("approved", [True, False])
def test_consent_is_asked_for_and_given(readers: Readers, reader: str, *, approved: bool) -> None:
    """The front end sends its message back with the consent; the run goes on writing that message."""
    graph = agent()
    (first,) = readers.read([{"protocol": reader, "body": shown("ai-sdk", events(graph, QUESTION, CONFIG))}])
    message = first["folded"]["message"]
    parts = {part.get("toolCallId"): part for part in message["parts"]}
    assert parts["c2"]["state"] == "approval-requested"
    # What `addToolApprovalResponse` makes of it.
    parts["c2"].update(state="approval-responded", approval={**parts["c2"]["approval"], "approved": approved})
    asked = parse("ai-sdk", {"id": "1", "messages": [message], "trigger": "submit-message"})
    assert asked.continues == message["id"]
    (decided,) = asked.answers.values()
    assert decided == {"decisions": [{"type": "approve" if approved else "reject"}]}
    log = events(graph, Command(resume=asked.answers), CONFIG)
    (then,) = readers.read([{"protocol": reader, "body": shown("ai-sdk", log, asked), "message": message}])
    assert then["ok"], then
    whole = then["folded"]["message"]
    assert whole["id"] == message["id"]
    assert [part["text"] for part in whole["parts"] if part["type"] == "text"] == ["Let me see.", "All done."]
    calls = [part for part in whole["parts"] if part["type"] == "dynamic-tool"]
    assert [call["toolCallId"] for call in calls] == ["c1", "c2"]
    assert calls[0]["output"]["content"] == "saw x"
    if approved:
        assert calls[1]["output"]["content"] == "paid 3"


@pytest.mark.protocol("ai-sdk")
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_the_history_is_what_the_streams_were_folded_to(readers: Readers, decision: str) -> None:
    """Message by message: of a turn that waits for its user, and of one that is over."""
    graph = agent()
    (first,) = readers.read([{"protocol": "ai-7", "body": shown("ai-sdk", events(graph, QUESTION, CONFIG))}])
    live = first["folded"]["message"]
    state = graph.get_state(CONFIG)
    questions = [Question(each.id, (), plain(each.value)) for each in state.interrupts]
    user, waiting = ui_messages(plain(state.values), questions)
    assert (user["role"], user["parts"][0]["text"]) == ("user", "pay 3")
    assert told(waiting) == told(live)
    assert ui_messages(plain(state.values), questions, finished=False) == [user]
    request = Request(continues=live["id"], calls={"c1": "look", "c2": "pay"})
    log = events(graph, Command(resume={"decisions": [{"type": decision}]}), CONFIG)
    (then,) = readers.read([{"protocol": "ai-7", "body": shown("ai-sdk", log, request), "message": live}])
    _, over = ui_messages(plain(graph.get_state(CONFIG).values))
    assert told(over) == [part for part in told(then["folded"]["message"]) if part[0] != "data-interrupt"]


def told(message: dict[str, Any]) -> list[Any]:
    """What a message shows."""
    fields = ("text", "toolCallId", "state", "input", "approval", "data")
    parts = [part for part in message["parts"] if part["type"] != "step-start"]
    shown = [(part["type"], {name: part[name] for name in fields if name in part}) for part in parts]
    for _, part in shown:
        if part.get("state") in {"output-available", "output-error"}:
            part.pop("approval", None)  # which only the stream has
    return shown


@pytest.mark.parametrize("reader", ["ai-6", "ai-7"])
def test_a_message_that_goes_on_keeps_what_the_graph_has_told(readers: Readers, reader: str) -> None:
    """Each run of it tells how far it is."""
    log = [
        Placed(place, f"run-{place}", Draft("custom", (), {"name": "progress", "payload": place}, 1))
        for place in (1, 2)
    ]
    (first,) = readers.read([{"protocol": reader, "body": shown("ai-sdk", log)}])
    message = first["folded"]["message"]
    asked = Request(continues=message["id"])
    (then,) = readers.read([{"protocol": reader, "body": shown("ai-sdk", log, asked), "message": message}])
    parts = then["folded"]["message"]["parts"]
    assert [part["data"] for part in parts if part["type"] == "data-progress"] == [1, 2, 1, 2]


@pytest.mark.protocol("ag-ui")
def test_an_interrupt_of_ag_ui_is_resumed(readers: Readers) -> None:
    """The outcome names the call; the answer goes on, without the call's being told twice."""
    graph = agent()
    (first,) = readers.read([{"protocol": "ag-ui", "body": shown("ag-ui", events(graph, QUESTION, CONFIG))}])
    assert first["ok"], first
    frames = [
        json.loads(line[6:])
        for line in shown("ag-ui", events(agent(), QUESTION, CONFIG)).split("\n")
        if "data: " in line
    ]
    (interrupt,) = frames[-1]["outcome"]["interrupts"]
    assert (interrupt["reason"], interrupt["toolCallId"]) == ("tool_call", "c2")
    messages = first["folded"]["messages"]
    (pending,) = graph.get_state(CONFIG).interrupts
    resume = [{"interruptId": pending.id, "status": "resolved", "payload": {"decisions": [{"type": "approve"}]}}]
    body = {"threadId": "1", "runId": "2", "messages": messages, "tools": [], "context": [], "resume": resume}
    asked = parse("ag-ui", body)
    log = events(graph, Command(resume=asked.answers), CONFIG)
    (then,) = readers.read([{"protocol": "ag-ui", "body": shown("ag-ui", log, asked), "messages": messages}])
    assert then["ok"], then
    said = then["folded"]["messages"]
    assert [each.get("content") for each in said if each["role"] == "assistant"] == ["Let me see.", "All done."]
    assert [call["id"] for each in said for call in each.get("toolCalls", ())] == ["c1", "c2"]
    assert [each["toolCallId"] for each in said if each["role"] == "tool"] == ["c1", "c2"]


@pytest.mark.protocol("openai")
@pytest.mark.filterwarnings("ignore:Async generator 'openai:ResourceWarning")  # it leaves its own to the collector
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_python_client_of_openai(backend: str) -> None:
    """Streamed and whole, with tokens; a failure is its exception."""
    import openai  # not at the top, where it takes each worker a second

    log = events(agent(), QUESTION, CONFIG)

    def answer(request: httpx.Request) -> httpx.Response:
        asked = parse("openai", json.loads(request.content))
        failed = log[:-1] if asked.assistant == "cut" else log
        kind = "text/event-stream" if asked.stream else "application/json"
        return httpx.Response(200, headers={"content-type": kind}, text=shown("openai", failed, asked))

    async def main() -> None:
        transport = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        client = openai.AsyncOpenAI(
            api_key="none", base_url="http://localhost/v1", http_client=transport, max_retries=0
        )
        ask: Any = {"model": "agent", "messages": [{"role": "user", "content": "pay"}]}
        options = {"include_usage": True}
        chunks = [
            each async for each in await client.chat.completions.create(**ask, stream=True, stream_options=options)
        ]
        assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "Let me see."
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage.total_tokens == 5
        whole = await client.chat.completions.create(**ask)
        assert whole.choices[0].message.content == "Let me see."
        with pytest.raises(openai.APIError, match="connection ended"):
            async for _ in await client.chat.completions.create(**{**ask, "model": "cut"}, stream=True):
                pass

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("reader", READERS)
def test_the_whole_conversation_is_taken(readers: Readers, reader: str) -> None:
    """By each reader, to the question."""
    log = events(agent(), QUESTION, CONFIG)
    (found,) = readers.read([{"protocol": reader, "body": shown(READERS[reader], log)}])
    assert found["ok"], found
