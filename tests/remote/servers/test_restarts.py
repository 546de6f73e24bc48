"""A client that is killed and started again, five hundred times on each server, sees the exact sequence once."""

from __future__ import annotations

import json
import random
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest

from anyiostream.remote.receiving import EventDecoder

from .raw import Client, events

pytestmark = pytest.mark.early

RESTARTS = 500
EVENTS = 3000


def read_some(url: str, thread_id: str, params: dict[str, Any], headers: str, most: int) -> bytes:
    """The first `most` bytes of the body of an event stream; then the client is killed."""
    address = urlsplit(url)
    body = json.dumps({"channels": ["custom:count"], **params})
    request = (
        f"POST /threads/{thread_id}/stream/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"{headers}\r\n{body}"
    )
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(request.encode())
        received, wanted, head_end = b"", 1, -1
        while len(received) < wanted:
            data = connection.recv(65536 if head_end < 0 else wanted - len(received))
            assert data, received
            received += data
            head_end = received.find(b"\r\n\r\n")
            wanted = len(received) + 1 if head_end < 0 else head_end + 4 + most
    assert received.startswith(b"HTTP/1.1 200"), received
    return received[head_end + 4 : wanted]


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body, as far as it goes."""
    content = b""
    while True:
        size, found, body = body.partition(b"\r\n")
        if not found or not size:
            return content
        length = int(size, 16)
        content += body[:length]
        if len(body) < length + 2:
            return content
        body = body[length + 2 :]


def place(last: dict[str, Any] | None, *, by_header: bool) -> tuple[dict[str, Any], str]:
    """Where the client was, as the official clients say it, or as browsers do."""
    if last is None:
        return {}, ""
    return ({}, f"Last-Event-ID: {last['event_id']}\r\n") if by_header else ({"since": last["seq"]}, "")


def test_a_client_that_is_killed_at_random(server: str) -> None:
    """Wherever it is killed, inside an event or between two, it goes on with the next one."""
    draw = random.Random(5)
    seen: list[int] = []
    last: dict[str, Any] | None = None
    with Client(server, str(uuid.uuid4())) as client:
        client.start("counting", {"to": EVENTS})
        for _ in range(RESTARTS):
            params, headers = place(last, by_header=draw.random() < 0.5)
            received = read_some(server, client.thread_id, params, headers, draw.randrange(1900))
            for event in EventDecoder(10**6).feed(unchunked(received)):
                seen.append(event["params"]["data"]["payload"])
                last = event
        assert RESTARTS < len(seen) < EVENTS
        with client.stream(channels=["custom:count"], **place(last, by_header=False)[0]) as response:
            for event in events(response):
                seen.append(event["params"]["data"]["payload"])
                if len(seen) >= EVENTS:
                    break
    assert seen == list(range(EVENTS))
