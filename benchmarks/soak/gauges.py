"""What the soak watches, and whether it has grown."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import sys
import threading
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

__all__ = ["LIMITS", "Limit", "Sample", "grown", "open_files", "sample"]

POOLS: Final = ("Trio thread", "AnyIO worker thread", "asyncio_", "uvloop_", "ThreadPoolExecutor")
"""Names of threads that loops and executors keep for later use, and end when they like."""


@attrs.frozen
class Sample:
    """The figures at one moment between two batches of programs.

    Attributes:
        rss: Resident memory, in bytes.
        traced: Memory that Python objects take, in bytes, as `tracemalloc` counts it.
        objects: Live objects of the package's classes.
        tasks: Tasks of the loop besides the soak's own.
        threads: Threads, without those of pools.
        files: Open file descriptors when the event loop was made; each kind of loop has its own.
    """

    rss: float
    traced: float
    objects: float
    tasks: float
    threads: float
    files: float


@attrs.frozen
class Limit:
    """How much a figure's median may grow.

    Attributes:
        share: Of the earlier median.
        amount: On top of that.
        unit: Name and divisor, for the table.
    """

    share: float
    amount: float
    unit: tuple[str, float] = ("", 1)


LIMITS: Final = {
    "rss": Limit(0.05, 6e6, ("MB", 1e6)),
    "traced": Limit(0.05, 1e6, ("MB", 1e6)),
    "objects": Limit(0, 250),
    "tasks": Limit(0, 0),
    "threads": Limit(0, 0),
    "files": Limit(0, 3),
}

WARM_UP: Final = 0.2
"""Share of the samples that are not looked at: caches fill, modules are imported."""


def sample(tasks: int, files: int) -> Sample:
    """The figures now, after a garbage collection."""
    gc.collect()
    return Sample(
        rss=_rss(),
        traced=tracemalloc.get_traced_memory()[0],
        objects=sum(str(type(each).__module__).startswith("anyiostream") for each in gc.get_objects()),
        tasks=tasks,
        threads=sum(not each.name.startswith(POOLS) for each in threading.enumerate()),
        files=files,
    )


def grown(samples: Sequence[Sample]) -> list[tuple[str, float, float, bool]]:
    """For each figure: its median in the first third after the warm-up and in the last third, and whether it grew."""
    samples = samples[int(len(samples) * WARM_UP) :]
    third = max(1, len(samples) // 3)
    table = []
    for field in attrs.fields(Sample):
        early, late = (
            statistics.median(getattr(each, field.name) for each in part)
            for part in (samples[:third], samples[-third:])
        )
        limit = LIMITS[field.name]
        table.append((field.name, early, late, late > early * (1 + limit.share) + limit.amount))
    return table


def _rss() -> float:
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def open_files() -> int:
    """How many file descriptors are open."""
    for folder in (Path("/proc/self/fd"), Path("/dev/fd")):
        if folder.exists():
            return len(list(folder.iterdir()))
    return 0
