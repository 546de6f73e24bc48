"""A store with a codec: what it keeps, what it refuses, and what happens to what cannot be decoded."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from anyiostream.remote import Limits, SqliteStore, app
from anyiostream.remote.store import (
    Changes,
    CodecFailed,
    StoreUnfit,
    back_up,
    named_store,
    sqlite,
    thread_key,
)
from anyiostream.remote.store.redis import RedisStore, fitness
from anyiostream.remote.store.redis.lane import Lane, Lost
from anyiostream.remote.store.sealing import MARK, WAITING, Sealing

from ...waiting import PATIENCE, until
from ..several.deployment import start, state
from .acting import claimed, draft, offer
from .codecs import Toy
from .test_survival import World
from .valkey import Valkey

pytestmark = pytest.mark.anyio

KEY = thread_key("ann", "t")

SECRET = "what-ann-has-written"

OLD, NEW, OTHER = b"old key", b"new key", b"another key"

Made = Callable[..., Any]


@pytest.fixture(params=["sqlite", "redis"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Makes handles of one and the same store, each with a codec of its own."""
    if request.param == "sqlite":
        return lambda codec=None: SqliteStore(tmp_path / "f", codec=codec)
    url = f"{request.getfixturevalue('valkey_server').url}?prefix={uuid4()}"
    return lambda codec=None: RedisStore(url, codec=codec, deadline=PATIENCE, patience=PATIENCE)


async def write(store: Any, *, nonce: str = "1", data: str = SECRET, once: str | None = "k") -> Any:
    """A command, an event, a fold and a label, which all say it; the event."""
    await store.accept(
        offer(f"r{nonce}", body=data.encode(), reply=f"reply {data}".encode(), once=once), most=8, within=30
    )
    log = store.log(await claimed(store, nonce))
    entry = await log.append(draft(data), Changes(fold=data.encode(), label=data.encode()))
    await store.release(KEY, log.epoch)
    return entry


async def check(store: Any, entries: list[Any], data: str = SECRET) -> None:
    """All of it is read back."""
    found = await store.look(KEY)
    assert found.record.fold == data.encode()
    assert [each.body for each in found.inbox] == [data.encode()] * len(entries)
    assert [each.label for each in await store.listed("ann", most=8)] == [data.encode()]
    assert list(await store.read(KEY, 0)) == entries
    assert await store.recall(KEY, "k", within=30) == f"reply {data}".encode()
    assert (await store.claim("ann", "t", holder="c", nonce="check")).record.fold == data.encode()


def raw(store: Any, server: Valkey | None) -> bytes:
    """All that is stored, as it is."""
    if isinstance(store, SqliteStore):
        return b"".join(each.read_bytes() for each in store.path.parent.glob(f"{store.path.name}*"))
    assert server is not None
    words = server.ask(b"KEYS " + store.address.prefix.encode() + b":*").split(b"\r\n")
    found = []
    for key in (word for word in words if b":" in word):
        for command in (b"HGETALL ", b"XRANGE ", b"ZRANGE ", b"SMEMBERS "):
            ends = {b"XRANGE ": b" - +", b"ZRANGE ": b" 0 -1"}.get(command, b"")
            found.append(server.ask(command + key + ends))
    return b"".join(found)


async def test_nothing_that_users_have_written_is_stored_as_it_is(made: Made, request: pytest.FixtureRequest) -> None:
    """Events, commands, replies, folds and labels; they are read back by any server that has the codec."""
    store = made(Toy(NEW))
    server = None if isinstance(store, SqliteStore) else request.getfixturevalue("valkey_server")
    async with store.open(Limits()):
        entry = await write(store)
        kept = raw(store, server)
        assert SECRET.encode() not in kept
        assert b"running" not in kept
        await check(store, [entry])
    async with (again := made(Toy(NEW))).open(Limits()):
        await check(again, [entry])
    plain = made()
    if not isinstance(plain, SqliteStore):
        plain = RedisStore(f"{server.url}?prefix={uuid4()}")  # type: ignore[union-attr]
    else:
        plain = SqliteStore(plain.path.with_name("plain"))
    async with plain.open(Limits()):
        await write(plain)
        assert raw(plain, server).count(SECRET.encode()) >= 5  # so that would have been seen


