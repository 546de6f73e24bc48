"""Who reads a thread at a server that had it: what another one writes is shown here, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from anyio import to_thread
from coredis.exceptions import ResponseError

from anyiostream.remote import Limits, LogGap, fleet
from anyiostream.remote.fold import Fold
from anyiostream.remote.store import Fenced, thread_key
from anyiostream.remote.store.redis import RedisStore
from anyiostream.remote.store.redis import store as store_module
from anyiostream.remote.store.redis import tail as tail_module
from anyiostream.remote.subscriptions import Subscription
from anyiostream.remote.viewer import Viewer

from ...waiting import PATIENCE, turns, until
from ..store.acting import claimed, draft, offer
from ..store.valkey import Valkey, valkey
from .deployment import ALL, Deployment, events_of, start, state
from .reader import Reader, followed

pytestmark = pytest.mark.anyio

KEY = thread_key("ann", "t")


async def test_a_reader_where_the_lease_has_run_out_reads_on(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on at another server; here nothing more is written."""
    deployment.shut.add("b")
    monkeypatch.setattr(fleet, "BEAT", 0.001)  # a server looks at its lease often, although it is long
    now = 1_800_000_000_000_000  # by the store's clock
    stores = [deployment.store(clock=lambda: now) for _ in range(2)]
    async with deployment.member(stores[0]) as one, deployment.member(stores[1]) as other:
        await start(one, "steps", {"trail": ["x"]})
        await until(lambda: "b" in deployment.waiting)
        shown = await one.thread("t", "")
        one.runner.fleet.closing = True  # type: ignore[union-attr] -- it takes nothing over again
        stores[0]._renewal._refused = True  # type: ignore[union-attr]  # noqa: SLF001 -- its lease has run out
        await until(lambda: not list(one.runner.jobs))
        now += 60_000_000
        await until(lambda: list(other.runner.jobs))
        deployment.shut.clear()
        await state(other)
        last = (await events_of(other))[-1]["seq"]
        with anyio.fail_after(PATIENCE):
            await until(lambda: shown.log.last == last)


async def test_a_reader_that_lags_when_the_thread_is_claimed_reads_on(deployment: Deployment) -> None:
    """Its server reads nothing back that it has written itself: what is between comes from the store."""
    one, other = deployment.store(), deployment.store()
    async with one.open(Limits()), other.open(Limits()):
        log = one.log(await one.claim("ann", "t", holder="one", nonce="1"))  # type: ignore[arg-type]
        read = await log.append(draft("read"))
        seen = await other.view(await other.look(KEY), follow=True)  # type: ignore[arg-type]
        other._open.tail._take = lambda *_: None  # type: ignore[method-assign]  # noqa: SLF001 -- what it reads is late
        late = [await log.append(draft("late")), await log.append(draft("late, too"))]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seen.wait, read.seq)
            claim = await other.claim("ann", "t", holder="other", nonce="2")
            assert claim is not None
            log = other.log(claim)
            assert log.last == late[-1].seq
        assert list(await seen.read(read.seq)) == late
        written = await log.append(draft("written"))
        with anyio.fail_after(PATIENCE):
            await seen.wait(late[-1].seq)
        assert list(await seen.read(read.seq)) == [*late, written]


async def test_a_reader_that_is_ahead_when_the_thread_is_claimed_reads_on(deployment: Deployment) -> None:
    """The store has lost what it has shown; what is written here after that is read back."""
    one = deployment.store()
    async with one.open(Limits()):
        log = one.log(await one.claim("ann", "t", holder="one", nonce="1"))  # type: ignore[arg-type]
        kept, lost = await log.append(draft("kept")), await log.append(draft("lost"))
        prefix = one.address.prefix
        await one._open.commands.ask(  # noqa: SLF001 -- makes the store forget
            [b"XDEL", f"{prefix}:t:{KEY}:log", f"{lost.seq}-0"],
            [b"HSET", f"{prefix}:t:{KEY}:rec", "last", kept.seq, "count", 1],
        )
        again = one.log(await one.claim("ann", "t", holder="one", nonce="2"))  # type: ignore[arg-type]
        written = await again.append(draft("new"))
        with anyio.fail_after(PATIENCE):
            await log.wait(lost.seq)
        assert list(await log.read(kept.seq)) == [written]


async def test_a_thread_that_is_made_again_is_another_one(deployment: Deployment) -> None:
    """Whoever has followed the one before is told; what comes has the ids of the new one, wherever it is read."""
    one, other = deployment.store(), deployment.store()
    async with one.open(Limits()), other.open(Limits()):
        log = one.log(await one.claim("ann", "t", holder="one", nonce="1"))  # type: ignore[arg-type]
        read = await log.append(draft("read"))
        seen = await other.view(await other.look(KEY), follow=True)  # type: ignore[arg-type]
        assert list(await seen.read(0)) == [read]
        await one.erase(KEY)
        again = one.log(await one.claim("ann", "t", holder="one", nonce="2"))  # type: ignore[arg-type]
        written = [await again.append(draft("new"))]
        with anyio.fail_after(PATIENCE):
            await seen.wait(read.seq)
        with pytest.raises(LogGap):
            await seen.read(read.seq)
        shown = await other.view(await other.look(KEY), follow=True)  # type: ignore[arg-type]
        written.append(await again.append(draft("newer")))
        with anyio.fail_after(PATIENCE):
            await shown.wait(written[0].seq)
        assert list(await shown.read(0)) == written


