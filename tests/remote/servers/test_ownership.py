"""Whose a thread is: it stays its owner's, whatever others do, and however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from anyiostream.remote import Assistant, Limits, RunContext, app, run_context
from anyiostream.remote.identity import checkpoint_thread
from anyiostream.remote.store import MemoryStore, SqliteStore

from ..graphs import ASSISTANTS, State, ask, asking_graph
from .raw import Client, root_event
from .serving import SERVERS, serving

Serve = Callable[..., AbstractContextManager[Callable[..., Client]]]


@pytest.fixture(params=SERVERS)
def serve(request: pytest.FixtureRequest) -> Serve:
    """Serves an application to whoever says who they are; clients are made by their owner and thread."""

    @contextmanager
    def served(assistants: Any = None, **options: Any) -> Iterator[Callable[..., Client]]:
        options.setdefault("authorize", lambda access: access.headers.get("x-who"))
        with ExitStack() as stack:
            url = stack.enter_context(serving(request.param, app(assistants or ASSISTANTS, **options)))
            yield lambda who, thread="t": stack.enter_context(Client(url, thread, **{"x-who": who}))

    return served


def end(client: Client) -> Any:
    """How the current turn of a thread ends."""
    return root_event(client.ended()[-1])


def asked(client: Client) -> list[Any]:
    """What a thread's user is asked."""
    return [each for task in client.state().json()["tasks"] for each in task["interrupts"]]


def test_the_name_of_a_waiting_thread_gives_nothing_away(serve: Serve) -> None:
    """A stranger who uses it has a thread of their own, and is told what is told of a thread that there is not."""
    with serve({"ask": asking_graph("a")}) as client:
        ada, bob, nowhere = client("ada"), client("bob"), client("bob", "nowhere")
        run_id = ada.start("ask", {"answers": []})
        assert end(ada) == "interrupted"
        (question,) = asked(ada)
        answer = {"namespace": [], "interrupt_id": question["id"], "response": "yes"}

        def told(each: Client) -> list[Any]:
            commands = [("input.respond", answer), ("agent.getTree", {})]
            answers = [each.command(*command) for command in commands]
            answers += [each.state(), each.post(f"runs/{run_id}/cancel", {})]
            return [(response.status_code, response.json()) for response in answers]

        assert told(bob) == told(nowhere)
        bob.start("ask", {"answers": ["bob's"]})
        assert end(bob) == "interrupted"
        assert bob.state().json()["values"]["answers"] == ["bob's"]
        assert bob.command("input.respond", answer).json()["error"] == "no_such_interrupt"
        assert asked(ada) == [question]
        assert ada.command("input.respond", answer).json()["type"] == "success"
        assert end(ada) == "completed"
        assert ada.state().json()["values"]["answers"] == ["a=yes"]


def test_a_waiting_thread_is_not_forgotten(serve: Serve) -> None:
    """However many threads others make, and even its owner, with a question or at a breakpoint."""
    graph = StateGraph(State).add_node("a", ask("a")).add_edge(START, "a")
    stopped = graph.compile(checkpointer=InMemorySaver(), interrupt_before=["a"])
    with serve(
        {**ASSISTANTS, "ask": asking_graph("a"), "stopped": stopped}, limits=Limits(threads=6, owner_threads=4)
    ) as client:
        waiting = [client("ada", "asks"), client("ada", "stops")]
        for each, assistant in zip(waiting, ("ask", "stopped"), strict=True):
            each.start(assistant, {"answers": []})
            assert end(each) == "interrupted"
        for who in ("bob", "ada"):
            for n in range(8):
                other = client(who, str(n))
                other.start("everything")
                assert end(other) == "completed"
        assert [each.state().json()["next"] for each in waiting] == [["a"], ["a"]]


def test_one_owner_does_not_lock_out_the_others(serve: Serve) -> None:
    """Each may have a part of the threads, runs and streams; beyond it, that owner is refused, and nobody else."""
    limits = Limits(owner_threads=2, owner_runs=3, owner_connections=1)
    with serve(limits=limits) as client:
        bob = [client("bob", str(n)) for n in range(3)]
        for each in bob[:2]:
            each.start("endless")
        assert bob[2].command("run.start", {"assistant_id": "endless"}).status_code == 429
        bob[0].start("endless", "another")  # the same again would be taken for a repeated command
        assert bob[1].command("run.start", {"assistant_id": "endless", "input": "one more"}).status_code == 429
        with bob[0].stream() as stream:
            assert stream.status_code == 200
            assert bob[1].refused() == 429
            ada = client("ada")
            ada.start("everything")
            assert end(ada) == "completed"


