"""A run as a pure list model, and drivers that do to a real run, on each lane, what is done to the model."""

from __future__ import annotations

import math
import queue
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Final

import anyio
import anyio.from_thread
import attrs

from anyiostream import (
    BackpressureDeadlock,
    CustomTransformer,
    Promise,
    RunAborted,
    StreamChannel,
    StreamTransformer,
    UpdatesTransformer,
    parts,
)
from anyiostream.errors import AlreadySubscribed, PromiseUnresolved

from ..lanes import ASYNC_LANE, SYNC_LANE, Lane, drive
from ..waiting import PATIENCE

__all__ = ["NAMES", "AsyncDriver", "Failure", "Model", "Reader", "SyncDriver", "plain"]

NAMES: Final = ("values", "custom", "updates", "subgraphs", "lifecycle", "events")

END: Final = "end"
DEADLOCK: Final = "deadlock"
FAILED: Final = "failed"
ABORTED: Final = "aborted"
UNRESOLVED: Final = "unresolved"


class Failure(Exception):
    """What graphs fail with."""


# --- the model ---


@attrs.define(eq=False)
class Reader:
    """One cursor over a channel, or over several that are interleaved.

    Attributes:
        names: The channels.
        bound: Of each channel's buffer.
        items: What it has still to read, as (channel, item), with what waits for room.
        child: The subgraph whose snapshots it reads, if it is one of a handle.
        advanced: Whether it was ever advanced.
        over: Whether it was left, or has seen the end.
        together: Whether it is an interleaving.
    """

    names: tuple[str, ...]
    bound: int
    items: deque[tuple[str, Any]] = attrs.field(factory=deque)
    child: int | None = None
    advanced: bool = False
    over: bool = False
    together: bool = False

    @property
    def overfull(self) -> bool:
        """Whether something waits for room."""
        return any(count > self.bound for count in Counter(name for name, _ in self.items).values())


