"""Clocks, rounds and spreads: how a cost is measured, and what is said of it.

Rules:

- Contenders take turns, in a new order each round, so that a machine that gets slower makes all of them slower.
- A ratio is taken within a round; reported is the median of the rounds' ratios, with the least and the greatest.
- Garbage is collected before each measurement, and collected as usual during it.
- CPU time of the process is the default: other programs on the machine disturb it least. Where threads share the work,
  or where waiting is what is measured, it is wall time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final, TypeVar

import attrs
import trio

__all__ = [
    "CLOCKS",
    "LOOPS",
    "Options",
    "Spread",
    "Timed",
    "alternate",
    "differences",
    "machine",
    "ratios",
    "run_on",
    "timed",
    "timed_on",
]

T = TypeVar("T")

Clock = Callable[[], float]
"""Returns a time in s."""

CLOCKS: Final[Mapping[str, Clock]] = {"cpu": time.process_time, "wall": time.perf_counter}

LOOPS: Final = ("asyncio", "trio") if sys.platform == "win32" else ("asyncio", "uvloop", "trio")


@attrs.frozen
class Options:
    """What the command line asks for.

    Attributes:
        rounds: How often each contender is measured.
        quick: Whether sizes are small.
        clock: `"cpu"` or `"wall"`, for what runs in one thread.
        only: Rows whose section or name contains this, or `None` for all.
    """

    rounds: int = 5
    quick: bool = False
    clock: str = "cpu"
    only: str | None = None

    def wants(self, section: str, row: str) -> bool:
        """Whether a row is asked for."""
        return self.only is None or self.only in f"{section}: {row}"

    def wants_all(self, section: str) -> bool:
        """Whether every row of a section is asked for."""
        return self.only is None or self.only in section


@attrs.frozen
class Timed:
    """One measurement.

    Attributes:
        seconds: What it took, in s of its clock.
        items: What the readers got.
    """

    seconds: float
    items: int


@attrs.frozen
class Spread:
    """What several rounds came to: their median, and the least and the greatest, or the quartiles."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, samples: Iterable[float]) -> Spread:
        """The spread of at least one sample."""
        samples = list(samples)
        return cls(statistics.median(samples), min(samples), max(samples))

    @classmethod
    def quartiles(cls, samples: Iterable[float]) -> Spread:
        """The median and the quartiles, for many samples, of which some are far out."""
        samples = list(samples)
        if len(samples) == 1:
            return cls.of(samples)
        first, middle, third = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(middle, first, third)

    def show(self, digits: int | None = None) -> str:
        """As tables show it: by default with two digits, or three of what is less than a tenth."""
        if digits is None:
            digits = 3 if abs(self.median) < 0.1 else 2
        return f"{self.median:.{digits}f} ({self.least:.{digits}f}-{self.greatest:.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratio of two contenders, round by round."""
    return Spread.of(mine / their for mine, their in zip(ours, theirs, strict=True))


def differences(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """By how much one contender costs more than another one, round by round."""
    return [mine - their for mine, their in zip(ours, theirs, strict=True)]


def alternate(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each contender answered in each round; in a new order each round."""
    order = list(contenders)
    shuffle = random.Random(rounds).shuffle
    answers: dict[str, list[T]] = {name: [] for name in order}
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            answers[name].append(contenders[name]())
    return answers


def timed(work: Callable[[], int], clock: Clock) -> Timed:
    """The time of `work`, which says how many items it got."""
    gc.collect()
    start = clock()
    items = work()
    return Timed(clock() - start, items)


def timed_on(loop: str, work: Callable[[], Awaitable[int]], clock: Clock) -> Timed:
    """The time of `work` on an event loop, without the time that the loop takes to start and end."""

    async def measured() -> Timed:
        gc.collect()
        start = clock()
        items = await work()
        return Timed(clock() - start, items)

    taken: Timed = run_on(loop, measured)
    return taken


def machine(*packages: str) -> str:
    """The machine, and the versions of Python and of packages."""
    here = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{here}, {os.cpu_count()} CPUs{'; ' if versions else ''}{versions}"


def run_on(loop: str, main: Callable[[], Any]) -> Any:
    """Run the async function `main` on a new event loop."""
    if loop == "trio":
        return trio.run(main)
    if loop == "uvloop":
        import uvloop  # noqa: PLC0415 -- not everywhere

        return uvloop.run(main())
    return asyncio.run(main())
