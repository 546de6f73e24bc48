"""The task that awaits hooks stops when the run does, and keeps nobody waiting."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream import RunAborted, StreamTransformer, open_run, parts
from anyiostream.testing import at_turn, run_seeded


class Waiting(StreamTransformer):
    """Has a hook that waits."""

    def init(self) -> dict[str, Any]:
        return {}

    async def aprocess(self, event: Any) -> bool:
        await checkpoint()
        return True


class Scheduling(StreamTransformer):
    """May schedule work, so that a subgraph's end may have to wait."""

    requires_async = True

    def init(self) -> dict[str, Any]:
        return {}

    def process(self, event: Any) -> bool:
        return True


async def nesting(_: Any) -> AsyncIterator[Any]:
    """Snapshots, and a subgraph between them."""
    yield parts.values(0)
    await checkpoint()
    yield parts.task_start("1", "sub", ns=("sub:1",))
    await checkpoint()
    yield parts.task_result("1", "sub")
    await checkpoint()
    yield parts.values(2)


@contextlib.asynccontextmanager
async def aborting(run: Any, turn: int) -> AsyncIterator[anyio.abc.TaskGroup]:
    """Abort a run at a turn of the loop, or at the end of the block, in a task beside those of the block."""
    alarm = anyio.Event()

    async def abort() -> None:
        await alarm.wait()
        await run.abort()

    async with anyio.create_task_group() as tasks:
        at_turn(turn, alarm.set)
        tasks.start_soon(abort)
        yield tasks
        alarm.set()


async def aborted_at(turn: int) -> tuple[str, Any]:
    """Abort a run at a turn of the loop; its status and output."""
    async with open_run(nesting, transformers=[Scheduling]) as run:
        async with aborting(run, turn):
            async for _ in run.values:
                pass
        try:
            return run.status, await run.output()
        except RunAborted as aborted:
            return run.status, type(aborted)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", range(10))
def test_an_abort_while_an_event_is_awaited_is_no_completion(backend: Any, seed: int) -> None:
    """Whichever turn it comes in: the run is aborted, or had completed with its last state."""
    outcomes = {run_seeded(aborted_at, turn, backend=backend, seed=seed) for turn in range(1, 30)}
    assert outcomes == {("aborted", RunAborted), ("completed", 2)}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", range(10))
def test_control_flow_reaches_all_readers_where_hooks_wait(error: type[BaseException], backend: Any, seed: int) -> None:
    """Whoever meets it, a reader or the run's own task: it ends the run as its error, and nobody is left waiting."""

    async def graph(_: Any) -> AsyncIterator[Any]:
        yield parts.values(1)
        await checkpoint()
        raise error

    async def main() -> tuple[list[type[BaseException]], str]:
        got: list[type[BaseException]] = []

        async def read(what: Any) -> None:
            try:
                await what()
            except (KeyboardInterrupt, SystemExit) as exc:
                got.append(type(exc))

        async with open_run(graph, transformers=[Waiting]) as run:
            cursors = [aiter(run.values), aiter(run)]

            async def drain(cursor: Any) -> None:
                async for _ in cursor:
                    pass

            async with anyio.create_task_group() as tasks:
                for cursor in cursors:
                    tasks.start_soon(read, lambda cursor=cursor: drain(cursor))
                tasks.start_soon(read, run.output)
        return got, run.status

    assert run_seeded(main, backend=backend, seed=seed) == ([error] * 3, "failed")


class Finishing(StreamTransformer):
    """Has terminal hooks that wait, and takes note of them."""

    endings: list[tuple[tuple[str, ...], str]]

    def init(self) -> dict[str, Any]:
        return {}

    def process(self, event: Any) -> bool:
        return True

    async def afinalize(self) -> None:
        self.endings.append((self.scope, "finalize"))
        await checkpoint()
        await checkpoint()

    async def afail(self, err: BaseException) -> None:
        self.endings.append((self.scope, "fail"))
        await checkpoint()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("seed", range(10))
def test_an_abort_while_a_subgraph_ends_leaves_no_reader_of_its_handle(backend: Any, seed: int) -> None:
    """Whichever turn it comes in: its cursors end, its output comes or raises, and its hooks are called once."""

    async def main(turn: int) -> tuple[list[str], list[tuple[tuple[str, ...], str]]]:
        ended: list[str] = []

        class Noting(Finishing):
            endings: list[tuple[tuple[str, ...], str]] = []  # noqa: RUF012 -- one per program

        async def follow(handle: Any, cursor: Any) -> None:
            async for _ in cursor:
                pass
            with contextlib.suppress(RunAborted):
                await handle.output()
            ended.append(handle.status)

        async with open_run(nesting, transformers=[Noting]) as run, aborting(run, turn) as tasks:
            async for handle in run.subgraphs:
                tasks.start_soon(follow, handle, aiter(handle.values))
                ended.append("began")
        return ended, Noting.endings

    for turn in range(1, 30):
        ended, endings = run_seeded(main, turn, backend=backend, seed=seed)
        assert ended in ([], ["began", "aborted"], ["began", "completed"])
        assert sorted(scope for scope, _ in endings) == ([(), ("sub:1",)] if ended else [()])
