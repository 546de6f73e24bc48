"""Every contender of every workload reads what there is to be read: a benchmark that does less is no benchmark."""

from __future__ import annotations

import time

import attrs
import pytest

from benchmarks.comparison import contenders, measure, opponent, section
from benchmarks.measuring import Options
from benchmarks.scripts import Script
from benchmarks.workloads import WORKLOADS, Targets, Workload

SMALL = 120

CASES = [
    pytest.param(workload, name, id=f"{workload.name}: {name}")
    for workload in WORKLOADS
    for name in contenders(workload)
]


@pytest.mark.parametrize(("workload", "name"), CASES)
def test_a_contender_reads_everything(workload: Workload, name: str) -> None:
    """As many items as the script says, on each loop and lane, by either library."""
    script = workload.make(SMALL)
    taken = contenders(workload)[name](script, time.process_time)
    assert taken.items == (len(script.parts) * script.runs if name == "floor" else script.items)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_script_is_as_long_as_it_is_asked_to_be(workload: Workload) -> None:
    """More makes more, and something is read of each."""
    small, large = workload.make(2000), workload.make(8000)
    assert 0 < small.items < large.items
    assert small.units * 1.25 >= 2000
    assert small.units <= 1.2 * 2000
    assert 3 * small.units < large.units <= 5 * small.units


def test_there_is_something_to_compare_with() -> None:
    """Each contender of ours has the original on the same kind of loop; trio has it on asyncio."""
    assert {name: opponent(name) for name in ("floor", "theirs", "asyncio", "uvloop, lock-step", "trio", "sync")} == {
        "floor": None,
        "theirs": None,
        "asyncio": "theirs",
        "uvloop, lock-step": "theirs, uvloop",
        "trio": "theirs",
        "sync": "theirs, sync",
    }


def test_a_workload_is_measured_against_its_opponents() -> None:
    """Each has a cost, and each of ours a ratio."""
    workload = attrs.evolve(WORKLOADS[0], quick=SMALL)
    result = measure(workload, Options(rounds=2, quick=True))
    assert set(result.us) == set(contenders(workload))
    assert set(result.ratios) == {name for name in result.us if opponent(name) is not None}
    assert all(cost.least > 0 for cost in result.us.values())


def test_a_contender_that_reads_less_is_found_out() -> None:
    """Its time is not reported."""

    async def read_less(run: object) -> int:
        return 1

    workload = Workload(
        "lazy", SMALL, lambda count: Script(WORKLOADS[0].make(count).parts, count), read_less, Targets()
    )
    with pytest.raises(ValueError, match=r"lazy: .* read 1 items, not"):
        measure(workload, Options(rounds=1))


def test_nothing_is_measured_unless_it_is_wanted() -> None:
    """A section without rows has no table."""
    assert section(Options(only="no such row")).tables == ()
