"""Whether a server is ready: by a write that its store answers, however many ask, and however it fails."""

from __future__ import annotations

import logging
import resource
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import attrs
import pytest

from anyiostream.remote import Limits, MemoryStore, SqliteStore
from anyiostream.remote.access import Caller
from anyiostream.remote.health import INTERVAL, NO_LEASE, REFUSED, SLOW, WITHIN, Health
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.store import StoreFailed
from anyiostream.remote.store.latency import Latency

run_seeded = pytest.importorskip("anyiostream.testing").run_seeded

Backend = Literal["asyncio", "trio"]

CALLER = Caller({}, None)


@attrs.define
class Store:
    """What is written to.

    Attributes:
        takes: Seconds that a write takes.
        error: What it raises.
        kept: What it returns.
        asked: How often it was asked, and for whom.
    """

    takes: float = 0.0
    error: Exception | None = None
    kept: bool = True
    asked: list[str] = attrs.field(factory=list)

    async def renew(self, holder: str) -> bool:
        """A write; as with all stores, a cancellation waits for it."""
        self.asked.append(holder)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        return self.kept


@attrs.define
class Fleet:
    """A server's lease."""

    margin: float = 5.0
    holder: str = "server-of-some-name"


def health(store: Any, fleet: Any = None, **options: Any) -> Health:
    """That of a server."""
    options = {"authorize": None, "operators": (), "statistics": lambda: {"threads": 1}, **options}
    return Health(store, fleet, **options)


def run(backend: Backend, checked: Health, main: Callable[[], Awaitable[None]]) -> None:
    """Run it beside the server's task, by a virtual clock."""

    async def beside() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(checked.run)
            await main()
            tasks.cancel_scope.cancel()

    run_seeded(beside, backend=backend)