async def test_what_the_store_has_forgotten_is_not_given_again(deployment: Deployment) -> None:
    """An epoch or a place in the inbox: a server that had it could write as another one, or end another's run."""
    one, other = deployment.store(), deployment.store()
    async with one.open(Limits()), other.open(Limits()):
        await one.accept(offer("r1"), most=9, within=60)
        record = f"{one.address.prefix}:t:{KEY}:rec"
        (before,) = await one._open.commands.ask([b"HGETALL", record])  # noqa: SLF001
        forgotten = await one.claim("ann", "t", holder="one", nonce="1")
        lost = await one.accept(offer("r2"), most=9, within=60)
        await _forget(one, record, before)
        again = await other.claim("ann", "t", holder="other", nonce="2")
        assert forgotten is not None
        assert again is not None
        assert again.record.epoch > forgotten.record.epoch
        assert (await other.accept(offer("r3"), most=9, within=60)).place > lost.place
        with pytest.raises(Fenced):
            await one.log(forgotten).append(draft("stranger"))


async def _forget(store: Any, record: str, before: Any) -> None:
    """Let a thread's record be what it was."""
    given = [part for item in before.items() for part in item]
    await store._open.commands.ask([b"DEL", record], [b"HSET", record, *given])  # noqa: SLF001


async def test_news_of_an_earlier_incarnation_are_not_taken_for_events(
    deployment: Deployment, store_server: Valkey
) -> None:
    """They come when a server has lost its lease and joined again, by a read that was under way."""
    store = deployment.store()
    async with store.open(Limits()):
        tail, prefix = store._open.tail, store.address.prefix  # noqa: SLF001
        tail.join("old", b"0-0")
        await store.heard()
        await until(lambda: b"cmd=xread" in store_server.ask(b"CLIENT LIST"))
        await turns()
        tail.join("new", b"0-0")
        for server, thread in (("old", "lost before"), ("new", "lost now")):
            await store._open.commands.ask(  # noqa: SLF001
                [b"XADD", f"{prefix}:news:{server}", "*", "k", "l", "t", thread]
            )
        lost: set[str] = set()
        with anyio.fail_after(PATIENCE):
            while "lost now" not in lost:
                lost |= (await store.heard()).lost
        assert lost == {"lost now"}


@pytest.mark.parametrize("follow", [True, False])
async def test_a_log_that_forgets_while_it_is_looked_at_is_looked_at_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, *, follow: bool
) -> None:
    """Its events are large, or many: what the thread's state lacked is gone when that is read."""
    one, store = deployment.store(), deployment.store()
    async with deployment.member(store, events=4) as other, one.open(Limits(events=4)):
        log = one.log(await one.claim("", "t", holder="one", nonce="1"))  # type: ignore[arg-type]
        await log.append(draft(0), fold=Fold().dump)
        await log.append(draft(1))
        read = RedisStore.read

        async def late(self: Any, *args: Any) -> Any:
            monkeypatch.setattr(RedisStore, "read", read)
            for n in range(7):
                await log.append(draft(n), fold=Fold().dump)
            return await read(self, *args)

        monkeypatch.setattr(RedisStore, "read", late)
        found = await (other.thread("t", "") if follow else other.known_thread("t", ""))
        assert found is not None
        assert found.log.last == log.last


async def test_a_viewer_of_a_log_that_forgets_has_no_gap_but_the_beginning(deployment: Deployment) -> None:
    """It has asked for nothing that is gone: it is told what there is no more, and shown the rest."""
    one, store = deployment.store(), deployment.store()
    async with deployment.member(store, events=4) as other, one.open(Limits(events=4)):
        log = one.log(await one.claim("", "t", holder="one", nonce="1"))  # type: ignore[arg-type]

        async def write() -> None:
            for n in range(7):
                await log.append(draft(n), fold=Fold().dump)

        await write()
        thread = await other.thread("t", "")
        assert thread.shared is not None
        fresh, times = thread.shared.fresh, 0

        async def late() -> Any:
            nonlocal times
            found, times = await fresh(), times + 1
            if times == 1:
                await write()
            return found

        thread.shared = attrs.evolve(thread.shared, fresh=late)  # type: ignore[misc]
        viewer = Viewer(thread)
        replay = await viewer.add("s", Subscription(ALL.selection))
        assert (replay.gap, times) == (0, 2)
        with pytest.raises(LogGap):
            await viewer.add("s", Subscription(ALL.selection, since=replay.after - 2))


