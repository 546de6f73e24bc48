"""A program's own store may raise anything, whenever: that ends neither the server nor what it does for others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from anyiostream.remote import Limits, app
from anyiostream.remote import fleet as fleet_module
from anyiostream.remote.access import Caller
from anyiostream.remote.commands import RunStart
from anyiostream.remote.fleet import Fleet
from anyiostream.remote.identity import ThreadKey
from anyiostream.remote.service import Service
from anyiostream.remote.store import Load, News, Record, SqliteStore, Standing
from anyiostream.remote.store.protocol import Stored

from ..waiting import until
from .store.acting import offer

pytestmark = pytest.mark.anyio


class Own(BaseException):
    """A driver's."""


ERRORS = [RuntimeError("no"), SystemExit(1), Own()]


class Odd:
    """A store that raises where it is told to."""

    def __init__(self, path: Path, **raising: BaseException) -> None:
        self.inner = SqliteStore(path)
        self.raising = raising
        self.raised: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in self.raising:
            return getattr(self.inner, name)

        async def call(*_: Any, **__: Any) -> Any:
            self.raised.append(name)
            raise self.raising[name]

        return call


async def brief(_: Any) -> AsyncIterator[Any]:
    """A run that is over."""
    for each in ():
        yield each


@asynccontextmanager
async def serving(store: Any) -> AsyncIterator[Service]:
    """A server without a network."""
    application = app({"brief": brief}, store=store)
    async with application.router.lifespan_context(application):
        yield application.state.service


async def runs(service: Service) -> bool:
    """Whether a run comes to its end."""
    await service.execute(Caller({}, None), "fine", RunStart("brief", None, {}, {}))
    thread = await service.thread("fine", "")
    await until(lambda: not thread.busy)
    return thread.snapshot.status == "completed"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_idle_threads_that_cannot_be_forgotten(
    error: BaseException, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Are kept, and it is said."""
    store = Odd(tmp_path / "f", expire=error)
    async with serving(store) as service:
        await until(lambda: store.raised)
        assert await runs(service)
    assert f"forgetting idle threads has failed with {type(error).__name__}" in caplog.text


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_thread_that_cannot_be_taken_up(error: BaseException, tmp_path: Path) -> None:
    """Is nobody else's concern."""
    store = Odd(tmp_path / "f", record=error)
    async with store.inner.open(Limits()):
        await store.inner.accept(offer(), most=8, within=30)
    async with serving(store) as service:
        await until(lambda: store.raised)
        store.raising.clear()
        assert await runs(service)


@attrs.define
class Shared:
    """A store that servers share, with a thread that cannot be read, and whose news cannot be read at first."""

    error: BaseException
    lease: float = 1.0
    lost: bool = False
    margin: float = 1.0
    heard_of: int = 0

    @asynccontextmanager
    async def join(self, _: str) -> AsyncIterator[Shared]:
        """One membership for all of it."""
        yield self

    def beat(self) -> None:
        """Nothing is renewed."""

    async def heard(self) -> News:
        """News, after an error."""
        self.heard_of += 1
        if self.heard_of == 1:
            raise self.error
        if self.heard_of > 2:
            await anyio.sleep_forever()
        return News(inbox=frozenset({"news"}))

    async def unfinished(self) -> list[str]:
        return ["odd", "even"]

    async def look(self, key: str) -> Standing:
        if key == "odd":
            raise ValueError("not a number")
        record = Record(key=key, owner="ann", thread_id=key, generation=1)
        return Standing(record=record, inbox=[Stored(place=1, run_id="r", body=b'{"assistant_id": "brief"}')])

    async def load(self) -> Load:
        raise self.error


class Server:
    """Notes what it is told."""

    room = 2

    def __init__(self) -> None:
        self.taken: list[ThreadKey] = []
        self.heard: list[str] = []

    def has(self, _: str) -> bool:
        return False

    def can_read(self, _: Record) -> bool:
        return True

    def take_up(self, key: ThreadKey) -> None:
        self.taken.append(key)

    def hear(self, key: str) -> None:
        self.heard.append(key)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_thread_that_cannot_be_read_keeps_nobody_from_the_others(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is raised once does not end the membership."""
    monkeypatch.setattr(fleet_module, "LOOK_ROUND", 0.001)
    monkeypatch.setattr(fleet_module, "PAUSE", 0.001)
    store, server = Shared(error), Server()
    fleet = Fleet(store, Limits(), ["brief"])  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fleet.run, server)
        await until(lambda: fleet.holder)
        holder = fleet.holder
        await until(lambda: server.heard and len(server.taken) > 1)
        assert set(server.taken) == {ThreadKey("ann", "even")}
        assert fleet.holder == holder
        tasks.cancel_scope.cancel()
