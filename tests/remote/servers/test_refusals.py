"""What a server refuses, and what it bounds: each over a real socket."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice, pairwise
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from anyiostream import GraphWriter
from anyiostream.remote import Access, Limits, app

from ...waiting import PATIENCE
from ..graphs import ASSISTANTS, release
from .raw import Client, ask, events, insist, start_once
from .serving import SERVERS, serving

Serve = Callable[..., AbstractContextManager[Client]]


@pytest.fixture
def serve() -> Serve:
    """Serves an application with the given options on asyncio."""

    @contextmanager
    def served(assistants: Any = None, **options: Any) -> Iterator[Client]:
        with serving("uvicorn", app(assistants or ASSISTANTS, **options)) as url, Client(url) as client:
            yield client

    return served


def closing(ws: Any) -> int:
    """The code with which a socket is closed."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            ws.recv(timeout=PATIENCE)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


# --- who ---


def test_tokens_and_owners(serve: Serve) -> None:
    """Without the right token nothing is served; with it, everybody has threads of their own."""
    tokens = {"Bearer a": "ada", "Bearer b": "bob"}
    asked: list[Access] = []

    async def authorize(access: Access) -> str | None:
        asked.append(access)
        return tokens.get(access.headers.get("authorization", ""))

    with ExitStack() as stack:
        nobody = stack.enter_context(serve(authorize=authorize))
        wrong = stack.enter_context(Client(nobody.url, authorization="Bearer x"))
        ada = stack.enter_context(Client(nobody.url, authorization="Bearer a"))
        bob = stack.enter_context(Client(nobody.url, authorization="Bearer b"))
        run_id = ada.start("endless")
        for client in (nobody, wrong):
            assert client.command("run.start", {"assistant_id": "endless"}).status_code == 401
            assert client.command("input.respond", {"interrupt_id": "i", "response": 1}).status_code == 401
            assert client.state().status_code == 401
            assert client.refused() == 401
            assert client.post(f"runs/{run_id}/cancel", {}).status_code == 401
            with client.socket() as ws:
                assert closing(ws) == 4401
        assert bob.command("input.respond", {"interrupt_id": "i", "response": 1}).json()["error"] == "no_such_run"
        assert nobody.http.get("/assistants/chat/graph").status_code == 401
        assert bob.http.get("/assistants/chat/graph").status_code == 200
        assert ada.state().status_code == 200
        assert ada.post(f"runs/{run_id}/cancel?wait=1", {}).status_code == 200
    actions = {access.action for access in asked}
    assert actions == {"start", "respond", "read", "abort", "describe"}
    last = next(access for access in reversed(asked) if access.action == "start")
    assert (last.thread_id, last.assistant_id, last.client) == ("t", "endless", "127.0.0.1")


def test_commands_over_a_socket_are_authorized_too(serve: Serve) -> None:
    """Who may read may not therefore start."""
    with serve(authorize=lambda access: "x" if access.action == "read" else None) as client, client.socket() as ws:
        answer = ask(ws, "run.start", {"assistant_id": "chat"})
        assert (answer["type"], answer["error"]) == ("error", "permission_denied")


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-trio"])
def test_foreign_hosts_and_origins(server: str) -> None:
    """Neither over HTTP nor over WebSocket; those that are named are served, and told so in CORS headers."""
    with serving(server, app(ASSISTANTS, origins=["https://good.example"])) as url, Client(url) as client:
        own = {"origin": url}
        assert client.post("commands", {}, **own).status_code == 400
        assert client.post("commands", {}, origin="https://evil.example").status_code == 403
        assert client.post("commands", {}, host="evil.example").status_code == 421
        good = client.post("commands", {}, origin="https://good.example")
        assert (good.status_code, good.headers["access-control-allow-origin"]) == (400, "https://good.example")
        assert "access-control-allow-origin" not in client.post("commands", {}, **own).headers
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
            with pytest.raises(InvalidStatus) as caught, client.socket(**headers):
                pass
            assert caught.value.response.status_code == 403
        for headers in ({"Origin": "https://good.example"}, {"Origin": url}):
            with client.socket(**headers) as ws:
                assert ask(ws, "nothing")["error"] == "unknown_command"


