"""Runs that begin at a checkpoint, as pages regenerate answers and edit messages with the official client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from anyiostream import GraphWriter
from anyiostream.remote import Access, app

from ..waiting import PATIENCE
from .chatting import chatting
from .store.saver import FileSaver

pytestmark = pytest.mark.anyio


async def function(_: Any, writer: GraphWriter) -> None:
    """Asks, and keeps no checkpoints."""
    await writer.interrupt("Sure?")


class Page:
    """A page with `useStream`: its requests to a server."""

    def __init__(self, http: httpx.AsyncClient, thread: str = "t") -> None:
        self.http = http
        self.thread = thread

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """What the server answers."""
        return await self.http.post(f"/threads/{self.thread}/{path}", json=body)

    async def run(self, given: Any = None, checkpoint: Any = None, **options: Any) -> Any:
        """What a run ends with: the texts of the messages, or what it asks."""
        body = {"assistant_id": "chat", "input": given, "checkpoint": checkpoint, **options}
        response = await self.post("runs/wait", body)
        assert response.status_code == 200, response.text
        values = response.json()
        asked = [each["value"] for each in values.get("__interrupt__", ())]
        return asked or [each["content"] for each in values["messages"]]

    async def refused(self, status: int, **body: Any) -> str:
        """Why a run is not accepted."""
        response = await self.post("runs/stream", {"assistant_id": "chat", "input": None, **body})
        assert response.status_code == status, response.text
        return str(response.json()["message"])

    async def history(self) -> list[Any]:
        """The thread's states, the newest first."""
        return list((await self.post("history", {"limit": 100})).json())

    async def before(self, text: str) -> Any:
        """The checkpoint before a message was said, as `getMessagesMetadata` finds it."""
        first = [state for state in await self.history() if text in contents(state)][-1]
        return first["parent_checkpoint"]


def contents(state: Any) -> list[str]:
    """The texts of a state's messages."""
    return [each["content"] for each in state["values"].get("messages", ())]


def said(text: str) -> dict[str, Any]:
    """An input with a message."""
    return {"messages": [{"id": text, "type": "human", "content": text}]}


@pytest.fixture(params=["memory", "sqlite"])
async def page(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Page]:
    """A page of a server whose threads are in memory, or in a file as its checkpoints are."""
    in_file = request.param == "sqlite"
    kept: Any = FileSaver(tmp_path / "checkpoints") if in_file else InMemorySaver()
    store = f"sqlite:{tmp_path / 'f'}" if in_file else "memory"
    service = app({"chat": chatting(kept), "function": function, "forgetful": chatting(None)}, store=store)
    transport = httpx.ASGITransport(service, client=("127.0.0.1", 1))
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=PATIENCE) as http,
    ):
        yield Page(http)


async def test_an_answer_is_regenerated_from_its_checkpoint(page: Page) -> None:
    """With no input; as often as its user likes, and the thread goes on from the new answer."""
    await page.run(said("one"))
    first = await page.run(said("two"))
    assert first == ["one", "1: one", "two", "2: one, 1: one, two"]
    place = await page.before(first[-1])
    assert await page.run(None, place) == [*first[:-1], "3: one, 1: one, two"]
    assert await page.run(None, None, checkpoint_id=place["checkpoint_id"]) == [*first[:-1], "4: one, 1: one, two"]
    # With each input, a page sends where it has seen the thread.
    head = (await page.history())[0]["checkpoint"]
    assert (await page.run(said("three"), head))[3:5] == ["4: one, 1: one, two", "three"]
    assert await page.run(None, await page.before("1: one")) == ["one", "6: one"]


async def test_a_message_is_edited_from_its_checkpoint(page: Page) -> None:
    """The first one as well, before which there is only the input."""
    await page.run(said("one"))
    await page.run(said("two"))
    assert await page.run(said("else"), await page.before("two")) == ["one", "1: one", "else", "3: one, 1: one, else"]
    assert await page.run(said("other"), await page.before("one")) == ["other", "4: other"]


async def test_an_open_question_is_dropped(page: Page) -> None:
    """The input is not its answer; without an input it is asked again. An answer is given only where it is asked."""
    await page.run(said("one"))
    assert await page.run(said("ask")) == ["Sure?"]
    asking = (await page.history())[0]["checkpoint"]
    assert await page.run(said("two"), await page.before("ask")) == ["one", "1: one", "two", "2: one, 1: one, two"]
    assert await page.run(None, asking) == ["Sure?"]
    answer = {"command": {"resume": "yes"}}
    assert "does not wait" in await page.refused(400, checkpoint=asking, **answer)
    head = (await page.history())[0]["checkpoint"]
    assert (await page.run({}, head, **answer))[-1] == "3: one, 1: one, ask (yes)"


async def test_what_is_no_checkpoint_is_refused(page: Page) -> None:
    """Before anything is begun."""
    await page.run(said("one"))
    unknown = "1f000000-0000-6000-8000-000000000000"
    place = (await page.history())[0]["checkpoint"]
    assert "no such checkpoint" in await page.refused(404, checkpoint={"checkpoint_id": unknown})
    assert "no such checkpoint" in await page.refused(404, checkpoint_id=unknown)
    await page.refused(400, checkpoint={**place, "checkpoint_ns": "inner:1"})
    await page.refused(400, checkpoint=place["checkpoint_id"])
    await page.refused(400, checkpoint=place, checkpoint_id=unknown)
    await page.refused(400, checkpoint_id=1)
    await page.refused(400, config={"configurable": {"checkpoint_id": place["checkpoint_id"]}})
    for name, why in (("function", "is a function"), ("forgetful", "has no checkpointer")):
        assert why in await page.refused(400, assistant_id=name, checkpoint=place)
    assert "no such assistant" in await page.refused(400, assistant_id="nobody", checkpoint=place)
    elsewhere = Page(page.http, "another")
    assert "no such checkpoint" in await elsewhere.refused(404, checkpoint=place)
    assert contents((await page.history())[0]) == ["one", "1: one"]


async def test_a_thread_without_checkpoints_sends_no_id(page: Page) -> None:
    """What its history has for a checkpoint begins where the thread stands, and an answer finds its question."""
    other = Page(page.http, "function")
    assert await other.run({}, assistant_id="function") == ["Sure?"]
    place = (await other.history())[0]["checkpoint"]
    assert place["checkpoint_id"] is None
    assert await other.run({}, place, assistant_id="function", command={"resume": 1}) == ["Sure?"]


async def test_another_owners_checkpoint_is_none() -> None:
    """Also on a thread of the same name; nothing tells whether there is one."""

    def authorize(access: Access) -> str:
        return access.headers["x-user"]

    service = app({"chat": chatting(InMemorySaver())}, authorize=authorize)
    transport = httpx.ASGITransport(service, client=("127.0.0.1", 1))
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=PATIENCE) as http,
    ):
        page = Page(http)
        http.headers["x-user"] = "ann"
        await page.run(said("one"))
        place = (await page.history())[0]["checkpoint"]
        http.headers["x-user"] = "bob"
        assert await page.refused(404, checkpoint=place) == "this thread has no such checkpoint."
