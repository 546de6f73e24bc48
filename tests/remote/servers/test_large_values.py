"""No value that a graph emits holds the server: what it shows is bounded, and what it leaves out is shown as such."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import pytest
from pydantic import BaseModel

from anyiostream import GraphWriter
from anyiostream.remote import app
from anyiostream.tooling import CUT
from anyiostream.wire import encoder
from anyiostream.wire.jsonable import WIRE

from .raw import Client, events, root_event
from .serving import SERVERS, serving

SMALL = attrs.evolve(WIRE, most=2000, longest=20_000)
"""Shows less than a server does, so that tests take little time."""


class Pair(BaseModel):
    a: Any
    b: Any


def shared(make: Callable[[Any], Any], value: Any = 1) -> Any:
    """What nobody could write down: each of its 60 levels refers to the next one twice."""
    for _ in range(60):
        value = make(value)
    return value


VALUES: dict[str, Callable[[], Any]] = {
    "shared lists": lambda: shared(lambda part: [part, part]),
    "shared models": lambda: shared(lambda part: Pair(a=part, b=part)),
    "shared text": lambda: ["x" * 1000] * 2**20,
    "long text": lambda: "\u2028" * (2 * SMALL.longest),
    "endless": lambda: range(10**15),
    "long integers": lambda: [1 << 9000] * 10**6,
    "array": lambda: np.broadcast_to(np.int64(7), (10**6, 10**6)),
}


async def emits(given: str, writer: GraphWriter) -> Any:
    """Emits a value wherever one can be."""
    value = VALUES[given]()
    await writer.custom({"name": "large", "payload": value})
    await writer.values({"large": value})
    await writer.interrupt(value, interrupt_id="i1")
    return None


async def fails(given: str, writer: GraphWriter) -> Any:
    """Fails with a value, or with many errors."""
    if given == "shared group":
        raise shared(lambda part: BaseExceptionGroup("state", [part, part]), SystemExit(1))
    raise ValueError("state", VALUES[given]())


async def small(_: Any, writer: GraphWriter) -> Any:
    await writer.values({"step": 1})
    return {"step": 1}


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server."""
    assistants = {"emits": emits, "fails": fails, "small": small}
    with serving(request.param, app(assistants)) as address:
        yield address


def read(client: Client) -> list[Any]:
    """The events of the thread's run."""
    with client.stream(channels=["custom", "values", "input", "lifecycle"]) as response:
        found = []
        for event in events(response):
            found.append(event)
            if root_event(event) in {"completed", "failed", "interrupted"}:
                break
    return found


@pytest.fixture(autouse=True)
def small_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a graph emits is shown as far as it is small."""
    monkeypatch.setattr(encoder, "plain", SMALL.plain)
    monkeypatch.setattr(encoder, "PAYLOADS", {**encoder.PAYLOADS, "updates": SMALL.plain})


@pytest.mark.parametrize("name", VALUES)
def test_an_event_is_bounded(url: str, name: str) -> None:
    """The log has no hole, whoever reads it goes on, and so do other clients."""
    with Client(url, f"emits-{name}".replace(" ", "-")) as client:
        client.start("emits", name)
        found = read(client)
        large = [event for event in found if event["method"] != "lifecycle"]
        assert [event["method"] for event in large] == ["custom", "values", "values", "input.requested"]
        assert root_event(found[-1]) == "interrupted"
        places = [event["seq"] for event in found]
        assert all(after == before + 1 for before, after in itertools.pairwise(places))
        for event in large:
            text = json.dumps(event, ensure_ascii=False)
            assert len(text) < 2 * (SMALL.longest + 10 * SMALL.most)  # a question stands in its event twice
            assert CUT in text
        assert len(client.state().content) < 10 * (SMALL.longest + 10 * SMALL.most)
    with Client(url, f"next-{name}".replace(" ", "-")) as client:
        client.start("small")
        assert root_event(read(client)[-1]) == "completed"


@pytest.mark.parametrize("name", ["shared lists", "shared models", "shared group"])
def test_an_error_is_bounded(url: str, name: str) -> None:
    """One whose text would be its arguments, or whose traceback would be those of all of its errors."""
    with Client(url, f"fails-{name}".replace(" ", "-")) as client:
        client.start("fails", name)
        (end,) = [event for event in read(client) if root_event(event) == "failed"]
        assert "state" in end["params"]["data"]["error"]
        assert len(end["params"]["data"]["error"]) < 2000
    with Client(url, f"after-{name}".replace(" ", "-")) as client:
        client.start("small")
        assert root_event(read(client)[-1]) == "completed"
