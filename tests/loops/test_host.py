"""`asyncio_host`: calls from trio into the loop, and managers held open there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
import trio.testing

from anyiostream import HostedCallCancelled, asyncio_host
from anyiostream.loops.asyncio_in_trio import SUPPORTED
from anyiostream.loops.trio_host import hosted_tasks

from .programs import on_trio

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="asyncio has a thread of its own there")


@pytest.fixture(params=[False, True], ids=["in trio's thread", "in a thread of its own"])
def thread(request: pytest.FixtureRequest) -> bool:
    """Which of the two loops."""
    return request.param


def test_a_call_gives_its_result_and_its_error(thread: bool) -> None:
    """The value, and the exception object itself."""
    boom = ValueError("boom")

    async def double(n: int) -> int:
        await asyncio.sleep(0)
        return 2 * n

    async def fail() -> None:
        raise boom

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            assert await host.run(double, 21) == 42
            with pytest.raises(ValueError, match="boom") as caught:
                await host.run(fail)
            assert caught.value is boom

    on_trio(main)


def test_cancelling_trio_cancels_the_call_once_and_waits_for_it(thread: bool) -> None:
    """Its clean-up is not disturbed by the scope that stays cancelled."""
    steps: list[str] = []

    async def inside() -> None:
        try:
            started.set()
            await asyncio.sleep(1000)
        finally:
            for _ in range(5):
                await asyncio.sleep(0.001)
            steps.append("cleaned")

    async def main() -> None:
        async with asyncio_host(thread=thread) as host, trio.open_nursery() as nursery:
            nursery.start_soon(host.run, inside)
            await trio.to_thread.run_sync(started.wait)
            nursery.cancel_scope.cancel()
        steps.append("left")

    started = threading.Event()
    on_trio(main)
    assert steps == ["cleaned", "left"]


def test_a_call_that_completes_all_the_same_keeps_its_value(thread: bool) -> None:
    """The cancellation is raised at the next checkpoint."""

    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            started.set()
            await asyncio.sleep(1000)
        return "done"

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel() -> None:
                        await trio.to_thread.run_sync(started.wait)
                        scope.cancel()

                    nursery.start_soon(cancel)
                    found.append(await host.run(stubborn))
                    await trio.lowlevel.checkpoint()
                    found.append("not reached")
            assert scope.cancelled_caught

    started = threading.Event()
    found: list[str] = []
    on_trio(main)
    assert found == ["done"]


def test_a_call_that_asyncio_cancels_is_an_error_of_its_own(thread: bool) -> None:
    """No scope of trio's has been cancelled, and nobody is to think so."""

    async def inside() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            with pytest.raises(HostedCallCancelled, match="inside") as caught:
                await host.run(inside)
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)

    on_trio(main)


class Scoped:
    """A manager with a task group, which must be left by the task that entered it."""

    def __init__(self, *, fails: bool = False, swallows: bool = False) -> None:
        self.fails = fails
        self.swallows = swallows
        self.seen: list[str] = []
        self.entered = threading.Event()

    async def __aenter__(self) -> Any:
        self.task = asyncio.current_task()
        self.group = anyio.create_task_group()
        await self.group.__aenter__()
        self.group.start_soon(self.work)
        self.entered.set()
        return self

    async def work(self) -> None:
        try:
            if self.fails:
                await asyncio.sleep(0.001)
                raise OSError("the session broke")
            await asyncio.sleep(1000)
        finally:
            self.seen.append("worker ended")

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> bool:
        assert asyncio.current_task() is self.task
        self.seen.append("none" if kind is None else kind.__name__)
        self.group.cancel_scope.cancel()
        await self.group.__aexit__(None, None, None)
        return self.swallows


def test_a_manager_is_entered_and_left_in_one_task(thread: bool) -> None:
    """So scopes and task groups that it holds across its block work."""

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            manager = Scoped()
            async with host.open(manager) as value:
                assert value is manager
                await trio.sleep(0.002)
            assert manager.seen == ["none", "worker ended"]

    on_trio(main)