@attrs.define
class Model:
    """What a run has to do.

    Attributes:
        script: What the graph does: a kind for each part, `"child"` for a subgraph with one snapshot.
        fails: Whether it fails in the end.
        buffer: The bound of each channel.
        outcome: `None` while it runs; `"completed"`, `"failed"` or `"aborted"`.
        latest: The last state.
        seq: Events of the raw log so far.
        taken: Channels that have, or had, a reader.
        readers: Those that have been subscribed.
        closed_children: Subgraphs that have ended.
        first_custom: What the promise is resolved with.
    """

    script: Sequence[str]
    fails: bool
    buffer: int
    outcome: str | None = None
    latest: Any = None
    seq: int = 0
    taken: set[str] = attrs.field(factory=set)
    readers: list[Reader] = attrs.field(factory=list)
    children: dict[int, Reader | None] = attrs.field(factory=dict)
    closed_children: set[int] = attrs.field(factory=set)
    kept: dict[int, list[Any]] = attrs.field(factory=dict)
    first_custom: int | None = None
    _todo: deque[tuple[str, int]] | None = None

    @property
    def todo(self) -> deque[tuple[str, int]]:
        """The parts to come, as (kind, number)."""
        if self._todo is None:
            self._todo = deque()
            for number, kind in enumerate(self.script):
                kinds = ("task", "open", "inner", "close") if kind == "child" else (kind,)
                self._todo.extend((each, number) for each in kinds)
        return self._todo

    # --- what the application does ---

    def subscribe(self, names: tuple[str, ...], bound: int, count: int = 1, *, together: bool = False) -> list[Reader]:
        """Cursors over channels of the run."""
        made = [Reader(names, bound, together=together) for _ in range(count)]
        self.taken.update(names)
        self.readers += made
        return made

    def subscribe_child(self, child: int) -> Reader:
        """A cursor over the snapshots of a subgraph whose handle has been read."""
        reader = Reader(("values",), self.buffer, child=child)
        reader.items.extend(("values", item) for item in self.kept.pop(child, ()))
        self.children[child] = reader
        self.readers.append(reader)
        return reader

    def advance(self, reader: Reader) -> Any:
        """The reader's next item, or how it ends."""
        if not reader.items and not reader.over and not self.demand(lambda: bool(reader.items) or self.ended(reader)):
            reader.advanced = True
            return DEADLOCK
        reader.advanced = True
        if reader.items:
            name, item = reader.items.popleft()
            return (name, item) if reader.together else item
        over = reader.over
        self.leave(reader)
        if not over and self.outcome == "failed" and reader.child not in self.closed_children:
            return FAILED
        return END

    def leave(self, reader: Reader) -> None:
        """The reader leaves."""
        if reader.together and not reader.over:
            self.taken.difference_update(reader.names)
        reader.over = True
        reader.items.clear()

    def output(self) -> Any:
        """The run's output, or why there is none."""
        if not self.demand(lambda: self.outcome is not None):
            return DEADLOCK
        return (self.latest if self.outcome == "completed" else self.outcome,)

    def promise(self) -> Any:
        """The promise's value, or why there is none."""
        if not self.demand(lambda: self.first_custom is not None or self.outcome is not None):
            return DEADLOCK
        if self.first_custom is not None:
            return (self.first_custom,)
        return (UNRESOLVED if self.outcome == "completed" else self.outcome,)

    def abort(self) -> None:
        """Abort it."""
        if self.outcome is None:
            self.outcome = ABORTED
            for _ in self.children.keys() - self.closed_children:
                self._give("lifecycle", ABORTED)
                self._log("lifecycle", ABORTED)

    # --- what the run does ---

    def ended(self, reader: Reader) -> bool:
        """Whether nothing more comes for it."""
        return self.outcome is not None or reader.child in self.closed_children

    def demand(self, ready: Callable[[], bool]) -> bool:
        """Go on until `ready`; false where a reader is in the way."""
        while not ready():
            if any(reader.overfull for reader in self.readers):
                return False
            if not self.todo:
                self.outcome = FAILED if self.fails else "completed"
                return True
            self._dispatch(*self.todo.popleft())
        return True

    def stuck(self) -> bool:
        """Whether only readers that were never advanced are in the way, so that a run waits for them."""
        full = [reader for reader in self.readers if reader.overfull]
        return bool(full) and not any(reader.advanced for reader in full)

    def _dispatch(self, kind: str, number: int) -> None:
        if kind == "open":
            self.children[number] = None
            if self._watched("subgraphs"):
                self.kept[number] = []
            self._give("subgraphs", number)
            self._give("lifecycle", "started")
            self._log("lifecycle", "started")
        elif kind == "inner":
            reader = self.children[number]
            if reader is not None:
                if not reader.over:
                    reader.items.append(("values", number))
            elif number in self.kept:
                self.kept[number].append(number)
            self._log("values", number)
        elif kind == "close":
            self.closed_children.add(number)
            self._give("lifecycle", "completed")
            self._log("lifecycle", "completed")
        elif kind != "task":
            if kind == "values":
                self.latest = number
            elif kind == "custom" and self.first_custom is None:
                self.first_custom = number
            self._give(kind, number)
            self._log(kind, number)

    def _log(self, method: str, data: Any) -> None:
        self.seq += 1
        self._give("events", (self.seq, method, data))

    def _give(self, name: str, item: Any) -> None:
        for reader in self.readers:
            if reader.child is None and name in reader.names and not reader.over:
                reader.items.append((name, item))

    def _watched(self, name: str) -> bool:
        return any(reader.child is None and name in reader.names and not reader.over for reader in self.readers)


# --- the real thing ---


class FirstCustom(StreamTransformer):
    """Promises the first custom item."""

    methods = ("custom",)
    own_scope = True

    def init(self) -> dict[str, Any]:
        self.first: Promise[Any] = Promise()
        return {"first": self.first}

    def process(self, event: Any) -> bool:
        self.first.resolve(event["params"]["data"])
        return True


