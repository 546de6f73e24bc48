"""The official readers take what the sinks make of any log, begun and ended at any place."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from anyiostream.sinks import INCLUDABLE, Placed, Sink, open_sink
from anyiostream.wire import Draft

from .logs import LogMaker, hostile, placed, said_in
from .readers import READERS, Readers

LOGS = 16
"""Of each kind, for each reader; `nox -s sinks -- --logs 100000` has more."""


def sink_of(reader: str) -> Sink:
    """A sink for a reader."""
    return open_sink(READERS[reader], run_id="run", include=INCLUDABLE)


def response(reader: str, events: list[Placed]) -> dict[str, Any]:
    """What a reader of these events is sent."""
    sink = sink_of(reader)
    body = b"".join([sink.opening("1-0"), *map(sink.encode, events), sink.heartbeat(), sink.end()])
    return {"protocol": reader, "body": body.decode()}


def refused(readers: Readers, responses: list[dict[str, Any]]) -> list[Any]:
    """What the readers refuse, with the response."""
    found = readers.read(responses)
    assert len(found) == len(responses)
    return [(each["error"], responses[each["id"]]["body"][-3000:]) for each in found if not each["ok"]]


def part_of(drafts: list[Draft], seed: int) -> list[Draft]:
    """Some of a log: from any place, to any place."""
    random = Random(seed)
    first, last = sorted(random.choices(range(len(drafts) + 1), k=2))
    return drafts[first:last]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("make", [lambda seed: LogMaker(seed).make(), hostile], ids=["turns", "hostile"])
def test_nothing_is_refused(readers: Readers, reader: str, make: Callable[[int], list[Draft]]) -> None:
    """Whole logs, logs that are begun late or cut, and logs that no graph would write."""
    responses = []
    for seed in range(LOGS):
        drafts = make(seed)
        responses.append(response(reader, placed(drafts)))
        responses.append(response(reader, placed(part_of(drafts, seed))))
    assert refused(readers, responses) == []


@pytest.mark.parametrize("reader", READERS)
def test_the_readers_do_refuse(readers: Readers, reader: str) -> None:
    """Without what opens a block, or ends it, a response is refused: these tests would see it."""
    whole = next(
        each
        for each in (response(reader, placed(LogMaker(seed).make())) for seed in range(LOGS))
        if any(mark in each["body"] for mark in ("text-start", "TEXT_MESSAGE_START", '"stop"'))
    )
    marks = ("text-start", "TEXT_MESSAGE_START", '"stop"')
    frames = [frame for frame in whole["body"].split("\n\n") if not any(mark in frame for mark in marks)]
    assert len(refused(readers, [{**whole, "body": "\n\n".join(frames)}])) == 1


@pytest.mark.parametrize("reader", ["ai-6", "ai-7", "ag-ui"])
def test_what_is_read_is_what_was_said(readers: Readers, reader: str) -> None:
    """The texts of any part of a log, block by block, in the order in which they begin."""
    parts = [part_of(LogMaker(seed).make(), seed + 1) for seed in range(LOGS)]
    found = readers.read([response(reader, placed(part)) for part in parts])
    for part, each in zip(parts, found, strict=True):
        said = [text for _, kind, text in said_in(part) if kind == "text"]
        if reader == "ag-ui":
            messages = each["folded"]["messages"]
            assert [message["content"] for message in messages if message.get("content") and is_text(message)] == said
        else:
            shown = (each["folded"]["message"] or {"parts": []})["parts"]
            assert [one["text"] for one in shown if one["type"] == "text"] == said
            thought = [text for _, kind, text in said_in(part) if kind == "reasoning"]
            assert [one["text"] for one in shown if one["type"] == "reasoning"] == thought


def is_text(message: dict[str, Any]) -> bool:
    """Whether a message of AG-UI is what a model says."""
    return message["role"] == "assistant"
