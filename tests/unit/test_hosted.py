"""A graph in a task: it produces once, ends once, and what it raises reaches the right place. Driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from contextvars import Context
from typing import Any

import pytest

from anyiostream import parts
from anyiostream.channels.latch import Latch
from anyiostream.errors import SourceStopped
from anyiostream.source import END, NOTHING
from anyiostream.sources.functions import FunctionRoutine
from anyiostream.sources.gate import Gate
from anyiostream.sources.hosted import Execution, HostedSource
from anyiostream.sources.iterables import IteratorRoutine

from .conftest import Cancelled

TOKEN = parts.custom("token")


class Task:
    """A task that the test takes forward."""

    def __init__(self, run: Callable[[], Any], name: str) -> None:
        self.name = name
        self.finished = Latch(name)
        self.cancelled = 0
        self._coro = run()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return not self.finished.ready

    def cancel(self) -> None:
        """Count it."""
        self.cancelled += 1

    def step(self, error: BaseException | None = None) -> None:
        """Go on, with `error` raised inside."""
        try:
            self._coro.throw(error) if error is not None else self._coro.send(None)
        except StopIteration:
            self.finished.open()


class Waiter:
    """A wait that ends whenever the test goes on."""

    def __init__(self, suspension: Any) -> None:
        self.wait = suspension

    def wake(self) -> None:
        """The test goes on by itself."""


class Host:
    """A run, as sources see it; its loop too."""

    steps_anywhere = True

    def __init__(self, suspension: Any) -> None:
        self._suspension = suspension
        self.source_context = Context()
        self.loop: Any = self
        self.tasks: list[Task] = []
        self.told: list[str] = []

    def waiter(self, task: object = None) -> Waiter:
        """A wait of the current task."""
        return Waiter(self._suspension)

    def is_cancellation(self, error: BaseException) -> bool:
        """The tests' own, and asyncio's."""
        return isinstance(error, (Cancelled, asyncio.CancelledError))

    def scope(self) -> Any:
        """No scope is cancelled here."""
        return nullcontext()

    def host(self, run: Callable[[], Any], name: str, on: Any = None) -> Task:
        """A task that the test takes forward."""
        self.tasks.append(Task(run, name))
        return self.tasks[-1]

    async def wait(self, target: Any) -> None:
        """The test sees to it that it is ready."""
        assert target.ready

    def part_arrived(self) -> None:
        """Note it."""
        self.told.append("part")

    def graph_stops(self) -> None:
        """Note it."""
        self.told.append("stop")


class Hosted:
    """A source in a run: `send` takes its task forward."""

    def __init__(self, host: Host, routine: Any) -> None:
        self.gate = Gate(1, root_depth=0, barriers_below=False)
        self.source = HostedSource(Execution(routine, "the graph", self.gate))
        self.source.start(host)
        (self.task,) = host.tasks
        self.send = self.task.step


@pytest.fixture
def host(suspension: Any) -> Host:
    """A run."""
    return Host(suspension)


class Agen:
    """An async iterator that notes how it is closed, and raises what it is told to."""

    def __init__(self, *items: Any, closing: BaseException | None = None) -> None:
        self._items = iter(items)
        self._closing = closing
        self.closed = 0

    def __aiter__(self) -> Agen:
        return self

    async def __anext__(self) -> Any:
        item = next(self._items, None)
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, BaseException):
            raise item
        return item

    async def aclose(self) -> None:
        """Note it."""
        self.closed += 1
        if self._closing is not None:
            raise self._closing


async def finish(source: HostedSource) -> None:
    """Close it."""
    await source.close()


# --- producing ---


def test_nothing_is_opened_before_somebody_wants_something(host: Host) -> None:
    """The task waits at the gate."""
    opened: list[int] = []

    def open_iterable() -> AsyncIterator[Any]:
        opened.append(1)
        return Agen()

    hosted = Hosted(host, IteratorRoutine(open_iterable))
    hosted.send()
    assert opened == []
    hosted.source.demand()
    hosted.send()
    assert opened == [1]


def test_parts_come_and_then_the_end(host: Host) -> None:
    """The run is told of each in the graph's task where the graph stops, else by `part_arrived`."""
    iterator = Agen(TOKEN, TOKEN)
    hosted = Hosted(host, IteratorRoutine(lambda: iterator))
    hosted.source.demand()
    hosted.send()
    assert hosted.source.read_ahead == 1
    assert host.told == ["stop"]
    assert hosted.source.pull() == TOKEN
    assert hosted.source.pull() is NOTHING
    hosted.source.demand()
    hosted.send()
    assert hosted.source.pull() == TOKEN
    hosted.source.demand()
    hosted.send()
    assert hosted.source.pull() is END
    assert iterator.closed == 1
    assert not hosted.task.alive


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ValueError("broken"), ValueError),
        (StopAsyncIteration(), type(None)),
        (asyncio.CancelledError(), SourceStopped),
        (BaseExceptionGroup("", [asyncio.CancelledError()]), SourceStopped),
        (BaseExceptionGroup("", [Cancelled(), ValueError()]), BaseExceptionGroup),
    ],
)
def test_what_the_graph_raises_ends_the_run(host: Host, given: BaseException, expected: type) -> None:
    """A cancellation that nobody asked for is shown as something that readers cannot take for their own."""
    hosted = Hosted(host, IteratorRoutine(lambda: Agen(given)))
    hosted.source.demand()
    hosted.send()
    if expected is type(None):
        assert hosted.source.pull() is END
    else:
        with pytest.raises(expected):
            hosted.source.pull()


