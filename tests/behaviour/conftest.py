"""What the tests of behaviour share: the two lanes, scripted sources, and what is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sniffio
import trio

from anyiostream.loops.trio_host import hosted_tasks

from ..lanes import ASYNC_LANE, SYNC_LANE, Lane
from ..scripts import Script


@pytest.fixture(params=[ASYNC_LANE, SYNC_LANE], ids=["async lane", "sync lane"])
def lane(request: pytest.FixtureRequest) -> Lane:
    """Both lanes behind one interface, each inside each event loop."""
    lane: Lane = request.param
    return lane


@pytest.fixture
def script() -> type[Script]:
    """Makes scripted sources."""
    return Script


def alive() -> set[Any]:
    """What is alive: tasks, and threads other than the idle workers that the loops keep."""
    threads = {
        thread
        for thread in threading.enumerate()
        if not thread.name.startswith(("Trio thread", "AnyIO worker thread", "asyncio_"))
    }
    if sniffio.current_async_library() == "asyncio":
        return threads | {task for task in asyncio.all_tasks() if not task.done()}
    # The asyncio loop beside trio stays, with what drives it; nothing else on it may.
    return threads | set(trio_tasks()) | hosted_tasks()


def trio_tasks() -> Iterator[trio.lowlevel.Task]:
    """All tasks of the running trio but those that drive asyncio."""
    root = trio.lowlevel.current_root_task()
    pending = [] if root is None else [root]
    while pending:
        task = pending.pop()
        if not task.name.startswith("anyiostream asyncio"):
            yield task
        for nursery in task.child_nurseries:
            pending += nursery.child_tasks


@pytest.fixture
def nothing_left() -> Callable[[], Any]:
    """A block after which nothing is alive that was not before it."""

    @asynccontextmanager
    async def block() -> AsyncIterator[None]:
        before = alive()
        try:
            yield
        finally:
            assert alive() - before == set()

    return block