class Echo(StreamTransformer):
    """Schedules work for each custom item, which pushes it to a channel of its own."""

    requires_async = True
    methods = ("custom",)
    own_scope = True

    def init(self) -> dict[str, Any]:
        self.echo: StreamChannel[Any] = StreamChannel(maxlen=math.inf)
        return {"echo": self.echo}

    def process(self, event: Any) -> bool:
        self.schedule(self._push(event["params"]["data"]), on_error="raise")
        return True

    async def _push(self, item: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.echo.push(item)


def script_parts(script: Sequence[str]) -> Iterator[Any]:
    """The parts of a script."""
    for number, kind in enumerate(script):
        if kind == "child":
            inner = (f"child:{number}",)
            yield parts.task_start(str(number), "child")
            yield parts.task_start("inner", "inner", ns=inner)
            yield parts.values(number, ns=inner)
            yield parts.task_result(str(number), "child")
        else:
            yield getattr(parts, kind)(number)


def plain(name: str, item: Any) -> Any:
    """An item in the form of the model's."""
    if name == "subgraphs":
        return int(item.path[0].partition(":")[2])
    if name == "lifecycle":
        return item["event"]
    if name == "events":
        data = item["params"]["data"]
        return item["seq"], item["method"], data["event"] if item["method"] == "lifecycle" else data
    return item


def graph_of(kind: str, model: Model) -> Any:
    """A graph that does what the model's script says."""

    def generator(given: Any) -> Iterator[Any]:
        yield from script_parts(model.script)
        if model.fails:
            raise Failure

    async def async_generator(given: Any) -> Any:
        for number, part in enumerate(script_parts(model.script)):
            if number % 3 == 2:
                await anyio.lowlevel.checkpoint()
            yield part
        if model.fails:
            raise Failure

    async def function(given: Any, writer: Any) -> None:
        for part in script_parts(model.script):
            await writer.part(part)
        if model.fails:
            raise Failure

    return {"generator": generator, "async generator": async_generator, "function": function}[kind]


TRANSFORMERS: Final = (CustomTransformer, UpdatesTransformer, FirstCustom)

ENDS: Final = (
    (BackpressureDeadlock, DEADLOCK),
    (PromiseUnresolved, UNRESOLVED),
    (RunAborted, ABORTED),
    (Failure, FAILED),
    (StopIteration, END),
    (StopAsyncIteration, END),
    (AlreadySubscribed, "taken"),
)


def told(exc: BaseException) -> str:
    """What an exception means, in the model's words."""
    for kind, word in ENDS:
        if isinstance(exc, kind):
            return word
    raise exc


class Driver:
    """Does to a run what is done to the model. Subclasses name the lane, and let one task take all steps."""

    lane: Lane

    def __init__(self) -> None:
        self._opened: Any = None
        self.run: Any = None

    def perform(self, step: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Take a step; its value, or its exception raised."""
        raise NotImplementedError

    def do(self, step: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Take a step; its value, or what its exception means."""
        try:
            return self.perform(step, *args)
        except Exception as exc:
            return told(exc)

    def close(self) -> None:
        """End the task that takes the steps."""

    async def open(self, model: Model, graph: str, **options: Any) -> None:
        """Enter the run's block."""
        options = {"transformers": TRANSFORMERS, "buffer": model.buffer, **options}
        self._opened = self.lane.open(graph_of(graph, model), **options)
        self.run = await self._opened.__aenter__()

    async def leave_block(self) -> None:
        """Leave it."""
        await self._opened.__aexit__(None, None, None)

    async def cursor(self, channel: Any) -> Any:
        """Subscribe."""
        return self.lane.cursor(channel)

    async def tee(self, channel: Any, count: int, maxlen: int) -> Any:
        """Subscribe several times."""
        return self.lane.tee(channel, count, maxlen=maxlen)

    async def next(self, cursor: Any) -> Any:
        """The next item."""
        return await self.lane.next(cursor)

    async def leave(self, cursor: Any) -> None:
        """Leave."""
        await self.lane.leave(cursor)

    async def output(self) -> Any:
        """The output."""
        return await self.lane.output(self.run)

    async def promise(self) -> Any:
        """The promise's value."""
        return await self.lane.settle(self.run.extensions["first"])

    async def abort(self) -> None:
        """Abort."""
        await self.lane.abort(self.run)


class SyncDriver(Driver):
    """On the sync lane, without an event loop."""

    lane = SYNC_LANE

    def perform(self, step: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Take a step."""
        return drive(step(*args))


class AsyncDriver(Driver):
    """On the async lane, in a task of a loop in another thread."""

    lane = ASYNC_LANE

    def __init__(self, portal: anyio.from_thread.BlockingPortal) -> None:
        super().__init__()
        self._portal = portal
        self._results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._echo: Any = None
        self._wanted, steps = anyio.create_memory_object_stream[Any](1)
        self._application = portal.start_task_soon(self._main, steps)

    async def _main(self, steps: Any) -> None:
        async with steps:
            async for step, args in steps:
                try:
                    result = await step(*args), None
                except Exception as exc:
                    result = None, exc
                self._results.put(result)

    def perform(self, step: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Let the application's task take a step."""
        self._portal.call(self._wanted.send, (step, args))
        value, error = self._results.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """End the application's task."""
        self._portal.call(self._wanted.aclose)
        self._application.result(PATIENCE)

    async def open(self, model: Model, graph: str, **options: Any) -> None:
        """Enter the run's block, and subscribe to what scheduled work pushes."""
        await super().open(model, graph, transformers=(*TRANSFORMERS, Echo), **options)
        self._echo = aiter(self.run.extensions["echo"])

    async def echoes(self) -> tuple[list[Any], bool]:
        """What scheduled work has pushed, once the run has ended; and whether the error came after it."""
        items = []
        try:
            async for item in self._echo:
                items.append(item)
        except Failure:
            return items, True
        return items, False
