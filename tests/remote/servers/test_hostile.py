"""Whatever a client sends: no error of the server's own, and the next client is served."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from ...thorough import THOROUGH
from ...waiting import PATIENCE
from .raw import Client, root_event

pytestmark = pytest.mark.early

TEXT = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
NAMES = ["assistant_id", "input", "config", "metadata", "interrupt_id", "namespace", "response", "responses"]
NAMES += ["update", "goto", "channels", "namespaces", "depth", "since", "subscription_id"]
METHODS = ["run.start", "input.respond", "subscription.subscribe", "subscription.unsubscribe", "agent.getTree", "x"]
CHANNELS = st.lists(st.sampled_from(["values", "lifecycle", "custom", "custom:x", "input", "nothing"]), max_size=3)
PLACES = st.sampled_from([0, 1, 2, 2**53, 2**63, 10**4300 - 1, -1, True, "1", 1.5, None]) | st.integers()
PARAMS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4) | st.fixed_dictionaries(
    {"channels": CHANNELS, "since": PLACES}, optional={"namespaces": JSON, "depth": JSON}
)
STARTS = st.fixed_dictionaries(
    {"assistant_id": st.sampled_from(["everything", "question", "failing", "nothing"]), "input": JSON},
    optional={"config": st.dictionaries(st.sampled_from(["configurable", "tags", "recursion_limit"]), JSON)},
)
COMMANDS = st.fixed_dictionaries(
    {"id": st.integers(0, 5) | JSON, "method": st.sampled_from(METHODS) | JSON, "params": PARAMS | STARTS | JSON}
)
BODIES = st.binary(max_size=40) | st.builds(lambda value: json.dumps(value).encode(), COMMANDS | PARAMS | JSON)
CURSORS = st.text(st.characters(codec="latin-1", min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)

UNSUITABLE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
HARD = settings(max_examples=25 * THOROUGH, suppress_health_check=UNSUITABLE)


def served(url: str) -> bool:
    """Whether the next client is."""
    with Client(url, "honest") as client:
        client.start("everything")
        return root_event(client.ended()[-1]) == "completed"


@HARD
@given(body=BODIES, cursor=st.none() | CURSORS)
def test_bodies_and_cursors(server: str, body: bytes, cursor: str | None) -> None:
    """Over HTTP: taken, or refused."""
    with Client(server, "hostile") as client:
        assert client.post("commands", body).status_code < 500
        headers = {} if cursor is None else {"last-event-id": cursor}
        path = "/threads/hostile/stream/events"
        with client.http.stream("POST", path, content=body, headers=headers) as response:
            assert response.status_code < 500
        for path in (f"runs/{cursor or 'x'}/cancel?wait={cursor}", "runs//cancel"):
            assert client.http.post(f"/threads/hostile/{path}").status_code < 500


@HARD
@given(frames=st.lists(BODIES | st.builds(lambda value: json.dumps(value).encode(), COMMANDS), max_size=4))
def test_frames(server: str, frames: list[bytes]) -> None:
    """Over WebSocket: answered, or the socket is closed with a code of the protocol."""
    with Client(server, "hostile") as client, client.socket() as ws:
        with suppress(ConnectionClosed):
            for frame in frames:
                ws.send(frame.decode() if frame.isascii() else frame)
        assert how_it_goes_on(ws) in {"answered", "cut", 1003, 1007, 1009, 1013, *range(4400, 4500)}


def how_it_goes_on(ws: ClientConnection) -> Any:
    """Whether a socket answers, or the code that it is closed with; `cut` where what came after it lost the code."""
    try:
        ws.send(json.dumps({"id": 77, "method": "agent.getTree"}))
        while json.loads(ws.recv(timeout=PATIENCE)).get("id") != 77:
            pass
    except ConnectionClosed as closed:
        return "cut" if closed.rcvd is None else closed.rcvd.code
    return "answered"


def test_the_next_client_is_served(server: str) -> None:
    """After all of that."""
    assert served(server)
