"""Threads that share a run of the sync lane: they may take turns; two at a time are told so, and nothing is torn."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from anyiostream import CustomTransformer, RunAborted, StreamChannel, StreamMux, StreamTransformer, open_run, parts
from anyiostream.errors import RunBusy, RunWaitsForItself


class Slow:
    """A graph whose second part takes until it is let go.

    Attributes:
        working: Set while it works on that part.
        let_go: Lets it go on.
        closed: How often it has been closed.
    """

    def __init__(self) -> None:
        self.working = threading.Event()
        self.let_go = threading.Event()
        self.closed = 0

    def __call__(self, given: object) -> Iterator[Any]:
        """The parts."""
        try:
            yield parts.values(0)
            self.working.set()
            assert self.let_go.wait(30)
            yield from (parts.values(1), parts.custom("c"), parts.values(2))
        finally:
            self.closed += 1


class Reader(threading.Thread):
    """Makes a call in a thread of its own.

    Attributes:
        got: What it returned.
        error: What it raised.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(name="reader")
        self._call = call
        self.got: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Make the call."""
        try:
            self.got = self._call()
        except BaseException as exc:
            self.error = exc

    def result(self) -> Any:
        """What it returned, or raise what it raised."""
        self.join(30)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.got


USES: dict[str, Callable[[Any, Any], Any]] = {
    "reading on": lambda run, custom: next(custom),
    "subscribing": lambda run, custom: iter(run.lifecycle),
    "several projections": lambda run, custom: next(run.interleave("lifecycle")),
    "output": lambda run, custom: run.output,
    "interrupts": lambda run, custom: run.interrupts,
}


@pytest.mark.parametrize("use", USES)
def test_whoever_comes_second_is_told_so_and_may_ask_again(use: str) -> None:
    """Neither reader loses anything, and the run ends as it would have."""
    slow = Slow()
    with open_run(slow, transformers=[CustomTransformer]) as run:
        values, custom = iter(run.values), iter(run.custom)
        reader = Reader(lambda: list(values))
        assert slow.working.wait(30)
        with pytest.raises(RunBusy, match="another thread runs the graph") as caught:
            USES[use](run, custom)
        assert not isinstance(caught.value, RunWaitsForItself)
        slow.let_go.set()
        assert reader.result() == [0, 1, 2]
        assert list(custom) == ["c"]
        assert run.output == 2
        assert list(iter(run.lifecycle)) == []
    assert (run.status, slow.closed) == ("completed", 1)


def test_a_message_is_read_by_one_thread_at_a_time() -> None:
    """Its deltas, its text and its output likewise."""
    working, let_go = threading.Event(), threading.Event()

    async def graph(given: object, writer: Any) -> None:
        async with writer.message() as message:
            await message.text("a")
            working.set()
            assert let_go.wait(30)
            await message.text("b")

    with open_run(graph) as run:
        message = next(iter(run.messages))
        text = iter(message.text)
        assert next(text) == "a"
        reader = Reader(message.text.get)
        assert working.wait(30)
        for use in (lambda: next(text), message.text.get, lambda: message.output, lambda: message.usage):
            with pytest.raises(RunBusy):
                use()
        let_go.set()
        assert reader.result() == "ab"
        assert list(text) == ["b"]


def test_threads_may_take_turns() -> None:
    """A run may be opened in one thread, read in others, and left in the first."""
    with open_run([parts.values(n) for n in range(4)]) as run:
        values = iter(run.values)
        assert [Reader(lambda: next(values)).result() for _ in range(2)] == [0, 1]
        assert next(values) == 2
        assert Reader(lambda: run.output).result() == 3
        assert list(values) == [3]


def test_two_threads_that_ask_again_and_again_get_everything() -> None:
    """However they are interleaved: no item is lost, doubled or out of order."""
    count = 3000
    script = [part for n in range(count) for part in (parts.values(n), parts.custom(n))]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with open_run(script, buffer=math.inf, transformers=[CustomTransformer]) as run:

            def read(cursor: Any) -> tuple[list[Any], int]:
                items, refused = [], 0
                while True:
                    try:
                        items.append(next(cursor))
                    except StopIteration:
                        return items, refused
                    except RunBusy:
                        refused += 1

            cursors = [iter(run.values), iter(run.custom)]
            readers = [Reader(lambda cursor=cursor: read(cursor)) for cursor in cursors]
            results = [reader.result() for reader in readers]
            assert [items for items, _ in results] == [list(range(count))] * 2
            assert run.output == count - 1
    finally:
        sys.setswitchinterval(before)


def test_another_thread_may_abort_a_run_that_is_at_work() -> None:
    """It ends after the part that the graph is at; its reader's iteration ends."""
    slow = Slow()
    with open_run(slow) as run:
        values = iter(run.values)
        reader = Reader(lambda: list(values))
        assert slow.working.wait(30)
        run.abort()
        assert run.status == "running"
        slow.let_go.set()
        assert reader.result() == [0, 1]
        with pytest.raises(RunAborted):
            _ = run.output
    assert (run.status, slow.closed) == ("aborted", 1)


