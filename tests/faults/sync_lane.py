"""The battery on the sync lane: no event loop, so the faults that need none."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from anyiostream import BackpressureDeadlock, CustomTransformer, open_run, parts

from .faults import InjectedError
from .roles import READERS, plain, shown
from .sources import open_source
from .witnesses import factories
from .world import Reader, World

__all__ = ["run_sync"]


def run_sync(world: World) -> None:
    """Open a run, read it, leave it."""
    graph, given = open_source(world)
    if world.scenario.source in {"function", "writer"}:
        graph = without_waiting(world, graph)
    try:
        with open_run(
            graph,
            transformers=[CustomTransformer, *factories(world, is_async=False)],
            buffer=world.options.buffer,
            **given,
        ) as run:
            world.run = run
            read(world)
            late(world)
    except BaseException as exc:
        world.left_with = exc
    if world.run is not None:
        world.status = world.run.status
        world.measure(world.run)
        world.open_subgraphs = world.run.statistics().subgraphs
        output(world)
    world.note("status", world.status)


def without_waiting(world: World, graph: Any) -> Any:
    """The function graph, which waits for nothing but its writer here."""
    feed = world.feed

    async def wait(n: int) -> None:
        feed.fault()

    async def closing() -> None:
        feed.close()
        feed.fail_closing()

    feed.wait, feed.closing = wait, closing
    feed.advancing = lambda **_: Advancing()
    return graph


class Advancing:
    """Nobody else can be at work."""

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def read(world: World) -> None:
    """Read what the scenario names, in one go: interleaved, because one thread reads all."""
    fault = world.fault
    names = [name for name in dict.fromkeys(READERS[world.scenario.readers]) if name in {"values", "custom"}]
    if fault.reader == "in turn":
        in_turn(world, ("values", "custom"))
    elif fault.reader:
        leave(world, names[0] if names else "values", fault.reader)
    elif world.scenario.readers == "log":
        take(world, "events", lambda: iter(world.run))
    elif world.scenario.readers == "all":
        subgraphs(world)
    else:
        take(world, "values+custom", lambda: world.run.interleave("values", "custom"))


def reader_of(world: World, name: str, path: tuple[str, ...] = ()) -> Reader:
    """A new reader."""
    reader = Reader(name, path)
    world.readers.append(reader)
    return reader


def take(world: World, name: str, open_cursor: Callable[[], Iterator[Any]], path: tuple[str, ...] = ()) -> None:
    """Read to the end."""
    reader = reader_of(world, name, path)
    cursor = None
    try:
        cursor = open_cursor()
        for item in cursor:
            got(world, reader, item)
            besides(world, reader)
        reader.end = "end"
    except BaseException as exc:
        reader.failed(exc)
        world.note(name, "got", type(exc).__name__)
    if reader.end == "error" and cursor is not None:
        reader.again = "end" if next(cursor, None) is None else "an item"


def got(world: World, reader: Reader, item: Any) -> None:
    """An item."""
    reader.items.append(plain(reader.name, item))
    world.note(reader.name, *reader.path, shown(reader.name, item))
    world.sample()


def besides(world: World, reader: Reader) -> None:
    """What happens between two items."""
    if len(reader.items) != world.k or reader.path:
        return
    if world.fault.aborts:
        world.land()
        world.run.abort()
    if world.fault.around == "nested run":
        world.land()
        with open_run([parts.values(n) for n in range(3)]) as nested:
            if list(nested.values) != [0, 1, 2] or nested.output != 2:
                world.violated("I1", "a nested run gives something else")


def subgraphs(world: World, stream: Any = None, path: tuple[str, ...] = ()) -> None:
    """Every handle's values, level by level."""
    stream = world.run if stream is None else stream

    def follow() -> Iterator[Any]:
        for handle in stream.subgraphs:
            inner = (*path, handle.graph_name)
            if handle.graph_name == "outer":
                subgraphs(world, handle, inner)
            else:
                take(world, "values", partial(iter, handle.values), inner)
            world.measure(handle)
            yield handle

    take(world, "subgraphs", follow, path)


def leave(world: World, name: str, how: str) -> None:
    """Read some items and leave."""
    reader = reader_of(world, name)
    channel = world.run.extensions[name]
    cursor: Any = iter(channel)
    try:
        for item in cursor:
            got(world, reader, item)
            if len(reader.items) == world.k:
                world.land()
                if how == "exception":
                    raise InjectedError
                break
        else:
            reader.end = "end"
    except InjectedError as exc:
        exc.__traceback__ = None
    except BaseException as exc:
        reader.failed(exc)
    if how == "collected":
        cycle: list[Any] = [cursor]
        cycle.append(cycle)
        del cursor, cycle
        gc.collect()
    else:
        del cursor
    if world.landed:
        reader.end = "left"
        figures = channel.statistics()
        if figures.readers or figures.depth:
            world.violated("I12", f"{name} keeps {figures.depth} items after its reader has left by {how}")


def in_turn(world: World, names: tuple[str, str]) -> None:
    """Two cursors in turn; a deadlock is said at once here, and the other one has something then."""
    pairs = [(reader_of(world, name), iter(world.run.extensions[name])) for name in names]
    turn = 0
    while pairs:
        reader, cursor = pairs[turn % len(pairs)]
        turn += 1
        try:
            got(world, reader, next(cursor))
            world.land()
        except StopIteration:
            reader.end = "end"
            pairs.remove((reader, cursor))
        except BackpressureDeadlock:
            world.note("deadlock is said")
        if turn > 1000:
            world.violated("I11", "two cursors read in turn never end")
            return


def output(world: World) -> None:
    """Ask for the output."""
    try:
        state = world.run.output
    except BaseException as exc:
        world.outputs.append(("error", exc, world.run.status))
        world.note("output raises", type(exc).__name__)
    else:
        world.outputs.append(("value", state, world.run.status))
        world.note("output", state)


def late(world: World) -> None:
    """Those who come last."""
    output(world)
    output(world)
    if world.run.status == "failed":
        for name in ("lifecycle", "messages"):
            take(world, f"late {name}", lambda name=name: iter(world.run.extensions[name]))
