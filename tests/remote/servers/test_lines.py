"""Clients that do not read: they lose their place and their connection, and the server stops in time."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from anyiostream import GraphWriter
from anyiostream.remote import Limits, app
from anyiostream.remote.lines import Lines, connection_behind

from ...waiting import PATIENCE, blocked
from .raw import Client, events, insist, root_event, start_once
from .serving import ALL_SERVERS, serving

LEAD = 20


async def flood(given: Any, writer: GraphWriter) -> Any:
    """More than sockets hold, also those that compress; it waits for its viewers."""
    for n in range(given["events"]):
        await writer.custom({"n": n, "ballast": secrets.token_hex(20_000)})
    return {"state": secrets.token_hex(given.get("state", 0))}


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A connection whose other end can hold little."""
    address = urlsplit(url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect((address.hostname, address.port))
        yield connection


def request(connection: socket.socket, line: str, body: Any = None) -> None:
    """Send a request, and read nothing."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)


def view_events(connection: socket.socket) -> None:
    """Ask for an event stream."""
    request(connection, "POST /threads/t/stream/events", {"channels": ["custom"]})
    connection.recv(1, socket.MSG_PEEK)  # it is open, and nothing has been read


def view_socket(connection: socket.socket) -> None:
    """Subscribe over a WebSocket."""
    protocol = ClientProtocol(parse_uri("ws://localhost/threads/t/stream/events"))
    protocol.send_request(protocol.connect())
    connection.sendall(b"".join(protocol.data_to_send()))
    while not protocol.handshake_exc and protocol.state.name == "CONNECTING":
        protocol.receive_data(connection.recv(4096))
    command = {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["custom"]}}
    protocol.send_text(json.dumps(command).encode())
    connection.sendall(b"".join(protocol.data_to_send()))
    connection.recv(1, socket.MSG_PEEK)


def wait_until_cut(connection: socket.socket) -> None:
    """Wait until the other end is gone, without reading anything: only then does a connection refuse what is sent."""
    pause = threading.Event()
    with suppress(ConnectionError):
        while True:
            connection.sendall(b"x")
            pause.wait(0.02)


@pytest.mark.parametrize("view", [view_events, view_socket])
@pytest.mark.parametrize("server", ALL_SERVERS)
def test_a_viewer_that_never_reads(server: str, view: Any) -> None:
    """The run that waits for it goes on, its place is free, and its connection is gone."""
    limits = Limits(lead=LEAD, send=0.5, connections=1)
    with serving(server, app({"flood": flood}, limits=limits)) as url, Client(url) as client:
        with connected(url) as connection:
            view(connection)
            assert insist(client.refused) == 429
            start_once(client, "flood", {"events": 400})
            wait_until(lambda: not insist(client.state).json()["next"])
            wait_until(lambda: insist(lambda: is_admitted(client)))
            wait_until_cut(connection)


@pytest.mark.parametrize("server", ALL_SERVERS)
def test_a_turn_that_is_not_read(server: str) -> None:
    """In a route of the program's own, which is not behind the server's middleware."""
    inner = app({"flood": flood}, limits=Limits(lead=LEAD, send=0.5, connections=1))

    async def chat(asked: Request) -> Response:
        return await inner.respond(asked, "flood", {"events": 400}, thread="t")

    routes = [Route("/chat", chat), Mount("/", inner)]
    outer = Starlette(routes=routes, lifespan=lambda _: inner.router.lifespan_context(inner))
    outer.state.service = inner.state.service
    with serving(server, outer) as url, Client(url) as client, connected(url) as connection:
        request(connection, "GET /chat")
        connection.recv(1, socket.MSG_PEEK)
        wait_until(lambda: not insist(client.state).json()["next"])
        wait_until(lambda: insist(lambda: is_admitted(client)))
        wait_until_cut(connection)


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("server", ALL_SERVERS)
def test_an_answer_that_is_not_read(server: str, *, mounted: bool) -> None:
    """Not only streams: every answer has to be taken, behind middleware and inside another application too."""
    inner = app({"flood": flood}, limits=Limits(send=0.5, bytes=10**8), origins=["http://localhost:1"])
    outer = Starlette(routes=[Mount("/in", inner)], lifespan=lambda _: inner.router.lifespan_context(inner))
    prefix = "/in" if mounted else ""
    outer.state.service = inner.state.service
    with serving(server, outer if mounted else inner) as url, Client(url + prefix) as client:
        start_once(client, "flood", {"events": 1, "state": 4_000_000})
        assert "completed" in insist(lambda: first_two(client))
        with connected(url) as connection:
            request(connection, f"GET {prefix}/threads/t/state")
            wait_until_cut(connection)


@pytest.mark.parametrize("server", ALL_SERVERS)
def test_the_server_stops_although_somebody_does_not_read(server: str) -> None:
    """Within the moments that it gives such clients, and not within what they have otherwise."""
    application = app({"flood": flood}, limits=Limits(lead=LEAD, send=PATIENCE))
    with serving(server, application) as url, Client(url) as client, connected(url) as connection:
        view_events(connection)
        client.start("flood", {"events": 400})
        with client.stream(channels=["custom"], since=0) as stalled, connected(url) as another:
            view_socket(another)
            next(stalled.iter_bytes())
            began = time.monotonic()
    assert time.monotonic() - began < PATIENCE / 10


def first_two(client: Client) -> list[str | None]:
    """What the first two events say of the run."""
    with client.stream(channels=["lifecycle"]) as response:
        return [root_event(event) for event in islice(events(response), 2)]


def is_admitted(client: Client) -> bool:
    """Whether there is a place for a viewer."""
    with client.stream(channels=["lifecycle"]) as response:
        return response.status_code == 200


def wait_until(condition: Any) -> None:
    """Ask again and again."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.01)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_patience_is_measured_from_when_a_send_began(backend: Any) -> None:
    """What is sent quickly is never cut, however long the request is; what is not is cut, first come first."""
    run_seeded = pytest.importorskip("anyiostream.testing").run_seeded
    cut: list[tuple[str, float]] = []

    async def main() -> None:
        lines = Lines(3)
        began = anyio.current_time()

        async def never(_: Any) -> None:
            await anyio.sleep_forever()

        async def at_once(_: Any) -> None:
            return

        async def client(name: str, after: float) -> None:
            with lines.line(at_once) as quick:
                await quick({})
                await anyio.sleep(after)
            with lines.line(never) as slow:
                await slow({})
            cut.append((name, anyio.current_time() - began))
            if len(cut) == 2:
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lines.watch)
            await blocked()
            tasks.start_soon(client, "late", 20)
            tasks.start_soon(client, "early", 10)

    run_seeded(main, backend=backend)
    assert cut == [("early", pytest.approx(13)), ("late", pytest.approx(23))]


def test_a_stranger_has_nothing_to_be_taken_away() -> None:
    """Behind a `send` of no known server no connection is found, and nothing is broken."""

    async def send(_: Any) -> None:
        return

    assert connection_behind(send) is None
