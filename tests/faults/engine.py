"""Runs one scenario, on whatever loop it names, and returns what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import trio
from anyio.lowlevel import checkpoint

from anyiostream import CustomTransformer, ToolCallTransformer, open_run
from anyiostream.loops.trio_host import hosted_tasks
from anyiostream.testing import Deadlock, at_time, at_turn, run_seeded

from .agents import AGENTS
from .invariants import check
from .roles import Group, plain, roles, settle
from .scenarios import Scenario
from .sources import open_source
from .sync_lane import run_sync
from .witnesses import factories
from .world import World

__all__ = ["Outcome", "run_scenario"]

HANGS_AFTER = 20.0
"""s after which a run counts as stuck on a loop whose clock is real."""


@attrs.frozen
class Outcome:
    """What became of a scenario.

    Attributes:
        scenario: Which one.
        trace: A hash of all that an application could see, in order.
        landed: Whether the fault struck.
        violations: (invariant, what happened).
        fullest: The most of its bound that any channel used, 1.0 for all of it, and that channel's (items, bound).
        left: What was alive after the block.
        status: How the run ended.
        lines: The last of the trace in words, if there are violations.
    """

    scenario: Scenario
    trace: str
    landed: bool
    violations: tuple[tuple[str, str], ...]
    fullest: tuple[float, int, float]
    left: int
    status: str
    lines: tuple[str, ...] = ()


def run_scenario(scenario: Scenario, lines: list[str] | None = None) -> Outcome:
    """Run it. `lines`, if given, receives the trace in words."""
    world = World(scenario)
    world.lines = [] if lines is None else lines
    descriptors = open_descriptors()
    with quiet(world), watched_generators(world):
        if scenario.loop == "sync":
            run_sync(world)
        else:
            run_async(world)
    more = open_descriptors() - descriptors
    if more > 0 and scenario.loop != "uvloop":  # which keeps a pipe for as long as the process lives
        world.left.append(f"{more} descriptors")
    check(world)
    bounded = [(peak / bound, peak, bound) for _, peak, bound in world.peaks if bound]
    return Outcome(
        scenario,
        world.trace,
        world.landed,
        tuple(world.violations),
        max(bounded, default=(0.0, 0, 0.0)),
        len(world.left),
        world.status,
        tuple(world.lines[-30:]) if world.violations else (),
    )


class Listener(logging.Handler):
    """Hears what the run logs."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self.world = world

    def emit(self, record: logging.LogRecord) -> None:
        if "has been stalled" in record.getMessage():
            self.world.stall_said = True


@contextlib.contextmanager
def quiet(world: World) -> Any:
    """Keep the log of what is expected to fail to ourselves."""
    logger = logging.getLogger("anyiostream")
    handler, propagate = Listener(world), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    asyncio_logger = logging.getLogger("asyncio")
    asyncio_level = asyncio_logger.level
    asyncio_logger.setLevel(logging.CRITICAL)
    hook = sys.unraisablehook
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.unraisablehook = lambda _: None
            yield
    finally:
        sys.unraisablehook = hook
        logger.removeHandler(handler)
        logger.propagate = propagate
        asyncio_logger.setLevel(asyncio_level)


@contextlib.contextmanager
def watched_generators(world: World) -> Any:
    """Know of the async generators that begin on an asyncio loop, and of those that are dropped in the middle."""
    loop: Any = asyncio.BaseEventLoop
    begin, drop = loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook  # noqa: SLF001

    def begins(self: Any, generator: Any) -> None:
        world.generators.append(weakref.ref(generator))
        begin(self, generator)

    def dropped(self: Any, generator: Any) -> None:
        world.dropped.append(generator)
        drop(self, generator)

    loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook = begins, dropped  # noqa: SLF001
    try:
        yield
    finally:
        loop._asyncgen_firstiter_hook, loop._asyncgen_finalizer_hook = begin, drop  # noqa: SLF001


def open_descriptors() -> int:
    """How many files and sockets this process has open; 0 where nothing tells."""
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except FileNotFoundError:
        return 0


def run_async(world: World) -> None:
    """On the loop that the scenario names."""
    loop, seed = world.scenario.loop, world.scenario.seed
    try:
        if loop in {"asyncio", "trio"}:
            run_seeded(application, world, backend=loop, seed=seed)
        else:
            options = {"debug": True} if loop == "debug" else {"use_uvloop": True}
            anyio.run(watched, world, backend="asyncio", backend_options=options)
    except Deadlock as stuck:
        # A channel that its reader has not begun to read is nobody's certain fault; the run says so in the log.
        if world.fault.reader != "in turn" or not world.stall_said:
            world.violated("I11", str(stuck))
        world.stuck = True
    except BaseException as exc:
        world.violated("I10", f"the program ended with {exc!r}")


async def watched(world: World) -> None:
    """The application, on a real clock."""
    task = asyncio.current_task()
    assert task is not None
    timer = asyncio.get_running_loop().call_later(HANGS_AFTER, give_up, world, task)
    try:
        await application(world)
    finally:
        timer.cancel()


