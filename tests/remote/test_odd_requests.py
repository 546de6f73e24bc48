"""Requests in which one value is of another type than the server expects: it answers, and not with an error of its own.

They are put to the application itself, which is to serve the next client after each.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Final, TypedDict, final
from urllib.parse import quote

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from starlette.requests import Request

from anyiostream import GraphWriter
from anyiostream.remote import Assistant, app
from anyiostream.remote.branching import dropped_from
from anyiostream.remote.commands import command_id, parse_command
from anyiostream.remote.limits import Limits
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.subscriptions import parse_subscription
from anyiostream.sinks import MalformedRequest, parse

from ..browsing import Browser
from ..odd import ODD_TEXTS, with_odd_values
from ..sinks.test_odd_requests import REQUESTS

pytestmark = pytest.mark.anyio

CONFIG: Final = {
    "configurable": {"model": "x"}, "metadata": {"m": 1}, "tags": ["t"], "recursion_limit": 25, "max_concurrency": 2,
    "run_name": "x",
}  # fmt: skip
ANSWER: Final = {"interrupt_id": "i", "namespace": ["a:1"], "response": {"a": 1}}

COMMANDS: Final[dict[str, Any]] = {
    "run.start": {"assistant_id": "function", "input": {"a": [1]}, "config": CONFIG, "metadata": {"m": 1}},
    "input.respond": {
        "responses": [ANSWER], "update": {"a": 1}, "goto": ["ask", {"node": "ask", "input": {"a": 1}}],
        "config": CONFIG, "metadata": {"m": 1},
    },
    "subscription.subscribe": {"channels": ["values", "custom:x"], "namespaces": [["a:1"]], "depth": 1, "since": 0},
    "subscription.unsubscribe": {"subscription_id": "s"},
    "agent.getTree": {},
    "state.get": {"namespace": [], "keys": ["a"]},
}  # fmt: skip

RUN: Final = {
    "assistant_id": "graph", "input": {"messages": [{"type": "human", "id": "1", "content": "Hi"}]}, "config": CONFIG,
    "metadata": {"m": 1}, "stream_mode": ["values", "updates"], "stream_subgraphs": True, "on_disconnect": "continue",
    "multitask_strategy": "enqueue", "if_not_exists": "create",
}  # fmt: skip
PLACE: Final = {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "1ef4f797-8335-6428-8001-8a1503f9b875"}
GOTO: Final = ["ask", {"node": "ask", "input": {"messages": ["x"]}}]

OFFICIAL: Final[dict[str, Any]] = {
    "assistants/search": {"graph_id": "graph", "name": "g", "limit": 1, "offset": 0, "metadata": {}, "sort_by": "name"},
    "threads": {"thread_id": "t", "if_exists": "do_nothing", "metadata": {}},
    "threads/search": {
        "metadata": {"graph_id": "graph"}, "status": "idle", "ids": ["t"], "limit": 1, "offset": 0, "values": {},
        "sort_by": "updated_at", "select": ["values"],
    },
    "threads/{old}/history": {"limit": 1, "before": PLACE["checkpoint_id"], "checkpoint": PLACE},
    "threads/{old}/state/checkpoint": {"checkpoint": PLACE, "subgraphs": False},
    "threads/{new}/runs": {**RUN, "assistant_id": "function"},
    "threads/{new}/runs/stream": {**RUN, "assistant_id": "function"},
    "runs/wait": RUN,
    "threads/{old}/runs/wait": {**RUN, "checkpoint": PLACE, "checkpoint_id": PLACE["checkpoint_id"]},
    "threads/{asking}/runs/wait": {
        "assistant_id": "graph", "command": {"resume": {"a": 1}, "update": {"messages": ["x"]}, "goto": GOTO},
    },
    "threads/{old}/stream/events": COMMANDS["subscription.subscribe"],
}  # fmt: skip

QUERIES: Final = (
    "threads/{old}/runs?limit={odd}",
    "threads/{old}/runs?offset={odd}",
    "threads/{old}/runs?status={odd}",
    "threads/{old}/runs/{run}/stream?stream_mode={odd}",
    "threads/{old}/runs/{run}/stream?stream_mode={odd}&stream_mode=values",
    "threads/{old}/runs/{run}/stream?stream_subgraphs={odd}&cancel_on_disconnect={odd}",
    "threads/{old}/runs/{run}/join?cancel_on_disconnect={odd}",
    "threads/{old}/runs/{odd}",
    "threads/{old}/runs/{odd}/join",
    "threads/{old}/state/{odd}",
    "threads/{old}/stream/events?channels={odd}",
    "threads/{old}/stream/events?channels=values&since={odd}",
    "threads/{odd}",
    "threads/{odd}/runs",
    "assistants/{odd}",
    "assistants/graph/graph?xray={odd}",
)

HEADERS: Final = ("last-event-id", "idempotency-key", "origin", "content-type", "content-length", "host")


class State(TypedDict, total=False):
    """Takes any messages."""

    messages: Any
    answer: Any


async def function(given: Any, writer: GraphWriter) -> Any:
    """Returns what it is given."""
    await writer.values({"given": given})
    return {"given": given}


def ask(state: State) -> State:
    """Asks if it is to."""
    return {"answer": interrupt("Sure?")} if state.get("messages") == "ask" else {"answer": 1}


@final
class Server:
    """An application, and its clients.

    Args:
        service: The application.
    """

    def __init__(self, service: Any) -> None:
        self.service = service
        self._new = count()

    async def ask(self, path: str, body: Any = None, **headers: str) -> Browser:
        """What a client is answered; it leaves a stream of events when that begins."""
        method = "GET" if body is None else "POST"
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        client = Browser(lambda _: path.partition("?")[0].endswith("/stream/events"))
        sent = [{"type": "http.request", "body": raw, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return sent.pop() if sent else await client.receive()

        shown = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
        place, _, query = path.partition("?")
        scope = {
            **client.scope, "method": method, "path": f"/{place}", "query_string": query.encode(), "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in shown.items()],
        }  # fmt: skip
        try:
            await self.service(scope, receive, client.send)
        except Exception as exc:
            raise AssertionError(f"{method} /{path[:200]} {raw[:300]!r} {shown}") from exc
        assert client.status < 500, (method, path[:200], raw[:300], shown, client.body)
        return client

    async def run(self, thread: str, given: Any = None, assistant: str = "graph") -> Any:
        """What a run on a thread ends with."""
        answer = await self.ask(f"threads/{thread}/runs/wait", {"assistant_id": assistant, "input": given})
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def told(self, template: str, odd: str = "") -> str:
        """The path of a request: with a thread of its own, one that has had a run, or one that waits."""
        path = template.replace("{new}", f"new-{next(self._new)}").replace("{old}", "old").replace("{odd}", odd)
        if "{run}" in path:
            runs = json.loads((await self.ask("threads/old/runs")).body)
            path = path.replace("{run}", runs[0]["run_id"])
        if "{asking}" in path:
            thread = f"asking-{next(self._new)}"
            await self.run(thread, {"messages": "ask"})
            path = path.replace("{asking}", thread)
        return path


@pytest.fixture
def anyio_backend() -> str:
    """What is refused depends on no event loop, and there is much of it."""
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server, which has a thread."""
    made = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    graph = Assistant(graph=made.compile(checkpointer=InMemorySaver()), steering=["update", "goto"])
    service = app({"graph": graph, "function": function})
    async with service.router.lifespan_context(service):
        served = Server(service)
        await served.run("old", {"messages": []})
        yield served
        assert (await served.run("last", {"messages": ["x"]}))["answer"] == 1
        assert (await served.run("after", 1, "function"))["given"] == 1


