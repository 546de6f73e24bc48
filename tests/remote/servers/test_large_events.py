"""Events that are too large: each client sees a part of them, goes on to the end, and answers the question."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request, Response
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from langgraph_sdk import get_client

from anyiostream import GraphWriter
from anyiostream.remote import Limits, app, connect
from anyiostream.sinks import PROTOCOLS, parse

from ...npm import installed
from ...serving import SERVERS
from ...waiting import PATIENCE, until
from .raw import Client, ask, events, root_event
from .test_javascript_client import FOLDER, SDKS
from .test_python_client import read

pytestmark = [
    pytest.mark.anyio,
    # The official client leaves sockets to the garbage collector when it closes a stream that it has replaced.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]

MOST = 20_000
"""Bytes of an event here."""

LARGE = "large " * 10_000

QUESTION = {"ask": "who?", "text": LARGE}

CHANNELS = ["values", "updates", "custom", "messages", "tools", "tasks", "checkpoints", "input", "lifecycle"]


async def function(given: Any, writer: GraphWriter) -> Any:
    """A function graph that writes something large of every kind, and asks its user."""
    if hasattr(given, "answers"):
        return {"answer": given.answer, "text": given.values["text"]}
    await writer.updates({"node": {"text": LARGE}})
    await writer.custom({"name": "progress", "payload": {"done": 1, "text": LARGE}})
    async with writer.message(node="model") as message:
        await message.text("small ")
        await message.text(LARGE)
        await message.tool_call("search", {"q": LARGE}, tool_call_id="t1")
    async with writer.tool_call("search", {"q": LARGE}, tool_call_id="t1") as call:
        await call.delta(LARGE)
        call.output = {"found": LARGE, "count": 1}
    await writer.values({"step": 1, "text": LARGE})
    if given != {"quiet": True}:
        await writer.interrupt(QUESTION, interrupt_id="i1")
    return None


class State(TypedDict, total=False):
    text: str
    answer: str


def graph() -> Any:
    """A LangGraph graph with a large state, whose node asks."""

    async def write(_: State) -> State:
        return {"text": LARGE}

    async def wonder(_: State) -> State:
        return {"answer": interrupt(QUESTION)}

    builder = StateGraph(State).add_node("write", write).add_node("wonder", wonder)
    builder.add_edge(START, "write").add_edge("write", "wonder").add_edge("wonder", END)
    return builder.compile(checkpointer=InMemorySaver())


GRAPHS = ("function", "graph")


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server; at `/{protocol}` front ends run the function."""
    runs = app({"function": function, "graph": graph()}, limits=Limits(event=MOST))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with runs.router.lifespan_context(runs):
            yield

    api = FastAPI(lifespan=lifespan)

    @api.post("/chat/{protocol}", response_model=None)
    async def chat(request: Request, protocol: Any) -> Response:
        asked = parse(protocol, await request.json())
        return await runs.respond(request, "function", asked, thread=f"chat-{protocol}", protocol=protocol)

    api.mount("/", runs)
    with SERVERS[request.param](api) as address:
        yield address


@pytest.fixture
def anyio_backend() -> str:
    """The official client is for asyncio only."""
    return "asyncio"


def check(found: list[Any]) -> None:
    """The log has no hole, nothing in it is large, and what was says so."""
    places = [event["seq"] for event in found]
    assert places == list(range(places[0], places[0] + len(places)))
    sizes = [len(json.dumps(event)) for event in found]
    assert max(sizes) <= MOST
    marked = [event for event in found if "abridged" in event["params"]]
    assert all("..." in json.dumps(event["params"]["data"]) for event in marked)
    assert all(event["params"]["abridged"]["limit"] == MOST for event in marked)
    assert {event["method"] for event in marked} >= {"values", "input.requested"}


@pytest.mark.parametrize("assistant", GRAPHS)
def test_by_hand(url: str, caplog: pytest.LogCaptureFixture, assistant: str) -> None:
    """As server-sent events and over a socket; the state has all of it, and the answer is taken."""
    with caplog.at_level(logging.WARNING, "anyiostream"), Client(url, f"by-hand-{assistant}") as client:
        client.start(assistant, {})
        found = []
        with client.stream(channels=CHANNELS) as response:
            for event in events(response):
                found.append(event)
                if root_event(event) == "interrupted":
                    break
        check(found)
        (asked,) = [event["params"]["data"] for event in found if event["method"] == "input.requested"]
        assert asked["payload"] == asked["value"]
        assert asked["value"]["ask"] == "who?"
        with client.socket() as socket:
            told = ask(socket, "subscription.subscribe", {"channels": CHANNELS})
            again = [json.loads(socket.recv(timeout=PATIENCE)) for _ in range(told["result"]["replayed_events"])]
            assert again == found
        state = client.state().json()
        assert state["values"]["text"] == LARGE
        assert [each["value"] for task in state["tasks"] for each in task["interrupts"]] == [QUESTION]
        answer = [{"interrupt_id": asked["interrupt_id"], "namespace": [], "response": "Ada"}]
        assert client.command("input.respond", {"responses": answer}).json()["type"] == "success"
        with client.stream(channels=["lifecycle"], since=found[-1]["seq"]) as response:
            assert next(end for event in events(response) if (end := root_event(event)) != "running") == "completed"
        assert client.state().json()["values"] == {"answer": "Ada", "text": LARGE}
    said = [record.getMessage() for record in caplog.records if "abridged" in record.getMessage()]
    assert any("one of the type values" in text and f"Limits.event is {MOST}" in text for text in said)


