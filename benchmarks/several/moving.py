"""How long runs stand still when their server is killed, or told to stop: until another one goes on with them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from signal import SIGKILL, SIGTERM, Signals
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.remote import Server
from benchmarks.several.deployment import bounded, deployed
from benchmarks.several.measurements import Figures, Measurement, Row, Sizes, late
from benchmarks.several.steps import FOLDER, STEP

__all__ = ["MOVING"]

BY: Final = re.compile(rb'"by":(\d+)')

KILLED: Final = Row("`kill -9` to the next server's first event, 99 %", "s", Sizes().lease + 2, digits=2)
STOPPED: Final = Row("SIGTERM to the next server's first event, 99 %", "s", 1, digits=2)
EXITED: Final = Row("SIGTERM to the end of the process", "s", digits=2)


class Places:
    """In which processes runs are.

    Attributes:
        held: Thread -> the process that has written its newest event, and when its first event arrived.
    """

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, float]] = {}
        self._changed = asyncio.Event()

    async def follow(self, server: Server, thread: str) -> None:
        """Note every change of a thread's process, as a viewer sees it."""
        async for line in server.events(thread):
            if found := BY.search(line):
                process = int(found[1])
                if thread not in self.held or self.held[thread][0] != process:
                    self.held[thread] = process, time.perf_counter()
                    self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what is so when threads have moved."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def of(self, process: int) -> list[str]:
        """The threads that a process has."""
        return [thread for thread, (holder, _) in self.held.items() if holder == process]

    async def struck(self, server: Server, signal: Signals) -> tuple[list[float], float]:
        """Seconds from a signal until each of a server's threads goes on in another process, and until it has ended."""

        def ended() -> float:
            server.wait()
            return time.perf_counter()

        threads, begun = self.of(server.pid), time.perf_counter()
        server.send(signal)
        exited = asyncio.create_task(asyncio.to_thread(ended))
        await self.until(lambda: not any(self.held[thread][0] == server.pid for thread in threads))
        return [self.held[thread][1] - begun for thread in threads], await exited - begun


def moves(backend: str, sizes: Sizes) -> Iterator[Figures]:
    """Servers of which half are idle; of the busy ones, one is killed, then one is told to stop."""
    for _ in range(sizes.moves):
        with (
            TemporaryDirectory() as folder,
            deployed(
                backend, sizes.servers, query=f"?lease={sizes.lease}", graph="benchmarks.several.steps:steps",
                **{FOLDER: folder},
            ) as deployment,
        ):  # fmt: skip
            killed, stopped, exited = bounded(moved(deployment.servers, sizes))
            yield {
                KILLED.name: late(killed),
                STOPPED.name: late(stopped),
                EXITED.name: exited,
            }


async def moved(servers: list[Server], sizes: Sizes) -> tuple[list[float], list[float], float]:
    """Seconds from the kill, from the word to stop, and until that process has ended; the last server looks on."""
    busy, onlooker, places = servers[: (len(servers) + 1) // 2], servers[-1], Places()
    async with asyncio.TaskGroup() as tasks:
        following = []
        for n in range(sizes.moved):
            await busy[n % len(busy)].start(f"moved-{n}", {"left": 10_000}, "steps")
            following.append(tasks.create_task(places.follow(onlooker, f"moved-{n}")))
        await places.until(lambda: len(places.held) == sizes.moved)
        await asyncio.sleep(5 * STEP)
        killed, _ = await places.struck(busy[0], SIGKILL)
        await asyncio.sleep(5 * STEP)
        stopped, exited = await places.struck(busy[1], SIGTERM)
        for each in following:
            each.cancel()
    return killed, stopped, exited


MOVING: Final = (Measurement("moving", (KILLED, STOPPED, EXITED), moves),)
