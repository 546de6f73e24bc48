"""The figures that runs and channels report."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from anyiostream import (
    ChannelStatistics,
    CustomTransformer,
    RunStatistics,
    StreamChannel,
    StreamTransformer,
    open_run,
    parts,
)


class Burst(StreamTransformer):
    """Pushes four items per event."""

    required_stream_modes = ("custom",)

    def init(self) -> dict[str, Any]:
        self.bursts: StreamChannel[int] = StreamChannel()
        return {"bursts": self.bursts}

    def process(self, event: Any) -> bool:
        for n in range(4):
            self.bursts.push(n)
        return True


def test_figures_of_a_run_before_anything_happened() -> None:
    """A run that has just been opened has dispatched nothing, and nobody reads it."""
    with open_run([parts.custom(1)], transformers=[CustomTransformer], buffer=7) as run:
        figures = run.statistics()
    assert isinstance(figures, RunStatistics)
    assert figures.status == "running"
    assert (figures.parts, figures.inbox, figures.outbox, figures.parked, figures.scheduled) == (0, 0, 0, 0, 0)
    assert {"events", "values", "lifecycle", "subgraphs", "custom"} <= set(figures.channels)
    assert {channel.maxlen for channel in figures.channels.values()} == {7}
    assert not any(channel.readers or channel.depth or channel.ended for channel in figures.channels.values())


def test_figures_of_a_run_follow_its_course() -> None:
    """Parts are counted as they are dispatched, items as they are buffered or pass by, and the status is the run's."""
    given = [parts.values({"n": 1}), parts.custom("a"), parts.custom("b"), parts.values({"n": 2})]
    with open_run(given, transformers=[CustomTransformer]) as run:
        custom, values = iter(run.custom), iter(run.values)
        assert next(values) == {"n": 1}
        assert next(values) == {"n": 2}
        figures = run.statistics()
        assert figures.parts == 4
        assert figures.channels["custom"].depth == 2
        assert figures.channels["custom"].peak == 2
        assert figures.channels["custom"].readers == 1
        assert figures.channels["lifecycle"].readers == 0
        assert list(custom) == ["a", "b"]
        assert run.output == {"n": 2}
        figures = run.statistics()
        assert figures.status == "completed"
        assert figures.channels["custom"].ended


def test_figures_outlive_the_run() -> None:
    """Statistics may be asked for after the block has been left."""
    with open_run([parts.custom(1), parts.custom(2)], transformers=[CustomTransformer]) as run:
        assert run.output is None
    figures = run.statistics()
    assert figures.status == "completed"
    assert figures.parts == 2
    assert figures.channels["custom"].unread == 2


def test_figures_are_snapshots() -> None:
    """Figures do not change after they have been taken, and cannot be changed."""
    with open_run([parts.custom(1)], transformers=[CustomTransformer]) as run:
        before = run.statistics()
        assert list(run.custom) == [1]
        assert before.parts == 0
        assert before.channels["custom"].readers == 0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        before.parts = 1  # type: ignore[misc]


def test_open_subgraphs_are_counted() -> None:
    """`subgraphs` is the number of subgraphs that have started and not ended."""
    given = [
        parts.task_start("1", "node"),
        parts.task_start("2", "inner", ns=("node:1",)),
        parts.custom("here"),
        parts.task_result("1", "node"),
        parts.custom("there"),
    ]
    with open_run(given, transformers=[CustomTransformer]) as run:
        counts = [run.statistics().subgraphs for _ in run.custom]
    assert counts == [1, 0]


def test_figures_of_a_channel_without_a_run() -> None:
    """A channel that belongs to no run has no bound but its own."""
    figures = StreamChannel("mine", maxlen=3, overflow="drop_oldest").statistics()
    assert isinstance(figures, ChannelStatistics)
    assert (figures.maxlen, figures.overflow, figures.readers, figures.depth) == (3, "drop_oldest", 0, 0)
    assert "mine" in figures.name
    assert StreamChannel().statistics().maxlen == float("inf")


def test_waits_are_counted_over_all_readers() -> None:
    """Every item that found a buffer full, whether or not it has found its place since."""
    with open_run([parts.custom(n) for n in range(3)], transformers=[Burst], buffer=2) as run:
        first, second = run.extensions["bursts"].tee(2)
        assert next(first) == 0
        figures = run.extensions["bursts"].statistics()
        assert (figures.depth, figures.waiting, figures.waits) == (2, 3, 4)
        assert [next(first) for _ in range(3)] == [1, 2, 3]
        assert [next(second) for _ in range(4)] == [0, 1, 2, 3]
        second.close()
        assert list(first) == [*range(4)] * 2
        figures = run.extensions["bursts"].statistics()
        assert (figures.waiting, figures.ended) == (0, True)
        assert figures.waits > 4


def test_the_peak_is_that_of_any_reader_also_of_one_that_left() -> None:
    """A branch that leaves takes its items with it, not the memory of how many they were."""
    with open_run([parts.custom(n) for n in range(5)], transformers=[CustomTransformer]) as run:
        first, second = run.custom.tee(2)
        assert [next(first) for _ in range(4)] == [0, 1, 2, 3]
        second.close()
        assert run.custom.statistics().peak == 4
        assert list(first) == [4]
        assert run.custom.statistics().peak == 4


def test_what_a_handle_keeps_counts_as_buffered() -> None:
    """Before its reader comes, depth and peak are those of what is kept."""
    given = [
        parts.task_start("1", "node"),
        parts.task_start("2", "inner", ns=("node:1",)),
        parts.values(1, ns=("node:1",)),
        parts.values(2, ns=("node:1",)),
        parts.task_result("1", "node"),
    ]
    with open_run(given) as run:
        (handle,) = run.subgraphs
        figures = handle.values.statistics()
        assert (figures.readers, figures.depth, figures.peak) == (0, 2, 2)