@pytest.mark.parametrize("assistant", GRAPHS)
async def test_the_client_of_the_package(url: str, assistant: str) -> None:
    """Its readers get a part; it says how often, and the state has the rest."""
    async with connect(url) as client:
        thread = client.thread(assistant, f"connected-{assistant}")
        async with thread.run({}) as run:
            shown = [state async for state in run.values]
            (asked,) = await run.interrupts()
        assert thread.abridged > 0
        assert shown[-1]["text"].endswith("...")
        assert asked.value["ask"] == "who?"
        assert (await thread.state())["values"]["text"] == LARGE
        async with thread.respond({asked.id: "Ada"}) as run:
            output = await run.output()
        assert (output["answer"], output["text"][-3:]) == ("Ada", "...")
        assert thread.abridged > 0
        assert (await thread.state())["values"] == {"answer": "Ada", "text": LARGE}


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_official_python_client(url: str, transport: Any) -> None:
    """Each of its projections goes on to its end, and what it reads of the state is whole."""
    client = get_client(url=url, api_key=None)
    try:
        async with client.threads.stream(assistant_id="function", transport=transport) as thread:
            # It ends what it reads when it sees a question, which may be earlier: so this run does not ask.
            reading = thread.messages, thread.tool_calls, thread.values
            messages, calls, values = await read(thread, *reading, input={"quiet": True})
            (message,) = messages
            assert (await message.text).startswith("small large ")
            (call,) = (await message.output).tool_calls
            assert (call["name"], call["id"]) == ("search", "t1")
            (called,) = calls
            output = await called.output
            assert (called.tool_call_id, output["count"], output["found"][-3:]) == ("t1", 1, "...")
            assert (values[-1]["step"], values[-1]["text"][-3:]) == (1, "...")
            assert await thread.output == {"step": 1, "text": LARGE}
        async with client.threads.stream(assistant_id="function", transport=transport) as thread:
            await thread.run.start(input={})
            await until(lambda: bool(thread.interrupts))
            (asked,) = thread.interrupts
            assert asked["value"]["ask"] == "who?"
            await thread.run.respond("Ada")
            assert await thread.output == {"answer": "Ada", "text": LARGE}
    finally:
        await client.aclose()


@pytest.mark.parametrize("assistant", GRAPHS)
async def test_a_run_that_is_waited_for(url: str, assistant: str) -> None:
    """`runs.wait` has the whole of the last snapshot, with what is asked; `runs.stream` shows what the log has."""
    client = get_client(url=url, api_key=None)
    try:
        thread_id = (await client.threads.create())["thread_id"]
        values: Any = await client.runs.wait(thread_id, assistant, input={})
        assert values["text"] == LARGE
        assert [each["value"]["ask"] for each in values["__interrupt__"]] == ["who?"]
        shown = [each async for each in client.runs.stream(thread_id, assistant, command={"resume": "Ada"})]
        assert shown[-1].data["answer"] == "Ada"
        assert shown[-1].data["text"].endswith("...")
        joined = (await client.threads.get(thread_id))["values"]
        assert joined == {"answer": "Ada", "text": LARGE}
    finally:
        await client.aclose()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_front_ends(url: str, protocol: str) -> None:
    """Each protocol has the turn's beginning and its end, and the question if it has a word for one."""
    said = {"id": "u1", "role": "user", "content": "hi", "parts": [{"type": "text", "text": "hi"}]}
    body = {
        "langgraph": {"input": {"messages": [said]}},
        "ai-sdk": {"id": "c", "messages": [said]},
        "ag-ui": {"threadId": "c", "runId": "r", "messages": [said]},
        "openai": {"model": "function", "messages": [said], "stream": True},
        "text": {"input": "hi"},
    }[protocol]
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        answered = await client.post(f"/chat/{protocol}", json=body)
    assert answered.status_code == 200, answered.text
    assert "small " in answered.text
    assert len(answered.content) < 20 * MOST
    end = {
        "langgraph": '"interrupted"',
        "ai-sdk": "[DONE]",
        "ag-ui": "RUN_FINISHED",
        "openai": "[DONE]",
        "text": "large ...",
    }[protocol]
    assert end in answered.text
    if protocol in {"langgraph", "ai-sdk", "ag-ui"}:
        assert "i1" in answered.text
        assert "who?" in answered.text


@pytest.mark.parametrize("transport", ["sse", "websocket"])
@pytest.mark.parametrize("sdk", SDKS)
async def test_the_official_javascript_client(url: str, transport: str, sdk: str) -> None:
    """Each of its projections goes on to its end, and what it reads of the state is whole."""
    installed(FOLDER)
    command = ["node", "--no-warnings", "--experimental-websocket", "large.mjs", url, transport, sdk]
    done = await anyio.run_process(command, cwd=FOLDER, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "text": "small large ",
        "call": "search",
        "tool": {"name": "search", "count": 1},
        "asked": "who?",
        "values": [1],
        "answer": "Ada",
        "size": len(LARGE),
    }
