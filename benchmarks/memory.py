"""Memory: each measurement in a process of its own, forked from one that has only imported what it needs.

The parts come from a generator, so that only what a library keeps of them counts.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import sys
import tracemalloc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
import attrs

from anyiostream import parts
from benchmarks import scripts
from benchmarks.libraries import hosted, ours, theirs
from benchmarks.measuring import Options, run_on
from benchmarks.readers import read_log, read_tokens
from benchmarks.tables import Section, Table, verdicts

__all__ = ["CASES", "SECTION", "Case", "Kept", "measure_here"]

SECTION: Final = "memory"

CONTENDERS: Final[Mapping[str, str]] = {"floor": "asyncio", "theirs": "asyncio", "asyncio": "asyncio", "trio": "trio"}
"""Contender -> its event loop."""


@attrs.frozen
class Kept:
    """What one process needed.

    Attributes:
        kept: In the case's unit.
        parts: Parts that were produced.
    """

    kept: float
    parts: int


@attrs.frozen
class Case:
    """One row of the table.

    Attributes:
        name: What is kept, and when.
        unit: Of the figures.
        count: Parts or subgraphs.
        quick: The same for a quick measurement.
        target: The greatest figure that is good enough, or `None`.
        run: Runs it in this process: a contender that is not the floor, its count.
        floor: Whether the bare source is measured too.
    """

    name: str
    unit: str
    count: int
    quick: int
    target: float | None
    run: Callable[[str, int], Kept]
    floor: bool = True


class Counted:
    """An iterator that counts what it was asked for."""

    def __init__(self, parts_: Iterator[Any]) -> None:
        self._parts = parts_
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        """Produce."""
        for part in self._parts:
            self.count += 1
            yield part


def opened(contender: str, script: Any) -> Any:
    """A run of either library."""
    return theirs(script) if contender == "theirs" else ours(script)


def peak(contender: str, script: Iterator[Any], read: Callable[[Any], Awaitable[Any]]) -> Kept:
    """By how many MB the process grew at most, above what it needs without parts."""
    counted = Counted(script)

    async def main() -> float:
        if contender != "floor":
            async with opened(contender, [parts.custom(0)]) as run:
                await read_log(run)
        await anyio.wait_all_tasks_blocked()  # imports something, the first time
        gc.collect()
        forget_peak()
        before = resident("VmRSS")
        if contender == "floor":
            async for _ in hosted(counted):
                pass
        else:
            async with opened(contender, counted) as run:
                await read(run)
        return resident("VmHWM") - before

    grown = run_on(CONTENDERS[contender], main)
    return Kept(grown, counted.count)


def forget_peak() -> None:
    """Begin to look for the peak anew, where the system lets us; else it includes what imports needed."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident(what: str) -> float:
    """MB of this process: what it has now (`VmRSS`) or has had at most (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no {what}")


def log_read(contender: str, count: int) -> Kept:
    """Custom data, all of which is read."""
    return peak(contender, map(parts.custom, range(count)), read_log)


def one_unread(contender: str, count: int) -> Kept:
    """Custom data: one reader of the raw log has subscribed and never reads, another waits for the run's output."""

    async def read(run: Any) -> None:
        unread: AsyncIterator[Any] = aiter(run)
        async with anyio.create_task_group() as tasks:

            async def drive() -> None:
                await run.output()
                tasks.cancel_scope.cancel()

            tasks.start_soon(drive)
            if contender != "theirs":
                # Stalled: nothing can happen any more before somebody reads.
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
        del unread

    return peak(contender, map(parts.custom, range(count)), read)


def one_message(contender: str, count: int) -> Kept:
    """A message of that many pieces, read piece by piece."""
    return peak(contender, scripts.message(0, count), read_tokens)


def finished_subgraphs(contender: str, count: int) -> Kept:
    """KB for each subgraph that has been read and has ended, while the run goes on."""
    sizes: list[int] = []

    def script() -> Iterator[Any]:
        yield from some(0, count)
        sizes.append(traced())
        yield from some(count, 3 * count)
        sizes.append(traced())

    def some(first: int, last: int) -> Iterator[Any]:
        for n in range(first, last):
            space = (f"sub:{n}",)
            yield parts.task_start("in", "inner", ns=space)
            yield parts.values({"n": n}, ns=space)
            yield parts.task_result(str(n), "sub")

    def traced() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    counted = Counted(script())

    async def main() -> None:
        async with opened(contender, counted) as run:
            async for handle in run.subgraphs:
                async for _ in handle.values:
                    pass

    tracemalloc.start()
    run_on(CONTENDERS[contender], main)
    tracemalloc.stop()
    return Kept((sizes[1] - sizes[0]) / (2 * count) / 1024, counted.count)


CASES: Final = (
    Case("peak, a raw log read to its end", "MB", 1_000_000, 20_000, None, log_read),
    Case("peak, one reader that never reads", "MB", 1_000_000, 20_000, 5, one_unread, floor=False),
    Case("peak, one message of many pieces", "MB", 50_000, 5_000, None, one_message, floor=False),
    Case("kept for each finished subgraph", "KB", 1000, 100, 0.1, finished_subgraphs, floor=False),
)


def measure_here(index: int, contender: str, count: int) -> Kept:
    """Measure a case in this process, which is there for nothing else."""
    warnings.filterwarnings("ignore", message="The v3 streaming protocol")
    logging.getLogger("anyiostream").setLevel(logging.ERROR)  # which warns of the reader that never reads
    return CASES[index].run(contender, count)


def section(options: Options) -> Section:
    """The table of all cases that are wanted. Once each: memory is the same each time."""
    chosen = [case for case in CASES if options.wants(SECTION, case.name)]
    if not chosen or not sys.platform.startswith("linux"):
        return Section(SECTION, (), [])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        results = [_measured(case, options, pool) for case in chosen]
    data, rows = [], []
    for case, (count, found) in zip(chosen, results, strict=True):
        data.append(
            {"case": case.name, "unit": case.unit, "count": count} | {n: attrs.asdict(k) for n, k in found.items()}
        )
        rows.append(
            (
                case.name,
                f"{count:,}",
                *(_shown(found.get(name), case.unit) for name in CONTENDERS),
                "" if case.target is None else f"<= {case.target} {case.unit}",
                verdicts((found[name].kept, case.target) for name in ("asyncio", "trio")),
            )
        )
    header = ("what", "N", "floor", "`langgraph.stream`", "asyncio", "trio", "must be", "")
    note = "In parentheses: how many parts the source was asked for."
    return Section(SECTION, (Table("Memory, each in a process of its own", header, tuple(rows), note),), data)


def _measured(case: Case, options: Options, pool: ProcessPoolExecutor) -> tuple[int, dict[str, Kept]]:
    count = case.quick if options.quick else case.count
    names = [name for name in CONTENDERS if case.floor or name != "floor"]
    return count, {name: pool.submit(measure_here, CASES.index(case), name, count).result() for name in names}


def _shown(kept: Kept | None, unit: str) -> str:
    return "" if kept is None else f"{kept.kept:.1f} {unit} ({kept.parts:,})"