def test_a_block_that_is_left_while_another_thread_is_at_work_says_so() -> None:
    """That thread cannot be stopped; the run ends after the part that the graph is at, and is closed then."""
    slow = Slow()
    with pytest.raises(RunBusy, match="the end of the run's block"), open_run(slow) as run:
        values = iter(run.values)
        reader = Reader(lambda: list(values))
        assert slow.working.wait(30)
    slow.let_go.set()
    assert reader.result() == [0, 1]
    assert (run.status, slow.closed) == ("aborted", 1)


def test_a_body_that_raises_while_another_thread_is_at_work_raises_that() -> None:
    """With a note of the thread."""
    slow = Slow()
    with pytest.raises(LookupError) as caught, open_run(slow) as run:
        reader = Reader(lambda: run.output)
        assert slow.working.wait(30)
        raise LookupError
    assert "RunBusy" in caught.value.__notes__[0]
    slow.let_go.set()
    with pytest.raises(RunAborted):
        reader.result()
    assert slow.closed == 1


class Reentrant(StreamTransformer):
    """A transformer that calls `use` for each event."""

    use: Callable[[], Any]

    def init(self) -> dict[str, Any]:
        """One channel."""
        self.channel: StreamChannel[Any] = StreamChannel(maxlen=10)
        self.taken: list[Any] = []
        return {"mine": self.channel, "taken": self.taken}

    def process(self, event: Any) -> bool:
        """Call it."""
        self.channel.push("pushed")
        self.taken.append(type(self).use())
        return True


def test_code_inside_the_run_waits_for_itself() -> None:
    """It is no other thread, so that is what it is told; what has arrived already it may take."""
    with open_run([parts.values(1)], transformers=[Reentrant]) as run:
        mine, values = iter(run.extensions["mine"]), iter(run.values)
        Reentrant.use = lambda: next(mine)
        assert next(values) == 1
        assert run.extensions["taken"] == ["pushed"]
    with pytest.raises(RunWaitsForItself), open_run([parts.values(1)], transformers=[Reentrant]) as run:
        messages = iter(run.messages)
        Reentrant.use = lambda: next(messages)
        _ = run.output


@pytest.mark.parametrize("error", [RuntimeError("cannot enter context: mine"), RecursionError("mine")])
def test_an_error_of_the_graphs_own_is_the_graphs_whatever_its_text(error: RuntimeError) -> None:
    """Nothing is read into it."""

    def graph(given: object) -> Iterator[Any]:
        yield parts.values(1)
        raise error

    with open_run(graph) as run:
        values = iter(run.values)
        assert next(values) == 1
        for ask in (lambda: next(values), lambda: run.output):
            with pytest.raises(RuntimeError) as caught:
                ask()
            assert caught.value is error


def test_a_full_stack_is_no_other_thread() -> None:
    """A reader that has no stack left is told that."""

    def deep(depth: int) -> None:
        # By way of a call that fails at each depth, so that one of them is where the run's context is entered.
        try:
            deep(depth + 1)
        finally:
            try:
                next(values)
            except RecursionError:
                pass
            except StopIteration:
                pass

    with open_run([parts.values(1)]) as run:
        values = iter(run.values)
        with pytest.raises(RecursionError):
            deep(0)


def test_a_mux_by_itself_is_for_one_thread_at_a_time_too() -> None:
    """A push from a hook, or from another thread meanwhile, is refused, and the mux goes on."""
    errors: list[BaseException] = []

    class Pushing(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            def push() -> None:
                mux.push(event)

            if event["params"]["data"] == "first":
                for call in (push, Reader(push).result):
                    try:
                        call()
                    except RuntimeError as exc:
                        errors.append(exc)
            return True

    mux = StreamMux([Pushing()])
    log = iter(mux.events)
    for data in ("first", "second"):
        mux.push({"type": "event", "method": "custom", "params": {"namespace": [], "timestamp": 0, "data": data}})
    mux.close()
    assert [type(error) for error in errors] == [RunWaitsForItself, RunBusy]
    assert [event["params"]["data"] for event in log] == ["first", "second"]