@pytest.mark.parametrize("path", OFFICIAL)
async def test_an_odd_value_in_the_body_of_an_official_route(server: Server, path: str) -> None:
    """Wherever it stands."""
    for odd in with_odd_values(OFFICIAL[path]):
        await server.ask(await server.told(path), json.dumps(odd).encode())


@pytest.mark.parametrize("path", QUERIES)
async def test_an_odd_value_in_a_query_or_a_path(server: Server, path: str) -> None:
    """Decoded, as servers hand a path on, and a query encoded."""
    for odd in ODD_TEXTS:
        await server.ask(await server.told(path, quote(odd) if "?" in path else odd))


@pytest.mark.parametrize("header", HEADERS)
async def test_an_odd_value_in_a_header(server: Server, header: str) -> None:
    """On its own, and as the end of an event's id."""
    log_id = (await server.ask("threads/old/stream/events?channels=values")).body
    name = log_id.partition("id: ")[2].rpartition("-")[0] or "x"
    for odd in ODD_TEXTS:
        for given in (odd, f"{name}-{odd}"):
            headers = {header: given.replace("\n", "")}
            await server.ask("threads/old/stream/events?channels=values", **headers)
            await server.ask(await server.told("threads/old/runs/{run}/stream"), **headers)
            await server.ask(await server.told("threads/{new}/commands"), COMMANDS["run.start"], **headers)


