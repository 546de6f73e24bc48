"""Figures that runs and channels report about themselves."""

from __future__ import annotations

from typing import final

import attrs

__all__ = ["ChannelStatistics", "RunStatistics"]


@final
@attrs.frozen
class ChannelStatistics:
    """A channel, at one moment.

    ```python
    async with open_run(graph, "Bergen", transformers=[CustomTransformer]) as run:
        async for item in run.custom:
            figures = run.custom.statistics()
            print(f"{figures.name}: {figures.depth} of {figures.maxlen} buffered, {figures.dropped} dropped")
    ```

    Attributes:
        name: What it is called in messages.
        maxlen: Bound of each reader's buffer, in items.
        overflow: The overflow policy.
        readers: Live readers: 0, 1, or the number of `tee` branches.
        depth: Items buffered for the slowest reader.
        waiting: Items that wait for room, counted against their producers.
        waits: Items that had to wait for room so far, over all readers: how often this channel held the run back.
        peak: The most items that were ever buffered for one reader, also one that has left.
        dropped: Items dropped by the overflow policy, or, in a subgraph's handle, because its reader came too late.
        unread: Items that passed by while nobody was subscribed.
        ended: Whether the channel has been closed or failed.
    """

    name: str
    maxlen: float
    overflow: str
    readers: int
    depth: int
    waiting: int
    waits: int
    peak: int
    dropped: int
    unread: int
    ended: bool


@final
@attrs.frozen
class RunStatistics:
    """A run, at one moment.

    ```python
    async with open_run(graph, "Bergen") as run:
        await run.output()
        figures = run.statistics()
        assert figures.status == "completed"
        assert figures.channels["values"].unread > 0  # nobody has read the states
    ```

    Attributes:
        status: As `run.status`.
        parts: Parts dispatched so far.
        inbox: Raw parts read ahead, not dispatched yet.
        outbox: Items of the last event that wait for room; no part is dispatched meanwhile.
        parked: Readers that wait for something.
        scheduled: Scheduled coroutines that run or queue.
        subgraphs: Subgraphs open now.
        channels: Projection name -> figures of its channel; `"events"` is the raw log.
    """

    status: str
    parts: int
    inbox: int
    outbox: int
    parked: int
    scheduled: int
    subgraphs: int
    channels: dict[str, ChannelStatistics]
