"""The battery at length: `python -m tests.faults [--runs N] [--seconds S] [--only SCENARIO]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from .agents import AGENTS, INSTALLED
from .battery import LOOPS, SOURCES, Figures, Selection, chunk
from .engine import run_scenario
from .faults import FAULTS
from .scenarios import Scenario

RUNS = 50_000
TRACES = 10_000
LANDED = 100
CHUNK = 500


def main() -> int:
    """Run what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many runs ({RUNS})")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long")
    parser.add_argument("--seed", type=int, default=0, help="decides which runs (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--fault", action="append", default=[], help="only faults with this word in their names")
    parser.add_argument("--loop", action="append", choices=LOOPS, help="only runs on this loop")
    parser.add_argument("--source", action="append", choices=SOURCES, help="only runs over this kind of source")
    parser.add_argument("--until-violation", action="store_true", help="stop at the first violation")
    parser.add_argument("--only", metavar="SCENARIO", action="append", help="run this one, and print its trace")
    parser.add_argument("--mutants", action="store_true", help="break the package on purpose afterwards, too")
    chosen = parser.parse_args()
    if chosen.only:
        return max(repeat(line) for line in chosen.only)
    missing = sorted(set(chosen.source or ()) & set(AGENTS) - set(INSTALLED))
    if missing:
        parser.error(f"install {' and '.join(missing)} first, which are extras of the package")
    began = time.monotonic()
    selection = Selection(tuple(chosen.fault), frozenset(chosen.loop or LOOPS), frozenset(chosen.source or SOURCES))
    figures = run(
        chosen.runs,
        chosen.seconds,
        chosen.seed,
        chosen.jobs,
        selection=selection,
        until_violation=chosen.until_violation,
    )
    print(f"time                {time.monotonic() - began:.0f} s")
    print("\n".join(figures.lines()))
    code = verdict(figures, full=chosen.runs >= RUNS and figures.runs >= chosen.runs and selection == Selection())
    if chosen.mutants:
        code |= subprocess.run([sys.executable, "-m", "tests.faults.mutants"], check=False).returncode
    return code


def run(
    runs: int, seconds: float, seed: int, jobs: int, *, selection: Selection, until_violation: bool = False
) -> Figures:
    """All runs, in several processes, or in this one."""
    figures = Figures()
    until = time.monotonic() + seconds
    if jobs == 1:
        return chunk(seed, runs, figures.landed, until, selection, until_violation=until_violation)
    seeds = iter(range(seed * 1_000_000, (seed + 1) * 1_000_000))
    said = time.monotonic()
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        pending: set[Future[Figures]] = set()
        asked = 0
        while (figures.runs < runs and time.monotonic() < until) or pending:
            while len(pending) < 2 * jobs and asked < runs and time.monotonic() < until:
                pending.add(pool.submit(chunk, next(seeds), CHUNK, figures.landed.copy(), until, selection))
                asked += CHUNK
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for each in done:
                more = each.result()
                figures.merge(more)
                for scenario, invariant, what in more.examples:
                    print(f"{invariant} {scenario}: {what[:300]}", file=sys.stderr, flush=True)
            if time.monotonic() - said > 20:
                said = time.monotonic()
                print(
                    f"{figures.runs} runs, {sum(figures.violations.values())} violations", file=sys.stderr, flush=True
                )
    return figures


def verdict(figures: Figures, *, full: bool) -> int:
    """Whether it is well; says what is not."""
    for scenario, invariant, what in figures.examples[:20]:
        print(f"{invariant} {what[:1500]}\n    python -m tests.faults --only {scenario}")
    missed = []
    if full:
        if len(figures.traces) < TRACES:
            missed.append(f"{len(figures.traces)} distinct traces instead of {TRACES}")
        families: dict[str, int] = {}
        for fault in FAULTS.values():
            if fault.name != "none":
                families[fault.family] = families.get(fault.family, 0) + figures.landed[fault.name]
        missed += [f"{family!r} struck {n} times instead of {LANDED}" for family, n in families.items() if n < LANDED]
    for each in missed:
        print(f"missed: {each}")
    return 1 if figures.violations or figures.left or missed else 0


def repeat(line: str) -> int:
    """Run one scenario, and print what happened."""
    lines: list[str] = []
    scenario = Scenario.parse(line)
    outcome = run_scenario(scenario, lines)
    print(scenario, scenario.options, sep="\n")
    print("\n".join(f"    {each}" for each in lines))
    for invariant, what in outcome.violations:
        print(invariant, what)
    print(f"landed: {outcome.landed}, status: {outcome.status}, in {Path.cwd().name}")
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
