"""One scenario of the battery, and the line that names it."""

from __future__ import annotations

import random

import attrs

__all__ = ["Options", "Scenario"]


@attrs.frozen
class Options:
    """How the run is opened, drawn from the seed."""

    buffer: int
    prefetch: int
    checkpoint_every: int
    awaits: bool
    """Whether the witnesses' hooks are async."""
    sleeps: bool
    """Whether the graph sleeps between parts, not only lets others run."""
    target: int
    """Which of the roles of a kind the fault strikes."""


@attrs.frozen
class Scenario:
    """What is run. `str()` of it names it, and `Scenario.parse` reads the name."""

    source: str
    tree: str
    readers: str
    fault: str
    k: int
    loop: str
    seed: int

    def __str__(self) -> str:
        return "/".join((self.source, self.tree, self.readers, self.fault, str(self.k), self.loop, str(self.seed)))

    @classmethod
    def parse(cls, line: str) -> Scenario:
        """The scenario of that name."""
        source, tree, readers, fault, k, loop, seed = line.strip().split("/")
        return cls(source, tree, readers, fault, int(k), loop, int(seed))

    @property
    def options(self) -> Options:
        """How the run is opened."""
        draw = random.Random(self.seed)
        return Options(
            buffer=draw.choice((1, 2, 4, 64)),
            prefetch=draw.choice((0, 1, 3, 32)),
            checkpoint_every=draw.choice((1, 3, 32)),
            awaits=draw.random() < 0.5,
            sleeps=draw.random() < 0.5,
            target=draw.randrange(60),
        )
