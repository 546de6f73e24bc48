"""The list of threads where servers share a store: any of them has all threads, whichever they live on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from anyiostream.page import add_page
from anyiostream.page.endpoints import Stored
from anyiostream.remote.listing import PAGE

from ...remote.servers.raw import Client
from ...remote.servers.serving import SERVERS
from ...remote.several.deployment import Deployment
from ...remote.several.test_lists import ANN, BOB, two
from ...remote.store.valkey import valkey
from ...waiting import until
from .test_live import live


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Servers that share a store, none of them running yet."""
    with valkey(tmp_path) as running:
        yield Deployment(running.url, tmp_path)


async def other(_: Any, writer: Any) -> Any:
    """Another assistant."""
    await writer.values({"other": True})


def gathered(news: Iterator[Any], shown: dict[str, Any]) -> None:
    """Take what comes next into account."""
    change = next(news)
    for thread_id in change["gone"]:
        del shown[thread_id]
    for each in change["threads"]:
        shown[each["thread_id"]] = each


@pytest.mark.parametrize("server", SERVERS)
def test_the_page_lists_threads_of_all_servers(server: str, deployment: Deployment) -> None:
    """As they change, wherever they are run: also those that were there before, and that go."""
    gate = threading.Event()

    async def speaks(_: Any, writer: Any) -> Any:
        async with writer.message(node="think") as message:
            await message.text("Good morning")
            await until(gate.is_set)
            await message.text(", Ann")
        await writer.interrupt("who?")

    with two(server, deployment, {"speaks": speaks, "other": other}, add_page) as (one, another), ExitStack() as stack:
        before, mine, bobs = (
            stack.enter_context(Client(url, thread_id, **headers))
            for url, thread_id, headers in ((one, "before", ANN), (one, "mine", ANN), (one, "bobs", BOB))
        )
        before.start("other")
        before.ended()
        bobs.start("other")
        shown: dict[str, Any] = {}
        news = stack.enter_context(live(another, **ANN))
        gathered(news, shown)
        assert shown.keys() == {"before"}
        assert (shown["before"]["state"], shown["before"]["assistant_id"]) == ("idle", "other")
        mine.start("speaks")
        while shown.get("mine", {}).get("text") != "Good morning":
            gathered(news, shown)
        assert (shown["mine"]["state"], shown["mine"]["doing"], shown["mine"]["viewers"]) == ("running", "think", 0)
        counted = shown["mine"]["events"]
        with Client(another, "mine", **ANN) as viewer, viewer.stream():
            while shown["mine"]["viewers"] != 1:
                gathered(news, shown)
            found = viewer.http.get("/live/mine").json()
            assert (found["state"], found["viewers"], len(found["behind"])) == ("running", 1, 1)
            assert found["statistics"] is None
            assert mine.http.get("/live/mine").json()["statistics"] is not None
            assert shown["mine"]["server"] == mine.http.get("/info").json()["instance"] != ""
            assert shown["before"]["server"] == ""
        gate.set()
        while shown["mine"]["state"] != "waiting":
            gathered(news, shown)
        assert shown["mine"]["events"] > counted
        with live(one, **ANN) as others:
            again: dict[str, Any] = {}
            gathered(others, again)
        assert {name: {**each, "viewers": 0} for name, each in shown.items()} == again
        assert before.http.delete("/threads/before").status_code == 204
        while "before" in shown:
            gathered(news, shown)
        assert shown.keys() == {"mine"}


@pytest.mark.anyio
async def test_whoever_looks_together_asks_the_store_once() -> None:
    """However many look at an owner's list: what one has just been told serves them all."""
    asked: list[str] = []

    async def page(owner: str, **_: Any) -> list[Any]:
        asked.append(owner)
        await anyio.lowlevel.checkpoint()
        return []

    listing = SimpleNamespace(is_all_in_memory=False, most=PAGE, page=page)
    service: Any = SimpleNamespace(listing=listing, streams=SimpleNamespace(viewers=lambda _: {"key": ["a", "b"]}))
    stored = Stored(service, "ann")
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(stored.look)
    assert asked == ["ann"]
    assert stored.watched == {"key": 2}
