"""A server that is killed a few times, on each event loop; `python -m tests.remote.kills` does it more often."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...npm import installed
from .kit import PACKAGES, kill_often


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path, backend: str) -> None:
    """Whatever it was doing: viewers see the log as it is, and every run has its end."""
    installed(PACKAGES)
    kinds = ("by hand", "ours", "javascript")
    report = kill_often(tmp_path, kills=3, threads=3, seed=7, backend=backend, kinds=kinds)
    assert report.wrong == []
    assert report.kills == 3
    assert report.seen["ours"] > 0
    assert report.seen["javascript"] > 0
