"""The ticker: how long another task of the loop waits while a reader whose buffer is full drains it.

The ticker lets others run, again and again, and notes how long it takes until it is its turn: in wall time, and in CPU
time of its thread. What is wall time alone was spent in other programs of the machine; what is CPU time was spent in
this one. As a control it also ticks beside a task that does nothing but let others run.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import anyio.lowlevel
import attrs
from anyio.abc import TaskStatus

from anyiostream import CustomTransformer, open_run, parts
from benchmarks.measuring import LOOPS, Options, run_on
from benchmarks.tables import Section, Table, verdicts

__all__ = ["SECTION", "Gaps", "drain", "measure", "tick_beside"]

SECTION: Final = "ticker"

TARGET: Final = 2.0
"""ms that a turn of another task may wait because of us."""

BUFFERS: Final = (64, 10_000)


@attrs.frozen
class Gaps:
    """What the ticker saw.

    Attributes:
        ticks: How often it ran.
        wall: The longest gap, in ms of wall time.
        cpu: The longest gap, in ms of its thread's CPU time.
        long: Gaps whose wall time is over the target.
        by_machine: Those of them whose CPU time is not.
    """

    ticks: int
    wall: float
    cpu: float
    long: int
    by_machine: int


async def tick_beside(work: Callable[[], Awaitable[None]]) -> Gaps:
    """Tick until `work` is done."""
    gaps: list[tuple[float, float]] = []
    done = False

    async def tick(*, task_status: TaskStatus[None]) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        task_status.started()
        while not done:
            await anyio.lowlevel.checkpoint()
            wall_now, cpu_now = time.perf_counter(), time.thread_time()
            gaps.append((wall_now - wall, cpu_now - cpu))
            wall, cpu = wall_now, cpu_now

    async with anyio.create_task_group() as tasks:
        await tasks.start(tick)
        await work()
        done = True
    late = [cpu * 1e3 for wall, cpu in gaps if wall * 1e3 > TARGET]
    return Gaps(
        len(gaps),
        max((wall for wall, _ in gaps), default=math.nan) * 1e3,
        max((cpu for _, cpu in gaps), default=math.nan) * 1e3,
        len(late),
        sum(cpu <= TARGET for cpu in late),
    )


async def drain(buffer: int, items: int) -> int:
    """Let another task that waits for the output fill a buffer; read it then, and all that comes after it.

    Returns:
        How many items were read.
    """
    source = (parts.custom(n) for n in range(items))
    found = 0
    async with open_run(source, transformers=[CustomTransformer], buffer=buffer) as run:
        cursor = aiter(run.custom)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.output)
            while run.statistics().channels["custom"].depth < buffer:
                await anyio.lowlevel.checkpoint()
            async for _ in cursor:
                found += 1
    return found


def measure(loop: str, buffer: int, items: int) -> tuple[Gaps, Gaps]:
    """The gaps beside a reader, and those of the control, which lasts as long.

    Raises:
        ValueError: Not everything was read.
    """

    async def read() -> None:
        found = await drain(buffer, items)
        if found != items:
            raise ValueError(f"{found} items were read, not {items}")

    async def main() -> tuple[Gaps, Gaps]:
        await drain(8, 100)  # what is done once, at the first run, is no turn of anybody
        gc.collect()
        start = time.perf_counter()
        beside = await tick_beside(read)
        lasted = time.perf_counter() - start

        async def idle() -> None:
            end = time.perf_counter() + lasted
            while time.perf_counter() < end:
                await anyio.lowlevel.checkpoint()

        return beside, await tick_beside(idle)

    found: tuple[Gaps, Gaps] = run_on(loop, main)
    return found


def section(options: Options) -> Section:
    """The table."""
    data: list[dict[str, Any]] = []
    rows = []
    for loop in LOOPS:
        for buffer in BUFFERS:
            name = f"{loop}, buffer of {buffer:,}"
            if options.wants(SECTION, name):
                items = max(2 * buffer, 2_000 if options.quick else 100_000)
                beside, control = measure(loop, buffer, items)
                data.append({"name": name, "beside": attrs.asdict(beside), "control": attrs.asdict(control)})
                rows.append(
                    (
                        name,
                        f"{beside.ticks:,}",
                        f"{beside.cpu:.2f}",
                        f"{beside.wall:.2f}",
                        f"{beside.long} ({beside.by_machine})",
                        f"{control.wall:.2f}, {control.long}",
                        f"<= {TARGET:.0f} ms of CPU",
                        verdicts([(beside.cpu, TARGET)]),
                    )
                )
    if not rows:
        return Section(SECTION, (), [])
    header = (
        "reader",
        "ticks",
        "longest gap, ms of CPU",
        "ms of wall time",
        f"gaps over {TARGET:.0f} ms (by the machine)",
        "control: longest, over",
        "must be",
        "",
    )
    return Section(SECTION, (Table("Gaps of another task while a full buffer is drained", header, tuple(rows)),), data)
