"""`KeyboardInterrupt` at any line of the package, outside of leaving a block, ends the run.

The interrupt leaves the block and the event loop; the graph is closed; nothing is alive; no success is reported unless
the graph has really come to its end, and then every reader that ended has got everything.

Of the distinct lines one in eight is interrupted, chosen at random, the first time that it runs; a failure names it.
`ANYIOSTREAM_THOROUGH=2` interrupts one in four.
`ANYIOSTREAM_INTERRUPTS=once` interrupts each distinct line, and `ANYIOSTREAM_INTERRUPTS=all` each line each time, which
takes about twenty minutes (with pytest's `-o faulthandler_timeout=0`, which would end it before).
"""

from __future__ import annotations

import gc
import linecache
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Final

import anyio
import pytest

from anyiostream import CustomTransformer, RunAborted, open_run, parts, pump

from ..waiting import PATIENCE
from .interrupting import (
    BACKENDS,
    GRAPHS,
    WHICH,
    Hung,
    Line,
    Tracer,
    occurrence,
    reference,
    run_program,
    some_of,
    violations,
)


@pytest.fixture(autouse=True)
def nothing_for_others() -> Iterator[None]:
    """What interrupts leave behind is collected here: a call that was interrupted before its `await`, say."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


EVERY_TIME: Final = WHICH == "all"

UNGUARDED: Final = {"AsyncioTask.__init__", "AsyncRun.host", "AsyncRun.spawn"}
"""Between the start of an asyncio task and the note of it there is a moment in which nobody could stop the task; it is
cancelled with the loop. trio's nurseries know their tasks from the start."""

CASES: Final = [(backend, graph) for backend in BACKENDS for graph in GRAPHS]


def moments(backend: str, graph: str) -> Iterator[tuple[str, Callable[[int, Line], bool]]]:
    """When to interrupt; for a line that several graphs run, the first of these does."""
    lines, _ = reference(backend, graph)
    if EVERY_TIME:
        for number, line in enumerate(lines):
            yield f"{line} as line {number}", lambda index, now, number=number: index == number
        return
    others: set[Line] = set()
    for other in GRAPHS:
        if other == graph:
            break
        others.update(reference(backend, other)[0])
    for line in some_of([line for line in dict.fromkeys(lines) if line not in others]):
        yield str(line), occurrence(line, 1)


@pytest.mark.timeout(0 if EVERY_TIME else PATIENCE)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of what was interrupted half made
@pytest.mark.parametrize(("backend", "graph"), CASES, ids=[" ".join(case) for case in CASES])
def test_an_interrupt_at_any_line_ends_the_run(backend: str, graph: str) -> None:
    """Wherever it strikes, it leaves, and nothing is left of the run but its failure."""
    found: dict[str, list[str]] = {}
    tried = landed = 0
    with warnings.catch_warnings():
        # Of coroutines that were interrupted before they began.
        warnings.simplefilter("ignore", RuntimeWarning)
        _, whole = reference(backend, graph)
        for name, when in moments(backend, graph):
            tracer = Tracer(when)
            tried += 1
            try:
                outcome = run_program(backend, graph, tracer)
            except Hung:
                found[name] = ["it hangs"]
                continue
            if tracer.interrupted is None:
                # As everything that trio's scheduler calls, and so what asyncio runs beside trio.
                tried -= tracer.out_of_reach
                continue
            landed += 1
            wrong = violations(outcome, tracer, whole)
            if wrong and tracer.function not in UNGUARDED:
                found[f"{name} in {tracer.function}"] = wrong
    assert found == {}
    # Some lines run for some orders of tasks and threads only, or where nothing may be interrupted.
    assert landed > 0.7 * tried


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("branches", [1, 2], ids=["straight to its reader", "through buffers"])
def test_what_an_interrupt_took_is_not_missing_in_a_success(branches: int, kind: type[BaseException]) -> None:
    """A program that catches the interrupt and asks on is told of it, even if it struck between two parts."""

    def strike(index: int, line: Line) -> bool:
        # The second part has been pulled and not been dispatched.
        return (
            line[0] == "pump.py"
            and re.search("part is (not )?END", linecache.getline(pump.__file__, line[1])) is not None
        )

    class Striking(Tracer):
        error = kind

    tracer = Striking(strike)
    with pytest.raises(kind), open_run([parts.values(n) for n in range(3)], transformers=[CustomTransformer]) as run:
        values = next(iter(run.values.tee(branches))) if branches > 1 else iter(run.values)
        assert next(values) == 0
        with tracer.tracing(), pytest.raises(kind):
            next(values)
        with pytest.raises(kind):
            _ = run.output
        raise kind
    assert tracer.interrupted is not None
    assert run.status == "failed"


@pytest.mark.anyio
async def test_what_a_reader_takes_straight_from_the_graph_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt strikes in a call that the cursor makes for the item: it comes before the item is taken."""

    async def graph(given: object) -> object:
        for n in range(4):
            yield parts.custom(n)

    async with open_run(graph, transformers=[CustomTransformer]) as run:
        custom = aiter(run.custom)
        seen = [await anext(custom)]
        loop, called = run._run.loop, 0  # noqa: SLF001

        class Striking:
            """The run's loop, with an interrupt in the first call for the current task."""

            def current_task(self) -> object:
                nonlocal called
                called += 1
                if called == 1:
                    raise KeyboardInterrupt
                return loop.current_task()

            def __getattr__(self, name: str) -> object:
                return getattr(loop, name)

        monkeypatch.setattr(run._run, "loop", Striking())  # noqa: SLF001
        with pytest.raises(KeyboardInterrupt):
            await anext(custom)
        seen += [item async for item in custom]
    assert called > 1
    assert seen == [0, 1, 2, 3]


@pytest.mark.anyio
async def test_a_deadline_round_an_abort_is_noticed() -> None:
    """An abort waits for the graph's clean-up, whatever the deadline; then the cancellation goes on."""
    cleaned = False

    async def graph(given: object) -> object:
        nonlocal cleaned
        try:
            yield parts.values(1)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                scope.deadline = anyio.current_time()
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
            cleaned = True

    async with open_run(graph) as run:
        await anext(aiter(run.values))
        with pytest.raises(TimeoutError), anyio.fail_after(PATIENCE) as scope:
            await run.abort()
        assert cleaned
        assert run.status == "aborted"
        with pytest.raises(RunAborted):
            await run.output()


@pytest.mark.anyio
async def test_a_block_that_cannot_be_entered_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised while the block is entered leaves as itself, and whatever has been started by then is stopped."""
    error = LookupError("entering")

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr("anyiostream.prepared_run.AsyncGraphRunStream", fail)
    begun = False

    async def graph(given: object) -> object:
        nonlocal begun
        begun = True
        yield parts.values(1)

    before = anyio.get_running_tasks()
    with pytest.raises(LookupError) as caught:
        async with open_run(graph):
            raise AssertionError
    assert caught.value is error
    assert {task.id for task in anyio.get_running_tasks()} == {task.id for task in before}
    assert not begun
