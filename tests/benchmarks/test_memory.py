"""What is measured of memory."""

from __future__ import annotations

import sys

import pytest

from benchmarks.memory import CASES, CONTENDERS, Case

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

COUNT = 120
"""Of parts, or of what makes three of them: more than a run holds whose reader never reads."""

RUNS = [
    pytest.param(case, name, id=f"{case.name}: {name}")
    for case in CASES
    for name in CONTENDERS
    if case.floor or name != "floor"
]


@pytest.mark.parametrize(("case", "contender"), RUNS)
def test_a_case_runs_as_far_as_it_should(case: Case, contender: str) -> None:
    """To its end; but where one reader never reads, ours stalls at its bound."""
    kept = case.run(contender, COUNT)
    if "never reads" in case.name and contender != "theirs":
        assert 64 <= kept.parts <= 64 + 32 + 2
    elif "subgraph" in case.name:
        assert kept.parts == 3 * 3 * COUNT
    elif "message" in case.name:
        assert kept.parts == COUNT + 3
    else:
        assert kept.parts == COUNT


def test_what_a_library_keeps_is_seen() -> None:
    """The original keeps finished subgraphs, ours does not."""
    case = next(case for case in CASES if "subgraph" in case.name)
    assert case.run("theirs", 100).kept > 1
    assert case.run("asyncio", 100).kept < 0.5