@pytest.mark.parametrize("leads", [True, False])
async def test_readers_are_told_of_a_loss_before_anybody_writes(tmp_path: Path, *, leads: bool) -> None:
    """The store has come back without what it had shown: a reader would wait for the rest for ever."""
    with valkey(tmp_path) as server:
        one, other = RedisStore(server.url), RedisStore(server.url)
        async with one.open(Limits()), other.open(Limits()):
            log = one.log(await one.claim("ann", "t", holder="one", nonce="1"))  # type: ignore[arg-type]
            read = await log.append(draft("read"))
            seen = log if leads else await other.view(await other.look(KEY), follow=True)  # type: ignore[arg-type]
            await seen.wait(0)
            await to_thread.run_sync(server.kill)
            await to_thread.run_sync(server.start)
            with anyio.fail_after(PATIENCE):
                await seen.wait(read.seq)
            with pytest.raises(LogGap):
                await seen.read(read.seq)


async def test_viewers_of_one_thread_share_what_they_are_sent(deployment: Deployment) -> None:
    """Each has an object of its own for the thread; what is to be sent is chosen and written once."""
    async with deployment.member() as one, deployment.member() as other:
        await start(one, "steps", {"trail": ["x"]})
        await state(one)
        for server in (one, other):
            viewers = [Viewer(await server.thread("t", "")) for _ in range(2)]
            for viewer in viewers:
                await viewer.add("s", Subscription(ALL.selection, since=0))
            first, second = [await viewer.batch() for viewer in viewers]
            assert first
            assert first is second


@pytest.mark.parametrize("made_again", [False, True])
@pytest.mark.parametrize("leads", [True, False])
async def test_readers_are_told_of_a_loss_while_nothing_was_being_read(
    tmp_path: Path, *, leads: bool, made_again: bool
) -> None:
    """The connection was lost, and there was a new one, while the server was busy with what it had read.

    Somebody may have asked for the thread by then, so that there is another one of its name.
    """
    with valkey(tmp_path) as server:
        one, other = RedisStore(server.url), RedisStore(server.url)
        limits = Limits(events=2)
        async with one.open(limits), other.open(limits):
            store = one if leads else other
            reader = Reader(store)
            log = one.log(await claimed(one, thread_id="t"))
            read = [await log.append(draft(n)) for n in range(5)][-1]
            seen = log if leads else await followed(store, "t")
            reader.hold()
            await store.make("ann", "another")
            await followed(store, "another")
            await until(lambda: reader.held)
            lane = store._open.tail._lane  # noqa: SLF001
            made = lane.made
            await to_thread.run_sync(server.kill)
            await to_thread.run_sync(server.start)
            await until(lambda: lane.made > made)
            if made_again:
                await store.make("ann", "t")
            reader.go_on()
            with anyio.fail_after(PATIENCE):
                await seen.wait(read.seq)
            with pytest.raises(LogGap):
                await seen.read(read.seq)
            again = await store.view(await store.make("ann", "t"), follow=True)
            assert again.first == 1  # nothing of it has been forgotten yet


async def test_a_loss_is_looked_for_before_anything_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that has waited for the store to be back would wait for what is new there, however long that takes."""
    for module, name in ((tail_module, "BLOCK"), (store_module, "BLOCK"), (tail_module, "NOTE")):
        monkeypatch.setattr(module, name, PATIENCE)
    with valkey(tmp_path) as server:
        one, other = RedisStore(server.url), RedisStore(server.url)
        async with one.open(Limits()), other.open(Limits()):
            reader = Reader(other)
            read = await one.log(await claimed(one, thread_id="t")).append(draft("read"))
            seen = await followed(other, "t")
            reader.hold()
            await other.make("ann", "another")
            await followed(other, "another")
            await until(lambda: reader.held)
            lane = other._open.tail._lane  # noqa: SLF001
            await to_thread.run_sync(server.kill)
            await until(lambda: lane._connection is None or not lane._connection.usable)  # noqa: SLF001
            reader.go_on()
            await turns()
            await to_thread.run_sync(server.start)
            with anyio.fail_after(PATIENCE / 2):
                await seen.wait(read.seq)
            with pytest.raises(LogGap):
                await seen.read(read.seq)


async def test_a_loss_is_looked_for_again_if_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a store that has something else to do at first, say. What it refuses to look at is not broken therefore."""
    with valkey(tmp_path) as server:
        one, other = RedisStore(server.url), RedisStore(server.url)
        async with one.open(Limits()), other.open(Limits()):
            read = await one.log(await claimed(one, thread_id="t")).append(draft("read"))
            log = await followed(other, "t")
            tail, refused = other._open.tail, 0  # noqa: SLF001
            ask = tail._lane.ask  # noqa: SLF001
            monkeypatch.setattr(tail, "_late", 0.01)

            async def asked(*commands: Any, **options: Any) -> Any:
                nonlocal refused
                replies = await ask(*commands, **options)
                if commands and commands[0][0] == b"HMGET" and refused < 2:
                    refused += 1
                elif not commands or commands[0][0] != b"TYPE":
                    return replies
                return [ResponseError("not now") for _ in replies]

            monkeypatch.setattr(tail._lane, "ask", asked)  # noqa: SLF001
            await to_thread.run_sync(server.kill)
            await to_thread.run_sync(server.start)
            with anyio.fail_after(PATIENCE):
                await log.wait(read.seq)
            assert refused == 2
            with pytest.raises(LogGap):
                await log.read(read.seq)
