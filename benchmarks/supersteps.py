"""How many supersteps a real graph makes that its reader, who pauses, has not seen: model calls, perhaps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import anyio

from anyiostream import open_run
from benchmarks import graphs
from benchmarks.measuring import Options, run_on
from benchmarks.tables import Section, Table, verdicts

__all__ = ["SECTION", "run_ahead"]

SECTION: Final = "supersteps"

STEPS: Final = 200
"""Supersteps of the graph."""

SEEN: Final = 10
"""Snapshots that are read before the pause."""

GIVEN: Final = {"steps": 0}

CONTENDERS: Final = {"native": "asyncio", "theirs": "asyncio", "asyncio": "asyncio", "trio": "trio"}
"""Contender -> its event loop."""


def run_ahead(contender: str, *, pause: float = 0.2) -> int:
    """Supersteps that were made after the last one that the reader has seen, `pause` s later."""
    made: list[int] = []
    graph = graphs.steps(STEPS, made)

    async def look(snapshots: AsyncIterator[Any]) -> int:
        seen: int = [await anext(snapshots) for _ in range(SEEN)][-1]["steps"]
        await anyio.wait_all_tasks_blocked()
        # On trio the graph is in another thread, of which the loop cannot tell whether it is still at work.
        await anyio.sleep(pause)
        return len(made) - seen

    async def main() -> int:
        if contender == "native":
            return await look(part["data"] async for part in graphs.native(graph, GIVEN) if part["type"] == "values")
        if contender == "theirs":
            async with await graph.astream_events(GIVEN, version="v3") as run:
                return await look(aiter(run.values))
        async with open_run(graph, GIVEN) as run:
            return await look(aiter(run.values))

    ahead: int = run_on(CONTENDERS[contender], main)
    return ahead


def section(options: Options) -> Section:
    """The table: one row."""
    if not options.wants(SECTION, "run ahead of a paused reader"):
        return Section(SECTION, (), [])
    ahead = {contender: run_ahead(contender) for contender in CONTENDERS}
    target = ahead["native"]
    row = (
        f"{STEPS} supersteps, a pause after {SEEN} snapshots",
        *(str(count) for count in ahead.values()),
        f"<= {target}, as without a layer",
        verdicts((ahead[loop], target) for loop in ("asyncio", "trio")),
    )
    header = ("what", "bare `astream`", "`langgraph.stream`", "asyncio", "trio", "must be", "")
    return Section(SECTION, (Table("Supersteps run ahead of a paused reader", header, (row,)),), ahead)
