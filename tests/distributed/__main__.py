"""Faults of servers that share a store, at length: `python -m tests.distributed [--only WORD] [--times N]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from .battery import FAULTS

LOOPS = ("asyncio", "trio")


def main() -> int:
    """Run what the command line asks for, and print the figures; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.distributed", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="faults with this word in their names")
    parser.add_argument("--loop", action="append", choices=LOOPS, help="only on this event loop")
    parser.add_argument("--seed", type=int, default=1, help="decides what is drawn (1)")
    parser.add_argument("--times", type=int, help="how often each fault happens, in place of its usual number")
    parser.add_argument("--short", action="store_true", help="as often as in the suite")
    chosen = parser.parse_args()
    violations = 0
    for fault in FAULTS:
        if chosen.only and not any(word in fault.name for word in chosen.only):
            continue
        for loop in chosen.loop or LOOPS:
            began = time.monotonic()
            times = chosen.times or (fault.short if chosen.short else fault.length)
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                promises = fault.strike(Path(folder), chosen.seed, times, loop)
            print(f"{fault.name}, {loop}, seed {chosen.seed}: {time.monotonic() - began:.0f} s")
            for name, count in sorted(promises.counts.items()):
                print(f"    {count:8,} {name}")
            for wrong in promises.wrong:
                print(f"    BROKEN: {wrong[:1000]}")
            violations += len(promises.wrong)
            sys.stdout.flush()
    print(f"{violations} violations")
    return bool(violations)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # some clients take no notice of being cancelled, and say so when they are collected