async def test_a_backup_is_encoded_as_well(tmp_path: Path) -> None:
    """And is a store for those that have the codec only."""
    async with (store := SqliteStore(tmp_path / "f", codec=Toy(NEW))).open(Limits()):
        entry = await write(store)
        back_up(tmp_path / "f", tmp_path / "copy")
    assert SECRET.encode() not in (tmp_path / "copy").read_bytes()
    async with (copy := SqliteStore(tmp_path / "copy", codec=Toy(NEW))).open(Limits()):
        await check(copy, [entry])
    with pytest.raises(StoreUnfit, match="no codec"):
        async with SqliteStore(tmp_path / "copy").open(Limits()):
            pass


@pytest.mark.parametrize(
    ("codec", "reason"),
    [(None, "is encoded, and there is no codec"), (Toy(OTHER), "the codec cannot decode")],
    ids=["none", "another"],
)
async def test_a_wrong_codec_is_refused_at_the_start(made: Made, codec: Any, reason: str) -> None:
    """Nothing has been changed by the attempt."""
    async with (store := made(Toy(NEW))).open(Limits()):
        entry = await write(store)
    with pytest.raises(StoreUnfit, match=reason):
        async with made(codec).open(Limits()):
            pass
    async with (store := made(Toy(NEW))).open(Limits()):
        await check(store, [entry])


