"""How a run ended, as the command reports it."""

from __future__ import annotations

from typing import get_args

from anyiostream import RunStatus
from anyiostream.cli.outcome import EXIT_CODES


def test_each_way_in_which_a_run_ends_has_an_exit_code() -> None:
    """Only one that is under way has none."""
    assert set(EXIT_CODES) == set(get_args(RunStatus)) - {"running"}
