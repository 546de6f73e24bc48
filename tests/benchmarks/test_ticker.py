"""What the ticker sees."""

from __future__ import annotations

import time

import anyio.lowlevel
import pytest

from benchmarks.measuring import LOOPS
from benchmarks.ticker import TARGET, drain, measure, tick_beside


@pytest.mark.anyio
async def test_a_task_that_does_not_let_others_run_is_seen() -> None:
    """Its CPU time is in the longest gap, and not laid to the machine."""

    async def hog() -> None:
        await anyio.lowlevel.checkpoint()
        end = time.thread_time() + 2 * TARGET / 1e3
        while time.thread_time() < end:
            pass
        await anyio.lowlevel.checkpoint()

    gaps = await tick_beside(hog)
    assert gaps.cpu >= 2 * TARGET
    assert gaps.long - gaps.by_machine >= 1


@pytest.mark.anyio
async def test_a_thread_that_sleeps_is_not_laid_to_us() -> None:
    """A gap without CPU time is the machine's."""

    async def idle() -> None:
        await anyio.lowlevel.checkpoint()
        time.sleep(2 * TARGET / 1e3)  # noqa: ASYNC251 -- stands for another program that has the CPU
        await anyio.lowlevel.checkpoint()

    gaps = await tick_beside(idle)
    assert gaps.wall >= 2 * TARGET
    assert gaps.by_machine >= 1


@pytest.mark.anyio
async def test_the_reader_reads_everything() -> None:
    """What filled the buffer, and what came later."""
    assert await drain(8, 100) == 100


@pytest.mark.parametrize("loop", LOOPS)
def test_gaps_are_measured_on_each_loop(loop: str) -> None:
    """Beside a reader, and without one."""
    beside, control = measure(loop, 8, 100)
    assert beside.ticks > 1
    assert control.ticks > 1
