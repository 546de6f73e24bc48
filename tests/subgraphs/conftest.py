"""Each test runs on asyncio, on uvloop, on trio and on the sync lane."""

from __future__ import annotations

from typing import Any

import pytest

from .lanes import LOOPS, SyncLane


@pytest.fixture(params=[*LOOPS.values(), SyncLane()], ids=[*LOOPS, "sync"])
def lane(request: pytest.FixtureRequest) -> Any:
    """The lanes behind one interface."""
    return request.param


@pytest.fixture
def anyio_backend(lane: Any) -> Any:
    """The lane's event loop; the sync lane is tried inside one, of which it must not know."""
    return lane.backend
