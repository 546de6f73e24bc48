"""How many events are stored while nobody reads them: each by `fsync`, and by one server in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.remote import COUNT, Server, measured, started
from benchmarks.several.deployment import QUIET, bounded, deployed, warm
from benchmarks.several.measurements import Figures, Measurement, Row, Sizes

__all__ = ["STORING"]

ALWAYS: Final = Row("stored with `appendfsync always`", "events/s", 5000, least=True)
SQLITE: Final = Row("stored by one server, SQLite", "events/s", 20_000, least=True)


def always(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """Runs at all servers, whose store acknowledges nothing that is not on the disk."""
    with deployed(backend, sizes.servers, fsync="always") as deployment:
        yield from stored(deployment.servers, ALWAYS, sizes)


def sqlite(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """As many runs at one server with a file."""
    with TemporaryDirectory() as folder, started(backend, f"sqlite:{Path(folder, 'runs')}", COUNT, *QUIET) as server:
        yield from stored([server], SQLITE, sizes)


def stored(servers: list[Server], row: Row, sizes: Sizes) -> Iterator[Figures]:
    """Events a second until all runs have ended."""
    warm(servers)
    for n in range(sizes.rounds):
        given = {"events": sizes.events, "size": 100}
        seconds, _ = bounded(measured(servers, f"run-{n}", sizes.runs, 0, given))
        yield {row.name: sizes.runs * sizes.events / seconds}


STORING: Final = (
    Measurement("always", (ALWAYS,), always),
    Measurement("sqlite", (SQLITE,), sqlite),
)