# --- what ---


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b'{"id": 1}', 400),
        (b'{"method": "run.start"}', 400),
        (b"not json", 400),
        (b'{"id": 1, "method": "x", "params": {"a": NaN}}', 400),
        (b'{"id": 1, "id": 2, "method": "x"}', 400),
        (b'{"id": 1, "method": "\xff"}', 400),
        (b"[" * 100, 400),
        (b'{"a":' * 20 + b"1" + b"}" * 20, 400),
        (b'"' + b"x" * 2000 + b'"', 413),
    ],
)
def test_bodies(serve: Serve, body: bytes, status: int) -> None:
    """Too large, too deep, not UTF-8, no JSON, a key twice, no command: refused as bodies and as frames."""
    with serve(limits=Limits(body=1000, frame=1000, depth=10)) as client:
        for path in ("commands", "stream/events"):
            response = client.post(path, body)
            assert (response.status_code, response.json()["type"]) == (status, "error")
        with client.socket() as ws:
            ws.send(body)
            told = json.loads(ws.recv(timeout=PATIENCE))
            assert (told["type"], told["id"], told["error"]) == ("error", None, "invalid_argument")
            assert closing(ws) == 4000 + status


def test_a_body_without_end_is_cut_off(serve: Serve) -> None:
    """It is refused as soon as it is too long, not when it has been read."""
    with serve(limits=Limits(body=5000)) as client:
        address = urlsplit(client.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(b"POST /threads/t/commands HTTP/1.1\r\nHost: localhost\r\n")
            connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 5000 + b"\r\n1\r\nx\r\n")
            assert connection.recv(12) == b"HTTP/1.1 413"


def test_what_is_wrong_inside_the_protocol_is_said_inside_it(serve: Serve) -> None:
    """With HTTP 200, the command's id and the schema's code."""
    with serve() as client:
        for method, params, code in [
            ("state.fork", {}, "unknown_command"),
            ("state.get", {"namespace": []}, "no_such_run"),
            ("state.get", {"namespace": "x"}, "invalid_argument"),
            ("state.get", {"keys": "x"}, "invalid_argument"),
            ("run.start", {}, "invalid_argument"),
            ("run.start", {"assistant_id": "_service"}, "invalid_argument"),
            ("run.start", {"assistant_id": "chat", "config": {"stream_mode": "values"}}, "invalid_argument"),
            ("run.start", {"assistant_id": "chat", "config": {"callbacks": []}}, "invalid_argument"),
            (
                "run.start",
                {"assistant_id": "chat", "config": {"configurable": {"checkpoint_ns": "x"}}},
                "invalid_argument",
            ),
            ("input.respond", {"interrupt_id": "i", "response": 1}, "no_such_run"),
            ("agent.getTree", {}, "no_such_run"),
            ("subscription.subscribe", {"channels": ["values"]}, "not_supported"),
            ("subscription.subscribe", {"channels": []}, "invalid_argument"),
        ]:
            response = client.command(method, params, command_id=7)
            assert response.status_code == 200
            assert (response.json()["type"], response.json()["id"], response.json()["error"]) == ("error", 7, code)


def test_sockets_refuse_a_repeated_command(serve: Serve) -> None:
    """Its id has been used."""
    with serve() as client, client.socket() as ws:
        assert ask(ws, "nothing")["id"] == 1
        ws.send(json.dumps({"id": 1, "method": "nothing"}))
        assert closing(ws) == 4400


def test_streams_of_nothing_are_refused(serve: Serve) -> None:
    """Unknown channels, none, and places that are no places."""
    with serve() as client:
        client.start("everything")
        client.ended()
        assert client.refused(channels=[]) == 400
        assert client.refused(channels=["nothing"]) == 400
        assert client.refused(since=-1) == 400
        assert client.refused(since=10_000) == 410
        assert client.refused(namespaces=[["a"]] * 100) == 400
        assert client.refused(headers={"last-event-id": "nothing-1"}) == 410
        for malformed in ("", "nothing", "nothing-", "-1", "nothing-x", "nothing--1", "nothing-" + "1" * 5000, "\x7f"):
            assert client.refused(headers={"last-event-id": malformed}) == 400, malformed


