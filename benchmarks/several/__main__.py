"""What servers that share a store do for their viewers: `python -m benchmarks.several`.

Each measurement starts a Valkey server and servers of its own, all on this machine, with the clients: where there are
two cores, they share two cores. Ages are by the time of day in the events. Rows that miss their target are shown like
any others.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM, signal
from statistics import median
from typing import Final

import attrs

from benchmarks.measuring import machine
from benchmarks.several.delivering import DELIVERING
from benchmarks.several.idling import IDLING
from benchmarks.several.measurements import QUICK, Measurement, Sizes
from benchmarks.several.moving import MOVING
from benchmarks.several.steps import STEP
from benchmarks.several.storing import STORING
from benchmarks.tables import Table, rewrite

__all__ = ["MEASUREMENTS", "main", "measured_on"]

MEASUREMENTS: Final[tuple[Measurement, ...]] = (*DELIVERING, *STORING, *MOVING, *IDLING)

SECTION: Final = "several"
"""What a document's marker calls the table."""

BUSY: Final = 1.0
"""The load average from which other programs take their part of the machine."""


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table; 1 if a measurement has failed."""
    arguments = parse(given)
    sizes = QUICK if arguments.quick else Sizes()
    if arguments.rounds:
        sizes = attrs.evolve(sizes, rounds=arguments.rounds, moves=arguments.rounds)
    backends = arguments.backend or ["asyncio", "trio"]
    chosen = [each for each in MEASUREMENTS if each.wanted(arguments.only, sizes)]
    if not chosen:
        sys.exit(f"nothing is called {arguments.only!r}")
    busy = os.getloadavg()[0]
    rows: list[tuple[str, ...]] = []
    whole = True
    for measurement in chosen:
        figures = {backend: measured_on(backend, measurement, sizes) for backend in backends}
        whole = whole and all(figures.values())
        for row in measurement.wanted(arguments.only, sizes):
            rows.append(row.cells({backend: found.get(row.name) for backend, found in figures.items()}, sizes))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    table = Table(title(sizes), ("what", *backends, "must be", ""), tuple(rows), note(sizes, busy))
    print(table)
    if arguments.markdown is not None:
        if arguments.only is not None or sizes.quick or not whole:
            sys.exit(f"{arguments.markdown} is left as it is: not everything has been measured at full size")
        print(f"\n{arguments.markdown}: {', '.join(rewrite(arguments.markdown, {SECTION: str(table)}))}")
    return 0 if whole else 1


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    """What is to be measured, and where the table goes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.several", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, once; under a minute")
    parser.add_argument("--rounds", type=int, help="how often each is measured; reported is the median")
    names = ", ".join(each.name for each in MEASUREMENTS)
    parser.add_argument("--only", help=f"rows whose `measurement: name` contains this; measurements: {names}")
    parser.add_argument(
        "--backend", choices=["asyncio", "trio"], action="append", help="the servers' event loop (both)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="replace the table between a document's markers")
    return parser.parse_args(given)


def measured_on(backend: str, measurement: Measurement, sizes: Sizes) -> dict[str, float]:
    """The median of each row's figures; nothing if a round has failed, which is said."""
    try:
        rounds = list(measurement.rounds(backend, sizes))
    except Exception:  # noqa: BLE001 -- the other measurements go on
        print(f"{measurement.name} on {backend} has failed:", file=sys.stderr)
        traceback.print_exc()
        return {}
    return {row.name: median(figures[row.name] for figures in rounds) for row in measurement.rows}


def title(sizes: Sizes) -> str:
    """What stands above the table."""
    return (
        f"{sizes.runs} runs of {sizes.events} events at a time, {sizes.viewers} viewers, {sizes.servers} servers over "
        "Valkey with `appendfsync everysec`, unless the row says otherwise"
    )


def note(sizes: Sizes, busy: float) -> str:
    """What stands below it."""
    beside = "" if busy < BUSY else " **Other programs ran beside it: rates and ages are those of a part of it.**"
    return (
        f"{machine()}, on which everything ran, clients and Valkey too; load average before: {busy:.1f}.{beside} "
        f"Medians of {sizes.rounds} rounds, of kills and SIGTERMs of {sizes.moves}, of idle threads and first events "
        f"one. A kill and a SIGTERM find {sizes.moved} runs of a LangGraph graph on half of the servers, with steps "
        f"of {STEP} s and a lease of {sizes.lease:g} s."
    )


if __name__ == "__main__":
    signal(SIGTERM, lambda *_: sys.exit(1))  # servers are stopped as at any other end
    sys.exit(main())
