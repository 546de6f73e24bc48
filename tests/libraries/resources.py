"""What belongs to an event loop, opened where a lab's graphs run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from ..conformance.adapter import Lab

__all__ = ["held"]

T = TypeVar("T")


@asynccontextmanager
async def held(lab: Lab, manager: AbstractAsyncContextManager[T]) -> AsyncGenerator[T]:
    """What `manager` gives while the block runs; on trio, in the asyncio loop that hosts graphs."""
    if lab.lane != "trio":
        async with manager as value:
            yield value
        return
    from anyiostream import asyncio_host

    async with asyncio_host() as host, host.open(manager) as value:
        yield value