def test_threads_and_runs_that_are_not_there(serve: Serve) -> None:
    """State of an unknown thread, a run that does not run, an id that is none, a graph that is not served."""
    with serve() as client:
        assert client.state().status_code == 404
        assert client.post("runs/nothing/cancel", {}).status_code == 404
        assert client.http.get("/threads/a%20b/state").status_code == 400
        assert client.http.get("/assistants/nothing/graph").status_code == 404
        assert client.http.get("/assistants/chat/graph?xray=no").status_code == 400
        assert client.http.get("/nothing").status_code == 404


# --- how much ---


def test_too_many_threads(serve: Serve) -> None:
    """The one that is idle for longest is forgotten; where all are busy, a new one is refused."""
    with serve(limits=Limits(threads=2)) as first, Client(first.url, "u") as second, Client(first.url, "v") as third:
        for client in (first, second):
            client.start("everything")
            client.ended()
        third.start("endless")
        assert [client.state().status_code for client in (first, second, third)] == [404, 200, 200]
        second.start("endless")
        response = first.command("run.start", {"assistant_id": "endless"})
        assert (response.status_code, response.json()["type"]) == (429, "error")


def test_too_many_runs(serve: Serve) -> None:
    """Over all threads, and per thread."""
    with serve(limits=Limits(runs=3, queued=2)) as client, Client(client.url, "u") as other:
        for n in range(3):
            # The first one is under way; the others wait.
            client.start("endless", n)  # the same again would be taken for a repeated command
            if n == 0:
                next(iter_events(client))
        assert client.command("run.start", {"assistant_id": "endless", "input": 3}).status_code == 429
        assert other.command("run.start", {"assistant_id": "endless"}).status_code == 429


def iter_events(client: Client) -> Iterator[Any]:
    """Events, from a stream that is left after the last one that is asked for."""
    with client.stream() as response:
        yield from events(response)


def test_too_many_connections(serve: Serve) -> None:
    """A further one is asked to come back later; one that leaves makes room."""
    with serve(limits=Limits(connections=2)) as client:
        with client.stream(), client.socket() as ws:
            ask(ws, "nothing")
            assert client.refused() == 429
            with client.socket() as refused:
                assert closing(refused) == 1013
        while True:
            with client.stream() as response:
                if response.status_code == 200:
                    break


def test_a_run_that_cannot_be_shown_is_not_begun(serve: Serve) -> None:
    """Who is asked to come back later asks for the run once more. Nothing is left of what is refused."""
    with serve(limits=Limits(connections=1)) as client, client.stream():
        run = {"assistant_id": "everything"}
        for path in ("runs/stream", "runs/wait"):
            refused = client.post(path, run)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            assert client.http.post(path, json=run).status_code == 429
            assert client.http.post(path, json={**run, "stream_mode": "x"}).status_code == 400
        assert client.http.get("/threads/t/runs").json() == []
        assert [each["thread_id"] for each in client.http.post("/threads/search", json={}).json()] == ["t"]
        assert client.post("runs", run).status_code == 200


def test_too_many_subscriptions(serve: Serve) -> None:
    """Of one socket; the others go on."""
    with serve(limits=Limits(subscriptions=2)) as client, client.socket() as ws:
        ids = [ask(ws, "subscription.subscribe", {"channels": ["values"]}, n)["result"] for n in range(2)]
        assert ask(ws, "subscription.subscribe", {"channels": ["values"]}, 2)["error"] == "invalid_argument"
        gone = {"subscription_id": ids[0]["subscription_id"]}
        assert ask(ws, "subscription.unsubscribe", gone, 3)["type"] == "success"
        assert ask(ws, "subscription.unsubscribe", gone, 4)["error"] == "no_such_subscription"
        assert ask(ws, "subscription.subscribe", {"channels": ["values"]}, 5)["type"] == "success"


# --- gaps ---


