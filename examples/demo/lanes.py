"""Reading a run, on each lane: every projection side by side, as it comes."""

from __future__ import annotations

from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream

from anyiostream import AsyncSubgraphRunStream, CustomTransformer, SubgraphRunStream, ToolCallTransformer, open_run
from examples.demo.script import QUESTION
from examples.demo.witness import Witness

OPT_IN = (CustomTransformer, ToolCallTransformer)
"""Projections that a run has only if asked."""

TIME_LIMIT = 20
"""How long a run may take, in s. It takes less than one."""


def watch_on_asyncio(graph: Any, witness: Witness) -> None:
    """Watch a run on asyncio."""
    anyio.run(watch_with_tasks, graph, witness, backend="asyncio")


def watch_on_trio(graph: Any, witness: Witness) -> None:
    """Watch a run on trio. A function graph runs there too, a LangGraph graph on an asyncio loop in a thread."""
    anyio.run(watch_with_tasks, graph, witness, backend="trio")


async def watch_with_tasks(graph: Any, witness: Witness) -> None:
    """Watch a run on the async lane: one task for each projection. The loop may be asyncio's or trio's."""
    with anyio.fail_after(TIME_LIMIT):
        async with open_run(graph, QUESTION, transformers=OPT_IN) as run:
            async with anyio.create_task_group() as readers:
                # All subscribe before the graph starts, so none misses anything.
                readers.start_soon(read_values, aiter(run.values), witness)
                readers.start_soon(read_messages, aiter(run.messages), witness)
                readers.start_soon(read_tool_calls, aiter(run.tool_calls), witness)
                readers.start_soon(read_custom, aiter(run.custom), witness)
                readers.start_soon(read_lifecycle, aiter(run.lifecycle), witness)
                readers.start_soon(read_subgraphs, aiter(run.subgraphs), witness)
            output = await run.output()
        witness.ended(run.status, output)


async def read_values(snapshots: ObjectReceiveStream[Any], witness: Witness) -> None:
    """Read `run.values`."""
    async for state in snapshots:
        witness.snapshot(state)


async def read_messages(messages: ObjectReceiveStream[Any], witness: Witness) -> None:
    """Read `run.messages`, and each message's tokens."""
    async for message in messages:
        async for token in message.text:
            witness.token(token)
        witness.message(await message.text, await message.tool_calls)


async def read_tool_calls(calls: ObjectReceiveStream[Any], witness: Witness) -> None:
    """Read `run.tool_calls`, and wait for each call's result."""
    async for call in calls:
        witness.tool_call(call.tool_name, call.input)
        witness.tool_output(call.tool_name, await call)


async def read_custom(items: ObjectReceiveStream[Any], witness: Witness) -> None:
    """Read `run.custom`."""
    async for data in items:
        witness.custom(data)


async def read_lifecycle(payloads: ObjectReceiveStream[Any], witness: Witness) -> None:
    """Read `run.lifecycle`."""
    async for payload in payloads:
        witness.lifecycle(payload)


async def read_subgraphs(handles: ObjectReceiveStream[AsyncSubgraphRunStream], witness: Witness) -> None:
    """Read `run.subgraphs`, and each subgraph's own projections."""
    async for handle in handles:
        name = str(handle.graph_name)
        async for projection, item in handle.interleave("values", "custom"):
            witness.inside_subgraph(name, projection, item)
        output = await handle.output()
        witness.subgraph_ended(name, handle.status, output)


def watch_without_loop(graph: Any, witness: Witness) -> None:
    """Watch a run on the sync lane: this `for` loop is what runs the graph."""
    with open_run(graph, QUESTION, transformers=OPT_IN) as run:
        for projection, item in run.interleave("values", "messages", "tool_calls", "custom", "lifecycle", "subgraphs"):
            show_arrival(projection, item, witness)
        output = run.output
    witness.ended(run.status, output)


def show_arrival(projection: str, item: Any, witness: Witness) -> None:
    """Show one item of an interleaved run."""
    match projection:
        case "values":
            witness.snapshot(item)
        case "messages":
            for token in item.text:
                witness.token(token)
            witness.message(item.text.get(), item.tool_calls.get())
        case "tool_calls":
            witness.tool_call(item.tool_name, item.input)
            witness.tool_output(item.tool_name, item.result())
        case "custom":
            witness.custom(item)
        case "lifecycle":
            witness.lifecycle(item)
        case "subgraphs":
            show_subgraph(item, witness)
        case _:
            raise AssertionError(projection)


def show_subgraph(handle: SubgraphRunStream, witness: Witness) -> None:
    """Read a subgraph's own projections."""
    name = str(handle.graph_name)
    for projection, item in handle.interleave("values", "custom"):
        witness.inside_subgraph(name, projection, item)
    witness.subgraph_ended(name, handle.status, handle.output)
