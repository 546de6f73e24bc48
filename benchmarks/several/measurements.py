"""Rows, targets and sizes: what is measured of servers that share a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import quantiles
from typing import Final

import attrs

from benchmarks.tables import verdicts

__all__ = ["Figures", "Measurement", "Row", "Sizes", "late"]

Figures = Mapping[str, float]
"""A row's name -> its figure."""


@attrs.frozen
class Row:
    """A row of the table.

    Attributes:
        name: What is measured; sizes stand in braces.
        unit: Of its figures.
        target: The figure that is just good enough, or `None`; by event loop, if they differ.
        least: Whether greater figures are better.
        digits: Behind the point.
    """

    name: str
    unit: str
    target: float | Mapping[str, float] | None = None
    least: bool = False
    digits: int = 0

    def target_on(self, backend: str) -> float | None:
        """The target on an event loop."""
        return self.target[backend] if isinstance(self.target, Mapping) else self.target

    def named(self, sizes: Sizes) -> str:
        """Its name, with the sizes."""
        return self.name.format(deliveries=sizes.rate * sizes.viewers, **attrs.asdict(sizes))

    def show(self, figure: float | None) -> str:
        """A figure as the table shows it; `None` is that of a measurement that has failed."""
        return "failed" if figure is None else f"{figure:,.{self.digits}f} {self.unit}".rstrip()

    def cells(self, figures: Mapping[str, float | None], sizes: Sizes) -> tuple[str, ...]:
        """The row of the table: its figures by event loop, what they must be at full size, and whether they are."""
        targets = {backend: None if sizes.quick else self.target_on(backend) for backend in figures}
        wanted = " / ".join(dict.fromkeys(f"{each:,g}" for each in targets.values() if each is not None))
        must_be = f"{'>=' if self.least else '<='} {wanted} {self.unit}".rstrip() if wanted else ""
        sign = -1 if self.least else 1
        judged = [
            (float("inf") if figure is None else sign * figure, sign * target)
            for backend, figure in figures.items()
            if (target := targets[backend]) is not None
        ]
        return (self.named(sizes), *map(self.show, figures.values()), must_be, verdicts(judged) if judged else "")


@attrs.frozen
class Sizes:
    """How much is measured.

    Attributes:
        rounds: How often; reported is the median.
        servers: That share the store.
        runs: At a time.
        events: Of each run that writes as fast as it can.
        paced: Of each run that writes `rate` of them a second.
        viewers: Of all runs together.
        starts: Runs whose first event is waited for, one after the other.
        lease: Seconds.
        moves: Servers that are killed, and as many that are stopped.
        moved: Runs that are under way then, on the busy half of the servers.
        threads: That are idle.
        idle_viewers: Of idle threads.
        seconds: For which a server with them is watched.
        quick: Whether they are smaller than those that targets are for.
    """

    rounds: int = 5
    servers: int = 4
    runs: int = 50
    events: int = 500
    paced: int = 300
    rate: int = 100
    viewers: int = 200
    starts: int = 200
    lease: float = 2.0
    moves: int = 3
    moved: int = 40
    threads: int = 10_000
    idle_viewers: int = 1000
    seconds: float = 20.0
    quick: bool = False


QUICK: Final = Sizes(
    rounds=1, servers=3, runs=6, events=50, paced=50, viewers=24, starts=10, moves=1, moved=4, threads=100,
    idle_viewers=20, seconds=1.0, quick=True,
)  # fmt: skip


@attrs.frozen
class Measurement:
    """Rows that are measured together.

    Attributes:
        name: What it is called on the command line.
        rows: What it yields figures for.
        rounds: Measures, on an event loop, and yields the figures of each round.
    """

    name: str
    rows: tuple[Row, ...]
    rounds: Callable[[str, Sizes], Iterator[Figures]]

    def wanted(self, only: str | None, sizes: Sizes) -> tuple[Row, ...]:
        """The rows whose `measurement: name` contains `only`."""
        return tuple(row for row in self.rows if only is None or only in f"{self.name}: {row.named(sizes)}")


def late(samples: list[float]) -> float:
    """What 99 % of the samples are at most."""
    return quantiles(samples, n=100, method="inclusive")[98] if len(samples) > 1 else samples[0]
