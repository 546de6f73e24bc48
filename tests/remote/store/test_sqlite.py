# ruff: noqa: SLF001 -- makes the file small, and looks at its pages
"""What a store in a file does beyond the contract: it outlives its process, and it is its own process's alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from anyiostream.remote import Limits, LogGap
from anyiostream.remote.store import (
    Changes,
    MemoryStore,
    OutOfStep,
    SqliteStore,
    StoreFailed,
    StoreInUse,
    StoreUnfit,
    back_up,
    named_store,
    thread_key,
)

from .acting import claimed, draft, entry, offer

pytestmark = pytest.mark.anyio

KEY = thread_key("ann", "t")

LIMITS = Limits()


async def filled(path: Path) -> list[Any]:
    """Make a file with a thread of three events, a fold, a question and two commands; its events."""
    store = SqliteStore(path)
    async with store.open(LIMITS):
        await store.accept(offer("r1", once="k"), most=8, within=30)
        await store.accept(offer("r2"), most=8, within=30)
        log = store.log(await claimed(store))
        await log.change(Changes(attempts=(1, 1)))
        return [await log.append(draft(n), Changes(fold=b"%d" % n, pending=("i",))) for n in range(3)]


async def test_everything_is_there_again(tmp_path: Path) -> None:
    """Events with their ids, the fold, questions, commands, and what was accepted; readers read on where they were."""
    entries = await filled(tmp_path / "f")
    store = SqliteStore(tmp_path / "f")
    async with store.open(LIMITS):
        assert await store.unfinished() == [KEY]
        claim = await claimed(store, "2")
        log = store.log(claim)
        assert (claim.record.fold, claim.record.pending, claim.record.epoch) == (b"2", ("i",), 2)
        assert [(each.run_id, each.attempts) for each in claim.inbox] == [("r1", 1), ("r2", 0)]
        assert (await store.accept(offer("r3", once="k"), most=8, within=30)).reply == b"r1"
        assert list(await log.read(0)) == entries
        assert list(await log.read(entries[0].seq)) == entries[1:]
        assert (log.first, log.last) == (1, entries[-1].seq)
        written = await log.append(draft())
        assert written.seq > entries[-1].seq
        assert list(await log.read(entries[-1].seq)) == [written]


async def test_what_a_backup_lacks_is_a_gap(tmp_path: Path) -> None:
    """What was written after it was taken is lost; its places are not given again, and who has read them is told."""
    entries = await filled(tmp_path / "f")
    store = SqliteStore(tmp_path / "f")
    async with store.open(LIMITS):
        back_up(tmp_path / "f", tmp_path / "backup")  # while it is in use
        log = store.log(await claimed(store, "2"))
        lost = [await log.append(draft("lost")) for _ in range(3)]
    shutil.copy(tmp_path / "backup", tmp_path / "f")
    for rest in ("-wal", "-shm"):
        (tmp_path / f"f{rest}").unlink(missing_ok=True)
    async with store.open(LIMITS):
        log = store.log(await claimed(store, "3"))
        written = await log.append(draft("new"))
        assert written.seq > lost[-1].seq
        assert list(await log.read(entries[-1].seq)) == [written]
        for each in lost:
            with pytest.raises(LogGap):
                await log.read(each.seq)


async def test_a_file_is_one_processes(tmp_path: Path) -> None:
    """Another one is refused, as is a second store in this one; when it is closed, the next may have it."""
    store = SqliteStore(tmp_path / "f")
    program = (
        "import anyio, sys\nfrom anyiostream.remote import Limits\nfrom anyiostream.remote.store import SqliteStore\n"
    )
    program += "async def main():\n async with SqliteStore(sys.argv[1]).open(Limits()): print('open')\nanyio.run(main)"
    command = [sys.executable, "-c", program, str(tmp_path / "f")]
    async with store.open(LIMITS):
        with pytest.raises(StoreInUse, match="in use"):
            async with SqliteStore(tmp_path / "." / "f").open(LIMITS):
                pass
        done = await anyio.run_process(command, check=False)
        assert b"StoreInUse" in done.stderr
    async with SqliteStore(tmp_path / "f").open(LIMITS):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_fork_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would write with its parent's connection."""
    store = SqliteStore(tmp_path / "f")
    async with store.open(LIMITS):
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(StoreFailed, match="fork"):
                await store.record(KEY)
        assert await store.record(KEY) is None


async def test_a_store_that_is_not_open_is_refused(tmp_path: Path) -> None:
    """In words."""
    with pytest.raises(StoreFailed, match="lifespan"):
        await SqliteStore(tmp_path / "f").record(KEY)


async def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    """Other programs' databases, other files, other versions, folders, and folders that are not there."""
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    (tmp_path / "text").write_text("hello " * 1000)
    await filled(tmp_path / "new")
    with sqlite3.connect(tmp_path / "new") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for name in ("other", "text", "new", ".", "nowhere/f"):
        with pytest.raises(StoreUnfit):
            async with SqliteStore(tmp_path / name).open(LIMITS):
                pass
    with sqlite3.connect(tmp_path / "other") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


