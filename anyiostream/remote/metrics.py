"""Statistics of a server, and their report as OpenTelemetry metrics, where its package is installed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import attrs

from anyiostream.remote.intake import Intake
from anyiostream.remote.runner import Runner
from anyiostream.remote.store import Latency
from anyiostream.remote.streams import Streams

__all__ = ["LATENCIES", "METRICS", "reported", "statistics"]

METRICS: Final = {
    "threads": ("{thread}", "Threads that are remembered"),
    "kept": ("By", "What idle threads keep in memory"),
    "held": ("{thread}", "Threads whose runs are run here"),
    "runs": ("{run}", "Runs that are under way or wait"),
    "queued": ("{run}", "Those of them that wait for another one of their thread"),
    "connections": ("{connection}", "Streams that are open"),
    "bodies": ("{request}", "Requests whose bodies are being read"),
    "takeovers": ("{thread}", "Threads of other servers that this one has gone on with, since it was started"),
    "fenced": ("{write}", "Writes that were refused, as another server had the thread, since it was started"),
    "gaps": ("{gap}", "Readers who were told that events are no longer kept, since it was started"),
    "abridged": ("{event}", "Events that were too large, and are shown in part, since the server was started"),
    "margin": ("ms", "For how long no other server can have what this one has; 0 where none could"),
    "unclaimed": ("{thread}", "Threads with runs that no server of the store has"),
    "age": ("ms", "For how long the oldest of them has waited"),
}
"""Statistic -> unit and description. The metrics are called `anyiostream.remote.<statistic>`."""

LATENCIES: Final = {
    "append": "How long the store takes to write events and what changes with them",
    "tail": "How long it takes until a server has read what it writes to a store that servers share",
}
"""What takes time -> description. They are histograms, in ms, of the same names."""


def statistics(runner: Runner, streams: Streams, intake: Intake) -> dict[str, int]:
    """How much there is of what the limits bound, and how the servers of its store are."""
    held, fleet = runner.threads.held, runner.fleet
    jobs = [count for _, count in runner.workload.jobs]
    return {
        "threads": held.threads,
        "kept": held.size,
        "held": len(jobs),
        "runs": sum(count for _, count in runner.jobs),
        "queued": sum(max(0, count - 1) for count in jobs),
        "connections": len(streams),
        "bodies": intake.reading,
        "takeovers": 0 if fleet is None else fleet.takeovers,
        "fenced": runner.claims.fenced,
        "gaps": streams.gaps,
        "abridged": runner.claims.abridged,
        "margin": 0 if fleet is None else round(fleet.margin * 1000),
        "unclaimed": 0 if fleet is None else fleet.load.ready,
        "age": 0 if fleet is None else round(fleet.load.age * 1000),
    }


@attrs.define
class Source:
    """Where metrics get their values, as long as there is a server."""

    read: Callable[[], Mapping[str, int]] | None


@contextmanager
def reported(read: Callable[[], Mapping[str, int]], latencies: Mapping[str, Latency]) -> Generator[None]:
    """A block in which metrics are reported. Without OpenTelemetry, an empty one.

    Args:
        read: Returns the values of the gauges, when these are asked for.
        latencies: Name -> what is reported of each time.
    """
    try:
        from opentelemetry import metrics  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError:
        yield
        return

    def observe(name: str, _: Any) -> Iterable[metrics.Observation]:
        return [] if source.read is None else [metrics.Observation(source.read()[name])]

    # An instrument cannot be taken back; one whose server has ended has no value.
    source = Source(read)
    meter = metrics.get_meter("anyiostream.remote")
    for name, (unit, description) in METRICS.items():
        meter.create_observable_gauge(f"anyiostream.remote.{name}", [partial(observe, name)], unit, description)
    for name, latency in latencies.items():
        latency.report = meter.create_histogram(f"anyiostream.remote.{name}", "ms", LATENCIES[name]).record
    try:
        yield
    finally:
        source.read = None
        for latency in latencies.values():
            latency.report = None
