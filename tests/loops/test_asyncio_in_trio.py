"""asyncio inside trio's thread: where code finds itself, that no wake-up is lost, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import weakref
from contextvars import copy_context
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import sniffio
import trio
import trio.testing
from langgraph.graph import START, StateGraph

from anyiostream import asyncio_host, open_run
from anyiostream.errors import HostClosed
from anyiostream.loops.asyncio_in_trio import SUPPORTED
from anyiostream.loops.trio_host import current_asyncio

from .programs import hosting, on_trio, running_loop

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="asyncio has a thread of its own there")


# --- where code finds itself ---


def test_libraries_find_asyncio_in_the_loop_and_trio_outside() -> None:
    """By sniffio, AnyIO, asyncio and trio."""

    async def inside() -> None:
        assert sniffio.current_async_library() == "asyncio"
        assert asyncio.get_running_loop() is current_asyncio().loop
        assert asyncio.get_running_loop().is_running()
        assert not trio.lowlevel.in_trio_task()
        await anyio.lowlevel.checkpoint()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asyncio.sleep, 0.001)
        assert await anyio.to_thread.run_sync(threading.get_ident) != threading.get_ident()
        assert await asyncio.to_thread(nothing_around)

    def nothing_around() -> bool:
        with pytest.raises(sniffio.AsyncLibraryNotFoundError):
            sniffio.current_async_library()
        return anyio.run(anyio.sleep, 0) is None

    async def main() -> None:
        async with asyncio_host() as host:
            await host.run(inside)
            assert sniffio.current_async_library() == "trio"
            assert trio.lowlevel.in_trio_task()
            assert running_loop() is None
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()

    on_trio(main)
    anyio.run(main, backend="trio")


def test_trio_may_be_the_guest_of_an_asyncio_loop() -> None:
    """The host's loop is the one that runs again behind each slice, and its tasks go on."""

    async def inside() -> str:
        assert asyncio.get_running_loop() is not outer
        await asyncio.sleep(0.001)
        await asyncio.to_thread(time.sleep, 0.001)
        return "inside"

    async def main() -> str:
        assert asyncio.get_running_loop() is outer
        async with asyncio_host() as host:
            found = [await host.run(inside) for _ in range(3)]
            assert asyncio.get_running_loop() is outer
        return found[-1]

    async def guests() -> Any:
        nonlocal outer
        outer = asyncio.get_running_loop()
        done = outer.create_future()
        trio.lowlevel.start_guest_run(
            main, run_sync_soon_threadsafe=outer.call_soon_threadsafe, done_callback=done.set_result
        )
        ticks = 0
        while not done.done():
            await asyncio.sleep(0)
            ticks += 1
        assert ticks > 3
        return done.result().unwrap()

    outer: Any = None
    assert asyncio.run(guests()) == "inside"


def test_several_programs_in_turn_and_at_once_have_a_loop_each() -> None:
    """Nothing of one is in another one."""
    loops: list[Any] = []
    barrier = threading.Barrier(4)

    async def inside() -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0.001)

    async def main() -> None:
        async with asyncio_host() as host:
            await trio.to_thread.run_sync(barrier.wait)
            for _ in range(20):
                await host.run(inside)

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loops) == 80
    assert len(set(map(id, loops))) == 4
    assert all(loop.is_closed() for loop in loops)


# --- wake-ups ---


def test_futures_may_be_set_by_trio_tasks_and_by_threads() -> None:
    """Each wakes what waits for it, at any moment, and nothing polls."""

    async def main() -> None:
        host, loop = hosting()
        for round_ in range(200):
            future = loop.create_future()
            task = host.create_task(lambda f=future: wait_for(f), "waiting", copy_context())
            if round_ % 2:
                await trio.lowlevel.checkpoint()
            if round_ % 4 < 2:
                future.set_result(round_)
            else:
                await trio.to_thread.run_sync(loop.call_soon_threadsafe, future.set_result, round_)
            done = trio.Event()
            task.add_done_callback(lambda _, d=done: d.set())
            await done.wait()
            assert task.result() == round_

    async def wait_for(future: asyncio.Future[int]) -> int:
        return await future

    on_trio(main)