def test_an_evicted_place_is_a_gap(serve: Serve) -> None:
    """A viewer that asks for it is refused for good; one that asks for what there is is told first."""
    with serve(limits=Limits(events=20)) as client:
        client.start("counting", {"to": 100})
        while client.state().json()["next"]:
            pass
        assert client.refused(since=3) == 410
        with client.stream(channels=["custom"]) as response:
            seen = events(response)
            told = next(seen)
            assert (told["type"], told["id"], told["message"].startswith("gap: events 1 to")) == ("error", None, True)
            assert next(seen)["params"]["data"]["payload"] == 82
        with client.socket() as ws:
            assert ask(ws, "subscription.subscribe", {"channels": ["custom"]})["type"] == "success"
            assert json.loads(ws.recv())["message"].startswith("gap")
            for n in range(82, 100):
                assert json.loads(ws.recv())["params"]["data"]["payload"] == n


@pytest.mark.parametrize("server", SERVERS)
def test_a_place_that_is_gone_ends_a_socket(server: str) -> None:
    """Evicted, in the future, or of a thread that has been begun anew: clients wait for ever on an answer alone."""
    with serving(server, app(ASSISTANTS, limits=Limits(events=20))) as url, Client(url) as client:
        client.start("counting", {"to": 100})
        while client.state().json()["next"]:
            pass
        for since in (3, 10_000, 2**60, 10**4300 - 1):
            assert client.refused(since=since) == 410
            with client.socket() as ws:
                assert ask(ws, "subscription.subscribe", {"channels": ["values"]})["type"] == "success"
                gone = {"channels": ["custom"], "since": since}
                ws.send(json.dumps({"id": 2, "method": "subscription.subscribe", "params": gone}))
                assert closing(ws) == 4410


async def flood(given: Any, writer: GraphWriter) -> Any:
    """More than sockets hold, also those that compress."""
    for n in range(given):
        await writer.custom({"n": n, "ballast": secrets.token_hex(5000)})
    return "flooded"


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-trio"])
def test_a_viewer_that_stops_reading_stalls_nothing(server: str) -> None:
    """The run goes on to its end; the viewer, when it reads again, is told of the gap, and its connection ends."""
    application = app({"flood": flood}, limits=Limits(bytes=200_000))
    with serving(server, application) as url, Client(url) as client, Client(url) as watcher:
        with client.stream(channels=["custom", "lifecycle"]) as response, watcher.socket() as ws:
            slow = ask(ws, "subscription.subscribe", {"channels": ["custom", "lifecycle"]})
            assert slow["type"] == "success"
            watcher.start("flood", 3000)
            while watcher.state().json()["next"]:
                pass
            assert watcher.state().json()["values"] == "flooded"
            told = []
            with pytest.raises(httpx.RemoteProtocolError):
                for event in events(response):
                    told.append(event)
            assert told[-1]["type"] == "error"
            assert told[-1]["message"].startswith("gap")
            places = [event["seq"] for event in told[:-1]]
            assert all(place == before + 1 for before, place in pairwise(places))
            assert closing(ws) == 4410


def test_a_run_waits_if_it_is_asked_to(serve: Serve) -> None:
    """With a `lead`, the slowest viewer sees everything, and the run waits for it meanwhile; aborting it does not."""
    with serve({"flood": flood}, limits=Limits(events=600, bytes=10**8, lead=20)) as client:
        with Client(client.url) as other, client.stream(channels=["custom"]) as response:
            other.start("flood", 2000)
            seen = events(response)
            next(seen)
            for _ in range(20):
                assert other.state().json()["next"]
            assert [event["params"]["data"]["payload"]["n"] for event in islice(seen, 1999)] == list(range(1, 2000))
        with Client(client.url, "u") as other, other.stream(channels=["custom"]):
            run_id = other.start("flood", 10_000)
            for _ in range(20):
                assert other.state().json()["next"]
            assert other.post(f"runs/{run_id}/cancel?wait=1", {}).status_code == 200


def occupy(places: ExitStack, client: Client) -> None:
    """Open a stream, and leave it open, as soon as the server has a place for it."""
    while True:
        with ExitStack() as attempt:
            if attempt.enter_context(client.stream()).status_code == 200:
                places.enter_context(attempt.pop_all())
                return


