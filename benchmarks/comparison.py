"""The workloads, measured: the bare source, the original and ours take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import attrs

from benchmarks.libraries import bare, ours, theirs, theirs_sync
from benchmarks.measuring import CLOCKS, LOOPS, Options, Spread, Timed, alternate, ratios, timed, timed_on
from benchmarks.readers import SyncReader
from benchmarks.scripts import Script
from benchmarks.tables import Section, Table, at_most, verdicts
from benchmarks.workloads import WORKLOADS, Workload

__all__ = ["SECTION", "Comparison", "contenders", "measure", "opponent"]

SECTION: Final = "workloads"

LOCK_STEP: Final = {"prefetch": 0}

Contender = Callable[[Script, Callable[[], float]], Timed]
"""Reads a script once, by a clock."""


@attrs.frozen
class Comparison:
    """What a workload came to.

    Attributes:
        workload: Its name.
        us: Contender -> us per part, or per run where these are empty.
        ratios: Contender of ours -> its ratio to the original on the same lane, on the same kind of loop.
    """

    workload: str
    us: Mapping[str, Spread]
    ratios: Mapping[str, Spread]


def contenders(workload: Workload) -> dict[str, Contender]:
    """Name -> what to measure: `floor`, `theirs`, `asyncio`, `asyncio, lock-step`, ..., `theirs, sync`, `sync`."""
    found: dict[str, Contender] = {
        "floor": lambda script, clock: timed_on("asyncio", partial(bare, script.parts, script.runs), clock)
    }
    for loop in LOOPS:
        if loop != "trio":
            found["theirs" if loop == "asyncio" else f"theirs, {loop}"] = their_reader(workload, loop)
        found[loop] = our_reader(workload, loop, {})
        found[f"{loop}, lock-step"] = our_reader(workload, loop, LOCK_STEP)
    if workload.read_sync is not None:
        found["theirs, sync"], found["sync"] = sync_readers(workload, workload.read_sync)
    return found


def their_reader(workload: Workload, loop: str) -> Contender:
    """The original on an event loop."""

    async def read(script: Script) -> int:
        found = 0
        for _ in range(script.runs):
            async with theirs(script.parts, workload.transformers) as run:
                found += await workload.read(run)
        return found

    return lambda script, clock: timed_on(loop, partial(read, script), clock)


def our_reader(workload: Workload, loop: str, options: Mapping[str, Any]) -> Contender:
    """Ours on an event loop, with options of `open_run`."""

    async def read(script: Script) -> int:
        found = 0
        for _ in range(script.runs):
            async with ours(script.parts, workload.transformers, workload.shape, **options) as run:
                found += await workload.read(run)
        return found

    return lambda script, clock: timed_on(loop, partial(read, script), clock)


def sync_readers(workload: Workload, read: SyncReader) -> tuple[Contender, Contender]:
    """The original and ours on the sync lane."""

    def original(script: Script) -> int:
        with theirs_sync(script.parts, workload.transformers) as run:
            return read(run)

    def mine(script: Script) -> int:
        with ours(script.parts, workload.transformers, "iterable") as run:
            return read(run)

    return (
        lambda script, clock: timed(partial(original, script), clock),
        lambda script, clock: timed(partial(mine, script), clock),
    )


def opponent(contender: str) -> str | None:
    """With whom a contender is compared: on trio, where the original does not run, with it on asyncio."""
    if contender == "floor" or contender.startswith("theirs"):
        return None
    lane = contender.partition(",")[0]
    return f"theirs, {lane}" if lane in {"uvloop", "sync"} else "theirs"


def measure(workload: Workload, options: Options) -> Comparison:
    """Run a workload's rounds.

    Raises:
        ValueError: A contender did not read what there is to be read, so that its time would say nothing.
    """
    script = workload.make(workload.quick if options.quick else workload.count)
    warm_up = workload.make(workload.quick // 10)
    clock = CLOCKS[options.clock]

    def run(name: str, contend: Contender, script: Script) -> float:
        result = contend(script, clock)
        expected = len(script.parts) * script.runs if name == "floor" else script.items
        if result.items != expected:
            raise ValueError(f"{workload.name}: {name} read {result.items} items, not {expected}")
        return result.seconds / script.units * 1e6

    every = contenders(workload)
    for name, contend in every.items():
        run(name, contend, warm_up)
    times = alternate({name: partial(run, name, contend, script) for name, contend in every.items()}, options.rounds)
    return Comparison(
        workload.name,
        {name: Spread.of(each) for name, each in times.items()},
        {name: ratios(times[name], times[base]) for name in times if (base := opponent(name)) is not None},
    )


def section(options: Options) -> Section:
    """The table of all workloads that are wanted."""
    chosen = [workload for workload in WORKLOADS if options.wants(SECTION, workload.name)]
    found = [(workload, measure(workload, options)) for workload in chosen]
    return Section(SECTION, tuple(_tables(found, options.clock)), [attrs.asdict(result) for _, result in found])


def _tables(found: list[tuple[Workload, Comparison]], clock: str) -> Iterator[Table]:
    if not found:
        return
    lanes = LOOPS
    yield Table(
        f"Async lanes: ratio to `langgraph.stream`, median (least-greatest) of the rounds; {clock} time",
        (
            "workload",
            "floor, us",
            "`langgraph.stream`, us",
            *(f"{loop}{how}" for how in ("", ", lock-step") for loop in lanes),
            "must be on asyncio / trio",
            "",
        ),
        tuple(
            (
                workload.name,
                f"{result.us['floor'].median:.2f}",
                f"{result.us['theirs'].median:.2f}",
                *(result.ratios[f"{loop}{how}"].show() for how in ("", ", lock-step") for loop in lanes),
                at_most(workload.targets.asyncio, workload.targets.trio),
                verdicts((result.ratios[loop].median, workload.targets.for_lane(loop)) for loop in ("asyncio", "trio")),
            )
            for workload, result in found
        ),
        note="Costs are per part, or per run where it is empty. uvloop is compared with the original on uvloop, trio "
        "with the original on asyncio.",
    )
    synchronous = [(workload, result) for workload, result in found if "sync" in result.us]
    if synchronous:
        yield Table(
            f"Sync lane; {clock} time",
            ("workload", "`langgraph.stream`, us", "anyiostream, us", "ratio", "must be", ""),
            tuple(
                (
                    workload.name.removesuffix(", async generator"),  # it is an iterable here
                    f"{result.us['theirs, sync'].median:.2f}",
                    f"{result.us['sync'].median:.2f}",
                    result.ratios["sync"].show(),
                    at_most(workload.targets.sync),
                    verdicts([(result.ratios["sync"].median, workload.targets.sync)]),
                )
                for workload, result in synchronous
            ),
        )
