"""What clients send: nothing of it costs anything before it is allowed, and it is bounded in bytes, time and number."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from anyiostream.remote import Limits, app
from anyiostream.remote.decoding import decode
from anyiostream.remote.refusals import Refusal

from ...waiting import PATIENCE
from ..graphs import ASSISTANTS
from .raw import Client, ask, root_event
from .serving import ALL_SERVERS, SERVERS, serving

PATHS = ["commands", "stream/events"]


@contextmanager
def unfinished(url: str, path: str, size: int, body: bytes = b"", **headers: str) -> Iterator[socket.socket]:
    """A request of `size` bytes, of which only `body` is sent."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(request(path, size, **headers) + body)
        yield connection


def request(path: str, size: int, **headers: str) -> bytes:
    """The head of a request whose body has `size` bytes."""
    lines = [f"POST /threads/t/{path} HTTP/1.1", "Host: localhost", f"Content-Length: {size}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def answered(connection: socket.socket) -> int:
    """The status of one answer, which is taken as a whole: no byte more."""
    with connection.makefile("rb", buffering=0) as file:
        head = [file.readline()]
        assert head[0], "the connection is closed"
        while head[-1].strip():
            head.append(file.readline())
        size = next(int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length:"))
        while size:
            size -= len(file.read(size) or b"")
    return int(head[0].split()[1])


def status(connection: socket.socket) -> int:
    """The status of the answer."""
    received = b""
    while b"\r\n" not in received:
        data = connection.recv(4096)
        assert data, received
        received += data
    return int(received.split()[1])


def refused(connections: list[socket.socket]) -> int:
    """The status of the answer that comes first: which one of several is one too many is the server's to choose."""
    (first, *_), _, _ = select.select(connections, [], [], PATIENCE)
    return status(first)


def serves(client: Client) -> bool:
    """Whether the next honest client is served."""
    with Client(client.url, "honest", **client.headers) as honest:
        honest.start("everything")
        return root_event(honest.ended()[-1]) == "completed"


@pytest.mark.parametrize("server", ALL_SERVERS)
def test_nobody_is_read_before_they_are_known(server: str) -> None:
    """Whoever is refused is told so while most of the body is still to come, if there is any of it."""
    application = app(ASSISTANTS, authorize=lambda access: access.headers.get("x-who"))
    with serving(server, application) as url, Client(url, **{"x-who": "ada"}) as client:
        for path in PATHS:
            for body in (b"", b"[" + b"{}," * 1000):
                with unfinished(url, path, 4_000_000, body) as connection:
                    assert status(connection) == 401
        assert serves(client)


@pytest.mark.parametrize("server", ALL_SERVERS)
def test_a_body_has_to_come_in_time(server: str) -> None:
    """As a whole, whatever of it has come; then its connection is closed."""
    with serving(server, app(ASSISTANTS, limits=Limits(receive=0.3))) as url, Client(url) as client:
        for path in PATHS:
            with unfinished(url, path, 4_000_000, b" " * 100_000) as connection:
                assert status(connection) == 408
                while connection.recv(4096):
                    pass
        assert client.http.get("/ok").status_code == 200  # without a body, which would have as little time


ANSWERED_WITHOUT = {"runs/none/cancel": 404, "nothing": 404, "stream/events": 401}
"""Path -> the status of an answer for which no body is read; the last one to somebody unknown."""


@pytest.mark.parametrize("server", ALL_SERVERS)
@pytest.mark.parametrize("path", ANSWERED_WITHOUT)
def test_a_body_may_come_after_the_answer(server: str, path: str) -> None:
    """And the connection is as good as before: clients send heads and bodies apart, and requests one after another."""
    application = app(ASSISTANTS, authorize=lambda access: access.headers.get("x-who"))
    expected = ANSWERED_WITHOUT[path]
    known = {"x-who": "ada"} if expected != 401 else {}
    with serving(server, application) as url, Client(url, **known) as client:
        if known:
            client.start("everything")
        with unfinished(url, path, 2, **known) as connection:
            for _ in range(3):
                assert answered(connection) == expected
                connection.sendall(b"{}" + request(path, 2, **known))
            assert answered(connection) == expected


@pytest.mark.parametrize("server", ALL_SERVERS)
def test_what_comes_after_the_answer_is_bounded(server: str) -> None:
    """In time and in bytes."""
    limits = Limits(receive=0.3, body=1000)
    application = app(ASSISTANTS, limits=limits, authorize=lambda access: access.headers.get("x-who"))
    with serving(server, application) as url, Client(url, **{"x-who": "ada"}) as client, ExitStack() as stack:
        for size in (2, 4_000_000):
            connection = stack.enter_context(unfinished(url, "commands", size))
            assert answered(connection) == 401
            with suppress(OSError):  # the server may have closed it
                connection.sendall(b" " * (size - 1))
        assert serves(client)


@pytest.mark.parametrize("server", SERVERS)
def test_bodies_are_bounded_in_number_and_in_bytes(server: str) -> None:
    """Taken together; and no owner's leave the others without."""
    limits = Limits(bodies=1_600_000, connections=8, owner_connections=4)
    application = app(ASSISTANTS, limits=limits, authorize=lambda access: access.headers.get("x-who", ""))
    with serving(server, application) as url, Client(url, **{"x-who": "ada"}) as client, ExitStack() as stack:

        def opened(who: str, size: int) -> socket.socket:
            body = b" " * size
            return stack.enter_context(unfinished(url, "commands", 2_000_000, body, **{"x-who": who}))

        assert refused([opened("bob", 300_000) for _ in range(2)]) == 429
        assert serves(client)
        assert refused([opened("bob", 10) for _ in range(4)]) == 429
        assert serves(client)
        assert refused([opened(who, 10) for who in ("eve", "mallory") for _ in range(4)]) == 429


HOSTILE = {
    "objects": b"[" + b"{}," * 1_300_000 + b"{}]",
    "lists": b"[" + b"[]," * 1_300_000 + b"[]]",
    "numbers": b"[" + b"0.1," * 1_000_000 + b"0.1]",
    "keys": b"{" + b",".join(b'"%x":1' % n for n in range(300_000)) + b"}",
    "quotes": b'["' + b'","' * 1_000_000 + b'"]',
    "unfinished": b'"a' + b"[" * 100 + b'"' * 2_000_001 + b"{" * 1_000_000,
    "deep": b"[" * 90_000,
    "escapes": b'["' + b'\\"' * 1_000_000 + b"," * 200_000 + b"]",
}


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_slow_to_decode_is_not_decoded(server: str) -> None:
    """Its values are counted before any is made."""
    with serving(server, app(ASSISTANTS)) as url, Client(url) as client:
        for body in HOSTILE.values():
            for path in PATHS:
                assert client.post(path, body).status_code in {400, 413}
        with client.socket() as ws:
            ws.send(HOSTILE["objects"].decode())
            assert json.loads(ws.recv(timeout=PATIENCE))["type"] == "error"
            with pytest.raises(ConnectionClosed) as caught:
                ws.recv(timeout=PATIENCE)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code in {4413, 4400}
        assert serves(client)


@pytest.mark.parametrize("server", SERVERS)
def test_a_large_text_is_one_value(server: str) -> None:
    """Commas, brackets and escapes inside a text count for nothing."""
    text = 'a, "[{\\' * 200_000
    with serving(server, app(ASSISTANTS)) as url, Client(url) as client:
        client.start("everything", text)
        assert root_event(client.ended()[-1]) == "completed"
        assert client.state().json()["values"]["given"] == text
        with client.socket() as ws:
            params = {"assistant_id": "everything", "input": text}
            assert ask(ws, "run.start", params)["type"] == "success"


@pytest.mark.parametrize(
    ("value", "count"),
    [(1, 1), ("a,b", 1), ([], 2), ([1, 2], 3), ({"a": 1, "b": [2]}, 4), ([[], {}, "[{,"], 6), ({"a,[": '"'}, 2)],
)
def test_values_are_counted(value: Any, count: int) -> None:
    """One more than may be is refused; none is counted that is none, a key or inside a text."""
    raw = json.dumps(value)
    assert decode(raw, most=1000, depth=9, nodes=count) == value
    with pytest.raises(Refusal) as caught:
        decode(raw, most=1000, depth=9, nodes=count - 1)
    assert caught.value.status == 413
