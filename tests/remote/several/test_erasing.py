"""A thread that is erased is gone for those that read it, too, whichever server they came to."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream.remote import app
from anyiostream.remote.commands import Answer, InputRespond
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.service import Service
from anyiostream.remote.sse import EventStream
from anyiostream.remote.store import SharedStore, SqliteStore
from anyiostream.remote.subscriptions import Subscription

from ...waiting import PATIENCE, until
from .deployment import ALL, CALLER, Deployment, ready, start, state

pytestmark = pytest.mark.anyio


async def watch(service: Service, sent: list[bytes]) -> None:
    """Read the thread by server-sent events until the stream is ended."""
    stream = await EventStream.open(service, await service.thread("t", ""), Subscription(ALL.selection))

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    await stream({}, anyio.sleep_forever, send)


@pytest.mark.parametrize("how", ["a client's wish", "age"])
async def test_viewers_at_all_servers_are_told(deployment: Deployment, how: str) -> None:
    """Their streams end, so that they connect again, and learn that what they have read is gone."""
    now = 1_800_000_000_000_000
    stores = [deployment.store(clock=lambda: now) for _ in range(2)]
    async with deployment.member(stores[0]) as one, deployment.member(stores[1]) as other:
        await start(one, "steps", {"trail": ["x"]})
        await state(one)
        await start(one, "steps", {"trail": ["y"]}, "t2")
        await state(one, "t2")
        last = (await other.thread("t", "")).log.last
        seen: dict[Service, list[bytes]] = {one: [], other: []}
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for service, sent in seen.items():
                    tasks.start_soon(watch, service, sent)
                await until(lambda: all(b"completed" in b"".join(sent) for sent in seen.values()))
                if how == "age":
                    now += 5_000_000
                    assert await stores[0].expire(4, 4) == 2
                else:
                    found = await one.known_thread("t", "")
                    assert found is not None
                    await one.erase(found)
        for service in seen:
            with pytest.raises(Refusal, match="gap"):
                await EventStream.open(service, await service.thread("t", ""), Subscription(ALL.selection, since=last))


async def test_viewers_of_a_run_that_is_erased_are_told(deployment: Deployment) -> None:
    """It has no end: who waits for that would wait for ever."""
    deployment.shut.add("b")
    store: SharedStore = deployment.store()
    async with deployment.member() as one, deployment.member(store) as other:
        await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch, other, [])
                await until(lambda: len(other.streams) == 1)
                await store.erase((await other.thread("t", "")).log.key)
            await until(lambda: not list(one.runner.jobs))


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
async def test_a_thread_at_a_breakpoint_waits_for_its_user(deployment: Deployment, kind: str) -> None:
    """As one with a question: it is not forgotten with those that nobody has to go on with."""
    now = 1_800_000_000_000_000
    shared = deployment.store(clock=lambda: now)
    store: Any = shared if kind == "redis" else SqliteStore(deployment.folder / "runs", clock=lambda: now)
    graph = deployment.assistants()["steps"]
    graph.interrupt_before_nodes = ["b"]
    service: Service = app({"steps": graph}, store=store).state.service
    async with service.running():
        await ready(service)
        await start(service, "steps", {"trail": ["x"]})
        assert (await state(service))["next"] == ["b"]
        now += 10_000_000
        assert await store.expire(4, 20) == 0
        found = await service.known_thread("t", "")
        assert found is not None
        with pytest.raises(Refusal, match="interrupt"):
            await service.execute(CALLER, "t", InputRespond((Answer("", (), 1),), None, None, {}, {}))
        await start(service, "steps")
        assert (await state(service))["values"]["trail"] == ["x", "a", "b", "c"]
        await until(lambda: not list(service.runner.jobs))
        now += 10_000_000
        assert await store.expire(4, 20) == 1
