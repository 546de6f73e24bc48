"""What importing the package costs, next to what it builds on: `python -m benchmarks.import_time`.

Each round starts a fresh interpreter per line, in turn, and takes the processor time of the import alone; the figures
are medians, in ms. The aim is at most 30 ms above the part of anyio that every user of it loads, and attrs, together:
`import anyio` alone loads next to nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

IMPORTS = {
    "attrs": "import attrs",
    "anyio": "import anyio",
    "anyio, attrs": "import anyio, attrs",
    "anyio, attrs, memory streams": "import anyio, attrs, anyio.streams.memory",
    "anyiostream": "import anyiostream",
    "anyiostream.testing": "import anyiostream.testing",
}
"""What is measured: label -> statement."""

BASE = "anyio, attrs, memory streams"
SLOWEST = 12


def processor_time(statement: str) -> float:
    """How long a fresh interpreter's processor works for a statement, in ms."""
    program = f"import time; t = time.process_time_ns(); {statement}; print(time.process_time_ns() - t)"
    return int(output_of("-c", program).stdout) / 1e6


def output_of(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with its caches of compiled modules, whatever the environment says."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment)


def slowest_modules(statement: str) -> list[tuple[int, str]]:
    """The modules that take longest by themselves, with their µs."""
    done = output_of("-X", "importtime", "-c", statement)
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines()[1:]]
    return sorted(((int(own), name.strip()) for own, _, name in rows if own.strip().isdigit()), reverse=True)[:SLOWEST]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="fresh interpreters per line (default 15)")
    parser.add_argument("--modules", action="store_true", help="show which modules take longest, too")
    given = parser.parse_args()
    for statement in IMPORTS.values():
        processor_time(statement)  # fills the caches
    times: dict[str, list[float]] = {label: [] for label in IMPORTS}
    for _ in range(given.rounds):
        for label, statement in IMPORTS.items():
            times[label].append(processor_time(statement))
    base = statistics.median(times[BASE])
    print(f"{'import':<30} {'median':>8} {'least':>8} {'above base':>11}   ms, {given.rounds} rounds, base: {BASE}")
    for label, measured in times.items():
        middle = statistics.median(measured)
        print(f"{label:<30} {middle:8.1f} {min(measured):8.1f} {middle - base:+11.1f}")
    if given.modules:
        for own, name in slowest_modules(IMPORTS["anyiostream"]):
            print(f"{own / 1000:8.1f} ms  {name}")


if __name__ == "__main__":
    main()
