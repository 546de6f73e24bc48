"""Who takes part in a run: readers, those who wait for its output, those who abort it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from anyiostream import BackpressureDeadlock, open_run, parts

from .agents import AGENTS
from .faults import InjectedError
from .scenarios import Scenario
from .world import Reader, World

__all__ = ["READERS", "plain", "roles", "settle"]

READERS: Final[dict[str, tuple[str, ...]]] = {
    "two": ("values", "custom"),
    "log": ("events", "output"),
    "woven": ("values+custom", "output"),
    "echo": ("echo", "custom", "events"),
    "all": ("values", "custom", "custom", "events", "subgraphs", "lifecycle", "echo", "output", "output"),
}
"""Name -> who reads. A name that is there twice is read in branches."""

OF_AGENTS: Final = {"custom": "messages", "echo": "tool_calls", "values+custom": "values+messages"}
"""Projection -> what is read instead of it where an agent runs, which makes no custom items."""


def readers_of(scenario: Scenario) -> tuple[str, ...]:
    """Who reads."""
    names = READERS[scenario.readers]
    return tuple(OF_AGENTS.get(name, name) for name in names) if scenario.source in AGENTS else names


def plain(name: str, item: Any) -> Any:
    """An item of a projection, in a form that compares and prints."""
    if name == "events":
        params = item["params"]
        return item["seq"], tuple(each.split(":")[0] for each in params["namespace"]), item["method"], params["data"]
    if "+" in name:
        return item[0], plain(item[0], short(item[1]))
    if name == "messages":
        return name
    if name == "tool_calls":
        return item.input["n"] if item.tool_name == "note" else item.tool_name
    if name == "values" and isinstance(item, dict) and "messages" in item:
        return len(item["messages"])  # an agent's history
    if name == "subgraphs":
        return item.graph_name  # and nothing that keeps the handle alive
    return item


def short(data: Any) -> Any:
    """Data, or its type if it is long or cyclic."""
    if isinstance(data, str) and len(data) > 100:
        return "..."
    if isinstance(data, dict) and any(each is data for each in data.values()):
        return "itself"
    return data


def shown(name: str, item: Any) -> str:
    """An item in the trace."""
    if name == "events":
        return f"{item['seq']} {item['method']}"
    if name in {"subgraphs", "lifecycle", "messages"}:
        return ""
    made = plain(name, item)
    return str(short(made[1] if "+" in name else made))


def settle(world: World, reader: Reader, error: BaseException) -> None:
    """A reader has got an exception: take note of it if it is the run's, let cancellations go on."""
    if isinstance(error, anyio.get_cancelled_exc_class()):
        reader.end = "cancelled"
        if not world.cancelled and world.fault.around != "failing sibling" and world.fault.leaves_at is None:
            world.violated("I10", f"{reader.name} was cancelled by nobody")
        raise error
    reader.failed(error)
    world.note(reader.name, *reader.path, "got", type(error).__name__)


