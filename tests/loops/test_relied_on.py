"""What asyncio in trio's thread relies on without being promised it; see `anyiostream/loops/asyncio_in_trio.py`."""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from anyiostream.loops.asyncio_in_trio import SUPPORTED

from .programs import running_loop

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="asyncio has a thread of its own there")


# --- what is relied on: CPython ---


class Scripted(selectors.DefaultSelector):
    """Answers nothing without waiting, notes what it is asked, and may act then."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []
        self.act: Callable[[float | None], object] = lambda _: None

    def select(self, timeout: float | None = None) -> Any:
        self.timeouts.append(timeout)
        self.act(timeout)
        return []


def test_cpython_asks_the_selector_once_a_turn_and_with_zero_if_anything_is_ready() -> None:
    """And otherwise with the time to the next timer, or `None`."""
    selector = Scripted()
    loop = asyncio.SelectorEventLoop(selector)
    ran: list[str] = []
    try:
        selector.act = lambda timeout: timeout == 0 or loop.stop()
        loop.call_soon(ran.append, "a")
        loop.call_soon(lambda: loop.call_soon(ran.append, "b"))
        loop.run_forever()
        assert ran == ["a", "b"]
        assert selector.timeouts == [0, 0, None]
        selector.timeouts.clear()
        loop.call_later(1000, ran.append, "never")
        loop.run_forever()
        (timeout,) = selector.timeouts
        assert timeout is not None
        assert 999 < timeout <= 1000
    finally:
        loop.close()


def test_cpython_ends_a_turn_that_its_selector_stops_and_runs_again_afterwards() -> None:
    """What was ready in that turn has run; what that has scheduled has not, and is not lost."""
    selector = Scripted()
    loop = asyncio.SelectorEventLoop(selector)
    ran: list[int] = []

    def count(n: int) -> None:
        ran.append(n)
        loop.call_soon(count, n + 1)

    try:
        selector.act = lambda _: loop.stop()
        loop.call_soon(count, 0)
        for turns in range(1, 5):
            loop.run_forever()
            assert ran == list(range(turns))
            assert running_loop() is None
    finally:
        loop.close()


def test_cpython_lets_out_interrupts_only_and_keeps_what_was_ready() -> None:
    """Other errors of callbacks go to the loop's exception handler."""
    selector = Scripted()
    loop = asyncio.SelectorEventLoop(selector)
    ran: list[Any] = []

    def raises(error: BaseException) -> None:
        raise error

    try:
        loop.set_exception_handler(lambda _, context: ran.append(type(context["exception"])))
        selector.act = lambda timeout: timeout == 0 or loop.stop()
        for error in (ValueError(), KeyboardInterrupt(), SystemExit(), asyncio.CancelledError()):
            loop.call_soon(raises, error)
        loop.call_soon(ran.append, "last")
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        with pytest.raises(SystemExit):
            loop.run_forever()
        loop.run_forever()
        assert ran == [ValueError, asyncio.CancelledError, "last"]
    finally:
        loop.close()


def test_cpython_schedules_everything_by_two_methods_of_the_loop() -> None:
    """Futures, tasks, timers and transports call `call_soon` or `call_at`, also if these are the instance's own."""
    called: list[str] = []

    def noting(name: str) -> None:
        method = getattr(loop, name)

        def note(*args: Any, **options: Any) -> Any:
            called.append(name)
            return method(*args, **options)

        setattr(loop, name, note)

    def noted(by: str) -> None:
        assert called[:1] == [by]
        called.clear()

    loop = asyncio.SelectorEventLoop(Scripted())
    noting("call_soon")
    noting("call_at")
    try:
        future = loop.create_future()
        future.add_done_callback(lambda _: None)
        assert called == []
        future.set_result(None)
        noted("call_soon")
        future.add_done_callback(lambda _: None)
        noted("call_soon")
        task = loop.create_task(asyncio.sleep(1000))
        noted("call_soon")
        loop.run_until_complete(asyncio.sleep(0))
        called.clear()
        task.cancel()
        noted("call_soon")
        loop.run_until_complete(asyncio.wait([task]))
        called.clear()
        loop.call_later(1000, print)
        noted("call_at")
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            transport, _ = loop.run_until_complete(loop.create_connection(asyncio.Protocol, sock=here))
            called.clear()
            transport.close()
            noted("call_soon")
            loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()


def test_cpython_makes_a_descriptor_readable_for_what_other_threads_schedule() -> None:
    """Until the loop has read from it."""
    selector = selectors.DefaultSelector()
    loop = asyncio.SelectorEventLoop(selector)
    try:
        assert selector.select(0) == []
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
        thread.start()
        thread.join()
        assert selector.select(0)
        loop.run_forever()
        assert selector.select(0) == []
    finally:
        loop.close()


# --- what is relied on: trio, and Linux ---


def test_trio_calls_instruments_in_each_pass_before_deadlines_and_tasks() -> None:
    """A deadline that is moved there does not expire, and a task that is woken there runs in the same pass."""
    order: list[str] = []

    class Probe(trio.abc.Instrument):
        def after_io_wait(self, timeout: float) -> None:
            assert not trio.lowlevel.in_trio_task()
            assert trio.lowlevel.in_trio_run()
            order.append("hook")
            if scope.deadline <= trio.current_time():
                scope.deadline = float("inf")
                trio.lowlevel.reschedule(task)

    async def main() -> None:
        nonlocal scope, task
        task = trio.lowlevel.current_task()
        trio.lowlevel.add_instrument(Probe())
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time() + 0.01
            order.clear()
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)
            order.append("task")
        assert not scope.cancelled_caught

    scope: Any = None
    task: Any = None
    trio.run(main)
    assert order[-2:] == ["hook", "task"] or order[order.index("task") - 1] == "hook"


def test_trio_does_not_wait_while_a_task_is_scheduled() -> None:
    """So that a task of ours keeps its loop turning."""
    timeouts: list[float] = []

    class Probe(trio.abc.Instrument):
        def after_io_wait(self, timeout: float) -> None:
            timeouts.append(timeout)

    async def main() -> None:
        trio.lowlevel.add_instrument(Probe())
        for _ in range(5):
            await trio.lowlevel.checkpoint()

    trio.run(main)
    assert timeouts[:5] == [0] * 5


def test_trio_defers_interrupts_in_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    """`KeyboardInterrupt` is raised in the main task."""
    protected: list[bool] = []

    class Probe(trio.abc.Instrument):
        def after_io_wait(self, timeout: float) -> None:
            protected.append(trio.lowlevel.currently_ki_protected())

    async def main() -> None:
        trio.lowlevel.add_instrument(Probe())
        await trio.lowlevel.checkpoint()

    trio.run(main)
    assert protected
    assert all(protected)


@pytest.mark.parametrize("way", ["a socket", "a thread"])
def test_linux_lets_an_epoll_descriptor_be_waited_for(way: str) -> None:
    """It is readable while one of its own is ready, and no longer."""
    outer, inner = selectors.DefaultSelector(), selectors.DefaultSelector()
    readable, writable = os.pipe()
    try:
        inner.register(readable, selectors.EVENT_READ)
        outer.register(inner.fileno(), selectors.EVENT_READ)
        assert outer.select(0) == []
        if way == "a thread":
            threading.Timer(0.01, os.write, (writable, b"x")).start()
        else:
            os.write(writable, b"x")
        assert outer.select(5)
        assert outer.select(0)
        os.read(readable, 1)
        assert outer.select(0) == []
    finally:
        outer.close()
        inner.close()
        os.close(readable)
        os.close(writable)
