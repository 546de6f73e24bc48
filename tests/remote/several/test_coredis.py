"""Why the store does not use coredis's pool: a command that is cancelled there takes its connection with it for good.

When the first test fails, coredis has been mended, and `Lane` may become what it says it is in place of.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import anyio
import coredis
import pytest
from coredis.exceptions import RedisError
from coredis.retry import NoRetryPolicy

from ...distributed.cancellations import cancel_callers
from ..store.valkey import Valkey

pytestmark = pytest.mark.anyio

CONNECTIONS = 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it may be cancelled while it connects
async def test_coredis_loses_the_connections_of_cancelled_commands(store_server: Valkey) -> None:
    """After as many as its pool has, no command is answered any more."""
    options: Any = {"max_connections": CONNECTIONS, "pool_timeout": 0.5, "retry_policy": NoRetryPolicy()}
    async with coredis.Redis("127.0.0.1", store_server.port, **options) as client:
        assert await client.ping()
        for _ in range(CONNECTIONS):
            with anyio.move_on_after(0.1) as scope:
                await client.xread({"nothing": "$"}, block=60_000)
            assert scope.cancelled_caught
        with pytest.raises((TimeoutError, RedisError)):
            await client.ping()
    gc.collect()  # what coredis has left open, while that is allowed


async def test_the_store_loses_none(tmp_path: Path) -> None:
    """However many callers are cancelled: each later one gets its own reply."""
    promises = await cancel_callers(tmp_path, 1, 2000)
    assert promises.wrong == []
    assert promises.counts["callers cancelled"] > 100
