"""Lists of threads: any server has all of them, whichever they live on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs
import httpx
import pytest

from anyiostream.remote import Access, Limits, app
from anyiostream.remote.store import named_store, thread_key

from ...waiting import PATIENCE, until
from ..servers.raw import Client
from ..servers.serving import SERVERS, serving
from .deployment import Deployment, ready, start, state

pytestmark = pytest.mark.anyio


def known(access: Access) -> str | None:
    """Two users."""
    return {"Bearer ann": "ann", "Bearer bob": "bob"}.get(access.headers.get("authorization", ""))


ANN, BOB = {"authorization": "Bearer ann"}, {"authorization": "Bearer bob"}


@contextmanager
def two(
    kind: str, deployment: Deployment, assistants: Any, add: Callable[[Any], Any] = lambda application: application
) -> Iterator[list[str]]:
    """Two servers, maybe with something added; their addresses."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(serving(kind, add(app(assistants, store=deployment.store(), authorize=known))))
            for _ in range(2)
        ]


def search(url: str, headers: Any = ANN, **body: Any) -> list[Any]:
    """What a search finds."""
    answer = httpx.post(f"{url}/threads/search", json=body, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()
    return found


async def talks(given: Any, writer: Any) -> Any:
    """Asks, if it is told to."""
    await writer.values({"given": given})
    if given == "ask":
        await writer.interrupt("who?")


async def other(_: Any, writer: Any) -> Any:
    """Another assistant."""
    await writer.values({"other": True})


@pytest.mark.parametrize("server", SERVERS)
def test_a_search_finds_threads_of_all_servers(server: str, deployment: Deployment) -> None:
    """With the same filters, order and pages at each; another user's are not there."""
    with two(server, deployment, {"talks": talks, "other": other}) as urls:
        for n, (assistant, given) in enumerate([("talks", 1), ("other", 2), ("talks", "ask"), ("talks", 4)]):
            with Client(urls[n % 2], f"t{n}", **ANN) as client:
                client.start(assistant, given)
                client.ended()
        with Client(urls[0], "t0", **BOB) as client:
            client.start("other")
            client.ended()

        def ids(url: str, **body: Any) -> list[str]:
            return [each["thread_id"] for each in search(url, **body)]

        for url in urls:
            assert ids(url) == ["t3", "t2", "t1", "t0"]
            assert ids(url, limit=2, offset=1) == ["t2", "t1"]
            assert ids(url, limit=0) == ids(url, offset=4) == []
            assert ids(url, metadata={"graph_id": "talks"}) == ["t3", "t2", "t0"]
            assert ids(url, metadata={"assistant_id": "talks"}, limit=1, offset=1) == ["t2"]
            assert ids(url, metadata={"graph_id": "talks"}, status="interrupted") == ["t2"]
            assert ids(url, status="idle") == ["t3", "t1", "t0"]
            assert ids(url, status="busy") == ids(url, metadata={"user": "x"}) == []
            assert ids(url, ids=["t0", "t2", "nobody's"]) == ["t2", "t0"]
            assert [each["thread_id"] for each in search(url, BOB)] == ["t0"]
            found = {each["thread_id"]: each for each in search(url)}
            assert found["t0"]["values"] == {"given": 1}
            assert found["t1"]["metadata"] == {"graph_id": "other", "assistant_id": "other"}
            (asked,) = found["t2"]["interrupts"].values()
            assert asked[0]["value"] == "who?"
        with Client(urls[1], "t2", **ANN) as client:
            client.start("talks", "thanks")
            client.ended()
        assert httpx.delete(f"{urls[1]}/threads/t3", headers=ANN, timeout=PATIENCE).status_code == 204
        assert ids(urls[0]) == ["t2", "t1", "t0"]
        assert ids(urls[0], status="interrupted") == []
        for bad in ({"ids": 5}, {"ids": [[1]]}, {"ids": "t1"}, {"metadata": [1]}):
            answer = httpx.post(f"{urls[0]}/threads/search", json=bad, headers=ANN, timeout=PATIENCE)
            assert answer.status_code == 400, bad


async def test_a_list_reads_a_running_thread_on(deployment: Deployment) -> None:
    """Its events are counted once, however often it is looked at, and whoever looks."""
    deployment.shut.add("b")
    async with deployment.member() as one, deployment.member() as another:
        await start(one, "steps", {"trail": []})
        await until(lambda: "b" in deployment.waiting)
        (listed,) = await another.listing.page("")
        first = await another.listing.thread("", listed)
        again = await another.listing.thread("", listed, first)
        assert first is not None
        assert again is not None
        assert again.fold is first.fold  # which has not been read again
        while True:
            again = await another.listing.thread("", listed, again)
            anew = await another.listing.thread("", listed)
            assert again is not None
            assert anew is not None
            if again.log.last == anew.log.last:
                break
        assert again.fold.totals.dump() == anew.fold.totals.dump()
        before = again.fold.totals.events
        deployment.shut.clear()
        await state(one)
        ended = await another.listing.thread("", listed, again)
        fresh = await another.listing.thread("", listed)
        assert ended is not None
        assert fresh is not None
        assert ended.fold.totals.dump() == fresh.fold.totals.dump()
        assert ended.fold.totals.events > before
        assert ended.state() == fresh.state()


async def test_threads_of_the_first_version_are_listed(deployment: Deployment) -> None:
    """They are in no set of their owner's, and say nothing of themselves but what they hold."""
    async with deployment.member() as one:
        for thread_id in ("a", "b"):
            await start(one, "question" if thread_id == "b" else "steps", {"trail": []}, thread_id)
            await state(one, thread_id)
    store = deployment.store()
    opened: Any = store
    async with store.open(Limits()):
        lane = opened._open.commands  # noqa: SLF001
        prefix = opened.address.prefix
        owners = (await lane.ask([b"KEYS", f"{prefix}:of:*"], within=PATIENCE))[0]
        await lane.ask([b"DEL", *owners], within=PATIENCE)
        await lane.ask([b"HDEL", f"{prefix}:meta", b"indexed"], within=PATIENCE)
        for thread_id in ("a", "b"):
            await lane.ask([b"HDEL", f"{prefix}:t:{thread_key('', thread_id)}:rec", b"label"], within=PATIENCE)
        assert await store.listed("", most=9) == []
    application = app(deployment.assistants(), store=deployment.store())
    async with application.state.service.running():
        client = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://127.0.0.1")
        async with client:
            assert [each["thread_id"] for each in (await client.post("/threads/search", json={})).json()] == ["b", "a"]
            found = (await client.post("/threads/search", json={"status": "interrupted"})).json()
            assert [each["thread_id"] for each in found] == ["b"]


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_a_thread_without_a_label_is_read_once(
    kind: str, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads of version 0.1 have none. Whoever searches for others leaves them one; that is no use of them."""
    file = f"sqlite:{deployment.folder / 'threads'}"

    def served() -> Any:
        store = deployment.store() if kind == "redis" else named_store(file)
        return app(deployment.assistants(), store=store)

    application = served()
    service = application.state.service
    async with service.running():
        await ready(service)
        for n, name in enumerate(("steps", "question", "steps")):
            await start(service, name, {"trail": []}, f"t{n}")
            await state(service, f"t{n}")
        keys = [thread_key("", f"t{n}") for n in range(3)]
        if kind == "redis":
            lane = service.store._open.commands  # noqa: SLF001
            names = [f"{service.store.address.prefix}:t:{key}:rec".encode() for key in keys]
            for each in names:
                await lane.ask([b"HDEL", each, b"label"], within=PATIENCE)
        else:
            await service.store._call(lambda tables: tables._db.execute("DELETE FROM labels"))  # noqa: SLF001
        before = [attrs.evolve(each, label=None) for each in await service.store.listed("", most=9)]
    application = served()
    service = application.state.service
    async with service.running():
        await ready(service)
        looked: list[str] = []
        look = service.store.look

        async def counted(key: str) -> Any:
            looked.append(key)
            return await look(key)

        monkeypatch.setattr(service.store, "look", counted)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://127.0.0.1")
        async with client:
            for read in (3, 1):  # then what is shown
                looked.clear()
                found = (await client.post("/threads/search", json={"status": "interrupted"})).json()
                assert [each["thread_id"] for each in found] == ["t1"]
                assert len(looked) == read
        after = await service.store.listed("", most=9)
        assert [attrs.evolve(each, label=None) for each in after] == before
        assert {each.thread_id: json.loads(each.label or b"") for each in after} == {
            "t0": ["steps", False], "t1": ["question", True], "t2": ["steps", False],
        }  # fmt: skip


async def test_what_a_server_of_the_first_version_has_erased_is_passed_over(deployment: Deployment) -> None:
    """It leaves it in its owner's set: a page of the list has as many threads as without, and none is missed."""
    store = deployment.store()
    opened: Any = store
    async with store.open(Limits()):
        for thread_id in "abcde":
            await store.make("", thread_id)
        names = [f"{opened.address.prefix}:t:{thread_key('', each)}:rec".encode() for each in "bde"]
        await opened._open.commands.ask([b"DEL", *names], within=PATIENCE)  # noqa: SLF001
        assert [each.thread_id for each in await store.listed("", most=1)] == ["c"]
        assert [each.thread_id for each in await store.listed("", skip=1, most=1)] == ["a"]
        assert await store.listed("", skip=2, most=1) == []


async def test_labels_are_left_by_runs(deployment: Deployment) -> None:
    """What is filtered by is written with what it says."""
    async with deployment.member() as one:
        await start(one, "ask", {"trail": []})
        await state(one)
        (listed,) = await one.store.listed("", most=9)
        assert json.loads(listed.label or b"") == ["ask", True]
        assert listed.commands == 0