async def test_it_is_nobody_elses_to_read(tmp_path: Path) -> None:
    """What threads hold is private."""
    await filled(tmp_path / "f")
    back_up(tmp_path / "f", tmp_path / "backup")
    for name in ("f", "backup"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


async def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    """And is of a store."""
    await filled(tmp_path / "f")
    back_up(tmp_path / "f", tmp_path / "backup")
    with pytest.raises(StoreUnfit, match="already"):
        back_up(tmp_path / "f", tmp_path / "backup")
    with pytest.raises(StoreUnfit, match="no such file"):
        back_up(tmp_path / "nothing", tmp_path / "b")
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(StoreUnfit):
        back_up(tmp_path / "text", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert not (tmp_path / "b-partial").exists()


async def test_calls_that_fall_together_are_one_transaction(tmp_path: Path) -> None:
    """And each has its own result, refusals included."""
    store = SqliteStore(tmp_path / "f")
    async with store.open(LIMITS):
        claims = [await claimed(store, thread_id=f"t{n}") for n in range(20)]
        log = [store.log(claim) for claim in claims]
        failed = []

        async def wrong() -> None:
            try:
                await store.append(claims[0].record.key, 1, 5, [entry(claims[0], 9)])
            except OutOfStep as exc:
                failed.append(exc)

        before = await transactions(store)
        async with anyio.create_task_group() as tasks:
            for each in log:
                tasks.start_soon(each.append, draft())
            tasks.start_soon(wrong)
        assert await transactions(store) - before <= 4
        assert len(failed) == 1
        for each in log:
            assert len(await store.read(each.key, 0)) == 1


async def transactions(store: Any) -> int:
    """How many there have been."""
    return await store._call(lambda tables: tables._transactions)


async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """What does not fit is not there, others' calls of the same moment are, and it goes on when there is room."""
    store = SqliteStore(tmp_path / "f")
    async with store.open(LIMITS):
        log, other = store.log(await claimed(store)), store.log(await claimed(store, thread_id="other"))
        first = await log.append(draft())
        await limit_pages(store, 40)
        failed = []

        async def write() -> None:
            try:
                await log.append(draft("x" * 500_000))
            except StoreFailed as exc:
                failed.append(str(exc))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            tasks.start_soon(other.append, draft())
        assert "full" in failed[0]
        assert list(await log.read(0)) == [first]
        assert len(await other.read(0)) == 1
        await limit_pages(store, 100_000)
        again = store.log(await claimed(store, "2"))
        await again.append(draft("x" * 500_000))
        assert len(await again.read(0)) == 2


@pytest.mark.parametrize("fails", ["thread", "rollback"])
async def test_no_call_counts_as_done_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """There is no thread to do it in, or what went wrong cannot be undone: all calls of that moment have failed."""
    store: Any = SqliteStore(tmp_path / "f")
    async with store.open(LIMITS):
        logs = [store.log(await claimed(store, thread_id=f"t{n}")) for n in range(3)]
        failed = []

        async def write(log: Any) -> None:
            try:
                await log.append(draft())
            except StoreFailed as exc:
                failed.append(str(exc))

        def fail(*_: Any, **__: Any) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

        async def no_thread(*_: Any, **__: Any) -> Any:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            if fails == "thread":
                patch.setattr(to_thread, "run_sync", no_thread)
            else:
                patch.setattr(store._tables, "append", fail)
                patch.setattr(store._tables, "roll_back", fail)
            async with anyio.create_task_group() as tasks:
                for log in logs:
                    tasks.start_soon(write, log)
        assert len(failed) == 3
        store._tables.roll_back()
        for log in logs:
            assert log.last == 0
            assert list(await store.read(log.key, 0)) == []


async def limit_pages(store: Any, most: int) -> None:
    """Let the file have no more pages, like a disk that is full."""
    await store._call(lambda tables: tables._db.execute(f"PRAGMA max_page_count = {most}").fetchall())


async def test_what_is_forgotten_gives_its_pages_back(tmp_path: Path) -> None:
    """The file does not only grow."""
    store = SqliteStore(tmp_path / "f")
    async with store.open(Limits(bytes=10**9)):
        log = store.log(await claimed(store))
        for _ in range(4):
            await log.append(draft("x" * 500_000))
        await store.erase(KEY)
        free = await store._call(lambda tables: tables._db.execute("PRAGMA freelist_count").fetchone()[0])
        assert free > 400
        await store._call(lambda tables: setattr(tables, "_transactions", 511))
        left = await store._call(lambda tables: tables._db.execute("PRAGMA freelist_count").fetchone()[0])
        assert left == free - 256


@pytest.mark.parametrize("name", ["mongodb://x", "sqlite:", "sqlite", "sqlite::memory:", ""])
def test_stores_that_there_are_not(name: str) -> None:
    """The message says which there are."""
    with pytest.raises(StoreUnfit, match="sqlite:FILE"):
        named_store(name)


def test_stores_by_name() -> None:
    """As the command line has them."""
    assert isinstance(named_store("memory"), MemoryStore)
    store = named_store("sqlite:a/b.sqlite")
    assert isinstance(store, SqliteStore)
    assert store.path == Path("a/b.sqlite")
