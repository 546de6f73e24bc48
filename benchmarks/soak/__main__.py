"""`python -m benchmarks.soak --minutes 10`: run random programs, print figures, and fail if something grows or is left.

Programs run in batches, several at once, on an event loop that lives for a while (asyncio, uvloop where it is
installed, trio), or one after the other on the sync lane. Between two batches the figures are taken. Every warning is
an error; so is what nobody could raise (in finalisers, callbacks and threads) and any task that is left.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import logging
import math
import random
import sys
import threading
import time
import tracemalloc
import warnings
from collections import Counter
from typing import Any

import anyio
import attrs
import sniffio
import trio

from anyiostream import asyncio_host
from benchmarks.soak.gauges import LIMITS, Sample, grown, open_files, sample
from benchmarks.soak.programs import ASYNC_PROGRAMS, SYNC_PROGRAMS

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {"asyncio": ("asyncio", {}), "trio": ("trio", {})}
if importlib.util.find_spec("uvloop") is not None:
    LOOPS["uvloop"] = ("asyncio", {"use_uvloop": True})

AT_ONCE = 6
"""The most programs of a batch that run at once."""

BATCHES = 8
"""Batches between two samples."""


@attrs.define
class Soak:
    """One soak.

    Attributes:
        rng: Decides everything.
        deadline: When it ends, in s of the monotonic clock.
        session: s that one event loop lives, if it does not take its eighth of all samples before.
        most: Samples after which all of it ends.
        done: Programs that have run, by lane and name.
        samples: The figures.
        failures: What went wrong.
    """

    rng: random.Random
    deadline: float
    session: float
    most: float = math.inf
    done: Counter[str] = attrs.field(factory=Counter)
    samples: list[Sample] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    _files: int = 0
    _ends: float = 0
    _last: float = 0

    def warm_up(self) -> None:
        """Run every program in every lane, so that what is made once has been made."""
        for _ in range(3):
            for program in SYNC_PROGRAMS:
                program(self.rng)
            for backend, options in LOOPS.values():
                anyio.run(self._each_program, backend=backend, backend_options=options)
        # The collector need not look again at what imports and caches hold.
        gc.collect()
        gc.freeze()

    def run(self) -> None:
        """Go through sessions until the time is up, there are enough samples, or something has failed."""
        lanes: list[str] = []
        while time.monotonic() < self.deadline and len(self.samples) < self.most and not self.failures:
            lanes = lanes or self.rng.sample(["sync", *LOOPS], 1 + len(LOOPS))
            lane = lanes.pop()
            self._files = open_files()
            self._ends = min(self.deadline, time.monotonic() + self.session)
            self._last = len(self.samples) + self.most / 8
            try:
                if lane == "sync":
                    self._sync_session()
                else:
                    backend, options = LOOPS[lane]
                    anyio.run(self._async_session, lane, backend=backend, backend_options=options)
            except Exception as exc:  # noqa: BLE001 -- whatever it is, it is the result
                self.failures.append(f"{lane}: {describe(exc)}")

    @property
    def _going(self) -> bool:
        return time.monotonic() < self._ends and len(self.samples) < self._last and not self.failures

    def _sync_session(self) -> None:
        while self._going:
            for _ in range(AT_ONCE * BATCHES):
                program = self.rng.choice(SYNC_PROGRAMS)
                program(self.rng)
                self.done[f"sync {program.__name__}"] += 1
            self.samples.append(sample(0, self._files))

    async def _async_session(self, lane: str) -> None:
        if sniffio.current_async_library() == "asyncio":
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: self.failures.append(f"{lane}: the loop reports {context}")
            )
        await settle()
        alone = living()
        while self._going:
            for _ in range(BATCHES):
                async with anyio.create_task_group() as tasks:
                    for _ in range(self.rng.randint(1, AT_ONCE)):
                        program = self.rng.choice(ASYNC_PROGRAMS)
                        # One's own randomness: in what order tasks run does not change what they decide.
                        tasks.start_soon(program, random.Random(self.rng.random()), name=program.__name__)
                        self.done[f"{lane} {program.__name__}"] += 1
                if living() != alone:
                    self.failures.append(f"{lane}: {living() - alone} tasks are left after a batch")
            self.samples.append(sample(living() - alone, self._files))

    async def _each_program(self) -> None:
        await settle()
        for program in ASYNC_PROGRAMS:
            await program(self.rng)


async def settle() -> None:
    """Start the host, whose tasks stay, and wait until they rest.

    Part of the warm-up as well: the first time on trio it imports `trio.testing`, and pytest with that (7 MB).
    """
    async with asyncio_host():
        await anyio.wait_all_tasks_blocked()


def living() -> int:
    """Tasks of the running loop."""
    if sniffio.current_async_library() == "asyncio":
        return len([task for task in asyncio.all_tasks() if not task.done()])
    return trio.lowlevel.current_statistics().tasks_living


def describe(exc: BaseException) -> str:
    """An exception, and those in a group."""
    if isinstance(exc, BaseExceptionGroup):
        return "; ".join(describe(each) for each in exc.exceptions)
    return f"{type(exc).__name__}: {exc}"


def watch(failures: list[str]) -> None:
    """Make a failure of every warning, and of whatever nobody could raise."""
    warnings.simplefilter("error")
    logging.getLogger("anyiostream").addHandler(logging.NullHandler())
    sys.unraisablehook = lambda unraisable: failures.append(
        f"unraisable: {unraisable.exc_value!r} in {unraisable.object!r}"
    )
    threading.excepthook = lambda args: failures.append(f"in thread {args.thread}: {args.exc_value!r}")


def main() -> int:
    """Soak, print the figures, and say whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Watch for what grows.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--samples", type=int, default=math.inf, help="end after so many samples, if that is sooner")
    parser.add_argument("--seed", type=int, default=None, help="repeat the decisions of an earlier soak")
    given = parser.parse_args()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    seconds = given.minutes * 60
    session = max(0.5, min(10, seconds / 20))
    soak = Soak(random.Random(seed), time.monotonic() + seconds, session, given.samples)
    watch(soak.failures)
    soak.warm_up()
    began = time.monotonic()
    soak.deadline = began + seconds
    tracemalloc.start()
    soak.run()
    tracemalloc.stop()

    lasted = time.monotonic() - began
    print(f"seed {seed}: {soak.done.total()} runs of programs in {lasted:.0f} s, {len(soak.samples)} samples")
    for lane in ("sync", *LOOPS):
        names = {name.removeprefix(lane + " "): n for name, n in sorted(soak.done.items()) if name.startswith(lane)}
        print(f"  {lane}: {sum(names.values())} ({', '.join(f'{name} {n}' for name, n in names.items())})")
    if soak.samples and not soak.failures:
        print(f"{'median':>10}  {'early':>10}  {'late':>10}")
        for name, early, late, grew in grown(soak.samples):
            unit, divisor = LIMITS[name].unit
            print(f"{name:>10}  {early / divisor:>10.2f}  {late / divisor:>10.2f} {unit} {'GROWN' if grew else ''}")
            if grew:
                soak.failures.append(f"{name} has grown from {early:g} to {late:g}")
    for failure in soak.failures:
        print("FAILED", failure)
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