async def test_servers_that_know_no_codecs_refuse_it(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They go by the version: for them it is one that they cannot read."""
    async with made(Toy(NEW)).open(Limits()):
        pass
    if (tmp_path / "f").exists():
        (version,) = sqlite3.connect(tmp_path / "f").execute("PRAGMA user_version").fetchone()
        assert version == sqlite.VERSION + 100
        return
    store = made()
    async with anyio.create_task_group() as tasks:
        lane = Lane(store.address, "test", PATIENCE)
        tasks.start_soon(lane.run)
        (found,) = await lane.ask([b"HGET", f"{store.address.prefix}:meta", "schema"])
        lane.close()
    assert int(found) == fitness.SCHEMA + 100


async def test_a_codec_that_does_not_work_is_refused(made: Made) -> None:
    """At the start, in words."""

    class Broken:
        def encode(self, body: bytes) -> Any:
            return body.decode()

        def decode(self, kept: bytes) -> bytes:
            raise NotImplementedError

    with pytest.raises(CodecFailed, match="TypeError; mend its encode"):
        async with made(Broken()).open(Limits()):
            pass

    class OneWay(Broken):
        def encode(self, body: bytes) -> bytes:
            return body

    with pytest.raises(StoreUnfit, match="the codec cannot decode"):
        async with made(OneWay()).open(Limits()):
            pass


def test_a_codec_is_not_for_a_store_that_has_its_own(tmp_path: Path) -> None:
    """It would be taken for used; a name makes a store with it."""
    with pytest.raises(StoreUnfit, match="Give it one where you make it"):
        app({}, store=SqliteStore(tmp_path / "f"), codec=Toy(NEW))
    assert named_store("memory", Toy(NEW)).survives is False
    for name in ("sqlite:f", "redis://localhost"):
        store: Any = named_store(name, Toy(NEW))
        assert store._sealing.encodes  # noqa: SLF001


async def test_a_store_that_was_used_without_one_is_read_on(made: Made, request: pytest.FixtureRequest) -> None:
    """What it had stays as it was; what comes is encoded."""
    async with (store := made()).open(Limits()):
        entry = await write(store)
    codec = Toy(NEW)
    async with (store := made(codec)).open(Limits()):
        await check(store, [entry])
        second = await write(store, nonce="2", data="more", once=None)
        found = await store.look(KEY)
        assert (found.record.fold, [each.body for each in found.inbox]) == (b"more", [SECRET.encode(), b"more"])
        assert list(await store.read(KEY, 0)) == [entry, second]


async def testkeys_are_rotated(made: Made) -> None:
    """What an earlier key has encoded is decoded as long as the codec has it. Then the store can still be opened."""
    async with (store := made(Toy(OLD))).open(Limits()):
        first = await write(store)
    async with (store := made(Toy(NEW, OLD))).open(Limits()):
        await check(store, [first])
        log = store.log(await claimed(store, "2"))
        second = await log.append(draft("second"))
        await log.change(Changes(done=[1]))
    async with (store := made(Toy(NEW))).open(Limits()):
        # The events after what cannot be decoded are there, and so is the thread, to be claimed and given up.
        with pytest.raises(CodecFailed, match="ValueError; give it the key"):
            await store.read(KEY, 0)
        assert list(await store.read(KEY, first.seq)) == [second]
        claim = await claimed(store, "3")
        with pytest.raises(CodecFailed):
            _ = claim.record.fold
        with pytest.raises(CodecFailed):
            await store.recall(KEY, "k", within=1000)
        (listed,) = await store.listed("ann", most=8)
        with pytest.raises(CodecFailed):
            _ = listed.label
        await store.release(KEY, claim.record.epoch)
        await store.erase(KEY)
        assert await store.record(KEY) is None


async def test_what_can_be_decoded_comes_first(made: Made) -> None:
    """A reader is shown all up to what cannot be, and is told only then: nothing is passed over."""
    codec = Toy(NEW)
    async with (store := made(codec)).open(Limits()):
        log = store.log(await claimed(store))
        good = [await log.append(draft(n)) for n in range(2)]
        codec.keys = (OTHER,)
        bad = await log.append(draft("bad"))
        codec.keys = (NEW,)
        last = await log.append(draft("last"))
        assert list(await store.read(KEY, 0)) == good
        with pytest.raises(CodecFailed):
            await store.read(KEY, good[-1].seq)
        assert list(await store.read(KEY, bad.seq)) == [last]


async def test_each_is_encoded_once(made: Made) -> None:
    """However it is counted, written, and shown to those who follow here: an event, and what goes with it."""
    codec = Toy(NEW)
    async with (store := made(codec)).open(Limits()):
        log = store.log(await claimed(store))
        before = codec.encoded
        entry = await log.append(draft(), fold=lambda: b"{}")
        assert codec.encoded == before + 1
        decoded = codec.decoded
        assert list(await log.read(0)) == [entry]
        assert codec.decoded == decoded  # from memory
        before = codec.encoded
        together = [log.place(draft(), fold=lambda: b"{}") for _ in range(3)]
        await log.write()
        assert codec.encoded == before + 3
        assert list(await store.read(KEY, entry.seq)) == together


async def test_what_is_never_stored_is_not_kept(made: Made) -> None:
    """Of runs that were left, before their events were on their way."""
    codec = Toy(NEW)
    async with (store := made(codec)).open(Limits()):
        log = store.log(await claimed(store))
        placed = [log.place(draft(), fold=lambda: b"{}") for _ in range(WAITING + 1)]
        before = codec.encoded
        await log.write()
        assert codec.encoded == before + 1  # the first one, once more
        assert list(await store.read(KEY, 0, len(placed))) == placed


@pytest.mark.parametrize("what", ["append", "accept"])
async def test_what_is_sent_again_is_the_same(
    valkey_server: Valkey, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A call whose answer is lost is repeated byte for byte, although the codec gives others each time."""
    store = RedisStore(f"{valkey_server.url}?prefix={uuid4()}", codec=Toy(NEW), deadline=PATIENCE, patience=PATIENCE)
    sent: list[Any] = []
    ask = Lane.ask

    async def forgetful(self: Lane, *commands: Any, **options: Any) -> Any:
        replies = await ask(self, *commands, **options)
        if commands[0][0] == b"EVALSHA" and commands[0][5] == what:
            sent.append(commands)
            if len(sent) == 1:
                raise Lost("the answer is lost")
        return replies

    async with store.open(Limits()):
        log = store.log(await claimed(store))
        monkeypatch.setattr(Lane, "ask", forgetful)
        if what == "append":
            entry = await log.append(draft(SECRET))
            assert list(await store.read(KEY, 0)) == [entry]
        else:
            assert not (await store.accept(offer(), most=8, within=30)).repeated
            found = await store.look(KEY)
            assert found is not None
            assert len(found.inbox) == 1
    assert len(sent) == 2
    assert sent[0] == sent[1]


@pytest.mark.parametrize("pad", [0, 9])
async def test_the_fold_is_saved_before_its_events_are_forgotten(made: Made, pad: int) -> None:
    """However much longer the codec makes them: the log counts what it keeps."""
    async with (store := made(Toy(NEW, pad=pad))).open(Limits(bytes=20_000)):
        log = store.log(await claimed(store))
        for n in range(150):
            await log.append(draft("x" * 20), fold=lambda n=n: b"%d" % n)
            record = await store.record(KEY)
            assert record is not None
            assert record.folded >= record.floor
        assert record.floor


@asynccontextmanager
async def following(store: Any) -> AsyncIterator[Any]:
    """The log of a thread, as one reads it that does not write it."""
    standing = await store.look(KEY)
    assert standing is not None
    yield await store.view(standing, follow=True)


async def test_followers_are_told(valkey_server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what another server writes that cannot be decoded here: those who come to it. The others read on."""
    url = f"{valkey_server.url}?prefix={uuid4()}"
    codec = Toy(NEW)
    one, other = (RedisStore(url, codec=each, deadline=PATIENCE, patience=PATIENCE) for each in (codec, Toy(NEW)))
    async with one.open(Limits()), other.open(Limits()):
        log = one.log(await claimed(one))  # type: ignore[arg-type]
        elsewhere = one.log(await claimed(one, thread_id="elsewhere"))  # type: ignore[arg-type]
        async with following(other) as shown:
            standing = await other.look(thread_key("ann", "elsewhere"))
            assert standing is not None
            beside = await other.view(standing, follow=True)
            good = await log.append(draft("good"))
            with anyio.fail_after(PATIENCE):
                await shown.wait(0)
            codec.keys = (OTHER,)
            bad = await log.append(draft("bad"))
            codec.keys = (NEW,)
            await log.append(draft("after"))
            with anyio.fail_after(PATIENCE):
                await shown.wait(good.seq)
                assert list(await shown.read(good.seq - 1)) == [good]
                for _ in range(2):
                    with pytest.raises(CodecFailed, match="give it the key"):
                        await shown.read(good.seq)
                # It is not read over and over; others are.
                asked: list[Any] = []
                ask = Lane.ask

                async def noted(self: Lane, *commands: Any, **options: Any) -> Any:
                    asked.extend(commands)
                    return await ask(self, *commands, **options)

                monkeypatch.setattr(Lane, "ask", noted)
                entry = await elsewhere.append(draft())
                await beside.wait(0)
                assert list(await beside.read(0)) == [entry]
                reads = [each for each in asked if each[0] == b"XREAD"]
                assert not any(f":t:{KEY}:log" in str(each) for each in reads)
                # Whoever begins behind it is shown what comes.
                late = await other.view(await other.look(KEY), follow=True)  # type: ignore[arg-type]
                last = await log.append(draft("last"))
                await late.wait(last.seq - 1)
                assert list(await late.read(last.seq - 1)) == [last]
                assert bad.seq < last.seq


@asynccontextmanager
async def served(world: World, codec: Toy) -> AsyncIterator[Any]:
    """A server that has the world's file for itself."""
    store = SqliteStore(world.folder / "f", codec=codec)
    application = app(world.assistants(), store=store, limits=Limits(drain=0.01))
    service = application.state.service
    async with service.running():
        yield service


async def test_a_server_lives_with_what_it_cannot_decode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It says so once, and does the rest; nothing is tried over and over, and nothing is lost."""
    world = World(tmp_path)
    world.shut.add("b")
    async with served(world, Toy(OLD)) as service:
        await start(service, "steps", {"trail": ["x"]})
        await until(lambda: "b" in world.waiting)
    async with SqliteStore(tmp_path / "f", codec=Toy(NEW, OLD)).open(Limits()):
        pass
    world.shut.clear()
    async with served(world, Toy(NEW)) as service:
        await start(service, "steps", {"trail": ["y"]}, thread="own")
        assert (await state(service, "own"))["values"] == {"trail": ["y", "a", "b", "c"]}
        for _ in range(2):
            with pytest.raises(CodecFailed):
                await service.thread("t", "")
        with pytest.raises(CodecFailed):
            await start(service, "steps", {"trail": ["z"]})
    said = [each for each in caplog.records if each.getMessage() == "thread t cannot be read: it is left to others"]
    assert len(said) == 1
    async with served(world, Toy(NEW, OLD)) as service:
        assert (await state(service))["values"] == {"trail": ["x", "a", "b", "c"]}


def test_without_a_codec_nothing_changes() -> None:
    """Neither the bytes nor the objects."""
    sealing = Sealing(None)
    entries: Any = [object()]
    assert sealing.entries(entries) is entries
    changes = Changes(fold=b"{}")
    assert changes.sealed(sealing) is changes
    command = offer()
    assert command.sealed(sealing) is command
    assert sealing.open(b"{}") == b"{}"
    with pytest.raises(CodecFailed, match="has no codec"):
        sealing.open(MARK + b"{}")
