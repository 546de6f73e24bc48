"""An interrupt at any line of the package leaves each transformer with exactly one of `finalize` and `fail`."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from anyiostream import StreamTransformer, open_run, parts

from .interrupting import Line, Tracer, hang_guard, interrupts, occurrence, quiet, some_of

SCRIPT = [
    parts.values(0),
    parts.task_start("t", "child"),
    parts.task_start("i", "inner", ns=("child:t",)),
    parts.values(1, ns=("child:t",)),
    parts.task_result("t", "child"),
    parts.values(2),
]


def noting(calls: dict[int, list[str]], *, awaited: bool) -> type[StreamTransformer]:
    """A transformer that notes, for each of its instances, which hooks have begun."""

    class Noting(StreamTransformer):
        supports_sync = True

        def init(self) -> dict[str, Any]:
            self.calls = calls[id(self)] = []
            return {"me" + str(awaited): self}

        def process(self, event: Any) -> bool:
            return True

        def finalize(self) -> None:
            self.calls.append("finalize")

        def fail(self, err: BaseException) -> None:
            self.calls.append("fail")

    class NotingLater(Noting):
        async def afinalize(self) -> None:
            self.calls.append("finalize")
            await anyio.lowlevel.checkpoint()

        async def afail(self, err: BaseException) -> None:
            self.calls.append("fail")

    return NotingLater if awaited else Noting


def play(backend: str, tracer: Tracer) -> dict[int, list[str]]:
    """A run that is read to its end; the hooks of each transformer that it made, the root's and the subgraph's."""
    calls: dict[int, list[str]] = {}
    transformers = [noting(calls, awaited=False), noting(calls, awaited=True)]

    def run_sync() -> None:
        with tracer.tracing(), open_run(SCRIPT, transformers=transformers) as run:
            list(run.values)
            _ = run.output
            tracer.armed = False

    async def run_async() -> None:
        with tracer.tracing():
            async with open_run(SCRIPT, transformers=transformers) as run:
                _ = [item async for item in run.values]
                await run.output()
                tracer.armed = False

    with hang_guard(), quiet():
        try:
            if backend == "sync":
                run_sync()
            else:
                anyio.run(run_async, backend=backend)
        except BaseException as exc:
            # Not what `hang_guard` raises, nor what an assertion does.
            if not interrupts(exc):
                raise
    return calls


@pytest.fixture(autouse=True)
def nothing_for_others() -> Iterator[None]:
    """What interrupts leave behind is collected here."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def lines_of(backend: str) -> dict[Line, int]:
    """The lines that run while the block is, and how often."""
    tracer = Tracer()
    calls = play(backend, tracer)
    assert list(calls.values()) == [["finalize"]] * 4
    counts: dict[Line, int] = {}
    for line in tracer.lines:
        counts[line] = counts.get(line, 0) + 1
    return counts


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of what was interrupted half made
@pytest.mark.parametrize("backend", ["sync", "asyncio", "trio"])
def test_an_interrupt_at_any_line_leaves_no_hook_uncalled(backend: str) -> None:
    """Nor is one called twice. The lines of a mux's end are interrupted each time that they run, some others once."""
    found: dict[str, Any] = {}
    landed = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        counts = {line: count for line, count in lines_of(backend).items() if line[0].startswith(WHERE)}
        ends = [line for line in counts if line[0] == END]
        others = some_of(line for line in counts if line[0] != END)
        for line in ends + others:
            again = counts[line] if line[0] == END else 1
            for number in range(1, again + 1):
                when: Callable[[int, Line], bool] = occurrence(line, number)
                tracer = Tracer(when)
                calls = play(backend, tracer)
                landed += tracer.interrupted is not None
                # Before a run has been entered, its transformers have nothing to end.
                entered = tracer.function not in BEFORE and len(calls) >= 2
                if entered and any(len(each) != 1 for each in calls.values()):
                    found[f"{line} in {tracer.function}, time {number}"] = list(calls.values())
    assert found == {}
    assert landed > 50


END = "mux/ending_hooks.py"
"""Where a mux ends."""

WHERE = ("mux/", "pump.py", "lanes/run_stream.py", "projections/subgraphs.py")
"""Where events are dispatched and muxes end."""

BEFORE = {
    "Mux.__init__",
    "Dispatch.run_state",
    "Tree.let_ends_wait",
    "Pump.__attrs_post_init__",
    "PreparedRun.__enter__",
    "PreparedRun.__aenter__",
}
"""Functions in which a mux is being made."""
