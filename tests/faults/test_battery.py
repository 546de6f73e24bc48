"""A part of the battery, the same each time: each fault in some places, at every step that it can strike."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

import anyiostream

from ..thorough import THOROUGH
from .battery import Figures, draw, sweep
from .engine import run_scenario
from .faults import FAULTS, Fault
from .mutants import MUTANTS, Mutant
from .scenarios import Scenario

ORIGINAL = Path(anyiostream.__file__).parent

SWEEPS = 2
"""Places in which each fault is swept."""

RUNS = 10 * THOROUGH
"""Runs after which a fault has struck often enough for here."""

SPARSE = max(1, 4 // THOROUGH)
"""One step in so many is swept, so that few runs reach as far into a program as many do."""

SOURCES = ("iterable", "function", "writer", "langgraph", "generator", "iterator")

TREES = ("flat", "one", "two")

LOOPS = ("asyncio", "trio", "debug", "uvloop", "sync")

READERS = ("two", "log", "woven", "echo", "all")


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS.values() if fault.name != "none"], ids=lambda each: each.name
)
def test_no_invariant_is_violated(fault: Fault) -> None:
    """Wherever the fault strikes, the invariants hold; and it does strike."""
    figures = Figures()
    dice = random.Random(fault.name)
    sweeps = 0
    while sweeps < SWEEPS or not figures.landed[fault.name]:
        sweeps += 1
        step = dice.choice((2, 3, 5)) if fault.at == "turn" else 1
        for outcome in sweep(draw(fault, dice), step=step * SPARSE):
            figures.add(outcome)
            if figures.runs > RUNS:
                break
        assert sweeps < 50, "it never strikes"
    assert figures.examples == []
    assert figures.left == 0


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("readers", READERS)
def test_nothing_happens_without_a_fault(loop: str, readers: str) -> None:
    """Each kind of source, each tree, each set of readers: all get everything.

    With each source one tree in three is tried, another one on the next loop and for the next readers, unless all are
    to be: each source still meets each tree on each loop, and each tree with each set of readers.
    """
    figures = Figures()
    for place, source in enumerate(SOURCES[:4] if loop == "sync" else SOURCES):
        for number, tree in enumerate(TREES):
            if THOROUGH > 1 or (number + place + LOOPS.index(loop) + READERS.index(readers)) % len(TREES) == 0:
                for outcome in sweep(Scenario(source, tree, readers, "none", 1, loop, number)):
                    figures.add(outcome)
    assert figures.runs >= 4
    assert figures.examples == []


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("source", ["function", "langgraph"])
def test_a_scenario_is_repeatable(source: str, loop: str) -> None:
    """The line that names a scenario is enough to see the same events again."""
    for fault in ("cancel-reader-by-scope-at-turn", "abort-in-turn", "failing-sibling"):
        for k in (3, 12, 21):
            scenario = Scenario(source, "two", "all", fault, k, loop, 7)
            assert Scenario.parse(str(scenario)) == scenario
            assert run_scenario(scenario) == run_scenario(scenario)


def test_seeds_decide_the_order() -> None:
    """Different seeds give different traces of one program."""
    traces = {run_scenario(Scenario("function", "two", "all", "none", 1, "asyncio", seed)).trace for seed in range(20)}
    assert len(traces) > 15


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's modules, for all mutants."""
    copied = tmp_path_factory.mktemp("mutants") / ORIGINAL.name
    shutil.copytree(ORIGINAL, copied, ignore=shutil.ignore_patterns("__pycache__", "static"))
    return copied


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_each_mutant_can_be_made(mutant: Mutant, package: Path) -> None:
    """What it changes is there, once; whether the battery kills it takes minutes to see."""
    changed: list[Path] = []
    try:
        for edit in mutant.edits:
            changed.append(edit.apply(package))
    finally:
        for path in changed:
            shutil.copyfile(ORIGINAL / path.relative_to(package), path)
