"""`python -m tests.remote.kills`: kill a server as often as there is time for, and print what its clients saw."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from .kit import kill_often


def main() -> int:
    """Run it; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds that a server lives, at most")
    parser.add_argument("--folder", type=Path, help="keep the servers' files and logs there")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.backend}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = kill_often(
            arguments.folder or Path(folder),
            kills=arguments.kills,
            threads=arguments.threads,
            seed=arguments.seed,
            backend=arguments.backend,
            pause=arguments.pause,
        )
    print(f"{report.kills} kills, {report}")
    return bool(report.wrong)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # some clients take no notice of being cancelled, and say so when they are collected
