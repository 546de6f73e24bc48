"""The workloads: what is read, how, and how much cheaper than the original it must be. Adding one is adding a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from benchmarks import scripts
from benchmarks.libraries import Shape
from benchmarks.readers import (
    Reader,
    SyncReader,
    read_branches,
    read_four,
    read_innermost,
    read_innermost_sync,
    read_log,
    read_log_sync,
    read_output,
    read_side_by_side,
    read_tokens,
    read_tokens_sync,
    read_values,
    read_values_sync,
)
from benchmarks.scripts import Script

__all__ = ["WORKLOADS", "Targets", "Workload"]


@attrs.frozen
class Targets:
    """The greatest ratio to the original that is good enough, with the default options.

    Attributes:
        asyncio: On asyncio, also with uvloop; `None` where there is none.
        trio: On trio; the same.
        sync: On the sync lane; the same, and where the workload is for the async lane only.
    """

    asyncio: float | None = None
    trio: float | None = None
    sync: float | None = None

    def for_lane(self, lane: str) -> float | None:
        """The target on a loop or on the sync lane."""
        return {"trio": self.trio, "sync": self.sync}.get(lane, self.asyncio)


@attrs.frozen
class Workload:
    """One row of the table.

    Attributes:
        name: What the table calls it.
        count: Parts, or runs where these are empty, in a full measurement.
        make: The script for a number of parts (about that; whole messages and subgraphs).
        read: Reads a run on the async lane.
        targets: What is good enough.
        read_sync: Reads a run on the sync lane, or `None`.
        shape: What ours gets the parts as; the original always gets an async generator.
        transformers: Names of transformers that both register besides those that are always there.
        quick: Parts of a quick measurement.
    """

    name: str
    count: int
    make: Callable[[int], Script]
    read: Reader
    targets: Targets
    read_sync: SyncReader | None = None
    shape: Shape = "generator"
    transformers: tuple[str, ...] = ()
    quick: int = 1000


CUSTOM: Final = ("CustomTransformer",)

WORKLOADS: Final = (
    Workload("raw log", 100_000, scripts.custom, read_log, Targets(0.20, 0.22, 0.45), read_log_sync),
    Workload(
        "values, async generator", 20_000, scripts.values, read_values, Targets(0.80, 1.0, 0.28), read_values_sync
    ),
    Workload("values, iterable", 20_000, scripts.values, read_values, Targets(0.14, 0.14), shape="iterable"),
    Workload("values, function graph", 20_000, scripts.values, read_values, Targets(), shape="function"),
    Workload(
        "tokens, 100 in each message", 100_000, scripts.tokens, read_tokens, Targets(0.15, 0.16, 0.30), read_tokens_sync
    ),
    Workload(
        "4 readers at once",
        20_000,
        scripts.four_projections,
        read_four,
        Targets(0.30, 0.40),
        transformers=(*CUSTOM, "UpdatesTransformer"),
    ),
    Workload(
        "200 subgraphs x 100 snapshots, depth 1",
        20_000,
        scripts.nested_subgraphs(1),
        read_innermost(1),
        Targets(0.14, 0.15),
    ),
    Workload(
        "200 subgraphs x 100 snapshots, depth 5",
        20_000,
        scripts.nested_subgraphs(5),
        read_innermost(5),
        Targets(0.11, 0.12, 0.13),
        read_innermost_sync(5),
    ),
    Workload(
        "50 readers, one per subgraph", 10_000, scripts.parallel_subgraphs, read_side_by_side, Targets(0.04, 0.04)
    ),
    Workload(
        "tee 2",
        20_000,
        lambda count: scripts.custom(count, readers=2),
        read_branches(2),
        Targets(0.09, 0.10),
        transformers=CUSTOM,
    ),
    Workload(
        "tee 16",
        10_000,
        lambda count: scripts.custom(count, readers=16),
        read_branches(16),
        Targets(0.08, 0.09),
        transformers=CUSTOM,
    ),
    Workload("empty run, async generator", 2_000, scripts.nothing, read_output, Targets(0.95, 1.5), quick=200),
    Workload(
        "empty run, iterable", 2_000, scripts.nothing, read_output, Targets(0.45, 0.45), shape="iterable", quick=200
    ),
)
