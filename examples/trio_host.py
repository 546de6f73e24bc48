"""A trio program that hosts a LangGraph graph, which itself needs asyncio.

`python -m examples.trio_host`

The graph runs on an asyncio loop inside trio's thread, behind `open_run`; the program sees trio only. Its other tasks
go on meanwhile, here a heartbeat; context variables reach the nodes; and when trio cancels, the node is cancelled, too,
and the program goes on when nothing of the graph is alive.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from typing import TypedDict

import trio
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from anyiostream import CustomTransformer, open_run

customer: ContextVar[str] = ContextVar("customer", default="nobody")


class Order(TypedDict):
    """The graph's state."""

    item: str
    packed: bool


async def pack(state: Order) -> dict[str, bool]:
    """A node, on asyncio: it packs in three steps, or is told to stop. A piano takes an hour for each."""
    write = get_stream_writer()
    pace = 3600 if state["item"] == "piano" else 0.05
    try:
        for step in ("fetch", "wrap", "label"):
            write(f"{step} the {state['item']} for {customer.get()}")
            await asyncio.sleep(pace)
    except asyncio.CancelledError:
        print("  the node was cancelled")
        raise
    return {"packed": True}


def compile_graph() -> CompiledStateGraph[Order]:
    """The graph, ready to be run."""
    graph = StateGraph(Order)
    graph.add_node(pack).add_edge(START, "pack")
    return graph.compile()


async def order(item: str, patience: float = math.inf) -> None:
    """Run the graph, and show what its node reports; give up when a step takes longer than `patience`, in s."""
    with trio.CancelScope() as scope:
        async with open_run(compile_graph(), {"item": item, "packed": False}, transformers=[CustomTransformer]) as run:
            async for step in run.custom:
                print(" ", step)
                scope.deadline = trio.current_time() + patience
            print("  packed:", (await run.output())["packed"])
    if scope.cancelled_caught:
        print("  given up")


async def heartbeat(beats: list[float]) -> None:
    """What else the program does."""
    while True:
        beats.append(trio.current_time())
        await trio.sleep(0.01)


async def main() -> None:
    """An order that is packed, and one that is cancelled."""
    beats: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat, beats)
        customer.set("Ada")
        print("An order:")
        await order("kettle")
        print("An order that takes too long:")
        await order("piano", patience=0.03)
        nursery.cancel_scope.cancel()
    print("The program went on beside it:", len(beats) > 1)


if __name__ == "__main__":
    trio.run(main)
