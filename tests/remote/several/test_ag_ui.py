"""The official client of AG-UI drops messages and runs again: the thread follows, on whichever store and server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, final
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from anyiostream import GraphWriter
from anyiostream.remote import ServerApplication, app
from anyiostream.sinks import parse

from ...npm import installed
from ...serving import SERVERS
from ...sinks.readers import FOLDER
from ..chatting import chatting
from ..store.saver import FileSaver
from ..store.valkey import Valkey


@final
class Page:
    """A page with the official client, on Node."""

    def __init__(self, url: str) -> None:
        command = ["node", "--no-warnings", "regenerate.mjs", url]
        self._process = subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def run(self, **asked: Any) -> dict[str, Any]:
        """Do something with the messages and run; all of what the page has then."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            if line.startswith('{"shown"'):  # others are what the client has to say to its console
                found: dict[str, Any] = json.loads(line)
                return found
        raise AssertionError("the page has gone")

    def shown(self, **asked: Any) -> list[str]:
        """The same: the texts that it shows."""
        found = self.run(**asked)
        assert found["failure"] is None
        return [text for _, text in found["shown"]]

    def close(self) -> None:
        """Leave."""
        self._process.communicate()


def served_by(applications: list[ServerApplication]) -> Starlette:
    """A program whose requests go to one server after another."""
    turn = cycle(applications)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for each in applications:
                await stack.enter_async_context(each.router.lifespan_context(each))
            yield

    async def chat(request: Request) -> Response:
        asked = parse("ag-ui", await request.json())
        return await next(turn).respond(request, request.path_params["assistant"], asked, protocol="ag-ui")

    async def history(request: Request) -> Response:
        return await next(turn).history(request, thread="chat")

    return Starlette(
        routes=[Route("/history", history), Route("/{assistant}", chat, methods=["POST"])], lifespan=lifespan
    )


async def echo(given: Any, writer: GraphWriter) -> dict[str, Any]:
    """A graph without checkpoints, which has nothing but what it is given."""
    asked = given["messages"][-1]
    async with writer.message() as message:
        await message.text(f"You: {asked['content']}")
    return {"messages": [{**asked, "type": "human"}]}


@pytest.fixture(params=["memory", "sqlite", "valkey"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a program over each store; over Valkey, of two servers that take turns."""
    installed(FOLDER)
    if request.param == "valkey":
        server: Valkey = request.getfixturevalue("store_server")
        stores, count = f"{server.url}?prefix={uuid4()}", 2
    else:
        stores, count = "memory" if request.param == "memory" else f"sqlite:{tmp_path / 'threads'}", 1
    savers: list[Any] = [
        InMemorySaver() if request.param == "memory" else FileSaver(tmp_path / "checkpoints") for _ in range(count)
    ]
    applications = [app({"chat": chatting(saver), "echo": echo}, store=stores) for saver in savers]
    server_of = SERVERS["hypercorn-trio"] if request.param == "sqlite" else next(iter(SERVERS.values()))
    with server_of(served_by(applications)) as address:
        yield address


@pytest.fixture
def page(url: str) -> Iterator[Page]:
    """A page of the graph that answers with all that it has been asked so far."""
    opened = Page(f"{url}/chat")
    yield opened
    opened.close()


def without_count(texts: list[str]) -> list[str]:
    """Answers without how many there were before: servers that take turns each count their own."""
    return [text.partition(": ")[2] or text for text in texts]


def test_an_answer_is_written_anew(page: Page) -> None:
    """The last one, as often as its user likes, an earlier one, and the first: the thread is what the page shows."""
    page.run(say="one")
    first = page.shown(say="two")
    again = page.shown(again="two")
    assert len(first) == len(again) == 4
    answer = first[1]
    assert again[:3] == ["one", answer, "two"]
    assert again[3].endswith(f": one, {answer}, two")
    assert again[3] != first[3]
    again = page.shown(again="two")
    went_on = page.shown(say="three")
    assert went_on[:4] == again
    assert went_on[5].endswith(f"two, {again[3]}, three")
    assert page.shown(again="two")[3].endswith(f": one, {answer}, two")
    assert without_count(page.shown(again="one")) == ["one", "one"]
    assert without_count(page.shown(again="one")) == ["one", "one"]


def test_another_question_in_the_place_of_one(page: Page) -> None:
    """With an id of its own: what the page has dropped is dropped."""
    for text in ("one", "two", "three"):
        before = page.shown(say=text)
    instead = page.shown(instead="two", say="else")
    assert instead[:3] == [*before[:2], "else"]
    assert instead[3].endswith(f": one, {before[1]}, else")
    assert len(instead) == 4
    assert page.shown(say="four")[5].endswith(f"else, {instead[3]}, four")


def test_a_page_that_has_nothing_drops_nothing(page: Page) -> None:
    """It was opened anew, and just goes on."""
    before = page.shown(say="one")
    assert page.shown(forget=True, say="two")[1].endswith(f": one, {before[1]}, two")


def test_an_answer_that_failed_is_tried_again(page: Page) -> None:
    """Its question stays where it was."""
    before = page.shown(say="one")
    assert page.run(say="fail")["failure"]
    assert page.run(again="fail")["failure"]
    assert page.shown(instead="fail", say="two")[3].endswith(f": one, {before[1]}, two")


def test_a_question_that_is_open_is_dropped(page: Page) -> None:
    """And asked again."""
    page.run(say="one")
    first = page.run(say="ask")
    again = page.run(again="ask")
    assert [len(each["interrupts"]) for each in (first, again)] == [1, 1]
    resume = [{"interruptId": again["interrupts"][0]["id"], "status": "resolved", "payload": "yes"}]
    assert page.shown(resume=resume)[-1].endswith("ask (yes)")


def test_a_graph_without_checkpoints_is_asked_as_ever(url: str) -> None:
    """It has no thread to go back on."""
    page = Page(f"{url}/echo")
    page.run(say="one")
    assert page.shown(again="one") == ["one", "You: one"]
    page.close()
