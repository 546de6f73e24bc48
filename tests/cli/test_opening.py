"""Graphs that context managers open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from anyiostream import GraphWriter, open_run
from anyiostream.cli.loading import BrokenModule, UsageError
from anyiostream.cli.opening import opened

pytestmark = pytest.mark.anyio


class Connection:
    """What belongs to asyncio's loop, and to the task that has opened it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task = asyncio.current_task()
        self.closed = False

    def close(self) -> None:
        """Close it where it was opened."""
        assert (asyncio.get_running_loop(), asyncio.current_task()) == (self.loop, self.task)
        self.closed = True


@asynccontextmanager
async def connected(made: list[Connection]) -> AsyncGenerator[Any]:
    """A graph that needs a connection, and task groups around it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        connection = Connection()
        made.append(connection)

        async def graph(given: Any, writer: GraphWriter) -> Any:
            assert not connection.closed
            return given

        try:
            yield graph
        finally:
            connection.close()
            tasks.cancel_scope.cancel()


async def test_a_graph_is_open_in_the_block() -> None:
    """On asyncio, whatever the program runs on; the others are as they were."""
    made: list[Connection] = []
    async with opened({"a": connected(made), "b": [1], "c": connected(made)}) as graphs:
        assert list(graphs) == ["a", "b", "c"]
        assert graphs["b"] == [1]
        for name in "ac":
            async with open_run(graphs[name], 5) as run:
                assert await run.output() == 5
        assert [each.closed for each in made] == [False, False]
    assert [each.closed for each in made] == [True, True]


async def test_what_cannot_be_opened() -> None:
    """It is said by the graph's name, and what was opened before it is closed."""
    made: list[Connection] = []

    @asynccontextmanager
    async def broken() -> AsyncGenerator[Any]:
        raise OSError("the database is away")
        yield

    @asynccontextmanager
    async def nothing() -> AsyncGenerator[Any]:
        yield None

    with pytest.raises(BrokenModule, match=r"(?s)^opening b fails:.*OSError: the database is away$"):
        async with opened({"a": connected(made), "b": broken()}):
            pytest.fail("it was opened")
    assert made[0].closed
    with pytest.raises(UsageError, match=r"^n opens a NoneType, which is not a graph"):
        async with opened({"n": nothing()}):
            pytest.fail("it was opened")
    with pytest.raises(UsageError, match=r"^the address is taken$"):
        async with opened({"a": connected(made), "b": connected(made)}):
            raise UsageError("the address is taken")
    assert all(each.closed for each in made)
