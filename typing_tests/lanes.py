"""Each lane has its own ways; the other's are errors. Projections are declared, and misspelt ones are errors."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, assert_type

from anyiostream import (
    AsyncChatModelStream,
    AsyncGraphRunStream,
    AsyncSubgraphRunStream,
    ChannelStatistics,
    ChatModelStream,
    GraphRunStream,
    LifecyclePayload,
    PreparedRun,
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
    async for pair in run.interleave("values", "messages"):
        match pair:
            case "values", value:
                assert_type(value, int)
            case "messages", streamed:
                assert_type(streamed, AsyncChatModelStream)
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


async def unopened(opened: PreparedRun[int]) -> None:
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


async def interleaved(run: AsyncGraphRunStream[int], names: list[str]) -> None:
    """The declared projections keep their items' types, in any order of names; of others nothing is known."""
    async for one in run.interleave("values"):
        assert_type(one, tuple[Literal["values"], int])
    async for handle in run.interleave("subgraphs", "subagents"):
        assert_type(handle, tuple[Literal["subgraphs", "subagents"], AsyncSubgraphRunStream])
    async for two in run.interleave("messages", "values", "messages"):
        assert_type(two, tuple[Literal["values"], int] | tuple[Literal["messages"], AsyncChatModelStream])
    async for name, item in run.interleave("tool_calls", "lifecycle"):
        assert_type(name, Literal["lifecycle", "tool_calls"])
        assert_type(item, LifecyclePayload | ToolCallStream)
    async for pair in run.interleave("values", "messages", "tasks"):
        match pair:
            case "values", state:
                assert_type(state, int)
            case "tasks", task:
                assert_type(task, dict[str, Any])
            case "messages", message:
                assert_type(message, AsyncChatModelStream)
            case _:
                pass
    async for mine in run.interleave("values", "mine"):
        assert_type(mine, tuple[str, Any])
    async for varying in run.interleave("values", "custom"):
        assert_type(varying, tuple[str, Any])
    async for unknown in run.interleave(*names):
        assert_type(unknown, tuple[str, Any])


def interleaved_sync(run: GraphRunStream[int]) -> None:
    """Likewise without an event loop."""
    for one in run.interleave("updates"):
        assert_type(one, tuple[Literal["updates", "checkpoints", "debug", "tasks"], dict[str, Any]])
    for pair in run.interleave("values", "subgraphs"):
        match pair:
            case "values", state:
                assert_type(state, int)
            case _, handle:
                assert_type(handle, SubgraphRunStream)
    for mine in run.interleave("mine"):
        assert_type(mine, tuple[str, Any])
