"""Recorded runs: which lines are one, and what is served of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from anyiostream import open_run, parts
from anyiostream.page import Recording, recorded
from anyiostream.page.recording import NotARecording
from anyiostream.tooling import encode

EVENT = {"type": "event", "method": "values", "params": {"namespace": [], "timestamp": 1, "data": {"n": 1}}}


def refused(*lines: Any) -> str:
    """What is said of lines that are no recording."""
    with pytest.raises(NotARecording) as caught:
        Recording.of("x", [line if isinstance(line, str) else json.dumps(line) for line in lines], "x.jsonl")
    return str(caught.value)


def test_lines_of_the_wire_and_of_the_raw_log() -> None:
    """The first as they are, the others as a server would send them; the result is no event."""
    wire = {**EVENT, "event_id": "1-7", "seq": 7}
    recording = Recording.of("x", [json.dumps(wire), "", json.dumps(EVENT), '{"type": "result"}'])
    assert [entry.seq for entry in recording.entries] == [1, 2]
    assert [json.loads(entry.body)["params"]["data"] for entry in recording.entries] == [{"n": 1}] * 2
    assert recording.fold.snapshot.values == {"n": 1}


def test_a_run_that_was_written_as_json() -> None:
    """Messages, also of LangChain's classes, are messages again."""
    messages = pytest.importorskip("langchain_core.messages")
    chunks = [messages.AIMessageChunk(content=text, id="m") for text in ("Good ", "morning")]
    graph = [parts.messages(chunk, {"langgraph_node": "think", "run_id": "r"}) for chunk in chunks]
    with open_run([*graph, parts.values(1)], root_lifecycle=True) as run:
        lines = [encode(event) for event in run]
    recording = Recording.of("x", lines)
    said = [json.loads(each.body)["params"]["data"] for each in recording.entries if each.method == "messages"]
    texts = [data.get("delta", {}).get("text") for data in said]
    assert "".join(filter(None, texts)) == "Good morning"
    assert recording.fold.snapshot.status == "completed"


def test_what_is_no_recording(tmp_path: Path) -> None:
    """The line, what is wrong with it, and how one is made."""
    assert "x.jsonl, line 2: this is not JSON" in refused(EVENT, "{")
    assert "line 1: this is not an event" in refused({"type": "else"})
    assert "it has no `method`, or no `params`" in refused({"type": "event", "method": "values"})
    assert "there is no event" in refused()
    assert "--record FILE" in refused("[]")
    with pytest.raises(OSError, match="No such file"):
        Recording.read(tmp_path / "absent")


@pytest.mark.anyio
async def test_what_is_served() -> None:
    """The page, a list of one, its digest and its events; to this machine only."""
    recording = Recording.of("x", [json.dumps(EVENT)] * 3)
    transport = httpx.ASGITransport(recorded(recording))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert (await client.get("/")).status_code == 200
        digest = (await client.get("/live/x")).json()
        assert (digest["recorded"], digest["events"], digest["last"]) == (True, 3, 3)
        assert (await client.get("/live/y")).status_code == 404
        for body in ("", "[]", '{"since": "x"}', '{"since": 1.5}'):
            assert (await client.post("/threads/x/stream/events", content=body)).status_code == 400
        assert (await client.get("/live/x", headers={"host": "evil.example"})).status_code == 421
