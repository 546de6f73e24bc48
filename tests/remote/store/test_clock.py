"""The time by which stores remember and forget: it goes on, whatever happens to the wall clock."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from anyiostream.remote import Limits
from anyiostream.remote.store import MemoryStore, SqliteStore, memory

from .acting import offer

HOUR = 3600 * 10**6


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The wall clock, and that of the process, in ns."""
    clocks = SimpleNamespace(wall=1_800_000_000 * 10**9, process=5 * 10**9)
    told = SimpleNamespace(time_ns=lambda: clocks.wall, monotonic_ns=lambda: clocks.process)
    monkeypatch.setattr(memory, "time", told)
    monkeypatch.setattr(memory, "_last_time", 0)
    return clocks


def pass_time(clocks: SimpleNamespace, seconds: float) -> None:
    clocks.wall += int(seconds * 10**9)
    clocks.process += int(seconds * 10**9)


def test_time_passes_after_the_wall_clock_was_put_back(clocks: SimpleNamespace) -> None:
    """As fast as before, and from where it was."""
    began = memory.now()
    assert began == clocks.wall // 1000
    assert [memory.now() for _ in range(3)] == [began + 1, began + 2, began + 3]
    clocks.wall -= 3600 * 10**9
    pass_time(clocks, 31)
    assert 31 * 10**6 <= memory.now() - began < 32 * 10**6
    clocks.wall += 2 * 3600 * 10**9
    assert memory.now() == clocks.wall // 1000


@pytest.mark.anyio
async def test_a_command_is_not_known_for_an_hour(clocks: SimpleNamespace) -> None:
    """The same words half a minute later are a new command, also where the clock was put back in between."""
    store = MemoryStore()
    async with store.open(Limits()):
        await store.accept(offer("r1", once="k"), most=8, within=30)
        clocks.wall -= 3600 * 10**9
        assert (await store.accept(offer("r2", once="k"), most=8, within=30)).reply == b"r1"
        pass_time(clocks, 31)
        assert (await store.accept(offer("r2", once="k"), most=8, within=30)).reply == b"r2"


@pytest.mark.anyio
async def test_a_file_whose_clock_was_ahead(tmp_path: Path) -> None:
    """It is gone on with from there: what is repeated is known, and what is idle is forgotten in time."""
    now = 1_800_000_000 * 10**6
    store = SqliteStore(tmp_path / "f", clock=lambda: now + HOUR)
    async with store.open(Limits()):
        await store.accept(offer("r1", once="k"), most=8, within=30)
    store = SqliteStore(tmp_path / "f", clock=lambda: now)
    async with store.open(Limits()):
        assert (await store.accept(offer("r2", once="k"), most=8, within=30)).reply == b"r1"
        now += 31 * 10**6
        assert (await store.accept(offer("r2", once="k"), most=8, within=30)).reply == b"r2"


@pytest.mark.anyio
async def test_idle_threads_keep_no_replies() -> None:
    """Those of all threads are forgotten when anything is accepted anywhere, once they are old."""
    now = 0
    store = MemoryStore(clock=lambda: now)
    async with store.open(Limits()):
        for n in range(100):
            now += 10**6
            await store.accept(offer("r", f"t{n}", once="k"), most=8, within=30)
        kept = [len(held.replies) for held in store._threads.values()]  # noqa: SLF001 -- what it holds
        assert sum(kept) <= 31
        assert sys.getsizeof(store._replied) < 10_000  # noqa: SLF001 -- likewise
