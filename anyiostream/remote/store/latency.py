"""`Latency`: how long something took, each time: counted in a few classes, and passed on to whoever reports it."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast, final

__all__ = ["Latency", "latencies_of"]

BOUNDS: Final[Sequence[float]] = tuple(round(0.05 * 2**n, 2) for n in range(20))
"""Upper bounds of the classes, in ms: from 50 µs to 26 s, each twice the one before."""


@final
class Latency:
    """How long something took, since the program began. A measurement costs some µs.

    Attributes:
        report: Called with each measurement, in ms; `None` for nobody.
    """

    def __init__(self) -> None:
        self.report: Callable[[float], None] | None = None
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total = 0.0
        self._longest = 0.0

    @contextmanager
    def measured(self) -> Generator[None]:
        """A block that is measured, unless it raises."""
        began = time.perf_counter()
        yield
        self.observe(time.perf_counter() - began)

    def observe(self, seconds: float) -> None:
        """It took that long."""
        taken = seconds * 1000
        self._counts[bisect_left(BOUNDS, taken)] += 1
        self._total += taken
        self._longest = max(self._longest, taken)
        if self.report is not None:
            self.report(taken)

    def shown(self) -> Mapping[str, float]:
        """Number, sum, greatest, and quantiles of the measurements, in ms.

        A quantile is the upper bound of its class, and so up to twice as great as it was, but not above the greatest.
        """
        return {
            "count": sum(self._counts),
            "sum": round(self._total, 3),
            "max": round(self._longest, 3),
            "p50": self._quantile(0.5),
            "p99": self._quantile(0.99),
        }

    def _quantile(self, part: float) -> float:
        rank, seen, longest = part * sum(self._counts), 0, round(self._longest, 3)
        for bound, count in zip(BOUNDS, self._counts, strict=False):
            seen += count
            if seen >= rank:
                return min(bound, longest)
        return longest


class Measured(Protocol):
    """A store that measures itself."""

    @property
    def latencies(self) -> Mapping[str, Latency]:
        """What is measured -> how long it takes."""
        ...


def latencies_of(store: Any) -> Mapping[str, Latency]:
    """What a store measures of itself: how long appends take, and its tail; nothing if it does not."""
    return cast("Measured", store).latencies if hasattr(store, "latencies") else {}
