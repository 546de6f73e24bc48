"""What a caller may set, and what an answer may do besides answering: what the operator allows, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from anyiostream.remote import Access, Assistant, Limits, app

from ..graphs import State
from .raw import Client, root_event
from .serving import SERVERS, serving


def showing_graph() -> Any:
    """A graph whose state shows what configuration it was called with."""

    def show(_: State, config: RunnableConfig) -> Any:
        given = config["configurable"]
        configurable = {name: given[name] for name in given if not name.startswith(("__", "checkpoint_"))}
        ceilings = {name: config.get(name) for name in ("recursion_limit", "max_concurrency")}
        return {"answers": [{**ceilings, "configurable": configurable, "metadata": dict(config["metadata"])}]}

    return StateGraph(State).add_node("show", show).add_edge(START, "show").compile(checkpointer=InMemorySaver())


def paying_graph() -> Any:
    """A graph that pays if its user says so, and not otherwise."""

    def ask(_: State) -> Any:
        return {"answers": [interrupt("pay?")]}

    def pay(_: State) -> Any:
        return {"answers": ["PAID"]}

    builder = StateGraph(State).add_node("ask", ask).add_node("pay", pay).add_edge(START, "ask")
    builder.add_conditional_edges("ask", lambda state: "pay" if state["answers"][-1] == "yes" else END, ["pay", END])
    return builder.add_edge("pay", END).compile(checkpointer=InMemorySaver())


SERVERS_CONFIG = {
    "configurable": {"tenant": "acme", "model": "cheap"},
    "metadata": {"tenant": "acme"},
    "recursion_limit": 7,
    "max_concurrency": 2,
}


REFUSED: list[Any] = [
    {"configurable": {"tenant": "victim"}},
    {"configurable": {"other": 1}},
    {"configurable": {"langgraph_auth_user": {"identity": "admin"}}},
    {"configurable": {"langgraph_auth_user_id": "admin"}},
    {"configurable": {"LangGraph_Auth_permissions": ["*"]}},
    {"configurable": {"__pregel_resuming": True}},
    {"metadata": {"langgraph_auth_user": "admin"}},
    {"recursion_limit": 8},
    {"recursion_limit": 10**9},
    {"max_concurrency": 3},
    {"run_name": "x\r\ny"},
    {"tags": ["a\nb"]},
    {"tags": ["\x1b[2J"]},
    {"callbacks": []},
]


@pytest.mark.parametrize("server", SERVERS)
def test_what_a_caller_may_not_set(server: str) -> None:
    """Is refused, by a command that says why; nothing is run."""
    assistant = Assistant(graph=showing_graph(), config=SERVERS_CONFIG, configurable=["model"])
    with serving(server, app({"show": assistant})) as url, Client(url) as client:
        for given in REFUSED:
            params = {"assistant_id": "show", "input": {"answers": []}, "config": given}
            commands = [params, {**params, "config": {}, **given}] if "metadata" in given else [params]
            for each in commands:
                answer = client.command("run.start", each).json()
                assert answer["type"] == "error", each
                assert answer["error"] in {"permission_denied", "invalid_argument"}
        client.start("show", {"answers": []})
        assert root_event(client.ended()[-1]) == "completed"
        assert len(client.state().json()["values"]["answers"]) == 1


def test_what_a_caller_may_set() -> None:
    """What is allowed by name, and less than the server's own limits; whatever else stays the server's."""
    assistant = Assistant(graph=showing_graph(), config=SERVERS_CONFIG, configurable=["model"])
    given = {
        "configurable": {"model": "better", "thread_id": "x", "assistant_id": "x", "run_id": "x", "graph_id": "x"},
        "metadata": {"tenant": "victim", "mine": 1, "thread_id": "x", "run_id": "x"},
        "recursion_limit": 5,
        "max_concurrency": 1,
    }
    with serving("uvicorn", app({"show": assistant})) as url, Client(url) as client:
        run_id = client.start("show", {"answers": []}, config=given)
        client.ended()
        (seen,) = client.state().json()["values"]["answers"]
    assert seen["configurable"] == {"tenant": "acme", "model": "better", "thread_id": "t"}
    assert (seen["recursion_limit"], seen["max_concurrency"]) == (5, 1)
    metadata = {name: seen["metadata"][name] for name in ("tenant", "mine", "thread_id", "run_id")}
    assert metadata == {"tenant": "acme", "mine": 1, "thread_id": "t", "run_id": run_id}


def test_ceilings_where_an_assistant_says_nothing() -> None:
    """Are the server's."""
    application = app({"show": showing_graph()}, limits=Limits(recursion=9, concurrency=3))
    with serving("uvicorn", application) as url, Client(url) as client:
        for config, kind in (({"recursion_limit": 10}, "error"), ({"max_concurrency": 4}, "error"), ({}, "success")):
            params = {"assistant_id": "show", "input": {"answers": []}, "config": config}
            assert client.command("run.start", params).json()["type"] == kind


@pytest.mark.parametrize("server", SERVERS)
def test_an_answer_only_answers(server: str) -> None:
    """Unless the assistant allows more; refused, it leaves the question. The hook is told what an answer would do."""
    asked: list[Access] = []

    def authorize(access: Access) -> str | None:
        asked.append(access)
        return None if access.headers.get("x-strict") and access.steers else "ada"

    pay = {"goto": "pay", "update": {"answers": ["more"]}}
    assistants = {
        "strict": paying_graph(),
        "goto": Assistant(graph=paying_graph(), steering=["goto"]),
        "both": Assistant(graph=paying_graph(), steering=["goto", "update"]),
    }
    with serving(server, app(assistants, authorize=authorize)) as url:
        for assistant, extra, paid in (
            ("strict", {"goto": "pay"}, False),
            ("strict", {"update": {"answers": ["yes"]}}, False),
            ("goto", pay, False),
            ("goto", {"goto": {"node": "pay", "input": {"answers": []}}}, True),
            ("both", pay, True),
        ):
            with Client(url, f"{assistant}-{len(asked)}") as client:
                client.start(assistant, {"answers": []})
                client.ended()
                (question,) = client.state().json()["tasks"][0]["interrupts"]
                answer = {"namespace": [], "interrupt_id": question["id"], "response": "no"}
                said = client.command("input.respond", {**answer, **extra}).json()
                assert asked[-1].steers == extra.keys()
                if not paid:
                    assert (said["type"], said["error"]) == ("error", "permission_denied")
                    assert client.command("input.respond", answer).json()["type"] == "success"
                    assert asked[-1].steers == set()
                assert root_event(client.ended()[-1]) == "completed"
                assert ("PAID" in client.state().json()["values"]["answers"]) is paid
        with Client(url, "hook", **{"x-strict": "1"}) as client:
            answer = {"namespace": [], "interrupt_id": "i", "response": "no", "goto": "pay"}
            assert client.command("input.respond", answer).status_code == 401
