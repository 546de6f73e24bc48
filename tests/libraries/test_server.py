"""The server of models does what its script says, and leaves nothing behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ..waiting import PATIENCE
from .provider.script import Cut, Gate, HttpError, Text, call, say
from .provider.server import ModelServer, model_server

EVERYTHING = say("Let me look.", call("call-1", "weather", '{"city": "Bergen"}'), think="Which city?")
PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]

of_each_format = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that keeps its connections."""
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        yield client


def post(client: httpx.Client, server: ModelServer, path: str, **body: Any) -> httpx.Response:
    """A request for the model's next reply."""
    return client.post(server.url + path, json={"model": "model", **body})


def pieces(response: httpx.Response) -> Iterator[str]:
    """Pieces of text of a streamed reply, whichever format it has."""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field != "data" or value == "[DONE]":
            continue
        event = json.loads(value)
        for choice in event.get("choices", ()):
            yield choice["delta"].get("content") or ""
        if event.get("type") == "response.output_text.delta":
            yield event["delta"]
        if event.get("type") == "content_block_delta":
            yield event["delta"].get("text", "")


@of_each_format
def test_streamed_and_whole(client: httpx.Client, path: str) -> None:
    """A reply says the same, streamed or not."""
    with model_server({"model": [EVERYTHING, EVERYTHING]}) as server:
        whole = post(client, server, path).text
        with client.stream("POST", server.url + path, json={"model": "model", "stream": True}) as response:
            assert response.headers["content-type"] == "text/event-stream"
            assert "".join(pieces(response)) == "Let me look."
        assert "Let me look." in whole
        assert json.dumps("weather") in whole
        assert not server.unplayed


def test_connections_are_kept(client: httpx.Client) -> None:
    """Requests in turn share a connection, after a streamed reply and after a refusal too."""
    with model_server({"model": [EVERYTHING, HttpError(500), EVERYTHING]}) as server:
        for _ in range(3):
            post(client, server, PATHS[0], stream=True)
        assert (server.connections, len(server.requests)) == (1, 3)


@of_each_format
def test_refusals(client: httpx.Client, path: str) -> None:
    """A refusal has the script's status, and lets the client try again at once."""
    with model_server({"model": [HttpError(429, "slowly!")]}) as server:
        response = post(client, server, path)
        assert (response.status_code, response.headers["retry-after-ms"]) == (429, "1")
        assert response.json()["error"]["message"] == "slowly!"


@of_each_format
def test_end_of_the_script(client: httpx.Client, path: str) -> None:
    """A call beyond the script's end is refused, and says which it was."""
    with model_server({"model": [EVERYTHING]}) as server:
        post(client, server, path)
        response = post(client, server, path)
    assert response.status_code == 400
    assert "this is call 2" in response.json()["error"]["message"]


def test_unknown_paths(client: httpx.Client) -> None:
    """What no provider has is not there."""
    with model_server({}) as server:
        assert post(client, server, "/v1/images").status_code == 404


@of_each_format
def test_cuts(client: httpx.Client, path: str) -> None:
    """A reply that is cut off ends in the middle, streamed or not."""
    cut = say("It rains", Cut())
    with model_server({"model": [cut, cut]}) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            post(client, server, path)
        read: list[str] = []
        with client.stream("POST", server.url + path, json={"model": "model", "stream": True}) as response:
            with pytest.raises(httpx.RemoteProtocolError):
                for piece in pieces(response):
                    read.append(piece)
    assert "".join(read) == "It rains"


@of_each_format
def test_gates(client: httpx.Client, path: str) -> None:
    """A reply waits at a gate, after all that comes before it has been sent, until the gate is opened."""
    with model_server({"model": [say("It rains", Gate("rest"), Text((" all day.",)))]}) as server:
        with client.stream("POST", server.url + path, json={"model": "model", "stream": True}) as response:
            text = filter(None, pieces(response))
            assert [next(text), next(text)] == ["It", " rains"]
            server.wait_for("rest")
            server.open("rest")
            assert list(text) == [" all day."]
        assert server.gone == 0


def test_leaving(client: httpx.Client) -> None:
    """A client that leaves in the middle of a reply is noticed."""
    with model_server({"model": [say("It rains", Gate("rest"))]}) as server:
        with client.stream("POST", server.url + PATHS[0], json={"model": "model", "stream": True}) as response:
            next(filter(None, pieces(response)))
        server.wait_for_leaving()
        assert server.gone == 1


def test_nothing_is_left(client: httpx.Client) -> None:
    """After its block no thread of the server is alive, although a client is connected and a reply waits."""
    before = set(threading.enumerate())
    with model_server({"model": [EVERYTHING, say("", Gate("rest"))]}) as server:
        post(client, server, PATHS[0])
        with client.stream("POST", server.url + PATHS[0], json={"model": "model", "stream": True}):
            server.wait_for("rest")
            inside = set(threading.enumerate())
    assert len(inside) > len(before)
    assert set(threading.enumerate()) <= before


def test_interleaved_calls(client: httpx.Client) -> None:
    """Fragments of calls take turns, told apart by their index."""
    calls = [call("call-1", "weather", '{"city": "Oslo"}', size=8), call("call-2", "time", '{"city": "Rome"}', size=8)]
    with model_server({"model": [say("", *calls, interleaved=True)]}) as server:
        lines = post(client, server, PATHS[0], stream=True).text.split("\n\n")
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines if line.startswith("data: {")]
    indices = [each["index"] for delta in deltas for each in delta.get("tool_calls", ())]
    assert indices == [0, 0, 1, 1, 0, 1]
