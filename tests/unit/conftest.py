"""Stand-ins for what the core asks of a lane, driven by hand: no event loop runs in these tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextvars import Context, copy_context
from typing import Any

import anyio
import pytest

from anyiostream.channels.buffer import Buffer
from anyiostream.channels.latch import Awaited, Latch
from anyiostream.channels.producer import Producer, current_producer
from anyiostream.outcome import Outcome


class Cancelled(BaseException):
    """What a cancelled coroutine gets here."""


class Suspension:
    """What a coroutine suspends with while it waits for a target."""

    def __init__(self, target: Any = None) -> None:
        self.target = target

    def __await__(self) -> Generator[Suspension, None, None]:
        yield self


class Reader:
    """A reader that is parked: counts how often it is woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class Home:
    """A run, as buffers see it."""

    def __init__(self) -> None:
        self.application_producer = Producer("the application", self)

    def deliver(self, outcome: Outcome) -> BaseException:
        return outcome.fresh()


class Task:
    """A task that runs when the test says so."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> None:
        self.name = name
        self.finished = Latch(name)
        self.cancelled = False
        self._started = False
        self._coro = run()
        self._context = context

    def cancel(self) -> None:
        self.cancelled = True

    def step(self) -> None:
        """Run it up to where it suspends next, throwing its cancellation in if there is one, but not at its start."""
        try:
            if not self._started or not self.cancelled:
                self._started = True
                self._context.run(self._coro.send, None)
            if self.cancelled:
                self._context.run(self._coro.throw, Cancelled())
        except (StopIteration, Cancelled):
            self.finished.open()

    def close(self) -> None:
        self._coro.close()


class Cursor:
    """Takes what a buffer holds; the end, or an empty buffer, ends the iteration."""

    def __init__(self, buffer: Buffer[Any], released: Callable[[Buffer[Any]], None]) -> None:
        self.buffer = buffer
        self._released = released

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Any:
        if self.buffer.depth:
            return self.buffer.take()
        raise StopIteration

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> Any:
        raise AssertionError("these tests take items without waiting")

    def leave(self) -> None:
        self._released(self.buffer)


class Port(Home):
    """A run, as its mux, channels and promises see it."""

    def __init__(self, *, is_async: bool = False, maxlen: float = 64) -> None:
        super().__init__()
        self.is_async = is_async
        self.maxlen = maxlen
        self.closed: BaseException | None = None
        self.interjected: BaseException | None = None
        self.tasks: list[Task] = []
        self.driven: list[Awaited] = []
        self.handles: list[Any] = []
        self.stall_checks = 0
        self.held: list[Any] = []
        self.on_drive: Callable[[], object] = lambda: None
        self.producer = Producer("an event", self, bounded=False)
        self.context = copy_context()
        self.context.run(current_producer.set, self.producer)
        self.stamps = 0

    def stamp(self) -> int:
        self.stamps += 1
        return self.stamps

    @property
    def task_port(self) -> Port | None:
        return self if self.is_async else None

    def admit(self, what: str) -> None:
        if self.closed is not None:
            raise self.closed

    def cursor(self, buffer: Buffer[Any], released: Callable[[Buffer[Any]], None]) -> Cursor:
        return Cursor(buffer, released)

    async def send(self, channel: Any, item: Any) -> None:
        raise AssertionError("sending waits, and is tested on event loops")

    def drive(self, target: Awaited) -> None:
        self.driven.append(target)
        self.on_drive()

    async def until(self, target: Awaited) -> None:
        while not target.ready:
            await Suspension(target)

    wait = until

    async def with_grace(self, what: str, awaitable: Awaitable[object]) -> None:
        await awaitable

    def spawn(self, run: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> Task:
        task = Task(run, name, context)
        self.tasks.append(task)
        return task

    def make_handle(self, mux: Any, subgraph: Any) -> Any:
        handle = HandleStub(mux, subgraph)
        self.handles.append(handle)
        return handle

    def hold(self, channel: Any) -> None:
        self.held.append(channel)

    def is_cancellation(self, error: BaseException) -> bool:
        return isinstance(error, Cancelled)

    def check_stall(self) -> None:
        self.stall_checks += 1

    def interject(self, error: BaseException) -> None:
        self.interjected = error


class HandleStub:
    """A subgraph's handle: notes how it was concluded, and ends its mux as real ones do."""

    def __init__(self, mux: Any, subgraph: Any) -> None:
        self.mux = mux
        self.subgraph = subgraph
        self.outcome: Outcome | None = None

    async def conclude(self, outcome: Outcome, *, by_result: bool = False) -> None:
        self.outcome = outcome
        await self.mux.end(outcome)


class Drive:
    """Advances a coroutine by hand."""

    def __init__(self, coro: Coroutine[Any, Any, Any]) -> None:
        self._coro = coro
        self.done = False
        self.result: Any = None
        self.step()

    def step(self) -> Drive:
        """Run it up to where it suspends next, or to its end."""
        try:
            self._coro.send(None)
        except StopIteration as stop:
            self.done = True
            self.result = stop.value
        return self

    def cancel(self) -> None:
        """Throw a cancellation in where it is suspended."""
        with pytest.raises(Cancelled):
            self._coro.throw(Cancelled())
        self.done = True


@pytest.fixture
def closed_streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the memory streams of buffers that a test leaves behind; cursors do that elsewhere."""
    create = anyio.create_memory_object_stream
    made = []

    def recording(*args: Any) -> Any:
        streams = create[Any](*args)
        made.extend(streams)
        return streams

    class Creator:
        def __class_getitem__(cls, _: object) -> Callable[..., Any]:
            return recording

    monkeypatch.setattr(anyio, "create_memory_object_stream", Creator)
    yield
    for stream in made:
        stream.close()


@pytest.fixture
def home(closed_streams: None) -> Home:
    """A run, as buffers see it."""
    return Home()


@pytest.fixture
def make_port(closed_streams: None) -> type[Port]:
    """Makes a run as its mux, channels and promises see it."""
    return Port


@pytest.fixture
def make_reader() -> type[Reader]:
    """Makes a parked reader that counts how often it is woken."""
    return Reader


@pytest.fixture
def drive() -> type[Drive]:
    """Runs a coroutine up to its first suspension, and on with `.step()`."""
    return Drive


@pytest.fixture
def suspension() -> type[Suspension]:
    """Something to await that suspends once."""
    return Suspension


@pytest.fixture
def cancelled() -> type[Cancelled]:
    """The cancellation exception of the stand-ins."""
    return Cancelled
