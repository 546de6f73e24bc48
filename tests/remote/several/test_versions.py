"""Servers of several versions share a store while they are replaced: what one cannot do, another one does."""

from __future__ import annotations

import json
from typing import Any

import anyio
import attrs
import pytest

from anyiostream.remote.store import Changes, Offer, thread_key
from anyiostream.remote.store.redis import RedisStore

from ...waiting import PATIENCE, until
from ..said import ends
from .deployment import CALLER, Deployment, events_of, start, state

pytestmark = pytest.mark.anyio

KEY = thread_key("", "t")


class Versions(Deployment):
    """Servers that serve all graphs, or one."""

    def older(self) -> Deployment:
        """A deployment of the same servers, which serve one graph."""
        found = Deployment(self.url, self.folder)
        found.url, found.shut, found.waiting, found.calls = self.url, self.shut, self.waiting, self.calls
        found.assistants = lambda: {"steps": Deployment.assistants(found)["steps"]}  # type: ignore[method-assign]
        return found


@pytest.fixture
def versions(deployment: Deployment) -> Versions:
    """None of them runs yet."""
    made = Versions(deployment.url, deployment.folder)
    made.url = deployment.url
    return made


async def test_a_run_waits_for_a_server_that_has_its_graph(versions: Versions) -> None:
    """Behind a run of the server that has the thread, which does not serve it; then the thread is another server's."""
    versions.shut.add("b")
    async with versions.older().member() as old, versions.member() as new:
        first = await start(old, "steps", {"trail": ["x"]})
        await until(lambda: "b" in versions.waiting)
        second = await start(new, "again", {"x": 1})
        third = await start(old, "steps", {"trail": ["y"]})
        await until(lambda: sum(count for _, count in old.runner.jobs) == 3)
        versions.shut.clear()
        with anyio.fail_after(PATIENCE):
            await state(new)
        assert ends(await events_of(new)) == [
            (event, run) for run in (first, second, third) for event in ("running", "completed")
        ]


async def test_a_run_that_nobody_serves_can_be_stopped(versions: Versions) -> None:
    """It waits for a server that has its graph; until then, whoever there is tells that it was stopped."""
    async with versions.older().member() as old:
        async with versions.member() as new:
            new.close_streams()  # it accepts what others are to do
            run_id = await start(new, "again", {"x": 1})
        found = await old.known_thread("t", "")
        assert found is not None
        await old.cancel(CALLER, "t", run_id, wait=False)
        with anyio.fail_after(PATIENCE):
            await state(old)
        assert ends(await events_of(old)) == [("failed", run_id)]


def newer(**more: Any) -> Offer:
    """A command as a newer version may keep it."""
    command = {"assistant_id": "steps", "input": {"trail": ["x"]}, "config": {}, "metadata": {}, "newer": 1}
    body = {"kind": "start", "assistant_id": "steps", "answered": [], "resumes": False, "command": command, **more}
    return Offer(owner="", thread_id="t", run_id="r", reply=b"r", body=json.dumps(body).encode())


async def test_what_a_newer_version_has_added_is_passed_over(versions: Versions) -> None:
    """In a command, and in what a thread's events amount to."""
    store = versions.store()
    async with versions.member(store) as one:
        await store.accept(newer(more=1), most=9, within=30)
        with anyio.fail_after(PATIENCE):
            assert (await state(one))["values"]["trail"] == ["x", "a", "b", "c"]
        await _change_fold(store, newer=1, totals={"newer": 1})
        await start(one, "steps", {"trail": ["y"]})
        with anyio.fail_after(PATIENCE):
            assert (await state(one))["values"]["trail"][-4:] == ["y", "a", "b", "c"]


async def test_what_cannot_be_read_is_left_to_servers_that_can(
    versions: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends no server, and none of its other runs; nor does a queue go on without it."""
    store = versions.store()
    async with versions.member(store) as one:
        await store.accept(newer(command=7), most=9, within=30)
        await until(lambda: "cannot be read" in caplog.text)
        await start(one, "steps", {"trail": ["y"]}, "t2")
        with anyio.fail_after(PATIENCE):
            await state(one, "t2")
        found = await store.look(KEY)
        assert found is not None
        assert (len(found.inbox), found.record.holder) == (1, "")
        claim = await store.claim("", "t", holder="newer", nonce="1")  # which can read it, and dies later
        assert claim is not None
        await store.accept(attrs.evolve(newer(), run_id="r2"), most=9, within=30)
        await store.append(KEY, claim.record.epoch, 0, (), Changes(done=[found.inbox[0].place]))
        await store.release(KEY, claim.record.epoch)
        with anyio.fail_after(PATIENCE):
            assert (await state(one))["values"]["trail"] == ["x", "a", "b", "c"]
        versions.shut.add("b")
        await start(one, "steps", {"trail": ["z"]}, "t3")
        await until(lambda: "b" in versions.waiting)
        caplog.clear()
        offered = Offer(owner="", thread_id="t3", run_id="r", reply=b"r", body=newer(command=7).body)
        await store.accept(offered, most=9, within=30)
        await until(lambda: "cannot be read" in caplog.text)
        versions.shut.clear()
        with anyio.fail_after(PATIENCE):
            await until(lambda: not list(one.runner.jobs))


async def _change_fold(store: RedisStore, **fields: Any) -> None:
    """Let a thread's state have more than this version knows."""
    record = f"{store.address.prefix}:t:{KEY}:rec"
    commands = store._open.commands  # noqa: SLF001 -- no other server writes like that yet
    (fold,) = await commands.ask([b"HGET", record, b"fold"])
    await commands.ask([b"HSET", record, b"fold", json.dumps({**json.loads(fold), **fields})])
