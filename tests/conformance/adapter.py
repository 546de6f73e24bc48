"""One face for both libraries and both lanes, so that a behaviour is stated once and observed four ways.

A test is an `async def` that takes a `Lab`. The lab names the library (`ours` is this package, `theirs` is the
`langgraph.stream` of the installed LangGraph, the oracle) and the lane. On the sync lane the test's coroutine is driven
by hand, outside any event loop, and never suspends; on the async lane it runs on asyncio in debug mode, uvloop or trio
(theirs on asyncio alone).

Tests work on the libraries' own objects: channels, muxes and run streams. The lab supplies what differs by lane
(iterating, awaiting) and what one of the libraries offers only as a private name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace, TracebackType
from typing import Any, Final, Literal

import anyio
import anyio.lowlevel
import attrs
import langgraph.errors
import langgraph.stream
import langgraph.stream._convert
import langgraph.stream._mux
import langgraph.stream.transformers
import pytest

import anyiostream

from ..lanes import BACKENDS, Lane, drive
from ..waiting import PATIENCE

__all__ = [
    "ALL",
    "ASYNC",
    "INTERLEAVING",
    "OURS",
    "SYNC",
    "THEIRS",
    "Lab",
    "Script",
    "drive",
    "event",
    "on",
    "theirs_since",
]

OUR_API: Final = SimpleNamespace(**{name: getattr(anyiostream, name) for name in anyiostream.__all__})

THEIR_API: Final = SimpleNamespace(
    **{name: getattr(langgraph.stream, name) for name in langgraph.stream.__all__},
    StreamMux=langgraph.stream._mux.StreamMux,  # noqa: SLF001 -- it is used like a public one
    ValuesTransformer=langgraph.stream.transformers.ValuesTransformer,
    MessagesTransformer=langgraph.stream.transformers.MessagesTransformer,
    GraphInterrupt=langgraph.errors.GraphInterrupt,
    convert_to_protocol_event=langgraph.stream._convert.convert_to_protocol_event,  # noqa: SLF001 -- same
)


class Script:
    """A graph that is a list of parts, and what became of it.

    Attributes:
        pulled: Parts that have been taken.
        closed: How often the iterator's clean-up ran.
    """

    def __init__(
        self, parts: Iterable[Mapping[str, Any]], error: BaseException | None = None, *, waits: bool = True
    ) -> None:
        """A graph that produces `parts` and then ends, or raises `error`.

        On the async lane it takes a turn of the loop before each part, unless it never `waits`.
        """
        self._waits = waits
        self._parts = list(parts)
        self._error = error
        self.pulled = 0
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        try:
            for part in self._parts:
                self.pulled += 1
                yield part
            if self._error is not None:
                raise self._error
        finally:
            self.closed += 1

    async def parts(self) -> AsyncIterator[Any]:
        """The parts, for the async lane."""
        try:
            for part in self._parts:
                if self._waits:
                    await anyio.lowlevel.checkpoint()
                self.pulled += 1
                yield part
            if self._error is not None:
                raise self._error
        finally:
            self.closed += 1


class Reader:
    """The one reader of a channel, a raw log, a branch or an interleaving."""

    def __init__(self, iterable: Any, lane: Lane) -> None:
        self._lane = lane
        self._cursor = lane.cursor(iterable)

    async def next(self) -> Any:
        """The next item; raises `StopAsyncIteration` at the end, on either lane."""
        return await self._lane.next(self._cursor)

    async def take(self, count: int) -> list[Any]:
        """The next `count` items."""
        return await self._lane.take(self._cursor, count)

    async def rest(self) -> list[Any]:
        """All that is left."""
        items, error = await self.outcome()
        if error is not None:
            raise error
        return items

    async def outcome(self) -> tuple[list[Any], Exception | None]:
        """All that is left, and the error after it."""
        items = []
        try:
            while True:
                items.append(await self.next())
        except StopAsyncIteration:
            return items, None
        except Exception as exc:
            return items, exc

    async def close(self) -> None:
        """Leave early."""
        await self._lane.leave(self._cursor)


class Awaited(AbstractAsyncContextManager[Any]):
    """A block whose context manager has to be awaited first, as LangGraph's has."""

    def __init__(self, manager: Coroutine[Any, Any, AbstractAsyncContextManager[Any]]) -> None:
        self._coro = manager
        self._manager: Any = None

    async def __aenter__(self) -> Any:
        self._manager = await self._coro
        return await self._manager.__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        suppressed: bool | None = await self._manager.__aexit__(exc_type, exc, traceback)
        return suppressed