class Group:
    """All readers of one run, and where they run."""

    def __init__(self, world: World, tasks: Any) -> None:
        self.world = world
        self.tasks = tasks

    def reader(self, name: str, path: tuple[str, ...] = ()) -> Reader:
        """A new reader."""
        reader = Reader(name, path)
        self.world.readers.append(reader)
        return reader

    async def take(self, reader: Reader, cursor: Any, *, until: int | None = None, slow: bool = False) -> None:
        """Read on, to the end, or until there are so many items."""
        world = self.world
        async for item in cursor:
            reader.items.append(plain(reader.name, item))
            world.note(reader.name, *reader.path, shown(reader.name, item))
            world.sample()
            if reader.count() > world.options.checkpoint_every + 1:
                world.violated("I10", f"{reader.name} takes {reader.streak} items without letting a cancellation in")
            if reader.name == "subgraphs":
                self.follow(item, reader.path)
            elif reader.name == "messages":
                inner = self.reader(f"text {len(reader.items)}", reader.path)
                self.tasks.start_soon(self.read_handle, inner, aiter(item.text), None)
            if slow:
                await anyio.sleep(0.02)
            if until is not None and len(reader.items) >= until:
                return
            if world.fault.aborts == "abort" and len(reader.items) == world.k:
                world.land()
                world.alarm.set()
            if world.fault.around == "nested run" and len(reader.items) == world.k and not world.options.target % 2:
                world.land()
                async with open_run([parts.values(n) for n in range(3)]) as nested:
                    if [each async for each in nested.values] != [0, 1, 2] or await nested.output() != 2:
                        world.violated("I1", "a nested run gives something else")
        reader.end = "end"
        world.note(reader.name, *reader.path, "ended")

    async def read(self, reader: Reader, cursor: Any, *, struck: bool) -> None:
        """Read to the end, whatever comes."""
        world, how = self.world, self.world.fault.reader
        try:
            if struck and how:
                await self.misbehave(reader, cursor, how)
                return
            caught, _ = await world.play("reader", lambda: reader.stepwise(self.take(reader, cursor)), struck=struck)
            if caught and world.comes_back:
                await reader.stepwise(self.take(reader, cursor))
            elif caught:
                reader.end = "left"
                await cursor.aclose()
                return
        except BaseException as exc:
            settle(world, reader, exc)
        if reader.end == "error":
            # The error comes once; then the cursor is at its end.
            try:
                await anext(cursor)
            except StopAsyncIteration:
                reader.again = "end"
            except BaseException as exc:
                if isinstance(exc, anyio.get_cancelled_exc_class()):
                    raise
                reader.again = f"{type(exc).__name__}"
            else:
                reader.again = "an item"

    async def misbehave(self, reader: Reader, cursor: Any, how: str) -> None:
        """Read like the fault says."""
        world = self.world
        if how == "slow":
            world.land()
            await self.take(reader, cursor, slow=True)
        elif how == "deadlines":
            await self.with_deadlines(reader, cursor)
        else:
            # Leaving: the caller keeps no reference to the cursor.
            await self.take(reader, cursor, until=world.k)
            if reader.end == "":
                reader.end = "left"
                world.land()
                world.note(reader.name, "leaves")

    async def with_deadlines(self, reader: Reader, cursor: Any) -> None:
        """A deadline round each item."""
        world = self.world
        while True:
            with anyio.move_on_after(world.k * 0.002) as scope:
                try:
                    item = await anext(cursor)
                except StopAsyncIteration:
                    reader.end = "end"
                    return
                reader.items.append(plain(reader.name, item))
                world.note(reader.name, shown(reader.name, item))
            if scope.cancelled_caught:
                world.land()

    async def leave(self, name: str, box: list[Any], how: str) -> None:
        """Read some items and leave, in one of the ways in which a loop is left.

        `box` has the cursor, and gives it away: nobody else keeps it.
        """
        world = self.world
        reader = self.reader(name)
        try:
            if how == "exception":
                try:
                    async for item in box.pop():
                        reader.items.append(plain(name, item))
                        world.note(name, shown(name, item))
                        if len(reader.items) == world.k:
                            await self.linger()
                            raise InjectedError
                except InjectedError as exc:
                    exc.__traceback__ = None
            elif how == "collected":
                cycle: list[Any] = [box.pop()]
                cycle.append(cycle)
                await self.take(reader, cycle[0], until=world.k)
                if reader.end == "":
                    await self.linger()
                del cycle
                gc.collect()
            elif how == "return":
                await self.some(reader, box)
            else:
                async for item in box.pop():
                    reader.items.append(plain(name, item))
                    world.note(name, shown(name, item))
                    if len(reader.items) == world.k:
                        await self.linger()
                        break
        except BaseException as exc:
            settle(world, reader, exc)
            return
        if world.landed:
            reader.end = "left"
            figures = world.run.statistics().channels[name]
            if figures.readers or figures.depth or figures.waiting:
                world.violated("I12", f"{name} keeps {figures.depth} items after its reader has left by {how}")
            world.note(name, "left")
        else:
            reader.end = "end"

    async def linger(self) -> None:
        """About to leave: at once, or when the others have come as far as they can without this reader."""
        if self.world.options.target % 3:
            await anyio.sleep(0.1)
        self.world.land()

    async def some(self, reader: Reader, box: list[Any]) -> None:
        """Return from inside the loop."""
        async for item in box.pop():
            reader.items.append(plain(reader.name, item))
            if len(reader.items) == self.world.k:
                await self.linger()
                return

    async def in_turn(self, pairs: list[tuple[Reader, Any]]) -> None:
        """One task reads two cursors in turn, as far as that goes."""
        world = self.world
        turn = 0
        live = list(pairs)
        failures = 0
        while live:
            reader, cursor = live[turn % len(live)]
            turn += 1
            try:
                reader.items.append(plain(reader.name, await anext(cursor)))
                world.land()
                world.note(reader.name, "in turn")
                failures = 0
            except StopAsyncIteration:
                reader.end = "end"
                live.remove((reader, cursor))
            except BackpressureDeadlock:
                # It has said so; the other one has something.
                failures += 1
                world.note("deadlock is said")
                if failures > 2:
                    world.violated("I11", "both of two cursors stall each other")
                    return
            except BaseException as exc:
                settle(world, reader, exc)
                return

    def follow(self, handle: Any, path: tuple[str, ...]) -> None:
        """Read a subgraph's handle in the same way."""
        inner = (*path, handle.graph_name)
        self.world.handles.append(weakref.ref(handle))
        for name in ("values", "custom", "messages", "tool_calls", "subgraphs"):
            if name in handle.extensions and (name != "messages" or self.world.scenario.source in AGENTS):
                cursor = aiter(handle.extensions[name])
                self.tasks.start_soon(self.read_handle, self.reader(name, inner), cursor, handle)

    async def read_handle(self, reader: Reader, cursor: Any, handle: Any) -> None:
        """To its end."""
        try:
            await self.take(reader, cursor)
        except BaseException as exc:
            settle(self.world, reader, exc)
        if handle is not None:
            self.world.measure(handle)

    async def output(self, *, struck: bool, late: bool = False) -> None:
        """Wait for the output."""
        world = self.world
        try:
            caught, state = await world.play("output", lambda: world.run.output(), struck=struck)  # noqa: PLW0108
            if caught and not world.comes_back:
                return
            if caught:
                state = await world.run.output()
        except BaseException as exc:
            if isinstance(exc, anyio.get_cancelled_exc_class()):
                raise
            world.outputs.append(("error", exc, world.run.status))
            if late:
                frames = Reader("output()")
                frames.failed(exc)
                world.late_frames.append(frames.frames)
            world.note("output raises", type(exc).__name__)
        else:
            world.outputs.append(("value", state, world.run.status))
            world.note("output", state)

    async def aborter(self) -> None:
        """Abort the run when the fault says so."""
        world, fault = self.world, self.world.fault
        if fault.cancels == "aborter":
            for _ in range(world.options.target % 7):
                await checkpoint()
            caught, _ = await world.play("aborter", world.run.abort)
            world.note("aborter", caught)
            await world.run.abort()
        else:
            await world.alarm.wait()
            world.note("abort")
            if fault.aborts == "abort":
                self.tasks.start_soon(world.run.abort)
            await world.run.abort()
            world.note("aborted")
        if world.run.status == "running":
            world.violated("I9", "abort() has returned and the run is still running")


