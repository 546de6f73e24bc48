"""Each test runs on asyncio, on uvloop, on trio and on the sync lane."""

from __future__ import annotations

from typing import Any

import pytest

from ..lanes import LOOPS, SYNC_LANE, Lane


@pytest.fixture(params=[*LOOPS.values(), SYNC_LANE], ids=str)
def lane(request: pytest.FixtureRequest) -> Lane:
    """The lanes behind one interface."""
    lane: Lane = request.param
    return lane


@pytest.fixture
def anyio_backend(lane: Lane) -> Any:
    """The lane's event loop; the sync lane is tried inside one, of which it must not know."""
    return lane.backend
