"""The event loops behind one interface: waking, starting, cancelling, and being told apart."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import sniffio
import trio

from anyiostream.errors import ForeignExit
from anyiostream.loops import current_asyncio_task, current_loop, in_loop, on_trio, wanted_loop
from anyiostream.loops.interface import Loop, LoopTask

from ..waiting import PATIENCE, until

pytestmark = pytest.mark.anyio

BACKENDS = {
    "asyncio": ("asyncio", {"debug": True}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Every event loop."""
    return BACKENDS[request.param]


@pytest.fixture
def anyio_backend_is_trio(anyio_backend: Any) -> bool:
    """Whether it is trio."""
    return anyio_backend[0] == "trio"


@asynccontextmanager
async def entered() -> AsyncIterator[Loop]:
    """The running loop, entered."""
    loop = current_loop()
    await loop.enter()
    with anyio.fail_after(PATIENCE):
        yield loop
    await loop.leave()


async def finish(loop: Loop, task: LoopTask) -> None:
    """Wait for a task."""
    while not task.finished.ready:
        waiter = loop.waiter()
        task.finished.park(waiter)
        await waiter.wait()


# --- which loop runs ---


async def test_the_running_loop_is_told(anyio_backend_is_trio: bool) -> None:
    """By name, and whether it is trio; and whether a task of asyncio's runs the caller."""
    assert current_loop().name == ("trio" if anyio_backend_is_trio else "asyncio")
    assert on_trio() == anyio_backend_is_trio
    assert in_loop()
    assert (current_asyncio_task() is None) == anyio_backend_is_trio
    assert current_loop().cancellation_is_real == anyio_backend_is_trio


def test_without_a_loop_nothing_is_found() -> None:
    """And `current_loop` raises what asyncio says."""
    assert not in_loop()
    assert not on_trio()
    assert current_asyncio_task() is None
    with pytest.raises(RuntimeError) as caught:
        current_loop()
    assert wanted_loop(caught.value)


def test_a_callback_of_asyncios_runs_in_no_task() -> None:
    """Though in its loop."""
    seen: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: seen.extend((in_loop(), current_asyncio_task())))
        await asyncio.sleep(0)
        assert current_asyncio_task() is asyncio.current_task()

    asyncio.run(main())
    assert seen == [True, None]


@pytest.mark.parametrize(
    "ask",
    [
        asyncio.get_running_loop,
        trio.lowlevel.current_task,
        trio.current_time,
        anyio.get_current_task,
        anyio.Lock().acquire_nowait,
        sniffio.current_async_library,
    ],
)
def test_whoever_looks_for_an_event_loop_and_finds_none_says_so(ask: Callable[[], Any]) -> None:
    """In words or classes that are known here."""
    with pytest.raises(RuntimeError) as caught:
        ask()
    assert wanted_loop(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        type("NoEventLoopError", (Exception,), {})("mine"),
        type("AsyncLibraryNotFoundError", (Exception,), {})("mine"),
        ValueError("no running event loop"),
    ],
)
def test_other_errors_did_not_look_for_a_loop(error: Exception) -> None:
    """Neither a class of the same name nor another class with the same text."""
    assert not wanted_loop(error)


# --- waiting ---


async def test_a_wake_up_before_the_wait_is_not_lost() -> None:
    """Nor does a second one do anything."""
    waiter = current_loop().waiter()
    assert not waiter.woken
    waiter.wake()
    waiter.wake()
    assert waiter.woken
    with anyio.fail_after(PATIENCE):
        await waiter.wait()


async def test_a_cancelled_wait_is_over() -> None:
    """Waking it does nothing."""
    waiter = current_loop().waiter()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await waiter.wait()
    assert scope.cancelled_caught
    assert waiter.woken
    waiter.wake()


# --- tasks ---


async def test_a_task_runs_in_a_copy_of_its_context() -> None:
    """Under its name, until its latch opens."""
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    context = copy_context()
    context.run(variable.set, "given")
    seen: list[str] = []

    async def run() -> None:
        seen.append(variable.get())
        variable.set("changed")

    async with entered() as loop:
        task = loop.spawn(run, "the task", context)
        assert task.name == "the task"
        assert task.alive
        await finish(loop, task)
        assert not task.alive
    assert seen == ["given"]
    assert context[variable] == "given"


async def test_no_scope_of_the_program_cancels_a_task() -> None:
    """Only `cancel` does; its loop knows the exception."""
    caught: list[bool] = []

    async with entered() as loop:

        async def run() -> None:
            try:
                await anyio.sleep_forever()
            except BaseException as exc:
                caught.append(loop.is_cancellation(exc))
                raise

        with anyio.CancelScope() as scope:
            task = loop.spawn(run, "the task", copy_context())
            await loop.checkpoint()
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await loop.checkpoint()
                await loop.checkpoint()
        assert caught == []
        task.cancel()
        await finish(loop, task)
    assert caught == [True]


async def test_a_scope_is_cancelled_alone() -> None:
    """What is round it goes on."""
    loop = current_loop()
    with loop.scope() as scope:
        scope.cancel()
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    await loop.checkpoint()


async def test_a_shield_keeps_cancellation_out_for_a_while() -> None:
    """Then it cancels what is inside itself."""
    loop = current_loop()
    with anyio.CancelScope() as outer:
        outer.cancel()
        with loop.shield(0) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with loop.shield():
            await loop.checkpoint()


# --- calls ---


async def test_calls_are_made_later() -> None:
    """In a later turn, after some time, from this thread or from another; and not if they are taken back."""
    made: list[str] = []
    async with entered() as loop:
        loop.later(math.inf, lambda: made.append("never")).cancel()
        loop.from_any_thread(lambda: made.append("here"))
        assert made == ["here"]
        loop.soon(lambda: made.append("soon"))
        loop.later(0, lambda: made.append("later"))
        await anyio.to_thread.run_sync(loop.from_any_thread, lambda: made.append("there"))
        await until(lambda: len(made) == 4)
    assert sorted(made) == ["here", "later", "soon", "there"]


async def test_a_deadline_is_seen() -> None:
    """Of any scope round the task."""
    loop = current_loop()
    assert not loop.has_deadline()
    with anyio.fail_after(PATIENCE), anyio.CancelScope():
        assert loop.has_deadline()
        await loop.checkpoint()


# --- leaving ---


async def test_on_trio_another_task_may_not_leave(anyio_backend_is_trio: bool) -> None:
    """Its nursery belongs to the task that entered; asyncio has none."""
    caught: list[BaseException] = []

    async with entered() as loop:

        async def leave() -> None:
            try:
                loop.check_exit()
            except ForeignExit as exc:
                caught.append(exc)

        if not anyio_backend_is_trio:
            await leave()
            assert caught == []
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
        assert len(caught) == 1
