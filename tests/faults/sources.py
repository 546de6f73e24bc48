"""The kinds of graphs, each giving the same script, watched for who advances and who closes them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any, Final, TypedDict

import anyio

from anyiostream import GraphWriter, open_run, parts

from .agents import AGENTS, INSTALLED, open_agent
from .scripts import TREES, Branch, Say, flatten
from .world import World

__all__ = ["ASYNC_SOURCES", "SYNC_SOURCES", "Feed", "open_source"]


def current_task() -> object:
    """The task that runs, on either loop."""
    return anyio.get_current_task().id


class Feed:
    """Gives the parts of the script, or does what the fault says in place of the `k`-th.

    Attributes:
        produced: Parts given.
        opened: How often the source began.
        closed: How often it was closed.
        ended: Whether it came to its own end.
        working: The models and tools of an agent that are at work.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.produced = 0
        self.opened = 0
        self.closed = 0
        self.ended = False
        self.working: list[str] = []
        self._advancing = False
        self._task: object = None

    def open(self) -> None:
        """The source begins."""
        self.opened += 1

    def close(self) -> None:
        """Its clean-up runs."""
        self.closed += 1
        self.world.note("closed")
        if self.closed > 1:
            self.world.violated("I4", "the source was closed twice")

    @contextlib.contextmanager
    def advancing(self, *, one_task: bool) -> Iterator[None]:
        """The source is at work."""
        if self._advancing:
            self.world.violated("I4", "two advance the source at a time")
        if self.closed:
            self.world.violated("I4", "the source is advanced after it was closed")
        if one_task:
            task = current_task()
            if self._task not in {None, task}:
                self.world.violated("I4", "the source is advanced by another task")
            self._task = task
        self._advancing = True
        try:
            yield
        finally:
            self._advancing = False

    @contextlib.contextmanager
    def at_work(self, what: str) -> Iterator[None]:
        """A model or a tool of an agent is at work."""
        self.working.append(what)
        try:
            yield
        finally:
            self.working.remove(what)
            self.fail_closing()

    @property
    def is_due(self) -> bool:
        """Whether the fault strikes in place of the next part."""
        return self.produced + 1 == self.world.k

    def fault(self, *, is_due: bool | None = None) -> None:
        """What the fault does in place of the next part, as far as that needs no event loop."""
        world, fault = self.world, self.world.fault
        if not (self.is_due if is_due is None else is_due):
            return
        if fault.raises is not None and world.raised_at is None:
            world.raised_at = self.produced
            if not fault.hook:
                world.land()
            error = fault.raises("injected")
            world.injected.append(error)
            raise error

    async def wait(self, n: int) -> None:
        """What the graph does before part `n`: nothing, or wait; or what the fault says."""
        await self._wait(n, is_due=self.is_due)
        self.fault()

    async def step(self) -> None:
        """The same in an agent, whose tools are at work side by side: each step is the next part of one of them."""
        is_due = self.is_due
        self.produced += 1
        await self._wait(self.produced, is_due=is_due)
        self.fault(is_due=is_due)

    async def _wait(self, n: int, *, is_due: bool) -> None:
        world, fault = self.world, self.world.fault
        if is_due:
            if fault.source == "hangs":
                world.land()
                await anyio.sleep_forever()
            elif fault.source.startswith("ignores cancellation"):
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    world.land()
                    with anyio.CancelScope(shield=True):
                        await anyio.sleep(3 if fault.source == "ignores cancellation" else 12)
                    raise
            elif fault.aborts in {"pull", "inside"}:
                world.land()
                if fault.aborts == "inside":
                    await world.run.abort()
                else:
                    world.alarm.set()
                    await anyio.sleep(0.01)
            elif fault.around == "nested run" and world.options.target % 2:
                world.land()
                async with open_run([parts.values(100)]) as nested:
                    if await nested.output() != 100:
                        world.violated("I9", "a nested run has another output")
        if n % 3 == 1 or world.options.sleeps:
            await world.pause()

    def extra(self, n: int) -> Iterator[Any]:
        """The malformed part, if it is its turn."""
        world = self.world
        if world.fault.part is not None and n + 1 == world.k and world.inserted is None:
            world.inserted = world.fault.part()
            world.land()
            yield world.inserted

    async def closing(self) -> None:
        """The source's clean-up, where it may wait."""
        world = self.world
        self.close()
        if world.fault.aborts == "close":
            world.land()
            world.alarm.set()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
        self.fail_closing()

    def fail_closing(self) -> None:
        """Raise, if the fault says so."""
        world = self.world
        if world.fault.source == "raises in closing":
            raise world.error()
        if world.fault.source == "raises in closing when left" and world.cancelled:
            raise world.error()


# --- sources of the script, part by part ---


def generator(feed: Feed, script: list[Any]) -> Any:
    """An async generator function."""

    async def graph(_: Any) -> AsyncIterator[Any]:
        feed.open()
        try:
            for n, part in enumerate(script):
                for extra in feed.extra(n):
                    yield extra
                with feed.advancing(one_task=True):
                    await feed.wait(n)
                feed.produced += 1
                yield part
            with feed.advancing(one_task=True):
                await feed.wait(len(script))
            feed.ended = True
        finally:
            await feed.closing()

    return graph


