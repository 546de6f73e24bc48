"""A short soak: the long one is `nox -s soak`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..thorough import THOROUGH

pytestmark = pytest.mark.early


def test_nothing_grows_and_nothing_is_left_in_some_random_programs() -> None:
    """Random programs on every lane: no warning, no task left, and memory, threads and files stay where they are."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--minutes", "60", "--samples", str(12 * THOROUGH)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
