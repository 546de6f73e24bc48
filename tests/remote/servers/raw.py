"""Clients of the tests that speak the protocol without help: what they send may be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

import httpx
from websockets.sync.client import ClientConnection, connect

from ...waiting import PATIENCE

__all__ = ["Client", "ask", "events", "insist", "root_event", "start_once"]

T = TypeVar("T")


class Client:
    """A thread of a server."""

    def __init__(self, url: str, thread_id: str = "t", **headers: str) -> None:
        self.url = url
        self.thread_id = thread_id
        self.headers = headers
        self.commands = 0
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Post JSON, or bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(f"/threads/{self.thread_id}/{path}", content=content, headers=headers)

    def command(self, method: str, params: Any = None, command_id: Any = None) -> httpx.Response:
        """Send a command; by default with an id of its own: the same one again would be the same command."""
        self.commands += 1
        command_id = self.commands if command_id is None else command_id
        return self.post("commands", {"id": command_id, "method": method, "params": params or {}})

    def start(self, assistant: str, given: Any = None, **params: Any) -> Any:
        """Start a run; its id."""
        answer = self.command("run.start", {"assistant_id": assistant, "input": given, **params}).json()
        assert answer["type"] == "success", answer
        return answer["result"]["run_id"]

    def state(self) -> httpx.Response:
        """The thread's state."""
        return self.http.get(f"/threads/{self.thread_id}/state")

    @contextmanager
    def stream(self, **params: Any) -> Iterator[httpx.Response]:
        """Open an event stream."""
        headers = params.pop("headers", {})
        path = f"/threads/{self.thread_id}/stream/events"
        with self.http.stream("POST", path, json={"channels": ["lifecycle"], **params}, headers=headers) as response:
            yield response

    def refused(self, **params: Any) -> int:
        """The status with which a stream is refused."""
        with self.stream(**params) as response:
            response.read()
            assert response.json()["type"] == "error"
            return response.status_code

    @contextmanager
    def socket(self, **headers: str) -> Iterator[ClientConnection]:
        """Open a WebSocket."""
        address = f"{self.url.replace('http', 'ws', 1)}/threads/{self.thread_id}/stream/events"
        with connect(address, additional_headers={**self.headers, **headers}, open_timeout=PATIENCE) as socket:
            yield socket

    def ended(self) -> list[Any]:
        """The events of the current turn up to its end."""
        seen = []
        channels = ["values", "lifecycle", "custom", "input", "messages"]
        with self.stream(channels=channels) as response:
            for event in events(response):
                seen.append(event)
                if root_event(event) in {"completed", "failed", "interrupted"}:
                    return seen
        raise AssertionError("the stream ended")


def root_event(event: Any) -> str | None:
    """What an event says of the run itself."""
    params = event["params"]
    return params["data"]["event"] if event["method"] == "lifecycle" and params["namespace"] == [] else None


def events(response: httpx.Response) -> Iterator[Any]:
    """The data of the events of a stream."""
    assert response.status_code == 200, response.read()
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def ask(socket: ClientConnection, method: str, params: Any = None, command_id: int = 1) -> Any:
    """Send a command over a socket; the next frame, which is its answer unless events come first."""
    socket.send(json.dumps({"id": command_id, "method": method, "params": params or {}}))
    return json.loads(socket.recv(timeout=PATIENCE))


def insist(ask: Callable[[], T]) -> T:
    """What an honest client is told by a server of little patience.

    A server that is held up itself cuts it like those that do not read; then it asks again.
    """
    while True:
        with suppress(httpx.TransportError):
            return ask()


def start_once(client: Client, assistant: str, given: Any) -> None:
    """Start the client's first run in this way: one, however often it has to be asked for."""
    params = {"assistant_id": assistant, "input": given}
    assert insist(lambda: client.command("run.start", params, 1)).json()["type"] == "success"