class Iterating:
    """An async iterator that is no generator."""

    def __init__(self, feed: Feed, script: list[Any]) -> None:
        self.feed = feed
        self.script = iter(enumerate(script))
        self.count = len(script)
        self.pending: list[Any] = []

    def __aiter__(self) -> Iterating:
        self.feed.open()
        return self

    async def __anext__(self) -> Any:
        feed = self.feed
        with feed.advancing(one_task=True):
            if feed.produced < self.count:
                extra = list(feed.extra(feed.produced))
                if extra:
                    return extra[0]
            await feed.wait(feed.produced)
            try:
                _, part = next(self.script)
            except StopIteration:
                feed.ended = True
                raise StopAsyncIteration from None
            feed.produced += 1
            return part

    async def aclose(self) -> None:
        await self.feed.closing()


def iterator(feed: Feed, script: list[Any]) -> Any:
    """An async iterator that is no generator."""
    return Iterating(feed, script)


def iterable(feed: Feed, script: list[Any]) -> Any:
    """A generator function, pulled by whoever reads."""

    def graph(_: Any) -> Iterator[Any]:
        feed.open()
        try:
            for n, part in enumerate(script):
                yield from feed.extra(n)
                with feed.advancing(one_task=False):
                    feed.fault()
                feed.produced += 1
                yield part
            with feed.advancing(one_task=False):
                feed.fault()
            feed.ended = True
        finally:
            feed.close()
            feed.fail_closing()

    return graph


def function(feed: Feed, script: list[Any]) -> Any:
    """An async function that writes the parts as they are."""

    async def graph(_: Any, writer: GraphWriter) -> None:
        feed.open()
        try:
            for n, part in enumerate(script):
                for extra in feed.extra(n):
                    await writer.part(extra)
                with feed.advancing(one_task=True):
                    await feed.wait(n)
                feed.produced += 1
                await writer.part(part)
            with feed.advancing(one_task=True):
                await feed.wait(len(script))
            feed.ended = True
        finally:
            await feed.closing()

    return graph


# --- sources that make the parts themselves ---


def writer_graph(feed: Feed, steps: Any) -> Any:
    """An async function that runs its subgraphs as blocks of its writer."""

    async def say(writer: GraphWriter, steps: Any) -> None:
        for step in steps:
            with feed.advancing(one_task=True):
                await feed.wait(feed.produced)
            if isinstance(step, Branch):
                async with writer.subgraph(step.name) as inner:
                    await say(inner, step.steps)
            else:
                feed.produced += 1
                await getattr(writer, step.kind)(step.data)

    async def graph(_: Any, writer: GraphWriter) -> None:
        feed.open()
        try:
            await say(writer, steps)
            with feed.advancing(one_task=True):
                await feed.wait(feed.produced)
            feed.ended = True
        finally:
            await feed.closing()

    return graph


class State(TypedDict, total=False):
    """The state of the LangGraph graphs."""

    n: int


@cache
def langgraph_graph(tree: str, *, is_async: bool) -> Any:
    """A compiled graph whose nodes say what the script says. Its feed is in the configuration of each run."""
    from langgraph.config import get_config, get_stream_writer
    from langgraph.graph import END, START, StateGraph

    def feed_of() -> Feed:
        return get_config()["configurable"]["feed"]

    def saying(step: Say) -> tuple[Callable[..., Any], Callable[..., Any]]:
        def say(feed: Feed) -> dict[str, Any]:
            feed.produced += 1
            if step.kind == "custom":
                get_stream_writer()(step.data)
                return {}
            return dict(step.data)

        async def node(_: State) -> dict[str, Any]:
            feed = feed_of()
            with feed.advancing(one_task=False):
                await feed.wait(feed.produced)
            return say(feed)

        def plain_node(_: State) -> dict[str, Any]:
            feed = feed_of()
            feed.fault()
            return say(feed)

        return node, plain_node

    def build(steps: Any) -> Any:
        graph = StateGraph(State)
        before = START
        for number, step in enumerate(steps):
            if isinstance(step, Branch):
                name = step.name
                graph.add_node(name, build(step.steps))
            else:
                name = f"node{number}"
                graph.add_node(name, saying(step)[0 if is_async else 1])
            graph.add_edge(before, name)
            before = name
        graph.add_edge(before, END)
        return graph.compile()

    return build(TREES[tree])


SCRIPTED_KINDS: Final[dict[str, Callable[[Feed, list[Any]], Any]]] = {
    "generator": generator,
    "iterator": iterator,
    "iterable": iterable,
    "function": function,
}

ASYNC_SOURCES: Final = (*SCRIPTED_KINDS, "writer", "langgraph", *INSTALLED)
SYNC_SOURCES: Final = ("iterable", "function", "writer", "langgraph")


def open_source(world: World) -> tuple[Any, dict[str, Any]]:
    """The graph of a scenario, and what `open_run` is called with for it."""
    feed = world.feed = Feed(world)
    kind, tree = world.scenario.source, world.scenario.tree
    if kind == "langgraph":
        graph = langgraph_graph(tree, is_async=world.scenario.loop != "sync")
        return graph, {"input": {"n": 0}, "config": {"configurable": {"feed": feed}}}
    if kind in AGENTS:
        return open_agent(feed, kind, tree), {"input": "Hi"}
    if kind == "writer":
        return writer_graph(feed, TREES[tree]), {}
    return SCRIPTED_KINDS[kind](feed, list(flatten(TREES[tree]))), {}
