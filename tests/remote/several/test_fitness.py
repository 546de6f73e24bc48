"""Which stores are refused, with what to do; addresses; and graphs whose checkpoints the others do not see."""

from __future__ import annotations

import traceback
from pathlib import Path

import anyio
import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from anyiostream.remote import Assistant, Limits, app
from anyiostream.remote.metrics import statistics
from anyiostream.remote.store import NotAsynchronous, NotShared, StoreFailed, StoreUnfit, named_store
from anyiostream.remote.store.redis import RedisStore
from anyiostream.remote.store.redis.address import Address
from anyiostream.remote.store.redis.fitness import check_facts

from ...waiting import PATIENCE
from ..store.test_survival import World
from ..store.valkey import Valkey, valkey
from .deployment import Deployment

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"redis_version": "6.0.9"}, "6.2 is the oldest"),
        ({"cluster_enabled": "1"}, "Cluster"),
        ({"role": "slave"}, "replica"),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction, not allkeys-lru"),
    ],
)
def test_a_server_that_cannot_keep_threads(facts: dict[str, str], reason: str) -> None:
    """It would lose them, or cannot change them as a whole."""
    fit = {"redis_version": "7.2.4", "cluster_enabled": "0", "role": "master", "maxmemory_policy": "noeviction"}
    check_facts("the store", fit)
    with pytest.raises(StoreUnfit, match=reason):
        check_facts("the store", {**fit, **facts})


async def test_it_is_asked_before_anything_is_kept(store_server: Valkey, tmp_path: Path) -> None:
    """Its policy, its password, its schema, and whether there is one at all."""
    with valkey(tmp_path, "--maxmemory-policy", "allkeys-lru", "--requirepass", "secret") as other:
        for url, reason in (
            (other.url.replace("//", "//:secret@"), "maxmemory-policy"),
            (other.url, "user or the password"),
            (other.url.replace("//", "//:wrong@"), "user or the password"),
        ):
            with pytest.raises(StoreUnfit, match=reason):
                async with RedisStore(url, patience=PATIENCE).open(Limits()):
                    pass
    with pytest.raises(StoreUnfit, match="cannot be reached"):
        async with RedisStore(other.url, patience=0.3).open(Limits()):
            pass
    store_server.ask(b"HSET newer:meta schema 2")
    with pytest.raises(StoreUnfit, match="of version 2"):
        async with RedisStore(f"{store_server.url}?prefix=newer", patience=PATIENCE).open(Limits()):
            pass


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("redis://h", Address(hosts=(("h", 6379),))),
        ("redis://h:1/2?prefix=p&lease=3", Address(hosts=(("h", 1),), database=2, prefix="p", lease=3.0)),
        ("redis://ann:a%40b@[::1]:7", Address(hosts=(("::1", 7),), username="ann", password="a@b")),
        (
            "redis+sentinel://u:p@a,b:5/main/1?sentinel_password=s",
            Address(
                hosts=(("a", 26379), ("b", 5)), service="main", database=1, username="u", password="p",
                sentinel_password="s",
            ),
        ),
    ],
)  # fmt: skip
def test_addresses(url: str, wanted: Address) -> None:
    """What each part of one is."""
    assert Address.parse(url) == wanted


@pytest.mark.parametrize(
    "url",
    ["redis://", "redis://h:x", "redis://h/a", "redis://h/0/1", "redis://h?colour=red", "redis://h?lease=0.5",
     "redis+sentinel://h", "rediss://h?ca=/nowhere", "redis://h?prefix", "redis://ann:se/secret@h:1",
     "redis://ann:se?secret@h", "redis+sentinel://h?sentinel_password=a@secret", "redis:ann:secret@h",
     "redis://ann:secret\u2100@h", "postgresql://ann:secret@h/runs", "Redis+sentinal://:secret@h"],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    """It is said, without a password."""
    with pytest.raises(StoreUnfit):
        named_store(url)
    with pytest.raises(StoreUnfit) as refused:
        named_store(url.replace("//", "//ann:secret@") if "@" not in url else url)
    shown = traceback.format_exception(refused.value)
    assert "secret" not in "".join(line for line in shown if "Error" in line or "Unfit" in line)


def test_checkpoints_that_are_not_shared(tmp_path: Path) -> None:
    """Are refused at once, with the way out; where they are shared after all, that can be said."""
    graph = World.chain(InMemorySaver(), a=World(tmp_path).step)
    with pytest.raises(NotShared, match=r"'chat'.*InMemorySaver.*AsyncPostgresSaver"):
        app({"chat": graph}, store="redis://h")
    assert app({"chat": Assistant(graph=graph, shared_checkpoints=True)}, store="redis://h")
    assert app({"chat": World.chain(None, a=World(tmp_path).step)}, store="redis://h")
    assert app({"chat": graph})
    with pytest.raises(StoreUnfit, match="lead"):
        app({}, store="redis://h", limits=Limits(lead=3))


class WithoutALoop(InMemorySaver):
    """A checkpointer whose asynchronous methods are only inherited."""

    aget_tuple = BaseCheckpointSaver.aget_tuple


@pytest.mark.parametrize("store", ["memory", "redis://h"])
def test_checkpointers_that_work_without_a_loop_only(tmp_path: Path, store: str) -> None:
    """Are refused at once, over any store: none of their runs could begin."""
    graph = World.chain(WithoutALoop(), a=World(tmp_path).step)
    with pytest.raises(NotAsynchronous, match="'chat' cannot be served: WithoutALoop has no asynchronous methods"):
        app({"chat": graph}, store=store)


async def test_a_store_that_is_not_open() -> None:
    """It says that the lifespan does not run."""
    with pytest.raises(StoreFailed, match="lifespan"):
        await RedisStore("redis://h").record("k")


async def test_four_connections(deployment: Deployment, store_server: Valkey) -> None:
    """A server has as many, whatever the number of its viewers."""
    from .deployment import follow, start, state

    def connections() -> int:
        return store_server.ask(b"CLIENT LIST TYPE normal").count(b"name=anyiostream-")

    deployment.shut.add("b")
    before = connections()
    async with deployment.member() as one, anyio.create_task_group() as tasks:
        await start(one, "steps", {"trail": []})

        async def view() -> None:
            from contextlib import aclosing

            async with aclosing(follow(one)) as batches:
                async for _ in batches:
                    pass

        for _ in range(20):
            tasks.start_soon(view)
        deployment.shut.clear()
        await state(one)
        assert connections() - before <= 4
        figures = statistics(one.runner, one.streams, one.intake)
        assert figures["margin"] > 0
        assert await one.unready() is None
        tasks.cancel_scope.cancel()
