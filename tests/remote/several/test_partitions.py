"""What lies between a server and its store: cut, stalled, or lost in one direction. And a server that is cut off."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from anyio import to_thread

from anyiostream.remote import Limits, fleet
from anyiostream.remote.store import Changes, Fenced, StoreFailed, thread_key
from anyiostream.remote.store.redis import RedisStore, renewal, scripts
from anyiostream.remote.store.redis import store as redis_store

from ...faults.tcp_proxy import Proxy, proxy
from ...waiting import PATIENCE, until
from ..said import ends, restarts
from ..store.acting import claimed, draft, entry, offer
from ..store.valkey import Valkey, valkey
from .deployment import Deployment, events_of, start, state

pytestmark = pytest.mark.anyio

KEY = thread_key("ann", "t")


def through(between: Proxy, deployment: Deployment, **options: Any) -> RedisStore:
    """The deployment's store, by way of a proxy: an answer that does not come is noticed soon, and asked for again."""
    url = f"redis://127.0.0.1:{between.port}?{deployment.url.partition('?')[2]}"
    return RedisStore(url, **{"lease": 60.0, "deadline": 1.0, "patience": PATIENCE, **options})


@attrs.define
class Later:
    """A clock that can be set forward, in place of the module `time`."""

    by: float = 0.0

    def monotonic(self) -> float:
        """s."""
        return time.monotonic() + self.by


async def test_a_store_that_does_not_answer_at_first_is_waited_for(
    deployment: Deployment, store_server: Valkey
) -> None:
    """A server begins when the store answers: what it asks first is asked again, like all else."""
    async with proxy(("127.0.0.1", store_server.port)) as between, anyio.create_task_group() as tasks:
        store = through(between, deployment)
        between.stall()

        async def answer() -> None:
            await until(lambda: between.accepted > 6)  # each of three connections has been given up twice, or nearly
            between.heal()

        tasks.start_soon(answer)
        async with store.open(Limits()):
            assert await store.look(KEY) is None


async def test_what_was_cut_is_done_once(deployment: Deployment, store_server: Valkey) -> None:
    """Appends, commands and claims whose outcome is not known are repeated, and are there once, in order."""
    draw = random.Random(16)
    async with proxy(("127.0.0.1", store_server.port)) as between:
        store = through(between, deployment)
        async with store.open(Limits()):
            claim = await claimed(store)
            log = store.log(claim)
            written = []
            for n in range(30):
                between.cut_next(draw.choice(["there", "back"]))
                written.append(await log.append(draft(n)))
                if n % 10 == 0:
                    between.cut_next("back")
                    await store.accept(offer(f"r{n}"), most=100, within=30)
                    between.cut_next("back")
                    again = await store.claim("ann", "t", holder="server 1", nonce="1")
                    assert again is not None
                    assert again.record.epoch == claim.record.epoch
            assert list(await store.read(KEY, 0, 1000)) == written
            found = await store.look(KEY)
            assert found is not None
            assert [each.run_id for each in found.inbox] == [f"r{n}" for n in range(0, 30, 10)]
            assert between.accepted > 20


async def test_a_store_out_of_reach_is_said(deployment: Deployment, store_server: Valkey) -> None:
    """A call fails when its patience is at an end; the next one is answered when it can be reached again."""
    async with proxy(("127.0.0.1", store_server.port)) as between:
        store = through(between, deployment)
        async with store.open(Limits()):
            claim = await claimed(store)
            between.stall()
            patiently, store._margin = store._margin, lambda: 2.0  # type: ignore[method-assign]  # noqa: SLF001
            with pytest.raises(StoreFailed, match="out of reach"):
                await store.append(KEY, claim.record.epoch, 0, [entry(claim)])
            between.heal()
            store._margin = patiently  # type: ignore[method-assign]  # noqa: SLF001 -- for as long as it takes
            await store.append(KEY, claim.record.epoch, 0, [entry(claim)])
            assert len(await store.read(KEY, 0)) == 1


async def test_a_store_that_is_busy_is_waited_for(tmp_path: Path) -> None:
    """With somebody else's script: that is no reason to end runs."""
    with valkey(tmp_path, "--busy-reply-threshold", "1") as server:
        store = RedisStore(server.url, patience=PATIENCE)
        async with store.open(Limits()), anyio.create_task_group() as tasks:
            log = store.log(await claimed(store))
            tasks.start_soon(to_thread.run_sync, server.ask, b"EVAL 'while true do end' 0")
            while b"BUSY" not in await to_thread.run_sync(server.ask, b"PING"):
                pass
            commands = store._open.commands  # noqa: SLF001 -- what it is told
            ask, told = commands.ask, []

            async def noted(*args: Any, **options: Any) -> Any:
                replies = await ask(*args, **options)
                told.append(str(replies[0]))
                return replies

            commands.ask = noted  # type: ignore[method-assign]
            tasks.start_soon(log.append, draft("waited for"))
            await until(lambda: told)
            assert told[0].startswith("BUSY")
            await to_thread.run_sync(server.ask, b"SCRIPT KILL")
        assert told[-1].startswith("[b'appended'")


