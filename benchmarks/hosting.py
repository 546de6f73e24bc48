"""Hosting: a LangGraph graph that is read on each loop, over the bare `astream` on asyncio without a layer.

On trio it is hosted by the asyncio loop in trio's own thread, and by the one in a thread of its own. Costs are CPU time
of the process, and so of both threads, unless wall time is asked for. How late something is can be told in wall time
only, and the other programs of the machine are in it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import anyio
import attrs

from anyiostream import CustomTransformer, asyncio_host, open_run
from benchmarks import graphs
from benchmarks.measuring import CLOCKS, Options, Spread, alternate, ratios, run_on
from benchmarks.readers import count, read_tokens, read_values
from benchmarks.tables import Section, Table, at_most, verdicts

__all__ = ["SECTION", "Hosting", "burst", "lag", "latency", "superstep", "token"]

SECTION: Final = "hosting"

PACE: Final = 0.001
"""s between two parts where latency is measured, and between two ticks."""

GIVEN: Final = {"steps": 0}

CONTENDERS: Final = {"native": "asyncio", "asyncio": "asyncio", "trio": "trio", "thread": "trio"}
"""What is measured -> its loop."""

Main = Callable[[], Any]


@attrs.frozen
class Hosting:
    """What a measurement came to.

    Attributes:
        name: What was measured, and its unit.
        figures: Contender -> figure.
        times: Contender of ours -> its figure over that of `base`, round by round.
        base: What they are compared with.
    """

    name: str
    figures: Mapping[str, Spread]
    times: Mapping[str, Spread]
    base: str = "native"


def compare(name: str, mains: Mapping[str, Main], rounds: int, base: str = "native") -> Hosting:
    """Measure each contender, whose main function returns its figure, in turn."""

    def hosted(contender: str) -> Any:
        async def main() -> Any:
            async with asyncio_host(thread=contender == "thread"):
                gc.collect()
                return await mains[contender]()

        return main

    every = {contender: partial(run_on, CONTENDERS[contender], hosted(contender)) for contender in mains}
    for measure in every.values():
        measure()
    found = alternate(every, rounds)
    times = {contender: ratios(found[contender], found[base]) for contender in mains if contender != base}
    return Hosting(name, {contender: Spread.of(each) for contender, each in found.items()}, times, base)


def each(bare: Main, mine: Main) -> dict[str, Main]:
    """One function for the bare graph, another one for ours on each loop."""
    return {contender: bare if contender == "native" else mine for contender in CONTENDERS}


def timed(work: Callable[[], Any], items: int, repeated: int, clock: str) -> Main:
    """Returns the median of the us that one of its `items` takes; `work` returns how many it has read, or `None`."""
    now = CLOCKS[clock]

    async def main() -> float:
        taken = []
        await work()  # what is done once is no part of it
        for _ in range(repeated):
            start = now()
            found = await work()
            taken.append((now() - start) / items * 1e6)
            if found not in {None, items}:
                raise ValueError(f"{found} items were read, not {items}")
        return statistics.median(taken)

    return main


def burst(size: int, rounds: int, clock: str = "cpu") -> Hosting:
    """us per part, for parts that are written as fast as they can be."""
    graph = graphs.writing(size, pace=None)

    async def bare() -> int:
        return sum([part["type"] == "custom" async for part in graphs.native(graph, GIVEN, ["custom"])])

    async def mine() -> int:
        async with open_run(graph, GIVEN, transformers=[CustomTransformer]) as run:
            return await count(run.custom)

    return compare("burst, us per part", each(timed(bare, size, 3, clock), timed(mine, size, 3, clock)), rounds)


def latency(size: int, rounds: int, *, pace: float = PACE) -> Hosting:
    """us from when a part is written to when it is read, median of a run, for parts `pace` s apart."""
    graph = graphs.writing(size, pace=pace)

    async def bare() -> float:
        return median(
            [
                time.perf_counter() - part["data"]
                async for part in graphs.native(graph, GIVEN, ["custom"])
                if part["type"] == "custom"
            ]
        )

    async def mine() -> float:
        async with open_run(graph, GIVEN, transformers=[CustomTransformer]) as run:
            return median([time.perf_counter() - written async for written in run.custom])

    def median(delays: list[float]) -> float:
        if len(delays) != size:
            raise ValueError(f"{len(delays)} parts were read, not {size}")
        return statistics.median(delays) * 1e6

    return compare("latency at 1 ms between parts, us", each(bare, mine), rounds)


def superstep(size: int, rounds: int, repeated: int, clock: str = "cpu") -> Hosting:
    """us per superstep of a graph of async nodes, of which every snapshot is read."""
    graph = graphs.steps(size, threads=False)

    async def bare() -> None:
        async for _ in graphs.native(graph, GIVEN):
            pass

    async def mine() -> int:
        async with open_run(graph, GIVEN) as run:
            return await read_values(run) - 1  # the first snapshot is that of the input

    return compare(
        "a superstep of async nodes, us",
        each(timed(bare, size, repeated, clock), timed(mine, size, repeated, clock)),
        rounds,
    )


def token(rounds: int, repeated: int, clock: str = "cpu") -> Hosting:
    """us for a whole run whose model says one token."""
    graph = graphs.chat(1)

    async def bare() -> None:
        async for _ in graphs.native(graph, graphs.QUESTION):
            pass

    async def mine() -> int:
        async with open_run(graph, graphs.QUESTION) as run:
            return await read_tokens(run)

    return compare(
        "a run of one token, us", each(timed(bare, 1, repeated, clock), timed(mine, 1, repeated, clock)), rounds
    )


def lag(runs: int, steps: int, rounds: int) -> Hosting:
    """ms that a task which sleeps for 1 ms again and again wakes up late, median, beside `runs` runs at once."""
    graph = graphs.steps(steps, threads=False)

    async def application() -> None:
        async with open_run(graph, GIVEN) as run:
            await read_values(run)

    async def mine() -> float:
        late = []

        async def tick() -> None:
            while True:
                due = time.perf_counter() + PACE
                await anyio.sleep(PACE)
                late.append(time.perf_counter() - due)

        async with anyio.create_task_group() as ticking:
            ticking.start_soon(tick)
            async with anyio.create_task_group() as tasks:
                for _ in range(runs):
                    tasks.start_soon(application)
            ticking.cancel_scope.cancel()
        return statistics.median(late) * 1e3

    mains = {contender: mine for contender in CONTENDERS if contender != "native"}
    return compare(f"how late a 1 ms ticker is beside {runs} runs, ms", mains, rounds, base="asyncio")


def section(options: Options) -> Section:
    """The table."""
    quick = options.quick
    rows, data = [], []
    for name, measure, target in (
        ("burst", partial(burst, 1000 if quick else 5000, clock=options.clock), 1.25),
        ("latency", partial(latency, 50 if quick else 300), 1.9),
        ("superstep", partial(superstep, 80, repeated=3 if quick else 10, clock=options.clock), 1.4),
        ("token", partial(token, repeated=5 if quick else 50, clock=options.clock), 1.9),
        ("ticker", partial(lag, 20 if quick else 100, 5 if quick else 10), 1.0),
    ):
        if options.wants(SECTION, name):
            found = measure(rounds=2 * options.rounds)
            data.append(attrs.asdict(found))
            rows.append(
                (
                    found.name,
                    *(
                        found.figures[contender].show(1) if contender in found.figures else ""
                        for contender in CONTENDERS
                    ),
                    *(
                        found.times[contender].show(2) if contender in found.times else ""
                        for contender in CONTENDERS
                        if contender != "native"
                    ),
                    at_most(target, digits=2),
                    verdicts([(found.times["trio"].median, target)]),
                )
            )
    if not rows:
        return Section(SECTION, (), [])
    header = (
        "what",
        "bare `astream` on asyncio",
        "asyncio",
        "trio",
        "trio, in a thread",
        "times: asyncio",
        "trio",
        "trio, in a thread",
        "must be on trio",
        "",
    )
    note = (
        f"In {options.clock} time, of both threads where there are two; latency and the ticker in wall time. The "
        "ticker is compared with the one on asyncio, everything else with the bare `astream`."
    )
    return Section(SECTION, (Table("A LangGraph graph on each loop", header, tuple(rows), note=note),), data)
