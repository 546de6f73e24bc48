"""The workloads: the same source, read through both libraries, and bare. Adding one is adding a row to `WORKLOADS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import attrs
from langgraph.stream._mux import StreamMux
from langgraph.stream.run_stream import AsyncGraphRunStream, GraphRunStream
from langgraph.stream.transformers import (
    LifecycleTransformer,
    MessagesTransformer,
    SubgraphTransformer,
    ValuesTransformer,
)

from anyiostream import open_run, parts

THEIR_TRANSFORMERS = [ValuesTransformer, MessagesTransformer, LifecycleTransformer, SubgraphTransformer]

Reader = Callable[[Any], Awaitable[int]]
"""Reads a run of either library, and says how many items it got."""


@attrs.frozen
class Workload:
    """One row of the table.

    Attributes:
        name: What the table calls it.
        make: The parts for a given number of items.
        read: Reads them on the async lane.
        read_sync: Reads them on the sync lane, or `None` where the row is for the async lane only.
        inline: Whether ours gets the parts as an iterable, which readers advance themselves.
        options: Options of `open_run`.
    """

    name: str
    make: Callable[[int], list[Any]]
    read: Reader
    read_sync: Callable[[Any], int] | None = None
    inline: bool = False
    options: dict[str, Any] = attrs.field(factory=dict)


async def hosted(script: Iterable[Any]) -> AsyncIterator[Any]:
    """The parts as an async generator."""
    for part in script:
        yield part


def theirs(script: list[Any]) -> AsyncGraphRunStream:
    """A run of the original over an async generator."""
    return AsyncGraphRunStream(hosted(script), StreamMux(factories=list(THEIR_TRANSFORMERS), is_async=True))


def theirs_sync(script: list[Any]) -> GraphRunStream:
    """A run of the original over an iterator."""
    return GraphRunStream(iter(script), StreamMux(factories=list(THEIR_TRANSFORMERS), is_async=False))


def ours(workload: Workload, script: list[Any]) -> Any:
    """A run of ours, to be entered."""
    return open_run(script if workload.inline else hosted(script), **workload.options)


def custom(count: int) -> list[Any]:
    """Custom data."""
    return [parts.custom(n) for n in range(count)]


def values(count: int) -> list[Any]:
    """State snapshots of the root."""
    return [parts.values({"n": n}) for n in range(count)]


def tokens(count: int, *, deltas: int = 100) -> list[Any]:
    """Messages of 100 text deltas each."""
    script = []
    for call in range(count // deltas):
        metadata = {"run_id": str(call), "langgraph_node": "model"}
        script.append(parts.messages({"event": "message-start", "role": "ai", "id": str(call)}, metadata))
        delta = {"type": "text-delta", "text": "token "}
        event = {"event": "content-block-delta", "index": 0, "delta": delta}
        script += [parts.messages(event, metadata) for _ in range(deltas)]
        block = {"type": "text", "text": "token " * deltas}
        script.append(parts.messages({"event": "content-block-finish", "index": 0, "content": block}, metadata))
        script.append(parts.messages({"event": "message-finish"}, metadata))
    return script


async def read_log(run: Any) -> int:
    """Every event of the raw log."""
    return sum([1 async for _ in run])


async def read_values(run: Any) -> int:
    """Every snapshot."""
    return sum([1 async for _ in run.values])


async def read_tokens(run: Any) -> int:
    """Every piece of every message's text."""
    return sum([1 async for message in run.messages async for _ in message.text])


def read_log_sync(run: Any) -> int:
    """Every event of the raw log."""
    return sum(1 for _ in run)


def read_values_sync(run: Any) -> int:
    """Every snapshot."""
    return sum(1 for _ in run.values)


def read_tokens_sync(run: Any) -> int:
    """Every piece of every message's text."""
    return sum(1 for message in run.messages for _ in message.text)


LOCK_STEP = {"prefetch": 0}

WORKLOADS = (
    Workload("raw log, lock-step", custom, read_log, options=LOCK_STEP),
    Workload("raw log", custom, read_log, read_log_sync),
    Workload("values", values, read_values, read_values_sync),
    Workload("values, iterable", values, read_values, inline=True),
    Workload("tokens, lock-step", tokens, read_tokens, options=LOCK_STEP),
    Workload("tokens", tokens, read_tokens, read_tokens_sync),
)
