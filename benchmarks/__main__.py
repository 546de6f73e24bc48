"""`nox -s bench`: what reading a run costs per part, against `langgraph.stream`, and against the bare source.

All contenders of a workload run in turn, round by round, on the same parts; reported are medians over the rounds, and
the median of the rounds' ratios with its spread. Only ratios carry over to another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import trio

from benchmarks.workloads import WORKLOADS, Workload, hosted, ours, theirs, theirs_sync

warnings.filterwarnings("ignore", message="The v3 streaming protocol")

Contender = Callable[[list[Any]], float]
"""Runs a workload once; the time per part, in us."""


def timed(run: Callable[[], None], script: list[Any]) -> float:
    """The time of `run` per part of the script, in us."""
    gc.collect()
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) / len(script) * 1e6


def contenders(workload: Workload) -> dict[str, Contender]:
    """Name -> what to measure; `floor` is the bare source, `theirs` the original."""

    async def floor(script: list[Any]) -> None:
        async for _ in hosted(script):
            pass

    async def original(script: list[Any]) -> None:
        assert await workload.read(theirs(script))

    async def mine(script: list[Any]) -> None:
        async with ours(workload, script) as run:
            assert await workload.read(run)

    found: dict[str, Contender] = {
        "floor": lambda script: timed(lambda: asyncio.run(floor(script)), script),
        "theirs": lambda script: timed(lambda: asyncio.run(original(script)), script),
        "asyncio": lambda script: timed(lambda: asyncio.run(mine(script)), script),
        "trio": lambda script: timed(lambda: trio.run(mine, script), script),
    }
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 -- not everywhere

        found["uvloop"] = lambda script: timed(lambda: uvloop.run(mine(script)), script)
    read_sync = workload.read_sync
    if read_sync is not None:

        def mine_sync(script: list[Any]) -> None:
            with ours(Workload(workload.name, workload.make, workload.read, inline=True), script) as run:
                assert read_sync(run)

        found["theirs, sync"] = lambda script: timed(lambda: _use(read_sync(theirs_sync(script))), script)
        found["sync"] = lambda script: timed(lambda: mine_sync(script), script)
    return found


def _use(count: int) -> None:
    assert count


def measure(workload: Workload, items: int, rounds: int) -> dict[str, Any]:
    """Medians in us per part, and ratios to the original as (median, least, greatest)."""
    script = workload.make(items)
    all_contenders = contenders(workload)
    times: dict[str, list[float]] = {name: [] for name in all_contenders}
    for _ in range(rounds):
        for name, contend in all_contenders.items():
            times[name].append(contend(script))
    ratios = {}
    for name in set(times) - {"floor", "theirs", "theirs, sync"}:
        base = times["theirs, sync" if name == "sync" else "theirs"]
        each = [mine / their for mine, their in zip(times[name], base, strict=True)]
        ratios[name] = (statistics.median(each), min(each), max(each))
    medians = {name: statistics.median(each) for name, each in times.items()}
    return {"workload": workload.name, "us": medians, "ratios": ratios}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer parts and rounds; under a minute")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--only", help="workloads whose name contains this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    items, rounds = (2_000, 3) if options.quick else (20_000, options.rounds)
    chosen = [workload for workload in WORKLOADS if options.only is None or options.only in workload.name]
    machine = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    versions = {name: version(name) for name in ("anyio", "trio", "langgraph")}
    rows = [measure(workload, items, rounds) for workload in chosen]
    if options.json:
        print(json.dumps({"machine": machine, "versions": versions, "rows": rows}))
        return
    print(f"{machine}; {', '.join(f'{name} {number}' for name, number in versions.items())}; {rounds} rounds\n")
    for row in rows:
        us = ", ".join(f"{name} {time_:.2f}" for name, time_ in row["us"].items())
        print(f"{row['workload']}: us per part: {us}")
        for name, (median, least, greatest) in sorted(row["ratios"].items()):
            print(f"    {name:8} / theirs  {median:5.2f}  ({least:.2f} to {greatest:.2f})")


if __name__ == "__main__":
    main()