def test_what_is_scheduled_while_a_slice_ends_is_not_lost() -> None:
    """A timer that comes due between the loop's last look and the end of the slice schedules as ever."""

    class Hurried(trio.abc.Clock):
        """Time passes whenever somebody looks at it."""

        now = 0.0

        def start_clock(self) -> None:
            pass

        def current_time(self) -> float:
            self.now += 0.3
            return self.now

        def deadline_to_sleep_time(self, deadline: float) -> float:
            return max(0.0, min(deadline - self.now, 0.001))

    async def main() -> None:
        _, loop = hosting()
        for n in range(300):
            done = trio.Event()
            loop.call_later(1 + n % 10 / 10, loop.call_soon, loop.call_soon, done.set)
            await done.wait()

    on_trio(main, clock=Hurried())


def test_what_another_thread_schedules_by_mistake_is_run() -> None:
    """As a finaliser does in whatever thread collects garbage; asyncio sees it at its next turn at the latest."""

    async def main() -> None:
        _, loop = hosting()
        for schedule in (loop.call_soon, lambda call: loop.call_later(0.001, call)):
            await trio.testing.wait_all_tasks_blocked()
            done = trio.Event()
            await trio.to_thread.run_sync(schedule, done.set)
            await done.wait()

    on_trio(main)


