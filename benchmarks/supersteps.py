"""How many supersteps a real graph makes that its reader, who pauses, has not seen: model calls, perhaps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import anyio
import attrs
import langgraph.stream

from anyiostream import CustomTransformer, open_run
from benchmarks import graphs
from benchmarks.measuring import Options, run_on
from benchmarks.tables import Section, Table, verdicts

__all__ = ["READERS", "SECTION", "Reader", "run_ahead"]

SECTION: Final = "supersteps"

STEPS: Final = 200
"""Supersteps of the graph."""

SEEN: Final = 10
"""Supersteps that are seen before the pause."""

GIVEN: Final = {"steps": 0}

CONTENDERS: Final = {"native": "asyncio", "theirs": "asyncio", "asyncio": "asyncio", "trio": "trio"}
"""Contender -> its event loop."""


@attrs.frozen
class Reader:
    """One row of the table.

    Attributes:
        projection: What is read; also the type of the parts.
        items: How many of its items tell of the first `SEEN` supersteps.
    """

    projection: str
    items: int


READERS: Final = (
    Reader("values", SEEN + 1),  # the first one is that of the input
    Reader("custom", SEEN),
)


def run_ahead(contender: str, reader: Reader, *, pause: float = 0.2) -> int:
    """Supersteps that have been begun after the last one that the reader has seen, `pause` s later."""
    made: list[int] = []
    graph = graphs.steps(STEPS, made)
    name = reader.projection

    async def look(items: AsyncIterator[Any]) -> int:
        for _ in range(reader.items):
            await anext(items)
        await anyio.wait_all_tasks_blocked()
        # On trio the graph is in another thread, of which the loop cannot tell whether it is still at work.
        await anyio.sleep(pause)
        return len(made) - SEEN

    async def main() -> int:
        if contender == "native":
            async with (
                aclosing(graphs.native(graph, GIVEN, ["custom"])) as stream,
                aclosing(part["data"] async for part in stream if part["type"] == name) as items,
            ):
                return await look(items)
        if contender == "theirs":
            their_custom = [langgraph.stream.CustomTransformer]
            async with await graph.astream_events(GIVEN, version="v3", transformers=their_custom) as run:
                return await look(aiter(run.extensions[name]))
        async with open_run(graph, GIVEN, transformers=[CustomTransformer]) as run:
            return await look(aiter(run.extensions[name]))

    ahead: int = run_on(CONTENDERS[contender], main)
    return ahead


def section(options: Options) -> Section:
    """The table of all readers that are wanted."""
    rows, data = [], {}
    for reader in READERS:
        if options.wants(SECTION, reader.projection):
            ahead = {contender: run_ahead(contender, reader) for contender in CONTENDERS}
            target = ahead["native"]
            data[reader.projection] = ahead
            rows.append(
                (
                    f"{STEPS} supersteps, a pause after {SEEN}, reader of `{reader.projection}`",
                    *(str(count) for count in ahead.values()),
                    f"<= {target}, as without a layer",
                    verdicts((ahead[loop], target) for loop in ("asyncio", "trio")),
                )
            )
    if not rows:
        return Section(SECTION, (), {})
    header = ("what", "bare `astream`", "`langgraph.stream`", "asyncio", "trio", "must be", "")
    return Section(SECTION, (Table("Supersteps run ahead of a paused reader", header, tuple(rows)),), data)