@pytest.mark.parametrize("swallows", [False, True])
def test_an_error_of_the_body_is_raised_inside_the_manager(thread: bool, swallows: bool) -> None:
    """Which may suppress it."""
    boom = ValueError("boom")

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            manager = Scoped(swallows=swallows)
            if swallows:
                async with host.open(manager):
                    raise boom
            else:
                with pytest.raises(ValueError, match="boom") as caught:
                    async with host.open(manager):
                        raise boom
                assert caught.value is boom
            assert manager.seen == ["ValueError", "worker ended"]

    on_trio(main)


def test_cancelling_the_body_cancels_inside_the_manager(thread: bool) -> None:
    """And is the cancellation of trio's scope afterwards."""

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            manager = Scoped()
            with trio.CancelScope() as scope:
                async with host.open(manager):
                    scope.cancel()
                    await trio.sleep_forever()
            assert scope.cancelled_caught
            assert manager.seen == ["CancelledError", "worker ended"]

    on_trio(main)


def test_a_manager_that_breaks_ends_its_body(thread: bool) -> None:
    """The body is cancelled, and the block raises what broke."""

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            manager = Scoped(fails=True)
            with pytest.raises(BaseExceptionGroup) as caught:
                async with host.open(manager):
                    await trio.sleep_forever()
            assert caught.group_contains(OSError, match="the session broke")

    on_trio(main)


def test_a_manager_that_cannot_be_entered_raises_its_error(thread: bool) -> None:
    """The body does not begin."""

    @contextlib.asynccontextmanager
    async def refusing() -> Any:
        await asyncio.sleep(0)
        raise OSError("refused")
        yield

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            with pytest.raises(OSError, match="refused"):
                async with host.open(refusing()):
                    pytest.fail("entered")

    on_trio(main)


def test_a_call_has_the_callers_context_variables(thread: bool) -> None:
    """A copy of them."""
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable")

    async def inside() -> str:
        found = variable.get()
        variable.set("inside")
        return found

    async def main() -> None:
        async with asyncio_host(thread=thread) as host:
            variable.set("caller")
            assert await host.run(inside) == "caller"
            assert variable.get() == "caller"

    on_trio(main)


def test_the_thread_lives_as_long_as_the_program() -> None:
    """One for all blocks, which ends with trio's run."""
    threads: list[threading.Thread] = []

    async def inside() -> None:
        threads.append(threading.current_thread())

    async def main() -> None:
        for _ in range(3):
            async with asyncio_host(thread=True) as host:
                await host.run(inside)
        assert threads[0].is_alive()
        async with asyncio_host() as host:
            await host.run(inside)
        assert threads[-1] is threading.main_thread()

    on_trio(main)
    assert len(set(threads)) == 2
    assert not threads[0].is_alive()


def test_on_asyncio_the_host_is_the_loop_that_runs() -> None:
    """Calls are awaited as they are, and managers entered as they are."""

    async def where() -> Any:
        return asyncio.current_task()

    async def main() -> None:
        async with asyncio_host() as host:
            assert await host.run(where) is asyncio.current_task()
            manager = Scoped()
            assert host.open(manager) is manager
            async with host.open(manager):
                pass

    asyncio.run(main())


def test_nothing_is_left_of_many_calls() -> None:
    """No task, neither trio's nor asyncio's."""

    async def main() -> None:
        async with asyncio_host() as host:
            await host.run(asyncio.sleep, 0)
            await trio.testing.wait_all_tasks_blocked()
            before = trio.lowlevel.current_statistics().tasks_living
            async with trio.open_nursery() as nursery:
                for n in range(300):
                    nursery.start_soon(host.run, asyncio.sleep, n % 3 / 1000)
            assert trio.lowlevel.current_statistics().tasks_living == before
            assert hosted_tasks() == set()

    on_trio(main)
