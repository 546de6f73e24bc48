"""The official JavaScript client, unmodified, on both transports and both kinds of server; where Node and npm are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ...npm import installed
from .cutting import proxied
from .serving import ALL_SERVERS

FOLDER = Path(__file__).parent / "javascript"

SDKS = ("@langchain/langgraph-sdk", "current")
"""The client that has been supported for longest, and the current one, by the names of their packages."""


@pytest.fixture(params=ALL_SERVERS)
def server(request: pytest.FixtureRequest, servers: dict[str, str]) -> str:
    """The address of a server of each kind: what official clients do is tried with all of them."""
    return servers[request.param]


@pytest.fixture(scope="session")
def client() -> Path:
    """The folder with the client, installed."""
    installed(FOLDER)
    return FOLDER


@pytest.fixture(scope="session")
def found() -> dict[tuple[str, str, str], dict[str, Any]]:
    """Server, transport and package -> what the scenarios have read there; they run once each."""
    return {}


@pytest.fixture(params=SDKS)
def results(
    request: pytest.FixtureRequest, client: Path, server: str, transport: str, found: dict[Any, Any]
) -> dict[str, Any]:
    """What the scenarios have read."""
    key = (server, transport, request.param)
    if key not in found:
        found[key] = run(client, *key)
    read: dict[str, Any] = found[key]
    return read


def run(client: Path, server: str, transport: str, sdk: str) -> dict[str, Any]:
    """Run the scenarios."""
    with proxied(server) as proxy:
        # Over WebSocket, which is compressed, the client does not survive a cut while it subscribes anew.
        proxy.cuts = [9000, 14000, 12000] if transport == "sse" else [2500]
        command = ["node", "--no-warnings", "--experimental-websocket", "scenarios.mjs"]
        command += [server, proxy.url, transport, sdk]
        done = subprocess.run(command, cwd=client, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        read: dict[str, Any] = json.loads(done.stdout)
        return {**read, "cuts left": len(proxy.cuts), "transport": transport}


def test_projections(results: dict[str, Any]) -> None:
    """Values, messages with text and tool calls, calls of tools, a named channel, subgraphs three deep, output."""
    found = results["projections"]
    assert found["values"] == [{"step": 1}, {"step": 2, "given": {"q": 1}}]
    message = found["messages"][0]
    assert (message["text"], message["node"]) == ("Good morning!", "model")
    assert [(call["name"], call["args"]) for call in message["calls"]] == [("search", {"q": "x"})]
    assert found["calls"][0] == {"name": "search", "input": {"q": "x"}, "output": "found"}
    assert found["progress"] == [{"done": 1}, {"done": 2}]
    assert found["deep"] == ["outer", "middle", "inner", "deep"]
    assert found["output"] == {"step": 2, "given": {"q": 1}}


def test_arguments_of_tool_calls_come_in_pieces(results: dict[str, Any]) -> None:
    """All of them, and the call is whole at the end."""
    content = "abcd " * 2000
    (message,) = results["arguments"]
    assert json.loads(message["pieces"]) == {"content": content}
    assert message["calls"] == [{"name": "write_file", "args": {"content": content}}]


def test_the_state_is_a_command(results: dict[str, Any]) -> None:
    """And tells what the request for it does."""
    assert results["state"] == {"values": {"step": 2, "given": {}}, "next": [], "tasks": []}


def test_interrupts_are_answered_together(results: dict[str, Any]) -> None:
    """Two of one step, in one command."""
    assert results["interrupt"] == {"interrupted": True, "asked": ["a", "b"], "answers": ["a=aa", "b=bb"]}


def test_a_failing_run(results: dict[str, Any]) -> None:
    """Its text has no path."""
    assert results["failure"] == "cannot read <path>"


def test_two_turns_of_one_thread(results: dict[str, Any]) -> None:
    """The second goes on where the first one ended."""
    tree = ["agent"] if results["transport"] == "websocket" else None
    assert results["turns"] == {"messages": 2, "tree": tree}


def test_a_late_subscriber(results: dict[str, Any]) -> None:
    """Sees the whole run when it is over."""
    assert results["late"] == list(range(50))


def test_an_unknown_assistant_is_refused(results: dict[str, Any]) -> None:
    """In words."""
    assert "no such assistant" in results["refused"]


def test_a_cut_connection_loses_nothing(results: dict[str, Any]) -> None:
    """The client connects again: every event once, in order."""
    assert results["cut"] == list(range(300))
    assert results["cuts left"] == 0


@pytest.mark.parametrize("sdk", SDKS)
def test_the_calls_of_a_chat_page(client: Path, server: str, sdk: str) -> None:
    """Threads, runs, history, answers that are regenerated, and an interrupt, as agent-chat-ui asks for them."""
    command = ["node", "--no-warnings", "chat_ui.mjs", server, sdk]
    done = subprocess.run(command, cwd=client, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("text") != ""
    assert told.pop("history")[0] == 4
    assert told == {
        "info": 200,
        "seen": ["metadata", "values", "messages"],
        "found": True,
        "regenerated": ["h1", 2, True],
        "edited": ["h2", 2],
        "next": ["h3", 4],
        "joined": True,
        "resolved": 400,
        "asked": {"ask": "a"},
        "answers": ["a=yes"],
        "created": [True, True, 2],
    }
