"""Who may go on where a graph waits for its user: whoever may respond, however they ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from anyiostream.remote import Access, app, run_context

from ...waiting import PATIENCE
from ..graphs import State, asking_graph, question
from .raw import Client, ask, root_event
from .serving import SERVERS, serving

HELD: dict[str, Event] = {}
"""Thread -> set when its run may go on."""


def held_graph() -> Any:
    """A graph with a breakpoint, that takes its time before it."""

    def wait() -> None:
        assert HELD[run_context.get().thread_id].wait(PATIENCE)

    builder = StateGraph(State).add_node("wait", lambda _: wait()).add_node("pay", lambda _: {"answers": ["PAID"]})
    builder.add_edge(START, "wait").add_edge("wait", "pay")
    return builder.compile(checkpointer=InMemorySaver(), interrupt_before=["pay"])


def stopped_graph() -> Any:
    """A graph with a breakpoint."""
    builder = StateGraph(State).add_node("pay", lambda _: {"answers": ["PAID"]}).add_edge(START, "pay")
    return builder.compile(checkpointer=InMemorySaver(), interrupt_before=["pay"])


def authorize(access: Access) -> str | None:
    """Everybody in a team may ask for things; only its lead approves them."""
    who = access.headers.get("x-who")
    return None if who is None or (access.action == "respond" and who != "lead") else "team"


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server, and a route of a program's own."""
    assistants = {"ask": asking_graph("a"), "stopped": stopped_graph(), "held": held_graph(), "question": question}
    inner = app(assistants, authorize=authorize)

    async def chat(asked: Request) -> Response:
        return await inner.respond(asked, "ask", {"answers": []}, thread=asked.path_params["thread"])

    routes = [Route("/chat/{thread}", chat, methods=["POST"]), Mount("/", inner)]
    outer = Starlette(routes=routes, lifespan=lambda _: inner.router.lifespan_context(inner))
    outer.state.service = inner.state.service
    with serving(request.param, outer) as address:
        yield address


@pytest.fixture
def clients(request: pytest.FixtureRequest, url: str) -> Iterator[tuple[Client, Client]]:
    """Somebody of the team, and its lead, on one thread."""
    name = request.node.callspec.id.split("-", 1)[-1] + request.node.originalname
    with ExitStack() as stack:
        junior, lead = (stack.enter_context(Client(url, name, **{"x-who": who})) for who in ("junior", "lead"))
        yield junior, lead


def begin(client: Client, assistant: str, given: Any) -> None:
    """Have a graph wait for its user."""
    client.start(assistant, given)
    assert root_event(client.ended()[-1]) == "interrupted"


WAITING = {
    "ask": ("ask", {"answers": []}, "yes"),
    "question": ("question", {"x": 1}, "yes"),
    "stopped": ("stopped", {"answers": []}, None),
}


@pytest.mark.parametrize("name", WAITING)
def test_starting_a_run_may_be_an_answer(clients: tuple[Client, Client], name: str) -> None:
    """Refused as such, by command, over a socket, and by the routes of the official server; nothing has happened."""
    assistant, given, answer = WAITING[name]
    junior, lead = clients
    begin(junior, assistant, given)
    before = junior.state().json()
    params = {"assistant_id": assistant, "input": answer}
    refused = junior.command("run.start", params)
    assert (refused.status_code, refused.json()["error"]) == (401, "permission_denied")
    assert [junior.post(f"runs{how}", params).status_code for how in ("", "/stream", "/wait")] == [401] * 3
    with junior.socket() as ws:
        assert ask(ws, "run.start", params)["error"] == "permission_denied"
    assert junior.state().json() == before
    lead.start(assistant, answer)
    assert root_event(lead.ended()[-1]) == "completed"


def test_a_breakpoint_is_not_passed_by_way_of_its_checkpoint(clients: tuple[Client, Client]) -> None:
    """Where the thread stands, or once it stands elsewhere."""
    junior, lead = clients
    begin(junior, "stopped", {"answers": []})
    (newest, *_) = junior.post("history", {}).json()
    checkpoint = newest["checkpoint"]["checkpoint_id"]
    params = {"assistant_id": "stopped", "checkpoint_id": checkpoint}
    assert junior.post("runs/wait", params).status_code == 401
    assert lead.post("runs/wait", params).json()["answers"] == ["PAID"]
    assert junior.post("runs/wait", params).status_code == 401


def test_a_breakpoint_is_not_passed_by_who_comes_before_it(clients: tuple[Client, Client]) -> None:
    """A run that waits for its turn goes on where the thread stands then."""
    junior, lead = clients
    release = Event()
    HELD[junior.thread_id] = release
    junior.start("held", {"answers": []})
    refused = junior.command("run.start", {"assistant_id": "held", "input": None})
    assert refused.status_code == 401
    release.set()
    assert root_event(lead.ended()[-1]) == "interrupted"
    assert lead.state().json()["next"] == ["pay"]


def test_a_page_does_not_answer_either(clients: tuple[Client, Client]) -> None:
    """In a route of the program's own."""
    junior, lead = clients
    begin(junior, "ask", {"answers": []})
    path = f"/chat/{junior.thread_id}"
    assert junior.http.post(path).status_code == 401
    with lead.http.stream("POST", path) as response:
        assert response.status_code == 200


def test_what_answers_nothing_is_a_start(clients: tuple[Client, Client]) -> None:
    """A first run, one after another has ended, and one from an earlier checkpoint with an input of its own."""
    junior, _ = clients
    begin(junior, "stopped", {"answers": []})
    begin(junior, "stopped", {"answers": ["anew"]})
    first = junior.post("history", {}).json()[-1]["checkpoint"]["checkpoint_id"]
    params = {"assistant_id": "stopped", "checkpoint_id": first, "input": {"answers": ["elsewhere"]}}
    assert junior.post("runs/wait", params).status_code == 200
