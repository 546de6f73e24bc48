"""A graph that goes on at any server: its checkpoints are in a file that all of them reach, in `STEPS_FOLDER`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypedDict

import anyio
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from tests.remote.store.saver import FileSaver

__all__ = ["FOLDER", "STEP", "steps"]

FOLDER: Final = "STEPS_FOLDER"

STEP: Final = 0.1
"""Seconds that a step takes."""


class State(TypedDict):
    """How many steps are left."""

    left: int


async def step(state: State) -> State:
    """Say in which process it is, and take a while."""
    get_stream_writer()({"by": os.getpid()})
    await anyio.sleep(STEP)
    return {"left": state["left"] - 1}


_builder = StateGraph(State).add_node("step", step).add_edge(START, "step")
_builder.add_conditional_edges("step", lambda state: "step" if state["left"] > 0 else END)
_saver = FileSaver(Path(os.environ[FOLDER], "checkpoints")) if FOLDER in os.environ else None
steps = _builder.compile(checkpointer=_saver)