def test_a_viewer_that_accepts_nothing_is_dropped(serve: Serve) -> None:
    """After the time that it is given, over either transport."""
    with serve({"flood": flood}, limits=Limits(connections=2, send=0.2, bytes=10**9, events=10**6)) as client:
        with client.stream(channels=["custom"]) as response, client.socket() as ws:
            ask(ws, "subscription.subscribe", {"channels": ["custom"]})
            with Client(client.url) as other, ExitStack() as places:
                start_once(other, "flood", 3000)
                for _ in range(2):
                    insist(lambda: occupy(places, other))
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in events(response):
                    pass
            with pytest.raises(ConnectionClosed):
                for _ in range(3000):
                    ws.recv(timeout=PATIENCE)


# --- leaving ---


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-trio"])
def test_going_away_stops_nothing(server: str) -> None:
    """A run goes on without viewers, and shows them everything when they are back."""
    with serving(server, app(ASSISTANTS)) as url, Client(url, f"leaving {server}".replace(" ", "-")) as client:
        client.start("gated")
        with client.stream(channels=["messages"]) as response:
            next(events(response))
        with client.socket() as ws:
            ask(ws, "subscription.subscribe", {"channels": ["messages"]})
        release(client.thread_id)
        assert client.ended()[-1]["params"]["data"]["event"] == "completed"


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-trio"])
def test_stopping_asks_clients_to_come_back(server: str) -> None:
    """WebSockets are closed with 1012, streams are cut without an end, and runs are ended."""
    ended = threading.Event()

    async def endless(_: Any, writer: GraphWriter) -> None:
        try:
            await ASSISTANTS["endless"](_, writer)
        finally:
            ended.set()

    with ExitStack() as stack:
        served = ExitStack()
        url = served.enter_context(serving(server, app({"endless": endless})))
        client = stack.enter_context(Client(url))
        client.start("endless")
        response = stack.enter_context(client.stream())
        seen = events(response)
        assert next(seen)["params"]["data"]["event"] == "running"
        ws = stack.enter_context(client.socket())
        ask(ws, "subscription.subscribe", {"channels": ["values"]})
        codes: list[int] = []
        reader = threading.Thread(target=lambda: codes.append(closing(ws)))
        reader.start()
        served.close()
        reader.join(PATIENCE)
        assert codes == [1012]
        with pytest.raises(httpx.RemoteProtocolError):
            next(seen)
    assert ended.is_set()


# --- streams ---


def test_silence_has_a_heartbeat(serve: Serve) -> None:
    """A comment, which no client takes for an event."""
    with serve(heartbeat=0.05) as client, client.stream() as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        lines = response.iter_lines()
        assert [line for _, line in zip(range(6), lines, strict=False) if line] == [": heartbeat"] * 3


async def talking(_: Any, writer: GraphWriter) -> None:
    """Says something that few have asked for, until it is stopped."""
    while True:
        await writer.custom({"name": "said", "payload": 1})
        await anyio.sleep(0.01)


def test_what_is_not_shown_does_not_take_the_place_of_heartbeats(serve: Serve) -> None:
    """A client or a proxy that sees nothing takes the connection for lost, however much the run says."""
    with serve({"talking": talking}, heartbeat=0.05) as client:
        client.start("talking")
        with client.stream(channels=["values"]) as response:
            lines = filter(None, response.iter_lines())
            assert list(islice(lines, 3)) == [": heartbeat"] * 3
        body = {"assistant_id": "talking", "stream_mode": ["values"]}
        with client.http.stream("POST", "/threads/another/runs/stream", json=body) as response:
            lines = (line for line in response.iter_lines() if line.startswith(": "))
            assert list(islice(lines, 3)) == [": heartbeat"] * 3


def test_browsers_resume_by_header(serve: Serve) -> None:
    """`Last-Event-ID` is the id of the last event, as the stream has given it."""
    with serve() as client:
        client.start("everything")
        whole = client.ended()
        with client.stream(channels=["values", "lifecycle"], headers={"last-event-id": whole[0]["event_id"]}) as again:
            assert next(events(again))["seq"] > 1


def test_errors_tell_no_secrets(serve: Serve) -> None:
    """Neither a failing graph nor one that cannot be run shows a path or a traceback."""
    with serve({"failing": ASSISTANTS["failing"], "broken": object()}) as client:
        for assistant in ("failing", "broken"):
            client.start(assistant)
            text = json.dumps(client.ended())
            assert "failed" in text
            assert "/srv" not in text
            assert "Traceback" not in text
            assert ".py" not in text