@pytest.mark.parametrize("method", COMMANDS)
async def test_an_odd_value_in_a_command(server: Server, method: str) -> None:
    """In the whole message, its parameters included."""
    for odd in with_odd_values({"id": 1, "method": method, "params": COMMANDS[method]}):
        await server.ask(await server.told("threads/{new}/commands"), json.dumps(odd).encode())


async def test_an_odd_value_in_an_answer(server: Server) -> None:
    """Of a thread that waits for it."""
    for odd in with_odd_values(COMMANDS["input.respond"]):
        path = await server.told("threads/{asking}/commands")
        state = json.loads((await server.ask(path.replace("commands", "state"))).body)
        waits = [asked["id"] for task in state["tasks"] for asked in task.get("interrupts", ())]
        text = json.dumps({"id": 1, "method": "input.respond", "params": odd})
        await server.ask(path, text.replace('"i"', json.dumps(waits[0])).replace('["a:1"]', "[]").encode())


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_odd_value_in_a_front_ends_request(server: Server, name: str) -> None:
    """A program's own route has read it, and the server answers."""
    protocol, body = REQUESTS[name]
    # A graph that cannot store a value fails, which is an HTTP status in some protocols.
    assistant = "function" if protocol in {"openai", "text"} else "graph"
    for odd in with_odd_values(body):
        try:
            asked = parse(protocol, odd)
        except MalformedRequest:
            continue
        # A thread whose id is not the odd value is one of its own, so that it stays short.
        thread = await server.told("{new}") if asked.thread in {"t", "c"} else None
        client = Browser()
        request = Request(client.scope)
        await client.open(await server.service.respond(request, assistant, asked, thread=thread, protocol=protocol))
        assert client.status < 500, (odd, client.body)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("assistants/search", {"graph_id": []}, "graph_id"),
        ("assistants/search", {"name": 5}, "name"),
        ("threads", {"thread_id": 5}, "thread_id"),
        ("threads", {"thread_id": []}, "thread_id"),
        ("threads", {"if_exists": []}, "if_exists"),
        ("threads/search", {"status": ["idle"]}, "status"),
        ("threads/search", {"ids": 0}, "ids"),
        ("threads/search", {"metadata": []}, "metadata"),
        ("runs/wait", {"assistant_id": "function", "stream_mode": [[]]}, "stream mode"),
        ("runs/wait", {"assistant_id": "function", "stream_mode": 5}, "stream mode"),
        ("runs/wait", {"assistant_id": "function", "on_disconnect": []}, "on_disconnect"),
        ("runs/wait", {"assistant_id": "function", "command": 5}, "command"),
        ("threads/old/runs?limit=²", None, "limit"),
        ("threads/old/runs?limit=-1", None, "limit"),
        ("threads/old/runs?limit=abc", None, "limit"),
        ("threads/old/runs?offset=1001", None, "offset"),
        ("threads/old/stream/events?channels=values&since=²", None, "since"),
    ],
)
async def test_a_value_of_the_wrong_type_is_named(server: Server, path: str, body: Any, named: str) -> None:
    """With the status 400."""
    answer = await server.ask(quote(path, safe="/?=&"), body)
    assert (answer.status, named in json.loads(answer.body)["message"]) == (400, True), answer.body


@pytest.mark.parametrize(("path", "body"), [("threads/", None), ("threads/search/", {}), ("threads/old/state/", None)])
async def test_a_path_with_a_slash_at_its_end_is_not_served(server: Server, path: str, body: Any) -> None:
    """It is not redirected: the answer says what is served."""
    answer = await server.ask(path, body)
    assert (answer.status, json.loads(answer.body)["error"]) == (404, "not_found")
    assert "POST /threads/search" in json.loads(answer.body)["served"]


def test_an_odd_value_in_a_message_that_a_thread_has() -> None:
    """A client's input may be in its state as it came."""
    said = [{"type": "human", "id": "1", "content": "Hi"}, {"role": "user", "id": "2", "content": "Hi"}]
    for odd in with_odd_values({"messages": said}):
        for users in ((), ("1",), ("3",), ("1", "3")):
            assert isinstance(dropped_from(odd, users), str | None)


def test_commands_and_subscriptions_are_read_or_refused() -> None:
    """However they come."""
    limits = Limits()
    for method, params in COMMANDS.items():
        for odd in with_odd_values({"id": 1, "method": method, "params": params}):
            try:
                command_id(odd)
                parse_command(odd, limits)
                parse_subscription(odd["params"], limits)
            except Refusal as refusal:
                assert refusal.status in {200, 400}  # noqa: PT017 -- it need not be refused
