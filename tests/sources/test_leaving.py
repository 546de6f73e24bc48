"""Whatever strikes a run, at whichever turn of the event loop: nothing of the framework's is alive after the block.

A conversation with a nested agent and two tools at once is struck at one turn after another. Under
`nox -s tests-sources` at every third, elsewhere at few. LangGraph's graphs have the battery of `tests/faults` for that;
its `ToolNode` forgets a tool's clean-up where another tool at the same time has ended first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from anyiostream import ToolCallTransformer, open_run
from anyiostream.testing import Reply, at_turn, run_seeded

from .adapters import ADAPTERS
from .conversations import EXPERT, Agent, Conversation, Shown, Tools, call
from .test_conformance import SOURCES, alive

STEP = 3 if os.environ.get("ANYIOSTREAM_SOURCES") else 17
"""Of how many turns one is struck."""

BUSY = Conversation(
    Agent(
        "main",
        (
            Reply("Let me see.", tool_calls=[call("expert", "c1", q="a"), call("busy", "c2", q="b")]),
            Reply("At six."),
        ),
        (EXPERT, "busy"),
    ),
    Shown(),
)


async def leave(run: Any, scope: anyio.CancelScope) -> None:
    """Cancel the block."""
    scope.cancel()


async def abort(run: Any, scope: anyio.CancelScope) -> None:
    """Abort the run, and read on."""
    await run.abort()


async def fail(run: Any, scope: anyio.CancelScope) -> None:
    """Raise among the readers."""
    raise LookupError


@pytest.mark.parametrize("strike", [leave, abort, fail])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("source", [each for each in SOURCES if each != "langgraph"])
def test_nothing_is_alive_after_the_block(source: str, loop: Any, strike: Callable[..., Any]) -> None:
    """Not a task, and no tool in the middle of its clean-up."""
    turn, struck = 1, 0
    while strikes(source, loop, strike, turn):
        turn += STEP
        struck += 1
    assert struck


def strikes(source: str, loop: Any, strike: Callable[..., Any], turn: int) -> bool:
    """Strike at one turn; whether the run was still going on."""
    tools, landed, ended = Tools(), [], []
    opened = ADAPTERS[source]().opened(BUSY, tools)

    async def program() -> None:
        before = alive()
        with contextlib.suppress(LookupError, ExceptionGroup), anyio.CancelScope() as scope:
            alarm = anyio.Event()
            async with (
                open_run(**opened, transformers=[ToolCallTransformer]) as run,
                anyio.create_task_group() as tasks,
            ):

                async def striker() -> None:
                    await alarm.wait()
                    if not ended:
                        landed.append(turn)
                    await strike(run, scope)

                async def reader(items: Any) -> None:
                    async for _ in items:
                        pass

                tasks.start_soon(striker)
                for items in (run.messages, run.tool_calls, run.values):
                    tasks.start_soon(reader, items)
                at_turn(turn, alarm.set)
                with contextlib.suppress(Exception):
                    await run.output()
                ended.append(True)
                tasks.cancel_scope.cancel()
        assert alive() == before, turn
        assert tools.began == tools.ended, turn

    run_seeded(program, backend=loop, seed=turn)
    return bool(landed)