@attrs.frozen
class Lab(Lane):
    """A library and a lane.

    Attributes:
        library: `"ours"` or `"theirs"`.
        lane: `"sync"`, or the event loop.
    """

    library: Literal["ours", "theirs"]
    lane: Literal["sync", "asyncio", "uvloop", "trio"]

    def __str__(self) -> str:
        return f"{self.library}-{self.lane}"

    @property
    def ours(self) -> bool:
        """Whether it is this package."""
        return self.library == "ours"

    @property
    def api(self) -> SimpleNamespace:
        """The library's names: `StreamChannel`, `StreamTransformer`, `StreamMux`, the built-in transformers, ..."""
        return OUR_API if self.ours else THEIR_API

    def run(self, test: Callable[..., Coroutine[Any, Any, None]], **fixtures: Any) -> None:
        """Run a test on the lab's lane."""
        if not self.is_async:
            drive(test(**fixtures))
            return

        async def bounded() -> None:
            await within_time(test(**fixtures))

        backend, options = BACKENDS[self.lane]
        anyio.run(bounded, backend=backend, backend_options=options)

    # --- readers ---

    def reader(self, iterable: Any) -> Reader:
        """Subscribe."""
        return Reader(iterable, self)

    async def items(self, iterable: Any) -> list[Any]:
        """Subscribe and read to the end."""
        return await self.reader(iterable).rest()

    async def outcome(self, iterable: Any) -> tuple[list[Any], Exception | None]:
        """Subscribe and read to the end, and the error that it came with."""
        return await self.reader(iterable).outcome()

    def tee(self, channel: Any, n: int, **options: Any) -> list[Reader]:
        """Subscribe `n` times."""
        return [self.reader(branch) for branch in super().tee(channel, n, **options)]

    def depth(self, channel: Any) -> int:
        """Items that the channel holds for its reader."""
        return channel.statistics().depth if self.ours else len(channel._items)  # noqa: SLF001 -- theirs has no figures

    # --- muxes ---

    def mux(self, transformers: Sequence[Any] | None = None, **options: Any) -> Any:
        """A mux by itself, on the lab's lane."""
        return self.api.StreamMux(transformers, is_async=self.is_async, **options)

    def log(self, mux: Any) -> Any:
        """The raw log of a mux."""
        return mux.events if self.ours else mux._events  # noqa: SLF001 -- theirs has no public name for it

    def channel(self, name: str | None = None, **options: Any) -> tuple[Any, Any]:
        """A mux, and a channel that one transformer has registered with it as `items`."""
        channel = self.api.StreamChannel(name, **options)
        return self.mux([self.holder(items=channel)]), channel

    def holder(self, **projection: Any) -> Any:
        """A transformer that only holds projections."""

        class Holder(self.api.StreamTransformer):  # type: ignore[name-defined,misc]
            def init(self) -> dict[str, Any]:
                return projection

            def process(self, event: Any) -> bool:
                return True

        return Holder()

    async def push(self, mux: Any, *events: Any) -> None:
        """Take events through a mux."""
        for event in events:
            if self.is_async:
                await mux.apush(event)
            else:
                mux.push(event)

    async def close(self, mux: Any) -> None:
        """End a mux well."""
        if self.is_async:
            await mux.aclose()
        else:
            mux.close()

    async def fail(self, mux: Any, error: BaseException) -> None:
        """End a mux with an error."""
        if self.is_async:
            await mux.afail(error)
        else:
            mux.fail(error)

    def make_child(self, mux: Any, scope: tuple[str, ...]) -> Any:
        """What a mux does to give a subgraph transformers of its own; neither library does it in public."""
        return mux._mux.make_child(scope) if self.ours else mux._make_child(scope)  # noqa: SLF001 -- as said

    # --- runs ---

    def open(
        self,
        graph: Script | Iterable[Mapping[str, Any]],
        *,
        transformers: Sequence[Any] = (),
        scope: tuple[str, ...] = (),
        **options: Any,
    ) -> Any:
        """A run of scripted parts with the built-in transformers and `transformers`.

        `options` (`buffer`, `prefetch`) concern this package only.
        """
        script = graph if isinstance(graph, Script) else Script(graph)
        if not self.ours:
            return self.block(self.bare_run(script, transformers=transformers, scope=scope))
        source = script.parts() if self.is_async else iter(script)
        return super().open(source, transformers=transformers, scope=scope, **options)

    def bare_run(self, script: Script, *, transformers: Sequence[Any] = (), scope: tuple[str, ...] = ()) -> Any:
        """Their run stream of scripted parts, outside of any block."""
        api = self.api
        builtins = [api.ValuesTransformer, api.MessagesTransformer, api.LifecycleTransformer, api.SubgraphTransformer]
        mux = self.mux(factories=[*builtins, *transformers], scope=scope)
        return api.AsyncGraphRunStream(script.parts(), mux) if self.is_async else api.GraphRunStream(iter(script), mux)

    def open_graph(self, graph: Any, given: Any = None, *, transformers: Sequence[Any] = (), **options: Any) -> Any:
        """A run of a compiled LangGraph graph."""
        if self.ours:
            return super().open(graph, given, transformers=transformers, **options)
        if self.is_async:
            return Awaited(graph.astream_events(given, version="v3", transformers=transformers, **options))
        return self.block(graph.stream_events(given, version="v3", transformers=transformers, **options))


