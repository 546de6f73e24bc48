"""A request's end is its own: whatever objects and hooks raise, the server, its runs and other requests go on."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn, TypedDict

import httpx
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from pydantic import BaseModel
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from anyiostream import GraphWriter
from anyiostream.remote import Access, app

from ...waiting import PATIENCE
from ..graphs import endless
from .raw import Client
from .serving import ALL_SERVERS, serving

FORGED = "x\nERROR root forged\x1b[2J\u2028"

ERRORS: dict[str, Any] = {
    "exit": lambda: SystemExit(FORGED),
    "interrupt": KeyboardInterrupt,
    "closed": GeneratorExit,
    "group": lambda: BaseExceptionGroup(FORGED, [SystemExit(1), KeyboardInterrupt()]),
    "cancelled": asyncio.CancelledError,
    "error": lambda: ValueError(FORGED),
}


def fail(kind: str) -> NoReturn:
    error: BaseException = ERRORS[kind]()
    raise error


class State(TypedDict, total=False):
    kind: str
    saved: Any


ARMED: set[str] = set()
"""What raises now: while its run is under way, nothing does."""


class Shown(BaseModel):
    """Cannot say what it consists of."""

    text: str = "said"

    def model_dump(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if "shown" in ARMED:
            raise KeyboardInterrupt
        return super().model_dump(*args, **kwargs)


class Read(BaseModel):
    """Cannot be read from a checkpoint."""

    kind: str

    def model_post_init(self, _: Any) -> None:
        if self.kind in ARMED:
            fail(self.kind)


async def saving(state: State) -> State:
    """Leaves an object in the state."""
    kind = state["kind"]
    return {"saved": Shown() if kind == "shown" else Read(kind=kind)}


class Raising(InMemorySaver):
    """Raises what is no error of a serializer's, in a task of its own."""

    async def aget_tuple(self, config: Any) -> Any:
        return await checked(await super().aget_tuple(config))

    async def alist(self, config: Any, **options: Any) -> AsyncIterator[Any]:
        async for each in super().alist(config, **options):
            yield await checked(each)


async def checked(saved: Any) -> Any:
    """A checkpoint, unless it is one that must not be read."""
    kind = None if saved is None else saved.checkpoint["channel_values"].get("kind")
    if kind == "task" and kind in ARMED:
        await asyncio.create_task(leave())
    if kind == "error" and kind in ARMED:  # of the serializer, which takes that of a class for an old one of its kind
        fail(kind)
    return saved


async def leave() -> None:
    raise SystemExit(FORGED)


async def authorize(access: Access) -> str | None:
    """Raises what the caller names."""
    who = access.headers.get("authorization", "ada")
    if who == "task":
        await asyncio.sleep(0)
    if who in ERRORS:
        fail(who)
    return who


class Log:
    """What a program's own handler writes."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def take(self) -> str:
        """What has been written since."""
        text = self.stream.getvalue()
        self.stream.seek(0)
        self.stream.truncate()
        return text


@contextmanager
def logs() -> Iterator[Log]:
    """All that is logged in the block."""
    log = Log()
    loggers = [logging.getLogger(), logging.getLogger("hypercorn.error"), logging.getLogger("uvicorn.error")]
    for each in loggers:
        each.addHandler(log.handler)
    try:
        yield log
    finally:
        for each in loggers:
            each.removeHandler(log.handler)


def graph() -> Any:
    return StateGraph(State).add_node("saving", saving).add_edge(START, "saving").compile(checkpointer=Raising())


async def failing(given: Any, writer: GraphWriter) -> None:
    """A function graph that fails."""
    fail(given)


@pytest.fixture(scope="module", params=ALL_SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server, whose one run goes on the whole time."""
    assistants = {"saving": graph(), "endless": endless, "failing": failing}
    with ExitStack() as stack:
        address = stack.enter_context(serving(request.param, app(assistants, authorize=authorize)))
        with Client(address, "other") as other:
            run_id = other.start("endless")
        yield address
        with Client(address, "other") as other:
            runs = httpx.get(f"{address}/threads/other/runs").json()
            assert [(each["run_id"], each["status"]) for each in runs] == [(run_id, "running")]
            assert other.state().json()["next"]


def assert_none_forged(text: str) -> None:
    """Each line is one that the server or Python has begun."""
    assert not [line for line in text.splitlines() if line.strip(" |").startswith("ERROR root")]
    assert "\x1b" not in text


@pytest.mark.parametrize("who", ERRORS)
def test_what_the_hook_raises_ends_its_request(url: str, who: str) -> None:
    """With a 500, or a closed socket; the log says what to mend, on lines of its own."""
    headers = {"authorization": who}
    with logs() as log:
        for method, path in [("GET", "state"), ("POST", "stream/events"), ("POST", "commands")]:
            response = httpx.request(method, f"{url}/threads/t/{path}", json={}, headers=headers)
            assert (response.status_code, response.json()["error"]) == (500, "unknown_error")
        text = log.take()
        assert "authorize" in text
        assert text.count("Mend what has raised it") == 3
        assert_none_forged(text)
        address = f"{url}/threads/t/stream/events".replace("http", "ws", 1)
        with (
            connect(address, additional_headers=headers, proxy=None) as socket,
            pytest.raises(ConnectionClosed) as caught,
        ):
            socket.recv(PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011
        assert_none_forged(log.take())


def test_a_value_that_raises_is_shown(url: str) -> None:
    """Whatever it is that a value of a checkpoint raises when it is encoded: as far as it can be."""
    ARMED.discard("shown")
    with Client(url, "saved-shown") as client:
        client.start("saving", {"kind": "shown"})
        assert client.ended()[-1]["params"]["data"]["event"] == "completed"
        ARMED.add("shown")
        assert client.post("state/checkpoint", {}).json()["values"]["saved"] == {"text": "said"}
        assert client.post("history", {}).json()[0]["values"]["saved"] == {"text": "said"}


@pytest.mark.parametrize("kind", ["task", *ERRORS])
def test_a_checkpoint_that_cannot_be_read_is_refused(url: str, kind: str) -> None:
    """The client learns what it is about, the log which thread it is, and why."""
    name = f"saved-{kind}"
    ARMED.discard(kind)
    with Client(url, name) as client:
        client.start("saving", {"kind": kind})
        assert client.ended()[-1]["params"]["data"]["event"] == "completed"
        ARMED.add(kind)
        with logs() as log:
            for path in ("state/checkpoint", "history"):
                response = client.post(path, {})
                assert response.status_code == 500
                assert "checkpoint" in response.json()["message"]
            text = log.take()
    assert text.count(f"a checkpoint of thread {name} cannot be read") == 2
    assert_none_forged(text)


def test_what_a_run_fails_with_forges_no_lines(url: str) -> None:
    """The traceback is logged as it is, the text on its line."""
    with Client(url, "failing") as client, logs() as log:
        client.start("failing", "error")
        assert client.ended()[-1]["params"]["data"]["event"] == "failed"
        text = log.take()
    assert "Traceback (most recent call last):\n" in text
    assert "ValueError: x\\nERROR root forged\\x1b[2J\\u2028\n" in text
    assert_none_forged(text)
