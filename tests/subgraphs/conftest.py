"""Each test runs on asyncio, on uvloop, on trio and on the sync lane, and none can hang."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from .lanes import LOOPS, SyncLane, bounded


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test of this folder hangs."""
    for item in items:
        here = isinstance(item, pytest.Function) and item.path.parent == Path(__file__).parent
        if here and item.get_closest_marker("anyio") and inspect.iscoroutinefunction(item.obj):
            item.obj = bounded(item.obj)


@pytest.fixture(params=[*LOOPS.values(), SyncLane()], ids=[*LOOPS, "sync"])
def lane(request: pytest.FixtureRequest) -> Any:
    """The lanes behind one interface."""
    return request.param


@pytest.fixture
def anyio_backend(lane: Any) -> Any:
    """The lane's event loop; the sync lane is tried inside one, of which it must not know."""
    return lane.backend
