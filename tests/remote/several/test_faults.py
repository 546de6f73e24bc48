"""A short part of the faults of servers that are processes of their own; `nox -s faults -- distributed` has more."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...distributed.battery import FAULTS, Fault


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "fault", [each for each in FAULTS if each.processes], ids=lambda fault: fault.name.replace(" ", "-")
)
def test_what_is_promised_holds(tmp_path: Path, fault: Fault, loop: str) -> None:
    """Viewers see the log as it is, every run has its end, and what is done twice is announced."""
    promises = fault.strike(tmp_path, 7, fault.short, loop)
    assert promises.wrong == []
    assert promises.counts["seen"] > 0
