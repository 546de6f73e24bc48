"""Readers: what an application does with a run of either library. Each says how many items it got."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio

__all__ = [
    "Reader",
    "SyncReader",
    "read_branches",
    "read_four",
    "read_innermost",
    "read_innermost_sync",
    "read_log",
    "read_log_sync",
    "read_output",
    "read_side_by_side",
    "read_tokens",
    "read_tokens_sync",
    "read_values",
    "read_values_sync",
]

Reader = Callable[[Any], Awaitable[int]]
"""Reads a run on the async lane."""

SyncReader = Callable[[Any], int]
"""Reads a run on the sync lane."""


async def read_log(run: Any) -> int:
    """Every event of the raw log."""
    return await count(run)


async def read_values(run: Any) -> int:
    """Every snapshot."""
    return await count(run.values)


async def read_tokens(run: Any) -> int:
    """Every piece of every message's text."""
    return await count_text(run.messages)


async def read_output(run: Any) -> int:
    """The output; that there is one, if only `None`, counts as an item."""
    await run.output()
    return 1


async def read_four(run: Any) -> int:
    """Snapshots, updates, custom data and text, each in a task of its own."""
    # Subscribed before any of them reads: who comes late does not get what has passed.
    messages, *others = [aiter(channel) for channel in (run.messages, run.values, run.updates, run.custom)]
    return await side_by_side(count_text(messages), *map(count, others))


def read_innermost(depth: int) -> Reader:
    """Every snapshot of each innermost subgraph, by way of the handles of those around it."""

    async def read(stream: Any, levels: int = depth) -> int:
        if not levels:
            return await count(stream.values)
        found = 0
        async for handle in stream.subgraphs:
            found += await read(handle, levels - 1)
        return found

    return read


async def read_side_by_side(run: Any) -> int:
    """Every snapshot of every subgraph, each subgraph in a task of its own."""
    found = 0

    async def read(cursor: AsyncIterator[Any]) -> None:
        nonlocal found
        # Not `found += await ...`: that would read `found` before the others have added to it.
        mine = await count(cursor)
        found += mine

    async with anyio.create_task_group() as tasks:
        async for handle in run.subgraphs:
            tasks.start_soon(read, aiter(handle.values))
    return found


def read_branches(branches: int) -> Reader:
    """All custom data, as often as there are branches, each in a task of its own."""

    async def read(run: Any) -> int:
        cursors = run.custom.atee(branches)
        return await side_by_side(*map(count, cursors))

    return read


def read_log_sync(run: Any) -> int:
    """Every event of the raw log."""
    return sum(1 for _ in run)


def read_values_sync(run: Any) -> int:
    """Every snapshot."""
    return sum(1 for _ in run.values)


def read_tokens_sync(run: Any) -> int:
    """Every piece of every message's text."""
    return sum(1 for message in run.messages for _ in message.text)


def read_innermost_sync(depth: int) -> SyncReader:
    """As `read_innermost`."""

    def read(stream: Any, levels: int = depth) -> int:
        if not levels:
            return read_values_sync(stream)
        return sum(read(handle, levels - 1) for handle in stream.subgraphs)

    return read


async def count(items: Any) -> int:
    """How many items there are to the end; a loop as short as one can be."""
    found = 0
    async for _ in items:
        found += 1
    return found


async def count_text(messages: Any) -> int:
    """How many pieces of text the messages have; the shortest loops, too."""
    found = 0
    async for message in messages:
        async for _ in message.text:
            found += 1
    return found


async def side_by_side(*readers: Awaitable[int]) -> int:
    """What several readers found, each in a task of its own."""
    found = 0

    async def read(reader: Awaitable[int]) -> None:
        nonlocal found
        mine = await reader  # see `read_side_by_side`
        found += mine

    async with anyio.create_task_group() as tasks:
        for reader in readers:
            tasks.start_soon(read, reader)
    return found
