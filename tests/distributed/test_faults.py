"""A short part of the faults of a store that servers share; `nox -s faults -- distributed` has more.

Those of servers that are processes are in `tests/remote/several`.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from .battery import FAULTS, Fault

# Until then, AnyIO leaves a connection to the collector if it is given up at the moment at which it has been made.
if tuple(map(int, version("anyio").split(".")[:2])) < (4, 16):
    pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "fault", [each for each in FAULTS if not each.processes], ids=lambda fault: fault.name.replace(" ", "-")
)
def test_what_is_promised_holds(tmp_path: Path, fault: Fault, loop: str) -> None:
    """Whatever happens: nothing is lost silently, nothing comes twice, nobody writes what is another's."""
    promises = fault.strike(tmp_path, 7, fault.short, loop)
    assert promises.wrong == []
    assert promises.counts.total() > 0
