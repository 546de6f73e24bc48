"""Growth: what one part costs as a run gets larger in one dimension.

A script has a mark before and after the parts that are measured. The reader of the marks takes the time between them,
so that opening ten thousand subgraphs, say, is not part of what is said about reading with ten thousand open.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import anyio
import attrs
import langgraph.stream

import anyiostream
from anyiostream import parts
from benchmarks import scripts
from benchmarks.libraries import ours, theirs
from benchmarks.measuring import CLOCKS, Options, Spread, Timed, alternate, ratios, run_on
from benchmarks.tables import Section, Table, verdicts

__all__ = ["DIMENSIONS", "SECTION", "Dimension", "Growth", "measure"]

SECTION: Final = "growth"

START, STOP = "start", "stop"
"""The marks: data of the parts before and after those that are measured."""

CONTENDERS: Final[Mapping[str, str]] = {"theirs": "asyncio", "asyncio": "asyncio", "trio": "trio"}
"""Contender -> its event loop."""

Clock = Callable[[], float]

CUSTOM: Final = "CustomTransformer"


@attrs.frozen
class Scene:
    """A dimension at one size.

    Attributes:
        parts: The script.
        units: How many of them are measured.
        items: What the reader must find.
        read: Reads a run, and says what the measured parts took, and how many items it found.
        transformers: For each library, those that its runs get.
    """

    parts: list[Any]
    units: int
    items: int
    read: Callable[[Any, Clock], Awaitable[Timed]]
    transformers: Callable[[Any], list[Any]] = lambda library: [getattr(library, CUSTOM)]


@attrs.frozen
class Dimension:
    """One row of the table.

    Attributes:
        name: What grows, and what is measured.
        sizes: From the smallest to the greatest.
        target: The greatest ratio of the cost at the greatest size to that at the smallest one.
        make: The scene at a size, for about as many measured parts as are asked for.
        theirs_up_to: The greatest size that the original is measured at.
    """

    name: str
    sizes: tuple[int, ...]
    target: float
    make: Callable[[int, int], Scene]
    theirs_up_to: int = 10**9

    def quick_sizes(self) -> tuple[int, ...]:
        """The smallest and one in the middle."""
        return (self.sizes[0], self.sizes[len(self.sizes) // 2])


@attrs.frozen
class Growth:
    """What a dimension came to.

    Attributes:
        dimension: Its name.
        us: Contender -> size -> us per unit.
        grown: Contender -> cost at its greatest size / cost at the smallest, round by round.
    """

    dimension: str
    us: Mapping[str, Mapping[int, Spread]]
    grown: Mapping[str, Spread]


async def between_marks(items: AsyncIterator[Any], clock: Clock) -> Timed:
    """What passes from `START` to `STOP`."""
    start, found = 0.0, 0
    async for item in items:
        if item == START:
            found = 0
            start = clock()
        elif item == STOP:
            return Timed(clock() - start, found)
        else:
            found += 1
    raise ValueError("a mark is missing")


async def read_custom(run: Any, clock: Clock) -> Timed:
    """Measure by the marks in the custom data."""
    return await between_marks(aiter(run.custom), clock)


def marked(measured: list[Any], ns: tuple[str, ...] = ()) -> list[Any]:
    """Parts with marks around them, and some more behind them, so that no run ends within what is measured."""
    mark = parts.values if ns else parts.custom
    return [mark(START, ns=ns), *measured, mark(STOP, ns=ns), *measured[:64]]


def opened(subgraphs: int) -> list[Any]:
    """Parts that open subgraphs."""
    return [parts.task_start("in", "inner", ns=(f"sub:{n}",)) for n in range(subgraphs)]


def results(size: int, units: int) -> Scene:
    """Results of tasks that ran no subgraph, while `size` subgraphs are open."""
    measured = [parts.task_result(f"task-{n}", "node") for n in range(units)]
    return Scene([*opened(size), *marked(measured)], units, 0, read_custom)


def subgraphs(size: int, units: int) -> Scene:
    """Subgraphs that open and end, while `size` others are open."""
    measured = []
    for n in range(units // 2):
        measured += [parts.task_start("in", "inner", ns=(f"more:m{n}",)), parts.task_result(f"m{n}", "more")]
    return Scene([*opened(size), *marked(measured)], units, 0, read_custom)


def data(size: int, units: int) -> Scene:
    """Custom data of the root, while `size` subgraphs are open."""
    return Scene([*opened(size), *marked([parts.custom(n) for n in range(units)])], units, units, read_custom)


def parked(size: int, units: int) -> Scene:
    """Custom data of the root, while `size` readers wait for 64 subgraphs that say nothing."""

    async def read(run: Any, clock: Clock) -> Timed:
        custom = aiter(run.custom)
        handles: list[Any] = []
        async for handle in run.subgraphs:
            handles.append(handle)
            if len(handles) == 64:
                break
        async with anyio.create_task_group() as tasks:
            for handle in handles[:size]:
                tasks.start_soon(drain, aiter(handle.values))
            try:
                return await between_marks(custom, clock)
            finally:
                tasks.cancel_scope.cancel()
        raise AssertionError

    ahead = [parts.custom(n) for n in range(200)]
    return Scene([*opened(64), *ahead, *marked([parts.custom(n) for n in range(units)])], units, units, read)


async def drain(items: AsyncIterator[Any]) -> None:
    """Read to the end."""
    async for _ in items:
        pass


def deep(size: int, units: int) -> Scene:
    """Snapshots of a subgraph `size` levels below the root."""
    spaces = [tuple(f"sub:{level}" for level in range(depth + 1)) for depth in range(size)]

    async def read(run: Any, clock: Clock) -> Timed:
        stream, cursors = run, []
        for _ in range(size):
            cursors.append(aiter(stream.subgraphs))
            stream = await anext(cursors[-1])
        return await between_marks(aiter(stream.values), clock)

    starts = [parts.task_start("in", "inner", ns=space) for space in spaces]
    measured = [parts.values(n, ns=spaces[-1]) for n in range(units)]
    return Scene([*starts, *marked(measured, spaces[-1])], units, units, read)


def unmatched(size: int, units: int) -> Scene:
    """Custom data of the root, with `size` transformers that read only what does not occur."""

    def transformers(library: Any) -> list[Any]:
        class Unmatched(library.StreamTransformer):  # type: ignore[misc]
            """Reads debug data; the declaration is for ours, the check for the original."""

            methods = ("debug",)

            def init(self) -> dict[str, Any]:
                return {}

            def process(self, event: Any) -> bool:
                if event["method"] != "debug":
                    return True
                raise AssertionError

        return [getattr(library, CUSTOM), *[Unmatched] * size]

    return Scene(marked([parts.custom(n) for n in range(units)]), units, units, read_custom, transformers)


def deltas(size: int, units: int) -> Scene:
    """Pieces of text of messages that have `size` of them."""
    calls = max(1, units // size)
    script = [part for call in range(calls) for part in scripts.message(call, size)]

    async def read(run: Any, clock: Clock) -> Timed:
        start, found = clock(), 0
        async for message in run.messages:
            async for _ in message.text:
                found += 1
        return Timed(clock() - start, found)

    return Scene(script, calls * size, calls * size, read)


DIMENSIONS: Final = (
    Dimension("task result, while N subgraphs are open", (10, 100, 1000, 10_000), 2.0, results),
    Dimension("a subgraph's start and end, while N are open", (10, 100, 1000, 10_000), 2.0, subgraphs, 1000),
    Dimension("custom data, while N subgraphs are open", (10, 100, 1000, 10_000), 2.0, data),
    Dimension("custom data, while N readers are parked", (0, 8, 16, 32, 64), 1.4, parked),
    Dimension("snapshot N levels down", (1, 2, 4, 8), 1.3, deep),
    Dimension("custom data, with N transformers that do not match", (0, 8, 16, 32), 1.1, unmatched),
    Dimension("piece of a message that has N", (1000, 10_000, 50_000, 200_000), 2.0, deltas, 50_000),
)


def measure(dimension: Dimension, options: Options) -> Growth:
    """Run a dimension's rounds; sizes and contenders take turns.

    Raises:
        ValueError: A reader did not find what there is.
    """
    sizes = dimension.quick_sizes() if options.quick else dimension.sizes
    clock = CLOCKS[options.clock]

    def run(contender: str, size: int, units: int) -> float:
        scene = dimension.make(size, units)

        async def original() -> Timed:
            async with theirs(scene.parts, scene.transformers(langgraph.stream)) as run:
                return await scene.read(run, clock)

        async def mine() -> Timed:
            async with ours(scene.parts, scene.transformers(anyiostream)) as run:
                return await scene.read(run, clock)

        gc.collect()
        result: Timed = run_on(CONTENDERS[contender], original if contender == "theirs" else mine)
        if result.items != scene.items:
            raise ValueError(f"{dimension.name}, {size}: {contender} read {result.items} items, not {scene.items}")
        return result.seconds / scene.units * 1e6

    units = 400 if options.quick else 4000
    every = [
        (name, size) for name in CONTENDERS for size in sizes if name != "theirs" or size <= dimension.theirs_up_to
    ]
    calls = {f"{name} {size}": partial(run, name, size, units) for name, size in every}
    for name in CONTENDERS:
        run(name, sizes[0], units // 10)
    times = alternate(calls, options.rounds)
    return Growth(
        dimension.name,
        {
            name: {size: Spread.of(times[f"{name} {size}"]) for other, size in every if other == name}
            for name in CONTENDERS
        },
        {
            name: ratios(
                times[f"{name} {max(size for other, size in every if other == name)}"], times[f"{name} {sizes[0]}"]
            )
            for name in CONTENDERS
        },
    )


def section(options: Options) -> Section:
    """The table of all dimensions that are wanted."""
    chosen = [dimension for dimension in DIMENSIONS if options.wants(SECTION, dimension.name)]
    found = [(dimension, measure(dimension, options)) for dimension in chosen]
    if not found:
        return Section(SECTION, (), [])
    table = Table(
        f"Cost of one at the smallest and at the greatest size, us, and their ratio; {options.clock} time",
        ("what", "N", "`langgraph.stream`", "asyncio", "trio", "may grow", ""),
        tuple(
            (
                dimension.name,
                " -> ".join(f"{size:,}" for size in (min(growth.us["asyncio"]), max(growth.us["asyncio"]))),
                *(_shown(growth, name) for name in CONTENDERS),
                f"<= {dimension.target:.1f} times",
                verdicts((growth.grown[name].median, dimension.target) for name in ("asyncio", "trio")),
            )
            for dimension, growth in found
        ),
    )
    return Section(SECTION, (table,), [attrs.asdict(growth) for _, growth in found])


def _shown(growth: Growth, contender: str) -> str:
    us = growth.us[contender]
    least, greatest = min(us), max(us)
    at = "" if greatest == max(growth.us["asyncio"]) else f" at {greatest:,}"
    return f"{us[least].median:.2f} -> {us[greatest].median:.2f}{at}: {growth.grown[contender].show()}"
