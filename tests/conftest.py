"""The loops that tests run on, and bounds on time for those whose failure could be a hang."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

SECONDS = 45
"""Longer than any test takes on a busy machine, and shorter than what pytest allows them."""

BOUNDED = {Path(__file__).parent / folder for folder in ("behaviour", "subgraphs")}
"""Where a run that stands still would hang the test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test hangs, although none has a deadline: a finite deadline would change what a run does about a stall."""
    for item in items:
        here = isinstance(item, pytest.Function) and item.path.parent in BOUNDED
        if here and item.get_closest_marker("anyio") and inspect.iscoroutinefunction(item.obj):
            item.obj = bounded(item.obj)


def bounded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """`test`, cancelled after `SECONDS` by another task."""

    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> None:
        expired = False

        async def watch(scope: anyio.CancelScope) -> None:
            nonlocal expired
            await anyio.sleep(SECONDS)
            expired = True
            scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch, tasks.cancel_scope)
                await test(*args, **kwargs)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
        if expired:
            pytest.fail(f"hung for {SECONDS} s")

    return run


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Each async test runs on asyncio in debug mode, on uvloop and on trio."""
    return request.param