def give_up(world: World, task: asyncio.Task[Any]) -> None:
    """It hangs."""
    world.violated("I11", "hangs: " + "; ".join(repr(each) for each in asyncio.all_tasks()))
    for each in asyncio.all_tasks():
        each.cancel()


async def application(world: World) -> None:
    """A program that opens a run, reads it in several tasks, and leaves."""
    before = alive() | world.open_generators()
    world.alarm = anyio.Event()
    graph, given = open_source(world)
    tools = [ToolCallTransformer] if world.scenario.source in AGENTS else []
    transformers = [CustomTransformer, *tools, *factories(world, is_async=True)]

    async def body() -> None:
        options = world.options
        async with open_run(
            graph,
            transformers=transformers,
            buffer=options.buffer,
            prefetch=options.prefetch,
            checkpoint_every=options.checkpoint_every,
            **given,
        ) as run:
            world.run = run
            if world.fault.aborts == "turn":
                at_turn(world.k, lambda: (world.land(), world.alarm.set()))
            async with anyio.create_task_group() as tasks:
                aborters = []
                for role in roles(world, tasks):
                    if getattr(role, "__name__", "") == "aborter" and world.fault.aborts:
                        aborters.append(role)
                    else:
                        tasks.start_soon(role)
                if aborters:
                    await abort_beside(world, tasks, aborters)
            await late(world)

    async def outer() -> None:
        if world.fault.around == "failing sibling":
            await beside_a_sibling(world, body)
        elif world.fault.leaves_at is not None:
            with anyio.CancelScope() as scope:
                at_time(world.fault.leaves_at, scope.cancel)
                await body()
        else:
            await world.play("outer", body)

    try:
        await outer()
    except BaseException as exc:
        world.left_with = exc
    world.left = sorted((alive() | world.open_generators()) - before) + world.feed.working
    if world.run is not None:
        world.status = world.run.status
        world.measure(world.run)
        world.open_subgraphs = world.run.statistics().subgraphs
        await after(world)
    world.note("status", world.status)


async def abort_beside(world: World, tasks: Any, aborters: list[Callable[[], Awaitable[None]]]) -> None:
    """Aborters wait for their alarm; if it never comes, they go when the run has ended."""
    async with anyio.create_task_group() as waiting:
        for aborter in aborters:
            waiting.start_soon(aborter)
        with contextlib.suppress(Exception):
            await world.run.output()
        # A kept alarm may come later; the run is over by itself otherwise.
        for _ in range(5):
            await checkpoint()
        if not world.alarm.is_set():
            waiting.cancel_scope.cancel()


async def beside_a_sibling(world: World, body: Callable[[], Awaitable[None]]) -> None:
    """The run's task has a sibling, which fails."""
    fail = anyio.Event()

    async def sibling() -> None:
        await fail.wait()
        raise world.error()

    async with anyio.create_task_group() as tasks:
        at_turn(world.k, fail.set)
        tasks.start_soon(sibling)
        await body()
        tasks.cancel_scope.cancel()


async def late(world: World) -> None:
    """Those who come when all others have finished: each gets the outcome all the same."""
    run = world.run
    group = Group(world, None)
    for _ in range(3):
        await group.output(struck=False, late=True)
    if run.status == "failed":
        for name in ("values", "custom", "lifecycle"):
            channel = run.extensions[name]
            if channel.statistics().readers == 0:
                with contextlib.suppress(RuntimeError):
                    cursor = aiter(channel)
                    reader = group.reader(f"late {name}")
                    try:
                        async for item in cursor:
                            reader.items.append(plain(name, item))
                        reader.end = "end"
                    except BaseException as exc:
                        settle(world, reader, exc)


async def after(world: World) -> None:
    """After the block the outcome stays readable."""
    try:
        state = await world.run.output()
    except BaseException as exc:
        world.outputs.append(("error", exc, world.run.status))
    else:
        world.outputs.append(("value", state, world.run.status))


def alive() -> set[str]:
    """What is alive: tasks, and threads other than the idle workers that the loops keep."""
    threads = {
        each.name
        for each in threading.enumerate()
        if not each.name.startswith(("Trio thread", "AnyIO worker thread", "asyncio_", "pytest"))
    }
    try:
        root = trio.lowlevel.current_root_task()
    except RuntimeError:
        return threads | {f"{task.get_name()}" for task in asyncio.all_tasks() if not task.done()}
    names = threads | {task.get_name() for task in hosted_tasks()}
    pending = [root] if root is not None else []
    while pending:
        task = pending.pop()
        for nursery in task.child_nurseries:
            pending += nursery.child_tasks
        # The asyncio loop beside trio stays, with what drives it.
        if "at_time" not in task.name and not task.name.startswith("anyiostream asyncio"):
            names.add(f"{task.name} {id(task)}")
    return names