def roles(world: World, tasks: Any) -> Iterator[Callable[[], Awaitable[None]]]:
    """What takes part in a run, each to be started as a task. Cursors are opened here, before anything runs."""
    run, fault = world.run, world.fault
    group = Group(world, tasks)
    names = readers_of(world.scenario)
    wanted = [name for name in dict.fromkeys(names) if name != "output"]
    wanted = [name for name in wanted if name == "events" or "+" in name or name in run.extensions]
    leaving = fault.reader in {"break", "return", "exception", "collected"}
    if fault.reader == "in turn":
        both = ("values", "tool_calls" if world.scenario.source in AGENTS else "custom")
        pairs = [(group.reader(name), aiter(run.extensions[name])) for name in both]
        yield partial(group.in_turn, pairs)
        wanted = [name for name in wanted if name not in both and "+" not in name]
    plan: list[tuple[str, Any]] = []
    targets = [name for name in wanted if "+" not in name]
    victim = targets[world.options.target % len(targets)] if leaving and targets else None
    for name in wanted:
        if name == victim:
            channel = run if name == "events" else run.extensions[name]
            yield partial(group.leave, name, [aiter(channel)], fault.reader)
        elif name == "events":
            plan.append((name, aiter(run)))
        elif "+" in name:
            plan.append((name, run.interleave(*name.split("+"))))
        elif names.count(name) > 1:
            plan += [(name, cursor) for cursor in run.extensions[name].atee(names.count(name))]
        else:
            plan.append((name, aiter(run.extensions[name])))
    for number, (name, cursor) in enumerate(plan):
        struck = number == world.options.target % len(plan) and not leaving
        yield partial(group.read, group.reader(name), cursor, struck=struck)
    plan_is_empty = not plan
    plan.clear()
    outputs = max(names.count("output"), 1 if fault.cancels == "output" or plan_is_empty else 0)
    for number in range(outputs):
        yield partial(group.output, struck=world.strikes("output", number, outputs))
    if fault.cancels == "aborter" or fault.aborts in {"pull", "push", "close", "abort", "turn"}:
        yield group.aborter
