"""The graphs that are served while their server is killed. Their checkpoints are in the folder `KILLS_FOLDER`.

The wall clock of their server is `KILLS_SHIFT` seconds ahead.
"""

from __future__ import annotations

import operator
import os
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

import anyio
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from anyiostream import GraphWriter

from ..store.saver import FileSaver

__all__ = ["ask", "function", "steps"]

PAUSE = 0.01
"""Seconds between two events."""

_now, _now_ns = time.time, time.time_ns


def _shift(seconds: int) -> None:
    """Let everything in this process have another time of day."""
    time.time = lambda: _now() + seconds
    time.time_ns = lambda: _now_ns() + seconds * 10**9


_shift(int(os.environ.get("KILLS_SHIFT", "0")))

_saver = FileSaver(Path(os.environ["KILLS_FOLDER"]) / "checkpoints")


class State(TypedDict, total=False):
    to: int
    n: int
    tags: Annotated[list[str], operator.add]


async def step(state: State) -> State:
    """Some events, and one more step done."""
    n = state.get("n", 0)
    for piece in range(5):
        get_stream_writer()({"name": "count", "payload": [n, piece]})
        await anyio.sleep(PAUSE)
    return {"n": n + 1}


def begin(state: State) -> State:
    """A turn begins."""
    return {"n": 0}


def wait_for_user(state: State) -> State:
    """Ask, and keep the answer."""
    return {"tags": [f"answer {interrupt('which?')}"]}


def _built(*, asking: bool) -> Any:
    builder = StateGraph(State).add_node("begin", begin).add_node("step", step)
    builder.add_edge(START, "begin")
    if asking:
        builder.add_node("user", wait_for_user).add_edge("begin", "user").add_edge("user", "step")
    else:
        builder.add_edge("begin", "step")
    builder.add_conditional_edges("step", lambda state: END if state["n"] >= state["to"] else "step")
    return builder.compile(checkpointer=_saver)


steps = _built(asking=False)
ask = _built(asking=True)


async def function(given: Any, writer: GraphWriter) -> Any:
    """The same without checkpoints."""
    for n in range(given["to"]):
        for piece in range(5):
            await writer.custom({"name": "count", "payload": [n, piece]})
            await anyio.sleep(PAUSE)
    return given
