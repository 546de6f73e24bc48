"""Which scenarios are run, and what they add up to."""

from __future__ import annotations

import gc
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from .engine import Outcome, run_scenario
from .faults import FAULTS, Fault
from .invariants import INVARIANTS
from .roles import READERS
from .scenarios import Scenario
from .scripts import TREES
from .sources import ASYNC_SOURCES, SYNC_SOURCES

__all__ = ["Figures", "chunk", "draw", "sweep"]

LAST_K: Final = 400
"""No program of the battery has as many steps."""

SMOKE_K: Final = 40
"""Steps are not swept on a real clock, where a turn in which nothing happens is a turn, nor where threads take part."""

STUCK_AFTER: Final = 60.0
"""s of real time after which one run counts as spinning for ever."""

LOOPS: Final = {"asyncio": 10, "trio": 6, "sync": 2, "debug": 2, "uvloop": 2}
"""Loop -> how often it is drawn."""

SOURCES: Final = {"generator": 5, "iterator": 3, "iterable": 3, "function": 5, "writer": 5, "langgraph": 1}
"""Kind of source -> how often it is drawn."""


@attrs.define
class Figures:
    """What many runs add up to.

    Attributes:
        runs: How many.
        traces: The distinct event traces, hashed.
        runs_by_loop: Loop -> runs.
        landed: Fault -> runs in which it struck.
        violations: Invariant -> how often it did not hold.
        examples: (scenario, invariant, what happened) of the first violations of each kind.
        fullest: The most of its bound that a channel used, with (items, bound).
        largest: The most items that a channel held, with its bound.
        left: Tasks and threads that were alive after a block.
    """

    runs: int = 0
    traces: set[str] = attrs.field(factory=set)
    runs_by_loop: Counter[str] = attrs.field(factory=Counter)
    landed: Counter[str] = attrs.field(factory=Counter)
    violations: Counter[str] = attrs.field(factory=Counter)
    examples: list[tuple[str, str, str]] = attrs.field(factory=list)
    fullest: tuple[float, int, float] = (0.0, 0, 0.0)
    left: int = 0

    def add(self, outcome: Outcome) -> None:
        """One more run."""
        self.runs += 1
        self.traces.add(outcome.trace)
        self.runs_by_loop[outcome.scenario.loop] += 1
        self.landed[outcome.scenario.fault] += outcome.landed
        for invariant, what in outcome.violations:
            self.violations[invariant] += 1
            alike = sum(each[1] == invariant and f"/{outcome.scenario.fault}/" in each[0] for each in self.examples)
            if alike < 2:
                self.examples.append((str(outcome.scenario), invariant, f"{what} [{'; '.join(outcome.lines)}]"))
        self.fullest = max(self.fullest, outcome.fullest)
        self.left += outcome.left

    def merge(self, other: Figures) -> None:
        """More runs."""
        self.runs += other.runs
        self.traces |= other.traces
        self.runs_by_loop += other.runs_by_loop
        self.landed += other.landed
        self.violations += other.violations
        self.examples += other.examples
        self.fullest = max(self.fullest, other.fullest)
        self.left += other.left

    def lines(self) -> Iterator[str]:
        """The report."""
        yield f"runs                {self.runs}   " + ", ".join(f"{n} {loop}" for loop, n in self.runs_by_loop.items())
        yield f"distinct traces     {len(self.traces)}"
        families: Counter[str] = Counter()
        for fault in FAULTS.values():
            if fault.name != "none":
                families[fault.family] += self.landed[fault.name]
        yield f"faults that struck  {sum(families.values())}, of {len(families)} kinds"
        for family, count in sorted(families.items()):
            yield f"    {count:7}  {family}"
        yield f"violations          {sum(self.violations.values())}"
        for name, meaning in INVARIANTS.items():
            yield f"    {self.violations[name]:7}  {name}: {meaning}"
        share, items, bound = self.fullest
        yield f"fullest buffer      {items} items of {bound:g} ({share:.0%})"
        yield f"left after exit     {self.left}"


def cells(fault: Fault) -> Iterator[tuple[str, str, str, str]]:
    """Every (source, tree, readers, loop) in which a fault can happen."""
    for loop in fault.loops:
        for source in SYNC_SOURCES if loop == "sync" else ASYNC_SOURCES:
            if source in fault.sources:
                for tree in TREES:
                    for readers in READERS:
                        yield source, tree, readers, loop


def draw(fault: Fault, dice: random.Random) -> Scenario:
    """One of these, at `k = 1`."""
    loop = pick(LOOPS, fault.loops, dice)
    source = pick(
        SOURCES, [each for each in (SYNC_SOURCES if loop == "sync" else ASYNC_SOURCES) if each in fault.sources], dice
    )
    # Scheduled work is there only where its results are read.
    readers = ["all", "echo"] if fault.family.startswith("scheduled") or fault.cancels == "scheduled" else list(READERS)
    seed = dice.randrange(1_000_000)
    trees = [tree for tree in TREES if tree != "long" or source != "langgraph"]
    return Scenario(source, dice.choice(trees), dice.choice(readers), fault.name, 1, loop, seed)


def pick(weights: dict[str, int], allowed: Iterable[str], dice: random.Random) -> str:
    """One of those that are allowed."""
    names = list(allowed)
    return dice.choices(names, [weights[name] for name in names])[0]


def sweep(start: Scenario, *, step: int = 1) -> Iterator[Outcome]:
    """The scenario at every `k`, until its fault no longer strikes."""
    fault = FAULTS[start.fault]
    if not fault.swept:
        yield run_scenario(start)
        return
    if start.loop in {"debug", "uvloop"} or (start.source, start.loop) == ("langgraph", "trio"):
        for k in random.Random(start.seed).sample(range(1, SMOKE_K), 3):
            yield run_scenario(attrs.evolve(start, k=k))
        return
    for k in range(1, LAST_K, step):
        outcome = run_scenario(attrs.evolve(start, k=k))
        yield outcome
        if not outcome.landed:
            return


def chunk(
    seed: int,
    runs: int,
    landed: Counter[str],
    until: float,
    words: tuple[str, ...] = (),
    *,
    until_violation: bool = False,
) -> Figures:
    """So many runs, or as many as there is time for, drawn from a seed.

    Args:
        seed: Decides them.
        runs: How many, at least.
        landed: How often each fault has struck so far: the rarest are drawn first.
        until: When to stop, as `time.monotonic()` tells it.
        words: The faults are those with one of these words in their names; all, if there are none.
        until_violation: Whether to stop at the first violation.
    """
    gc.collect()
    gc.freeze()  # what was imported is not looked at again
    dice = random.Random(seed)
    figures = Figures()
    names = [name for name in FAULTS if name != "none" and (not words or any(word in name for word in words))]
    while figures.runs < runs and time.monotonic() < until:
        if dice.random() < 0.5:
            name = min(names, key=lambda each: (landed[each] + figures.landed[each], dice.random()))
        else:
            name = dice.choice(names)
        for outcome in supervised(draw(FAULTS[name], dice)):
            figures.add(outcome)
            if until_violation and figures.violations:
                return figures
    return figures


def supervised(start: Scenario) -> Iterator[Outcome]:
    """A sweep of which no run may take for ever."""

    def give_up(*_: Any) -> None:
        raise TimeoutError(f"a run of the sweep of {start} spins for ever")

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, STUCK_AFTER)
    try:
        for outcome in sweep(start):
            signal.setitimer(signal.ITIMER_REAL, STUCK_AFTER)
            yield outcome
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
