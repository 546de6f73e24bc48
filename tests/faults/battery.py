"""Which scenarios are run, and what they add up to."""

from __future__ import annotations

import gc
import random
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import attrs

from .agents import AGENTS
from .engine import Outcome, run_scenario
from .faults import FAULTS, Fault
from .invariants import INVARIANTS
from .roles import READERS
from .scenarios import Scenario
from .scripts import TREES
from .sources import ASYNC_SOURCES, SYNC_SOURCES

__all__ = ["LOOPS", "SOURCES", "Figures", "Selection", "chunk", "draw", "sweep"]

LAST_K: Final = 400
"""No program of the battery has as many steps."""

SMOKE_K: Final = 40
"""Steps are not swept on a real clock, where a turn in which nothing happens is a turn, nor where threads take part."""

SPINS_AFTER: Final = 60.0
"""s of the process's own time after which one run counts as spinning for ever: the machine may be busy."""

HANGS_AFTER: Final = 900.0
"""s of real time after which one run counts as waiting for ever."""

LOOPS: Final = {"asyncio": 10, "trio": 6, "sync": 2, "debug": 2, "uvloop": 2}
"""Loop -> how often it is drawn."""

SOURCES: Final = {
    "generator": 5,
    "iterator": 3,
    "iterable": 3,
    "function": 5,
    "writer": 5,
    "langgraph": 1,
    "pydantic-ai": 1,
    "openai-agents": 1,
}
"""Kind of source -> how often it is drawn."""


SLOW: Final = ("langgraph", *AGENTS)
"""Sources that take so long over a part that the long script is not for them."""


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


@attrs.frozen
class Selection:
    """Which scenarios may be drawn; all, by default.

    Attributes:
        words: The fault's name has one of these in it, if there are any.
        loops: Of these loops.
        sources: Over these kinds of source.
    """

    words: tuple[str, ...] = ()
    loops: Collection[str] = frozenset(LOOPS)
    sources: Collection[str] = frozenset(SOURCES)

    def faults(self) -> list[str]:
        """The names of the faults that can happen there."""
        names = [name for name in FAULTS if name != "none" and (not self.words or any(w in name for w in self.words))]
        return [name for name in names if self.loops_of(name)]

    def loops_of(self, fault: str) -> list[str]:
        """The loops on which the fault can happen over one of the sources."""
        return [loop for loop in FAULTS[fault].loops if loop in self.loops and self.sources_of(FAULTS[fault], loop)]

    def sources_of(self, fault: Fault, loop: str) -> list[str]:
        """The kinds of source over which the fault can happen on that loop."""
        kinds = SYNC_SOURCES if loop == "sync" else ASYNC_SOURCES
        return [kind for kind in kinds if kind in fault.sources and kind in self.sources]


ANY: Final = Selection()
"""Nothing is left out."""


def draw(fault: Fault, dice: random.Random, selection: Selection = ANY) -> Scenario:
    """One of these, at `k = 1`."""
    loop = pick(LOOPS, selection.loops_of(fault.name), dice)
    source = pick(SOURCES, selection.sources_of(fault, loop), dice)
    # Scheduled work is there only where its results are read.
    readers = ["all", "echo"] if fault.family.startswith("scheduled") or fault.cancels == "scheduled" else list(READERS)
    seed = dice.randrange(1_000_000)
    trees = [tree for tree in TREES if tree != "long" or source not in SLOW]
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
    if start.loop in {"debug", "uvloop"}:
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
    selection: Selection = ANY,
    *,
    until_violation: bool = False,
) -> Figures:
    """So many runs, or as many as there is time for, drawn from a seed.

    Args:
        seed: Decides them.
        runs: How many, at least.
        landed: How often each fault has struck so far: the rarest are drawn first.
        until: When to stop, as `time.monotonic()` tells it.
        selection: What may be drawn.
        until_violation: Whether to stop at the first violation.
    """
    gc.collect()
    gc.freeze()  # what was imported is not looked at again
    dice = random.Random(seed)
    figures = Figures()
    names = selection.faults()
    while figures.runs < runs and time.monotonic() < until:
        if dice.random() < 0.5:
            name = min(names, key=lambda each: (landed[each] + figures.landed[each], dice.random()))
        else:
            name = dice.choice(names)
        for outcome in supervised(draw(FAULTS[name], dice, selection)):
            figures.add(outcome)
            if (until_violation and figures.violations) or time.monotonic() >= until:
                return figures
    return figures


def supervised(start: Scenario) -> Iterator[Outcome]:
    """A sweep of which no run may take for ever."""

    def give_up(signum: int, _: Any) -> None:
        what = "spins" if signum == signal.SIGPROF else "waits"
        raise TimeoutError(f"a run of the sweep of {start} {what} for ever")

    def begin(spins_after: float, hangs_after: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, spins_after)
        signal.setitimer(signal.ITIMER_REAL, hangs_after)

    signal.signal(signal.SIGPROF, give_up)
    signal.signal(signal.SIGALRM, give_up)
    begin(SPINS_AFTER, HANGS_AFTER)
    try:
        for outcome in sweep(start):
            begin(SPINS_AFTER, HANGS_AFTER)
            yield outcome
    finally:
        begin(0, 0)