def test_timers_are_trios_and_follow_a_virtual_clock() -> None:
    """Hours pass in no time, in order, and trio sees that its program is idle."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    order: list[tuple[str, float]] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(("asyncio", round(trio.current_time() - start)))

    async def main() -> None:
        nonlocal start
        start = trio.current_time()
        async with asyncio_host() as host, trio.open_nursery() as nursery:
            for seconds in (3000, 1000, 5000):
                nursery.start_soon(host.run, sleep, seconds)
            await trio.sleep(2000)
            order.append(("trio", round(trio.current_time() - start)))

    start = 0.0
    began = time.monotonic()
    on_trio(main, clock=clock)
    assert time.monotonic() - began < 20
    assert order == [("asyncio", 1000), ("trio", 2000), ("asyncio", 3000), ("asyncio", 5000)]


def test_trio_tells_when_asyncio_is_idle() -> None:
    """`wait_all_tasks_blocked` waits for what is ready on the loop."""

    async def main() -> None:
        host, _ = hosting()
        steps: list[int] = []

        async def work() -> None:
            for n in range(500):
                steps.append(n)
                await asyncio.sleep(0)
            await asyncio.sleep(1000)

        host.create_task(work, "work", copy_context())
        await trio.testing.wait_all_tasks_blocked()
        assert len(steps) == 500

    on_trio(main)


def test_signal_handlers_may_schedule() -> None:
    """With `call_soon_threadsafe`, as asyncio says; also while trio waits."""

    async def main() -> None:
        _, loop = hosting()
        done = trio.Event()
        before = signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon_threadsafe(done.set))
        try:
            with pytest.raises(NotImplementedError, match="trio"):
                loop.add_signal_handler(signal.SIGUSR1, done.set)
            await trio.sleep(0.001)
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            await done.wait()
        finally:
            signal.signal(signal.SIGUSR1, before)

    on_trio(main)


def test_subprocesses_pipes_and_sockets_work() -> None:
    """On the loop, as on any."""

    async def inside() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input())", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(b"through pipes\n")
        assert out == b"through pipes\n"
        assert process.returncode == 0

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"through sockets\n")
            assert await reader.readline() == b"through sockets\n"
            writer.close()
            await writer.wait_closed()

    async def main() -> None:
        async with asyncio_host() as host:
            await host.run(inside)

    on_trio(main)


# --- fairness ---


@pytest.mark.parametrize("clock", [None, "virtual"])
def test_a_busy_loop_lets_trio_run(clock: str | None) -> None:
    """A task that never waits is held off after a millisecond, or after some turns where time is virtual."""

    async def main() -> None:
        host, _ = hosting()
        turns = 0

        async def spin() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = host.create_task(spin, "spinning", copy_context())
        passes = 0
        while turns < 3000:
            passes += 1
            await trio.lowlevel.checkpoint()
        assert passes > 2
        if clock is not None:
            assert passes >= 3000 // 16
        task.cancel()

    on_trio(main, **({} if clock is None else {"clock": trio.testing.MockClock(autojump_threshold=0)}))


def test_busy_trio_tasks_let_asyncio_run() -> None:
    """For its timers as for what happens on its descriptors."""

    async def main() -> None:
        host, _ = hosting()
        task = host.create_task(work, "working", copy_context())
        while not task.done():
            await trio.lowlevel.checkpoint()

    async def work() -> None:
        await asyncio.sleep(0.001)
        await asyncio.to_thread(time.sleep, 0.001)

    on_trio(main)


# --- interrupts and failures ---


def test_an_instrument_of_the_users_that_raises_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """trio drops that one, and keeps ours."""

    class Broken(trio.abc.Instrument):
        def after_io_wait(self, timeout: float) -> None:
            raise ValueError("broken")

    async def main() -> None:
        async with asyncio_host() as host:
            trio.lowlevel.add_instrument(Broken())
            await host.run(asyncio.sleep, 0.001)

    with caplog.at_level(logging.CRITICAL + 1, logger="trio.abc.Instrument"):
        on_trio(main)


@pytest.mark.parametrize("moment", ["at rest", "wanted"])
def test_an_instrument_that_has_been_dropped_comes_back(moment: str) -> None:
    """Where trio cannot defer interrupts, one may hit the hook."""

    async def main() -> None:
        host, _ = hosting()
        await trio.sleep(0.001)
        if moment == "at rest":
            task = host.create_task(lambda: asyncio.sleep(0.01), "sleeping", copy_context())
            await trio.sleep(0.001)
            trio.lowlevel.remove_instrument(host)
        else:
            trio.lowlevel.remove_instrument(host)
            task = host.create_task(lambda: asyncio.sleep(0.01), "sleeping", copy_context())
        while not task.done():
            await trio.sleep(0.001)

    on_trio(main)


def test_ctrl_c_in_a_slice_is_raised_in_trios_main_task() -> None:
    """At its next checkpoint, while what runs on asyncio goes on until it is cancelled."""
    # A shell's background jobs ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    seen: list[str] = []

    async def inside() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
            seen.append("goes on")
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main() -> None:
        async with asyncio_host() as host:
            await host.run(inside)

    try:
        with pytest.raises(KeyboardInterrupt):
            on_trio(main)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["goes on", "cancelled"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_task_raises_reaches_who_waits_for_it(error: type[BaseException]) -> None:
    """And does not stop the loop."""

    async def inside() -> None:
        raise error("from a task")

    async def main() -> None:
        async with asyncio_host() as host:
            with pytest.raises(error, match="from a task"):
                await host.run(inside)
            await host.run(asyncio.sleep, 0)

    on_trio(main)


def test_an_interrupt_that_a_bare_callback_raises_ends_the_program() -> None:
    """As in trio, where a callback of `run_sync_soon` does: nobody waits for it."""

    def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        _, loop = hosting()
        loop.call_soon(leave)
        await trio.sleep_forever()

    with pytest.raises(trio.TrioInternalError) as caught:
        on_trio(main)
    found = caught.value.__cause__
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert isinstance(found, SystemExit)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_node_raises_reaches_the_reader_as_itself(error: type[BaseException]) -> None:
    """And the program goes on, if it catches that."""
    raised = error("from a node")

    async def node(_: dict[str, Any]) -> dict[str, Any]:
        raise raised

    graph = StateGraph(dict).add_node("node", node).add_edge(START, "node").compile()

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(error, match="from a node") as caught:
                async with open_run(graph, {"n": 1}) as run:
                    await run.output()
            assert caught.value is raised

    on_trio(main)


def test_the_loop_has_asyncios_debug_mode() -> None:
    """Which looks for calls from other threads, and for slow ones."""

    async def inside() -> None:
        future = asyncio.get_running_loop().create_future()
        futures.append(future)
        await asyncio.gather(asyncio.sleep(0.001), asyncio.to_thread(time.sleep, 0.001), future)

    async def main() -> None:
        _, loop = hosting()
        loop.set_debug(True)
        async with asyncio_host() as host, trio.open_nursery() as nursery:
            nursery.start_soon(host.run, inside)
            await trio.testing.wait_all_tasks_blocked()
            futures[0].set_result(None)
        assert sys.get_coroutine_origin_tracking_depth() == depth

    futures: list[Any] = []
    depth = sys.get_coroutine_origin_tracking_depth()
    on_trio(main)


def test_errors_of_callbacks_go_to_the_loops_exception_handler() -> None:
    """And to nobody else."""
    handled: list[Any] = []

    def fail() -> None:
        raise ValueError("in a callback")

    async def main() -> None:
        _, loop = hosting()
        loop.set_exception_handler(lambda _, context: handled.append(context["exception"]))
        loop.call_soon(fail)
        await trio.testing.wait_all_tasks_blocked()

    on_trio(main)
    assert [str(each) for each in handled] == ["in a callback"]


def test_nobody_else_runs_the_loop() -> None:
    """It would be run inside a trio task."""

    async def main() -> None:
        _, loop = hosting()
        with pytest.raises(RuntimeError, match=r"await host\.run"):
            loop.run_forever()
        assert not loop.is_running()
        assert await trio.to_thread.run_sync(loop.is_running)

    on_trio(main)


# --- the end ---


def test_the_end_of_trio_shuts_asyncio_down_as_its_own_end_does() -> None:
    """Tasks are cancelled and may clean up, generators are closed, the executor's threads end, the loop is closed."""
    steps: list[str] = []
    threads = set(threading.enumerate())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    async def left_behind() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.001)
            steps.append("task")
            released.set()

    def work() -> None:
        assert released.wait(30)
        time.sleep(0.02)
        steps.append("thread")

    released = threading.Event()

    async def generate() -> Any:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0.001)
            steps.append("generator")

    async def inside() -> None:
        kept.append(generate())
        assert await anext(kept[0]) == 1
        asyncio.get_running_loop().run_in_executor(None, work)
        tasks.append(asyncio.get_running_loop().create_task(left_behind()))
        await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio_host() as host:
            await host.run(inside)
            loops.append(current_asyncio().loop)

    kept: list[Any] = []
    tasks: list[Any] = []
    loops: list[Any] = []
    on_trio(main)
    assert steps == ["task", "generator", "thread"]
    assert loops[0].is_closed()
    assert {each for each in threading.enumerate() if each.name.startswith("asyncio")} <= threads
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_connections_that_are_still_open_are_closed_at_the_end() -> None:
    """A client that is kept for the process finds them closed in the next program, and opens others."""

    async def connect() -> None:
        transports.append((await asyncio.get_running_loop().create_connection(asyncio.Protocol, *address))[0])

    async def main() -> None:
        async with asyncio_host() as host:
            await host.run(connect)
            assert not transports[0].is_closing()

    transports: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        on_trio(main)
    assert transports[0].is_closing()
    assert transports[0].get_extra_info("socket").fileno() == -1


