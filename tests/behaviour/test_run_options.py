"""`grace` and `max_scheduled`: what they bound, on every loop, and that the sync lane takes them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from typing import Any

import anyio
import pytest
import trio

from anyiostream import GraphWriter, StreamTransformer, open_run, parts
from anyiostream.testing import run_seeded

LOOPS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def now() -> float:
    """The time of the loop that this runs on, in s; virtual in these tests."""
    return anyio.current_time()


class Lingering(StreamTransformer):
    """Takes 60 s to fail."""

    finished = False

    def init(self) -> dict[str, Any]:
        return {"lingering": self}

    def process(self, event: Any) -> bool:
        return True

    async def afail(self, err: BaseException) -> None:
        await anyio.sleep(60)
        self.finished = True


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the library has warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@LOOPS
@pytest.mark.parametrize(("grace", "took"), [(0.5, 0.5), (7, 7), (61, 60), (math.inf, 60)])
def test_a_hook_has_the_grace_of_its_run(backend: Any, grace: float, took: float, caplog: Any) -> None:
    """Then it is cancelled, and the log says after how long."""

    async def main() -> tuple[float, bool]:
        started = now()
        async with open_run([parts.values(1)], transformers=[Lingering], grace=grace) as run:
            hook = run.extensions["lingering"]
        return now() - started, hook.finished

    assert run_seeded(main, backend=backend) == (pytest.approx(took), took == 60)
    said = [f"Lingering.afail() did not end within {grace:g} s and has been cancelled"] if took < 60 else []
    assert warned(caplog) == said


@LOOPS
def test_without_the_option_it_is_five_seconds(backend: Any) -> None:
    """As documented."""

    async def main() -> float:
        started = now()
        async with open_run([parts.values(1)], transformers=[Lingering]):
            pass
        return now() - started

    assert run_seeded(main, backend=backend) == pytest.approx(5)


@LOOPS
@pytest.mark.parametrize(("grace", "times"), [(1, 3), (2, 1), (10, 0), (math.inf, 0)])
def test_a_graph_that_does_not_end_is_cancelled_again_after_each_grace(
    backend: Any, grace: float, times: int, caplog: Any
) -> None:
    """And the log names it each time, until it ends by itself."""

    async def stubborn(given: Any, writer: GraphWriter) -> None:
        try:
            await writer.values(1)
            await anyio.sleep_forever()
        finally:
            ends = now() + 3.5
            while now() < ends:
                with anyio.CancelScope(shield=True), contextlib.suppress(asyncio.CancelledError):
                    await (trio.sleep if backend == "trio" else asyncio.sleep)(ends - now())

    async def main() -> float:
        started = now()
        async with open_run(stubborn, grace=grace) as run:
            assert await anext(aiter(run.values)) == 1
        return now() - started

    assert run_seeded(main, backend=backend) == pytest.approx(3.5)
    line = f"the graph {stubborn.__qualname__} has not ended {grace:g} s after it was cancelled; it is cancelled again"
    assert [each.rpartition("the graph")[2] for each in warned(caplog)] == [line.rpartition("the graph")[2]] * times


class Scheduling(StreamTransformer):
    """Schedules ten coroutines of 1 s at each part, and notes how many of them run at a time in all scopes."""

    requires_async = True
    running = 0
    peak = 0

    def init(self) -> dict[str, Any]:
        return {}

    def process(self, event: Any) -> bool:
        if event["method"] == "values" and tuple(event["params"]["namespace"]) == self.scope:
            for _ in range(10):
                self.schedule(self.work())
        return True

    async def work(self) -> None:
        cls = type(self)
        cls.running += 1
        cls.peak = max(cls.peak, cls.running)
        await anyio.sleep(1)
        cls.running -= 1


async def with_a_subgraph(given: Any, writer: GraphWriter) -> None:
    """A part of the graph's own, and one of a subgraph."""
    await writer.values(1)
    async with writer.subgraph("inner") as inner:
        await inner.values(2)


@LOOPS
@pytest.mark.parametrize(("limit", "peak", "took"), [(1, 1, 20), (4, 4, 5), (100, 20, 1), (math.inf, 20, 1)])
def test_so_many_coroutines_run_at_a_time(backend: Any, limit: float, peak: int, took: float) -> None:
    """In the run and its subgraphs together; all of them run in the end."""

    class Counting(Scheduling):
        pass

    async def main() -> float:
        started = now()
        async with open_run(with_a_subgraph, transformers=[Counting], max_scheduled=limit) as run:
            assert [await handle.output() async for handle in run.subgraphs] == [2]
        return now() - started

    assert run_seeded(main, backend=backend) == pytest.approx(took)
    assert (Counting.running, Counting.peak) == (0, peak)


@LOOPS
def test_without_the_option_it_is_a_hundred(backend: Any) -> None:
    """As documented."""

    class Counting(Scheduling):
        pass

    async def main() -> None:
        async with open_run([parts.values(n) for n in range(12)], transformers=[Counting], buffer=100) as run:
            assert await run.output() == 11

    run_seeded(main, backend=backend)
    assert Counting.peak == 100


@pytest.mark.parametrize("options", [{"grace": 0.001}, {"grace": math.inf}, {"max_scheduled": 1}], ids=str)
def test_the_sync_lane_takes_them(options: dict[str, Any]) -> None:
    """Nothing is scheduled there, and hooks are not awaited: they change nothing."""

    class Slow(StreamTransformer):
        failed = False

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

        def fail(self, err: BaseException) -> None:
            time.sleep(0.002)
            type(self).failed = True

    with open_run([parts.values(1), parts.values(2)], transformers=[Slow], **options) as run:
        assert next(iter(run.values)) == 1
    assert Slow.failed


def test_they_are_options_of_every_run() -> None:
    """A run in another one has its own."""

    async def main() -> float:
        async with open_run([parts.values(1)], grace=1):
            started = trio.current_time()
            async with open_run([parts.values(1)], transformers=[Lingering], grace=2):
                pass
            return trio.current_time() - started

    assert run_seeded(main, backend="trio") == pytest.approx(2)
