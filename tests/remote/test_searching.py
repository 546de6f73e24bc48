"""What a search costs that passes over many threads."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from anyiostream.remote import app
from anyiostream.remote.store import MemoryStore

pytestmark = pytest.mark.anyio

MANY = 5000


async def nothing(_: Any, writer: Any) -> None:
    """A graph."""


async def test_a_search_that_finds_nothing_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the store for ever more threads at a time, and others have their turn in between."""
    store = MemoryStore()
    listed, turns, asked = store.listed, 0, []

    async def counted(owner: str, **options: Any) -> Any:
        asked.append(turns)
        return await listed(owner, **options)

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    monkeypatch.setattr(store, "listed", counted)
    service = app({"nothing": nothing}, store=store)
    async with service.router.lifespan_context(service):
        for n in range(MANY):
            await store.claim("", f"t{n}", holder="", nonce=str(n))
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://127.0.0.1") as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(take_turns)
            for body in ({"status": "busy"}, {"ids": ["no such thread"]}):
                asked.clear()
                assert (await client.post("/threads/search", json=body)).json() == []
                assert len(asked) < 8
                assert asked[-1] - asked[0] >= len(asked) - 2
            tasks.cancel_scope.cancel()