@pytest.mark.parametrize("how", ["raises", "cancelled", "crashes"])
def test_asyncio_ends_however_trio_does(how: str) -> None:
    """Also when the main task has raised or was cancelled, and when trio cancels everything."""
    cleaned: list[str] = []

    async def inside() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.001)
            cleaned.append("cleaned")

    async def main() -> None:
        host, loop = hosting()
        loops.append(loop)
        host.create_task(inside, "left", copy_context())
        await trio.sleep(0.001)
        if how == "raises":
            raise ValueError(how)
        if how == "cancelled":
            with trio.CancelScope() as scope:
                scope.cancel()
                await trio.sleep_forever()
        if how == "crashes":
            trio.lowlevel.spawn_system_task(crash)
            await trio.sleep_forever()

    async def crash() -> None:
        raise ValueError(how)

    loops: list[Any] = []
    expected = {"raises": ValueError, "crashes": trio.TrioInternalError}
    with pytest.raises(expected[how]) if how in expected else contextlib.nullcontext():
        on_trio(main)
    assert cleaned == ["cleaned"]
    assert loops[0].is_closed()


def test_a_task_that_fails_in_the_shutdown_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """By the loop's exception handler, as `asyncio.run` does."""

    async def fails() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("while cleaning up")

    async def main() -> None:
        host, _ = hosting()
        host.create_task(fails, "failing", copy_context())
        await trio.sleep(0.001)

    on_trio(main)
    (record,) = [each for each in caplog.records if each.name == "asyncio"]
    assert "shut down" in record.getMessage()


def test_nothing_starts_once_the_end_has_begun() -> None:
    """With an explanation, in place of a closed loop's."""
    refused: list[BaseException] = []

    async def late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
                try:
                    async with asyncio_host() as host:
                        await host.run(asyncio.sleep, 0)
                except HostClosed as exc:
                    refused.append(exc)

    async def main() -> None:
        hosting()
        trio.lowlevel.spawn_system_task(late)
        await trio.sleep(0.001)

    on_trio(main)
    assert len(refused) == 1


def test_nothing_keeps_a_program_that_has_ended() -> None:
    """Neither the loop nor what drove it."""

    async def main() -> weakref.ref[Any]:
        async with asyncio_host() as host:
            await host.run(asyncio.sleep, 0.001)
        return weakref.ref(current_asyncio())

    refs = [on_trio(main) for _ in range(5)]
    gc.collect()
    assert [ref() for ref in refs] == [None] * 5