async def storm(checked: Health, count: int = 100) -> set[str | None]:
    """What so many are told that ask at the same time."""
    told: list[str | None] = []

    async def ask() -> None:
        told.append(await checked.unready())

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(ask)
    assert len(told) == count
    return set(told)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_storm_is_one_write(backend: Backend) -> None:
    """They share it, and what it has shown is believed for a while; then there is another one."""
    checked = health(store := Store(takes=0.5))

    async def main() -> None:
        assert await storm(checked) == {None}
        assert store.asked == [""]
        await anyio.sleep(INTERVAL * 0.9)
        assert await storm(checked) == {None}
        assert store.asked == [""]
        await anyio.sleep(INTERVAL)
        assert await storm(checked) == {None}
        assert store.asked == ["", ""]

    run(backend, checked, main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_store_that_does_not_answer_is_not_waited_for(backend: Backend) -> None:
    """Not for longer than a second from the write on; nor is it written to again meanwhile."""
    checked = health(store := Store(takes=30))

    async def main() -> None:
        begun = anyio.current_time()
        assert await storm(checked) == {SLOW}
        assert anyio.current_time() - begun == pytest.approx(WITHIN)
        assert await storm(checked) == {SLOW}
        assert anyio.current_time() - begun == pytest.approx(WITHIN)
        assert len(store.asked) == 1
        await anyio.sleep(30 - WITHIN)
        assert await checked.unready() == SLOW  # it was, just now
        store.takes = 0
        await anyio.sleep(INTERVAL)
        assert await checked.unready() is None
        assert len(store.asked) == 2

    run(backend, checked, main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whoever_comes_later_waits_for_less(backend: Backend) -> None:
    """The second is that of the write."""
    checked = health(Store(takes=30))

    async def main() -> None:
        begun = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(storm, checked)
            await anyio.sleep(WITHIN / 2)
            assert await checked.unready() == SLOW
            assert anyio.current_time() - begun == pytest.approx(WITHIN)

    run(backend, checked, main)


@pytest.mark.parametrize("error", [StoreFailed("disk at /secret/path is full"), RuntimeError("a program's own store")])
def test_a_store_that_refuses_is_said(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Once in the log, with what it says; those who ask are not told more than they may know."""
    checked = health(store := Store(error=error))

    async def main() -> None:
        for _ in range(3):
            assert await checked.unready() == REFUSED
            await anyio.sleep(2 * INTERVAL)
        store.error = None
        assert await checked.unready() is None

    run("asyncio", checked, main)
    assert "secret" not in REFUSED
    ours = [each for each in caplog.records if each.name == "anyiostream.remote.health"]
    assert [(each.levelno, each.getMessage()) for each in ours] == [
        (logging.WARNING, f"the store refuses writes: {error}")
    ]


def test_a_server_without_a_lease_writes_nothing() -> None:
    """It would renew what others may claim already."""
    fleet = Fleet()
    checked = health(store := Store(), fleet)

    async def main() -> None:
        assert await checked.unready() is None
        assert store.asked == [fleet.holder]
        await anyio.sleep(2 * INTERVAL)
        fleet.margin = 0.0
        assert await checked.unready() == NO_LEASE
        assert len(store.asked) == 1
        fleet.margin, store.kept = 5.0, False
        assert await checked.unready() == NO_LEASE
        assert len(store.asked) == 2

    run("asyncio", checked, main)


def test_figures_are_for_operators() -> None:
    """An owner is none, unless the program says so; without a hook everybody is the same owner."""

    async def main() -> None:
        for owner, status in ((None, 401), ("ann", 403), ("", 403)):
            with pytest.raises(Refusal) as refused:
                await health(Store(), authorize=lambda _, owner=owner: owner, operators=["ops"]).observed(CALLER)
            assert refused.value.status == status
        assert await health(Store(), authorize=lambda _: "ops", operators=["ops"]).observed(CALLER) == {"threads": 1}
        asked = []
        with pytest.raises(Refusal):
            await health(Store(), authorize=lambda access: asked.append(access) or "ops").observed(CALLER)
        assert [(each.action, each.thread_id) for each in asked] == [("observe", None)]
        assert await health(Store()).observed(CALLER) == {"threads": 1}
        shown = await health(SqliteStore("f"), Fleet()).observed(CALLER)
        assert shown["instance"] == "server-o"
        assert shown["append"] == {"count": 0, "sum": 0, "max": 0, "p50": 0, "p99": 0}

    anyio.run(main)


@contextmanager
def no_room(path: Path) -> Any:
    """A block in which the file's log cannot grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.anyio
async def test_a_full_disk_is_noticed(tmp_path: Path) -> None:
    """A file is really written to, whatever is in it; and it goes on when there is room."""
    store = SqliteStore(tmp_path / "f")
    async with store.open(Limits()):
        for _ in range(3):
            assert await store.renew("")
        with no_room(tmp_path / "f"), pytest.raises(StoreFailed):
            await store.renew("")
        assert await store.renew("")


@pytest.mark.anyio
async def test_memory_is_always_there() -> None:
    """Nothing runs out, and nothing is written."""
    store = MemoryStore()
    async with store.open(Limits()):
        assert await store.renew("")


def test_a_latency_is_summed_up() -> None:
    """In ms; quantiles are bounds of classes, and never above the greatest."""
    latency = Latency()
    assert latency.shown() == {"count": 0, "sum": 0.0, "max": 0.0, "p50": 0.0, "p99": 0.0}
    told: list[float] = []
    latency.report = told.append
    for _ in range(98):
        latency.observe(0.0011)
    latency.observe(0.1)
    latency.observe(100.0)
    assert latency.shown() == {"count": 100, "sum": 100207.8, "max": 100000.0, "p50": 1.6, "p99": 102.4}
    assert len(told) == 100
    assert told[0] == pytest.approx(1.1)
    with pytest.raises(OSError, match="x"), latency.measured():
        raise OSError("x")
    with latency.measured():
        pass
    assert latency.shown()["count"] == 101