async def within_time(test: Coroutine[Any, Any, None]) -> None:
    """Await a test for `PATIENCE` s.

    By a watchdog, not by a deadline: a run does not call a stall certain while the waiting task has a deadline.
    """
    failure: BaseException | None = None

    async def watch() -> None:
        await anyio.sleep(PATIENCE)
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(watch)
            try:
                await test
            except (Exception, pytest.fail.Exception) as exc:
                # Raised below, so that it leaves as itself.
                failure = exc
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if scope.cancelled_caught:
        raise TimeoutError(f"the test took longer than {PATIENCE} s")


ALL: Final = tuple(
    Lab(library, lane)  # type: ignore[arg-type]
    for library, lane in (
        ("ours", "sync"),
        ("ours", "asyncio"),
        ("ours", "uvloop"),
        ("ours", "trio"),
        ("theirs", "sync"),
        ("theirs", "asyncio"),
    )
)
OURS: Final = tuple(lab for lab in ALL if lab.ours)
THEIRS: Final = tuple(lab for lab in ALL if not lab.ours)
SYNC: Final = tuple(lab for lab in ALL if not lab.is_async)
ASYNC: Final = tuple(lab for lab in ALL if lab.is_async)
INTERLEAVING: Final = tuple(lab for lab in ALL if lab.ours or not lab.is_async)
"""Theirs interleaves on the sync lane only."""


def on(labs: Sequence[Lab]) -> pytest.MarkDecorator:
    """Run a test in these labs only."""
    return pytest.mark.parametrize("lab", labs, ids=str, indirect=True)


def theirs_since(version: str) -> pytest.MarkDecorator:
    """Run a test with theirs only if LangGraph is of this version or later; before, it does otherwise."""
    return pytest.mark.theirs_since(tuple(map(int, version.split("."))))


def event(method: str, data: Any, ns: tuple[str, ...] = (), **params: Any) -> dict[str, Any]:
    """An event, as a mux is given it."""
    return {
        "type": "event",
        "method": method,
        "params": {"namespace": list(ns), "timestamp": 0, "data": data, **params},
    }