def test_an_owner_makes_room_among_their_own(serve: Serve) -> None:
    """As long as one of theirs is idle nobody else's is forgotten."""
    with serve(limits=Limits(threads=3)) as client:
        threads = [client(who, who + str(n)) for who, n in (("ada", 0), ("bob", 0), ("bob", 1), ("bob", 2))]
        for each in threads:
            each.start("everything")
            assert end(each) == "completed"
        assert [each.state().status_code for each in threads] == [200, 404, 200, 200]
        newcomer = client("eve")
        newcomer.start("everything")
        assert end(newcomer) == "completed"
        assert [each.state().status_code for each in threads] == [404, 404, 200, 200]


def test_without_a_hook_there_are_no_shares(serve: Serve) -> None:
    """Everybody is the same owner then, who may have everything."""
    limits = Limits(owner_threads=1, owner_runs=1, owner_connections=1)
    with serve(limits=limits, authorize=None) as client:
        clients = [client("ada", str(n)) for n in range(2)]
        for each in clients:
            each.start("endless")
        with clients[0].stream() as first, clients[1].stream() as second:
            assert (first.status_code, second.status_code) == (200, 200)


def test_checkpoints_are_their_owners_too(serve: Serve) -> None:
    """The checkpointer's name of a thread tells owners apart; functions are told it beside the client's name."""
    saver = InMemorySaver()
    graph = StateGraph(State).add_node("a", lambda _: {"answers": ["x"]}).add_edge(START, "a")

    async def named(*_: Any) -> Any:
        context = run_context.get()
        return [context.thread_id, context.checkpoint_thread]

    with serve({"g": graph.compile(checkpointer=saver), "named": named}) as client:
        for who in ("ada", "bob/x", "bob"):
            each = client(who)
            each.start("g", {"answers": []})
            assert end(each) == "completed"
            assert each.state().json()["values"]["answers"] == ["x"]
        each.start("named")
        assert end(each) == "completed"
        assert each.state().json()["values"] == ["t", "bob/t"]
    assert set(saver.storage) == {"ada/t", "bob%2Fx/t", "bob/t"}


def test_an_operator_names_the_checkpoints() -> None:
    """Where there are some already; without a hook a thread is called what its client calls it."""
    names = []
    for options in (
        {},
        {"authorize": lambda _: "ada"},
        {"authorize": lambda _: "ada", "checkpoint_thread": lambda owner, thread: f"{thread}@{owner}"},
    ):
        saver = InMemorySaver()
        graph = StateGraph(State).add_node("a", lambda _: {"answers": ["x"]}).add_edge(START, "a")
        application = app({"g": graph.compile(checkpointer=saver)}, **options)  # type: ignore[arg-type]
        with serving("uvicorn", application) as url, Client(url) as client:
            client.start("g", {"answers": []})
            assert end(client) == "completed"
        names += saver.storage
    assert names == ["t", "ada/t", "t@ada"]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_an_owner_may_have_half_a_character_in_its_name(serve: Serve, kind: str, tmp_path: Path) -> None:
    """As a hook has it that decodes names by `surrogateescape`: all owners are served alike."""
    owners = {"ada": "a\ud800", "bob": "a\udfff", "eve": "a?"}
    store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "runs.sqlite")
    graph = StateGraph(State).add_node("a", ask("a")).add_edge(START, "a").compile(checkpointer=InMemorySaver())
    with serve({"g": graph}, authorize=lambda access: owners[access.headers["x-who"]], store=store) as client:
        for who in owners:
            client(who).start("g", {"answers": [who]})
        for who in owners:
            each = client(who)
            assert end(each) == "interrupted"
            assert each.state().json()["values"]["answers"] == [who]
            assert len(client(who, "search").http.post("/threads/search", json={}).json()) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [(("a", "b"), ("a/b", "")), (("", "b"), ("b", "")), (("a%2F", "b"), ("a/", "b")), (("\ud800", "b"), ("?", "b"))],
)
def test_no_two_threads_have_one_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever owners are called."""
    assert checkpoint_thread(*one) != checkpoint_thread(*other)


def test_the_name_goes_into_the_configuration() -> None:
    """Where the graph and what traces it find the thread: never what a caller has put there."""
    context = RunContext("t", "r", "ada", {})
    given = {"configurable": {"thread_id": "x"}, "metadata": {"thread_id": "x"}}
    config = Assistant(graph=None).run_config(given, context)
    assert config["configurable"]["thread_id"] == config["metadata"]["thread_id"] == "ada/t"
