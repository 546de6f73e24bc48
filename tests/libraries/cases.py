"""What a differential case is: a graph that is built afresh for every run, and the script that its models play."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest

from ..conformance.adapter import OURS, Lab
from ..differential.graphs import Built
from .provider.script import Script
from .provider.server import ModelServer

__all__ = ["LANES", "LOOPS", "Case", "Cases", "in_every_lane"]

Build = Callable[[Lab, ModelServer], Built]
Opened = Callable[[Lab, ModelServer], AbstractAsyncContextManager[Built]]

LANES = tuple(lab for lab in OURS if lab.lane != "uvloop")
LOOPS = tuple(lab for lab in LANES if lab.is_async)


@attrs.frozen(eq=False)
class Case:
    """An agent to compare.

    Attributes:
        name: What it is called.
        script: What its models reply.
        opened: Builds it, and holds what it needs while its runs last.
        lanes: Where it runs. On the sync lane LangGraph runs tasks side by side on threads, whose order is nobody's.
    """

    name: str
    script: Script
    opened: Opened
    lanes: tuple[Lab, ...] = LANES

    def __str__(self) -> str:
        return self.name


class Cases(list[Case]):
    """The cases of a module, each a function that builds an agent."""

    def add(
        self,
        script: Script,
        *,
        name: str | None = None,
        lanes: tuple[Lab, ...] = LANES,
    ) -> Callable[[Any], Any]:
        """Register a function of a lab and a server that returns, or in a block holds, what is to be run."""

        def register(build: Any) -> Any:
            self.append(Case(name or build.__name__, script, _opened(build), lanes))
            return build

        return register


def in_every_lane(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test with each case on each lane."""
    return pytest.mark.parametrize(
        ("case", "lab"),
        [pytest.param(case, lab, id=f"{case}-{lab.lane}") for case in cases for lab in case.lanes],
    )


def _opened(build: Any) -> Opened:
    if not hasattr(build, "__wrapped__"):  # what `asynccontextmanager` has made has it

        @asynccontextmanager
        async def opened(lab: Lab, server: ModelServer) -> AsyncGenerator[Built]:
            yield build(lab, server)

        return opened
    return build  # type: ignore[no-any-return]
