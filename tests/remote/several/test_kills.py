"""Servers that are killed, frozen and replaced a few times; `python -m tests.remote.several.kills` does more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .kills import kill_several


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path, backend: str) -> None:
    """Whichever servers clients came to: viewers see the log as it is, and every run has its end."""
    options = {"servers": 2, "kills": 3, "threads": 3, "seed": 3, "backend": backend, "pause": 1.0}
    report, strikes = kill_several(tmp_path, kinds=("by hand", "ours"), **options)
    assert report.wrong == []
    assert strikes.total() == 3
    assert report.seen["ours"] > 0
