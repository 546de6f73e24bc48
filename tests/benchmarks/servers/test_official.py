"""The benchmark beside the official server: what it reads, and how it measures a server, with ours alone."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.official import WORKLOADS, Figures, measured, ours, served, table, token

from ...ports import free_port


def test_a_token_says_when_it_was_made() -> None:
    """The last one, where several come together; what is no token says nothing."""
    assert token([{"content": "1.5 2.5 "}, {}]) == 2.5
    assert token([{"content": ""}, {}]) is None
    assert token({"run_id": "a"}) is None


def test_a_server_is_measured(tmp_path: Path) -> None:
    """Every event of every run is read, of each workload."""
    chosen = Namespace(events=3, size=1, runs=2)
    with served(ours("asyncio"), str(tmp_path), free_port()) as (url, pid):
        for workload in WORKLOADS:
            figures = measured(url, pid, workload, chosen)
            assert figures.rate > 0
            assert figures.memory > 0


def test_a_server_that_does_not_start_is_shown(tmp_path: Path) -> None:
    """With what it has said."""
    command = [*ours("asyncio"), "benchmarks.served:nothing"]
    with pytest.raises(RuntimeError, match="nothing"), served(command, str(tmp_path), free_port()):
        pytest.fail("it started")


def test_processor_times_are_compared() -> None:
    """With the official server's, which is 1."""
    theirs, own = Figures(10, 200, 1, 2, 3), Figures(20, 50, 1, 2, 3)
    found = {("tokens", "`langgraph dev`"): [theirs], ("tokens", "anyiostream, trio"): [own]}
    ratios = [row[4] for row in table(found, Namespace(runs=1, events=1)).rows]
    assert ratios == ["1.00", "0.25"]
