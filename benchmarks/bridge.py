"""The bridge: a LangGraph graph that is read from trio, over the bare `astream` on asyncio.

Two threads share the work, so what counts is wall time, and the other programs of the machine are in it. CPU time, of
both threads together, is shown beside it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import attrs

from anyiostream import CustomTransformer, open_run
from benchmarks import graphs
from benchmarks.measuring import CLOCKS, Options, Spread, Timed, alternate, differences, ratios, run_on, timed_on
from benchmarks.readers import count
from benchmarks.tables import Section, Table, at_most, verdicts

__all__ = ["SECTION", "Bridge", "burst", "latency"]

SECTION: Final = "bridge"

BURST_TARGET: Final = 3.0
"""us per part over the bare `astream`, at most."""

LATENCY_TARGET: Final = 3.5
"""Times the bare `astream`'s median latency, at most."""

PACE: Final = 0.001
"""s between two parts, where latency is measured."""

GIVEN: Final = {"steps": 0}


@attrs.frozen
class Bridge:
    """What a measurement came to.

    Attributes:
        name: What was measured.
        us: Contender -> us.
        over: Contender of ours -> what is compared with the target: a difference in us, or a ratio.
    """

    name: str
    us: Mapping[str, Spread]
    over: Mapping[str, Spread]


def burst(size: int, rounds: int, *, clock: str = "wall") -> Bridge:
    """us per part, for parts that are written as fast as they can be."""
    graph = graphs.writing(size, pace=None)

    async def bare() -> int:
        return sum([part["type"] == "custom" async for part in graphs.native(graph, GIVEN, ["custom"])])

    async def mine() -> int:
        async with open_run(graph, GIVEN, transformers=[CustomTransformer]) as run:
            return await count(run.custom)

    def checked(contend: Callable[[], Timed]) -> float:
        taken = contend()
        if taken.items != size:
            raise ValueError(f"{taken.items} parts were read, not {size}")
        return taken.seconds / size * 1e6

    every = {
        "native": partial(timed_on, "asyncio", bare, CLOCKS[clock]),
        "asyncio": partial(timed_on, "asyncio", mine, CLOCKS[clock]),
        "trio": partial(timed_on, "trio", mine, CLOCKS[clock]),
    }
    for contend in every.values():
        checked(contend)
    us = alternate({name: partial(checked, contend) for name, contend in every.items()}, rounds)
    over = {name: Spread.of(differences(us[name], us["native"])) for name in us if name != "native"}
    return Bridge(f"burst, us per part, {clock} time", {name: Spread.of(each) for name, each in us.items()}, over)


def latency(size: int, rounds: int, *, pace: float = PACE) -> Bridge:
    """us from when a part is written to when it is read, median of a run, for parts `pace` s apart."""
    graph = graphs.writing(size, pace=pace)

    async def bare() -> list[float]:
        return [
            time.perf_counter() - part["data"]
            async for part in graphs.native(graph, GIVEN, ["custom"])
            if part["type"] == "custom"
        ]

    async def mine() -> list[float]:
        async with open_run(graph, GIVEN, transformers=[CustomTransformer]) as run:
            return [time.perf_counter() - written async for written in run.custom]

    def median(loop: str, main: Callable[[], Any]) -> float:
        gc.collect()
        delays = run_on(loop, main)
        if len(delays) != size:
            raise ValueError(f"{len(delays)} parts were read, not {size}")
        middle: float = statistics.median(delays)
        return middle * 1e6

    every = {"native": ("asyncio", bare), "asyncio": ("asyncio", mine), "trio": ("trio", mine)}
    us = alternate({name: partial(median, *contend) for name, contend in every.items()}, rounds)
    over = {name: ratios(us[name], us["native"]) for name in us if name != "native"}
    return Bridge(
        "latency at 1 ms between parts, us, wall time", {name: Spread.of(each) for name, each in us.items()}, over
    )


def section(options: Options) -> Section:
    """The table."""
    rows, data = [], []
    cpu_burst = partial(burst, clock="cpu")
    for name, measure, sizes, said, target in (
        ("burst", burst, (20_000, 1000), "more than `astream`, us", BURST_TARGET),
        ("burst, CPU", cpu_burst, (20_000, 1000), "more than `astream`, us", None),
        ("latency", latency, (500, 50), "times `astream`", LATENCY_TARGET),
    ):
        if options.wants(SECTION, name):
            found = measure(sizes[options.quick], 2 * options.rounds)
            data.append(attrs.asdict(found))
            us = found.us
            rows.append(
                (
                    found.name,
                    *(us[contender].show(1) for contender in ("native", "asyncio", "trio")),
                    f"{said}: {found.over['asyncio'].show(1)}",
                    found.over["trio"].show(1),
                    at_most(target, digits=1),
                    verdicts([(found.over["trio"].median, target)]),
                )
            )
    if not rows:
        return Section(SECTION, (), [])
    header = (
        "what",
        "bare `astream` on asyncio",
        "asyncio",
        "trio",
        "compared: asyncio",
        "trio",
        "must be on trio",
        "",
    )
    return Section(SECTION, (Table("A LangGraph graph on each loop", header, tuple(rows)),), data)