async def test_a_server_that_is_cut_off_stops_its_runs_and_another_goes_on(
    deployment: Deployment, store_server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own clock, before anybody else can have them. When it is back, it is a server like any other."""
    deployment.shut.add("b")
    now = 1_800_000_000_000_000  # by the store's clock
    clock = Later()  # the servers'
    for module in (renewal, scripts, redis_store):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(fleet, "BEAT", 0.001)  # looks at it often, although the lease is long
    async with proxy(("127.0.0.1", store_server.port)) as between:
        stores = (
            through(between, deployment, clock=lambda: now),
            deployment.store(lease=600.0, clock=lambda: now),
        )
        async with deployment.member(stores[0]) as one, deployment.member(stores[1]) as other:
            run_id = await start(one, "steps", {"trail": ["x"]})
            await until(lambda: "b" in deployment.waiting)
            before = one.runner.fleet.holder  # type: ignore[union-attr]
            between.lose()
            between.refuse()
            clock.by = 60.0
            await until(lambda: not list(one.runner.jobs))
            assert not list(other.runner.jobs)
            now += 60_000_000
            await until(lambda: list(other.runner.jobs))
            deployment.shut.clear()
            found = await state(other)
            assert found["values"] == {"trail": ["x", "a", "b", "c"]}
            events = await events_of(other)
            assert ends(events) == [("running", run_id), ("completed", run_id)]
            assert [each["attempt"] for each in restarts(events)] == [2]
            assert deployment.calls == ["a", "b", "b", "c"]
            between.heal()
            await until(lambda: one.runner.fleet.holder not in {"", before})  # type: ignore[union-attr]
            await start(one, "steps", {"trail": ["y"]})
            assert (await state(one))["values"]["trail"][-4:] == ["y", "a", "b", "c"]


async def test_what_a_stranger_still_writes_is_refused(deployment: Deployment) -> None:
    """A server that does not know yet that its lease has run out, and that another one has the thread."""
    one, other = deployment.store(), deployment.store()
    async with one.open(Limits()), other.open(Limits()):
        claim = await one.claim("ann", "t", holder="one", nonce="1")
        assert claim is not None
        async with other.join("other"):
            log = other.log(await other.claim("ann", "t", holder="other", nonce="2"))  # type: ignore[arg-type]
            written = await log.append(draft("mine"))
            with pytest.raises(Fenced):
                await one.append(KEY, claim.record.epoch, 0, [entry(claim)], Changes(done=[1]))
            assert list(await one.read(KEY, 0)) == [written]
            assert await one.claim("ann", "t", holder="one", nonce="3") is None


async def test_followers_elsewhere_are_told_of_what_the_store_has_lost(deployment: Deployment) -> None:
    """Events that it had shown are gone: who has read them gets a gap, who has not reads on."""
    from anyiostream.remote import LogGap

    one, other = deployment.store(), deployment.store()
    async with one.open(Limits()), other.open(Limits()):
        log = one.log(await one.claim("ann", "t", holder="one", nonce="1"))  # type: ignore[arg-type]
        kept = await log.append(draft("kept"))
        seen = await other.view(await other.look(KEY), follow=True)  # type: ignore[arg-type]
        lost = await log.append(draft("lost"))
        await seen.wait(kept.seq)
        assert list(await seen.read(kept.seq)) == [lost]
        prefix = other.address.prefix
        await other._call("schema", 1)  # noqa: SLF001 -- the script is there
        opened = other._opened  # noqa: SLF001 -- makes the store forget
        assert opened is not None
        await opened.commands.ask(
            [b"XDEL", f"{prefix}:t:{KEY}:log", f"{lost.seq}-0"],
            [b"HSET", f"{prefix}:t:{KEY}:rec", "last", kept.seq, "count", 1],
        )
        log = one.log(await one.claim("ann", "t", holder="one", nonce="2"))  # type: ignore[arg-type]
        written = await log.append(draft("new"))
        assert written.seq > lost.seq
        await seen.wait(lost.seq)
        with pytest.raises(LogGap):
            await seen.read(lost.seq)
        assert list(await seen.read(kept.seq)) == [written]


async def test_a_write_that_fails_is_no_end_of_its_run(deployment: Deployment) -> None:
    """The store answers again at once: what is written to the log next is what the run goes on with."""
    deployment.shut.add("b")
    store = deployment.store()
    async with deployment.member(store) as one:
        run_id = await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        append, failed = store.append, False

        async def fail_once(*args: Any) -> None:
            nonlocal failed
            await append(*args)
            if not failed:
                failed = True
                raise StoreFailed("its answer was lost")

        store.append = fail_once  # type: ignore[method-assign]
        deployment.shut.clear()
        assert (await state(one))["values"] == {"trail": ["x", "a", "b", "c"]}
        assert ends(await events_of(one)) == [("running", run_id), ("completed", run_id)]
