"""What the async lane's methods return: a coroutine that minds being forgotten."""

from __future__ import annotations

import asyncio
import gc
import inspect
import warnings
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest
import trio

from anyiostream import open_run, parts
from anyiostream.errors import NotAwaited, NotAwaitedWarning

from ..waiting import PATIENCE

SCRIPT = [parts.values({"n": 1}), parts.values({"n": 2})]


@pytest.mark.anyio
async def test_it_is_a_coroutine() -> None:
    """It may be awaited, or started in a task group by either loop."""
    async with open_run(SCRIPT) as run:
        pending = run.output()
        assert isinstance(pending, Coroutine) is True
        assert await pending == {"n": 2}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.output)
            tasks.start_soon(run.abort)


def test_asyncio_takes_it_where_it_takes_coroutines() -> None:
    """`create_task`, `gather` and `wait_for`."""

    async def main() -> None:
        async with open_run(SCRIPT) as run:
            assert await asyncio.create_task(run.output()) == {"n": 2}
            assert await asyncio.wait_for(run.output(), PATIENCE) == {"n": 2}
            assert await asyncio.gather(run.interrupted(), run.interrupts()) == [False, []]
            cancelled = asyncio.create_task(run.output())
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled

    asyncio.run(main(), debug=True)


def test_trio_takes_it_where_it_takes_async_functions() -> None:
    """`trio.run` and nurseries."""

    async def main() -> None:
        async with open_run(SCRIPT) as run, trio.open_nursery() as nursery:
            nursery.start_soon(run.output)
            assert await run.output() == {"n": 2}

    trio.run(main)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "use",
    [
        bool,
        len,
        list,
        lambda pending: pending["n"],
        lambda pending: "n" in pending,
        lambda pending: pending == {"n": 2},
        lambda pending: pending != {"n": 2},
        lambda pending: pending.items(),
        lambda pending: pending + 1,
        lambda pending: pending > 1,
    ],
    ids=["bool", "len", "list", "item", "in", "==", "!=", "attribute", "+", ">"],
)
async def test_using_it_as_the_result_raises(use: Any) -> None:
    """And does not warn on top of that."""
    async with open_run(SCRIPT) as run:
        with pytest.raises(NotAwaited, match=r"write `await run\.output\(\)`"):
            use(run.output())
        gc.collect()


@pytest.mark.anyio
async def test_a_dropped_one_warns_at_its_line() -> None:
    """The warning's file and line are those of the call."""
    async with open_run(SCRIPT) as run:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
            run.interrupted()
            gc.collect()
    (warning,) = caught
    assert (warning.category, warning.filename, warning.lineno) == (NotAwaitedWarning, __file__, line)
    assert "await run.interrupted()" in str(warning.message)


@pytest.mark.anyio
async def test_closing_one_is_no_mistake() -> None:
    """As with coroutines: whoever closes it knows that it was not awaited."""
    async with open_run(SCRIPT) as run:
        pending = run.output()
        assert "run.output(), not awaited yet" in repr(pending)
        pending.close()
        with pytest.raises(RuntimeError, match="closed before"):
            await pending
        del pending
        gc.collect()


@pytest.mark.anyio
async def test_it_is_awaited_once() -> None:
    """As coroutines are."""
    async with open_run(SCRIPT) as run:
        pending = run.output()
        assert await pending == {"n": 2}
        with pytest.raises(RuntimeError):
            await pending


@pytest.mark.anyio
async def test_it_is_equal_to_itself_only() -> None:
    """So that it may sit in lists and sets."""
    async with open_run(SCRIPT) as run:
        pending = run.output()
        assert {pending: 1}[pending] == [pending].count(pending) == 1
        assert await pending == {"n": 2}
