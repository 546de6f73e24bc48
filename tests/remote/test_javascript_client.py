"""The official JavaScript client, unmodified, on both transports and both kinds of server; where Node and npm are."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .cutting import proxied

FOLDER = Path(__file__).parent / "javascript"

pytestmark = [
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node and npm"),
    pytest.mark.timeout(150),  # the client is installed first, once
]


@pytest.fixture(scope="session")
def client() -> Path:
    """The folder with the client, installed."""
    if not (FOLDER / "node_modules" / "@langchain" / "langgraph-sdk").exists():
        install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        done = subprocess.run(install, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"the client cannot be installed: {done.stderr[-300:]}")
    return FOLDER


@pytest.fixture(scope="session")
def found() -> dict[tuple[str, str], dict[str, Any]]:
    """Server and transport -> what the scenarios have read there; they run once each."""
    return {}


@pytest.fixture
def results(client: Path, server: str, transport: str, found: dict[Any, Any]) -> dict[str, Any]:
    """What the scenarios have read."""
    if (server, transport) not in found:
        found[server, transport] = run(client, server, transport)
    read: dict[str, Any] = found[server, transport]
    return read


def run(client: Path, server: str, transport: str) -> dict[str, Any]:
    """Run the scenarios."""
    with proxied(server) as proxy:
        # Over WebSocket, which is compressed, the client does not survive a cut while it subscribes anew.
        proxy.cuts = [9000, 14000, 12000] if transport == "sse" else [2500]
        command = ["node", "--no-warnings", "--experimental-websocket", "scenarios.mjs", server, proxy.url, transport]
        done = subprocess.run(command, cwd=client, capture_output=True, text=True, timeout=100, check=False)
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