def test_what_the_outcome_says_ends_a_graph_that_has_come_to_its_end(host: Host) -> None:
    """It is asked once."""
    hosted = Hosted(host, IteratorRoutine(Agen, lambda: ValueError("but")))
    hosted.source.demand()
    hosted.send()
    with pytest.raises(ValueError, match="but"):
        hosted.source.pull()


@pytest.mark.parametrize(("items", "match"), [((), "closing"), ((ValueError("broken"),), "broken")])
def test_an_error_of_closing_ends_a_graph_that_ended_well(host: Host, items: Any, match: str) -> None:
    """An error of the graph itself comes before it."""
    iterator = Agen(*items, closing=ValueError("closing"))
    hosted = Hosted(host, IteratorRoutine(lambda: iterator))
    hosted.source.demand()
    hosted.send()
    with pytest.raises(ValueError, match=match):
        hosted.source.pull()


# --- stopping ---


def test_a_graph_that_waits_is_not_cancelled(host: Host, drive: Any) -> None:
    """It leaves the gate, and is closed."""
    iterator = Agen(TOKEN, TOKEN)
    hosted = Hosted(host, IteratorRoutine(lambda: iterator))
    hosted.source.demand()
    hosted.send()
    hosted.source.stop()
    hosted.source.stop()
    assert hosted.task.cancelled == 0
    hosted.send()
    assert iterator.closed == 1
    drive(finish(hosted.source))


def test_a_graph_at_work_is_cancelled_once(host: Host, suspension: Any, drive: Any) -> None:
    """And once more for each `stop_again`. Its cancellation is no error."""

    async def works() -> AsyncIterator[Any]:
        await suspension()
        yield TOKEN

    hosted = Hosted(host, IteratorRoutine(works))
    hosted.source.demand()
    hosted.send()
    hosted.source.stop()
    hosted.source.stop()
    assert hosted.task.cancelled == 1
    hosted.source.stop_again()
    assert hosted.task.cancelled == 2
    hosted.send(Cancelled())
    drive(finish(hosted.source))


def test_what_a_stopped_graph_raises_is_raised_where_it_is_closed(host: Host, suspension: Any, drive: Any) -> None:
    """Once; the run has ended otherwise by then."""

    async def works() -> AsyncIterator[Any]:
        try:
            await suspension()
        finally:
            raise ValueError("clean-up")
        yield TOKEN

    hosted = Hosted(host, IteratorRoutine(works))
    hosted.source.demand()
    hosted.send()
    hosted.source.stop()
    hosted.send(Cancelled())
    with pytest.raises(ValueError, match="clean-up"):
        drive(finish(hosted.source))
    drive(finish(hosted.source))


# --- functions ---


def test_what_a_function_returns_is_its_last_part(host: Host) -> None:
    """`None` is none."""

    async def graph(given: Any, writer: Any) -> Any:
        await writer.custom(given)
        return "done"

    hosted = Hosted(host, FunctionRoutine(graph, 7, "the graph"))
    hosted.source.demand()
    hosted.send()
    assert hosted.source.pull() == parts.custom(7)
    hosted.source.demand()
    hosted.send()
    hosted.source.demand()
    assert hosted.source.pull() == parts.values("done")
    assert hosted.source.pull() is END


def test_a_function_that_waits_for_room_is_cancelled(host: Host) -> None:
    """It is inside itself, wherever it waits."""

    async def graph(given: Any, writer: Any) -> None:
        while True:
            await writer.custom(given)

    hosted = Hosted(host, FunctionRoutine(graph, 7, "the graph"))
    hosted.source.demand()
    hosted.send()
    hosted.source.stop()
    assert hosted.task.cancelled == 1


def test_a_function_that_was_never_called_is_not_cancelled(host: Host, drive: Any) -> None:
    """Its task ends by itself."""

    async def graph(given: Any, writer: Any) -> None:
        raise AssertionError("nobody wanted anything")

    hosted = Hosted(host, FunctionRoutine(graph, 7, "the graph"))
    hosted.send()
    hosted.source.stop()
    assert hosted.task.cancelled == 0
    hosted.send()
    drive(finish(hosted.source))
