"""Every store, opened, for the tests of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from anyiostream.remote import Limits
from anyiostream.remote.store import MemoryStore, SqliteStore
from anyiostream.remote.store.redis import RedisStore

from ...waiting import PATIENCE
from .codecs import Toy
from .valkey import Valkey, valkey

Opened = Callable[..., Awaitable[Any]]
"""Opens the store, given fields of `Limits` and a clock."""

STORES: dict[str, Callable[[Path, str, Any], Any]] = {
    "memory": lambda _, __, clock: MemoryStore(**clock),
    "sqlite": lambda folder, _, clock: SqliteStore(folder / "runs.sqlite", **clock),
    "redis": lambda _, url, clock: RedisStore(f"{url}?prefix={uuid4()}", deadline=PATIENCE, patience=PATIENCE, **clock),
    "sqlite-encoded": lambda folder, _, clock: STORES["sqlite"](folder, "", {"codec": Toy(b"key"), **clock}),
    "redis-encoded": lambda folder, url, clock: STORES["redis"](folder, url, {"codec": Toy(b"key"), **clock}),
}


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey server for all tests; each has a prefix of its own."""
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(params=STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """Opens a store of each kind, until the test ends."""
    url = request.getfixturevalue("valkey_server").url if request.param.startswith("redis") else ""
    async with anyio.create_task_group() as tasks:

        async def hold(made: Any, limits: Limits, *, task_status: Any) -> None:
            # In a task of its own: a store may have scopes that are not the test's.
            async with made.open(limits):
                task_status.started()
                await anyio.sleep_forever()

        async def open_store(clock: Callable[[], int] | None = None, **limits: Any) -> Any:
            made = STORES[request.param](tmp_path, url, {} if clock is None else {"clock": clock})
            await tasks.start(hold, made, Limits(**limits))
            return made

        yield open_store
        tasks.cancel_scope.cancel()


@pytest.fixture
async def store(opened: Opened) -> Any:
    """A store of each kind with the usual limits."""
    return await opened()
