"""Each lane has its own ways; the other's are errors. Projections are declared, and misspelt ones are errors."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from anyiostream import (
    AsyncChatModelStream,
    AsyncGraphRunStream,
    AsyncSubgraphRunStream,
    ChannelStatistics,
    ChatModelStream,
    GraphRunStream,
    LifecyclePayload,
    OpenRun,
    ProtocolEvent,
    RunStatistics,
    SubgraphRunStream,
    ToolCallStream,
)


async def async_lane(run: AsyncGraphRunStream[int]) -> None:
    """What `async with` gives."""
    async for event in run:
        assert_type(event, ProtocolEvent)
    async for message in run.messages:
        assert_type(message, AsyncChatModelStream)
        async for token in message.text:
            assert_type(token, str)
        assert_type(await message.text, str)
        assert_type(await message.usage, Mapping[str, Any] | None)
    async for handle in run.subgraphs:
        assert_type(handle, AsyncSubgraphRunStream)
        assert_type(await handle.output(), Any)
    async for change in run.lifecycle:
        assert_type(change, LifecyclePayload)
    async for call in run.tool_calls:
        assert_type(call, ToolCallStream)
    async for update in run.updates:
        assert_type(update, dict[str, Any])
    async for name, item in run.interleave("values", "messages"):
        assert_type(name, str)
        assert_type(item, Any)
    for branch in run.values.atee(2):
        async for state in branch:
            assert_type(state, int)
    assert_type(await run.interrupted(), bool)
    assert_type(await run.interrupts(), list[Any])
    assert_type(run.statistics(), RunStatistics)
    assert_type(run.values.statistics(), ChannelStatistics)
    await run.abort()


def sync_lane(run: GraphRunStream[int]) -> None:
    """What `with` gives."""
    for event in run:
        assert_type(event, ProtocolEvent)
    for message in run.messages:
        assert_type(message, ChatModelStream)
        for token in message.text:
            assert_type(token, str)
        assert_type(message.text.get(), str)
    for handle in run.subgraphs:
        assert_type(handle, SubgraphRunStream)
    for branch in run.values.tee(2):
        for state in branch:
            assert_type(state, int)
    assert_type(run.interrupted, bool)
    assert_type(run.interrupts, list[Any])
    run.abort()


async def the_other_lanes_ways(run: AsyncGraphRunStream[int], plain: GraphRunStream[int]) -> None:
    """Each line is an error."""
    for _ in run.values:  # type: ignore[attr-defined]
        pass
    for _ in run:  # type: ignore[attr-defined]
        pass
    for _ in run.interleave("values"):  # type: ignore[attr-defined]
        pass
    async for message in run.messages:
        for _ in message.text:  # type: ignore[attr-defined]
            pass
    async for _ in plain.values:  # type: ignore[attr-defined]
        pass
    async for _ in plain:  # type: ignore[attr-defined]
        pass
    run.values.tee(2)  # type: ignore[attr-defined]
    plain.values.atee(2)  # type: ignore[attr-defined]
    run.tee(2)  # type: ignore[attr-defined]
    await plain.output  # type: ignore[misc]


async def forgotten_awaits(run: AsyncGraphRunStream[dict[str, int]]) -> None:
    """Each line is an error."""
    run.output()["n"]  # type: ignore[index]
    run.abort()  # type: ignore[unused-coroutine]
    if run.interrupted():  # type: ignore[truthy-bool]
        pass


async def unopened(opened: OpenRun[int]) -> None:
    """Each line is an error."""
    await opened  # type: ignore[misc]
    for _ in opened:  # type: ignore[attr-defined]
        pass
    async for _ in opened:  # type: ignore[attr-defined]
        pass
    opened.values  # type: ignore[attr-defined]


def misspelt(run: GraphRunStream[int]) -> None:
    """Each line is an error."""
    run.mesages  # type: ignore[attr-defined]
    run.extensions["mine"] = 3  # type: ignore[index]
