"""Graphs, and how to run a program over one, for all properties."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from anyiostream import CustomTransformer, GraphWriter, UpdatesTransformer, parts

from ..waiting import PATIENCE


class Kit:
    """What the properties share."""

    transformers = (CustomTransformer, UpdatesTransformer)
    """What is registered, so that all projections named here exist."""

    @staticmethod
    def script(kinds: Iterable[str]) -> list[Any]:
        """One part of each kind, numbered in order."""
        return [getattr(parts, kind)(number) for number, kind in enumerate(kinds)]

    @staticmethod
    def graph(kind: str, script: Sequence[Any], *, error: Exception | None = None) -> Any:
        """A graph that gives these parts, and then raises `error` if there is one.

        Args:
            kind: `"iterable"`, `"generator"`, `"async generator"` or `"function"`.
            script: The parts.
            error: What it raises in the end.
        """

        def generator(_: Any = None) -> Iterator[Any]:
            yield from script
            if error is not None:
                raise error

        async def async_generator(_: Any) -> AsyncIterator[Any]:
            for number, part in enumerate(script):
                if number % 3 == 1:
                    await checkpoint()
                yield part
            if error is not None:
                raise error

        async def function(_: Any, writer: GraphWriter) -> None:
            for part in script:
                await writer.part(part)
            if error is not None:
                raise error

        return {
            "iterable": script if error is None else generator,
            "generator": generator,
            "async generator": async_generator,
            "function": function,
        }[kind]

    @staticmethod
    def expected(script: Sequence[Any], name: str) -> list[Any]:
        """What a reader of the projection `name`, or of the raw log (`"events"`), has to get."""
        if name == "events":
            return [(number + 1, part["type"], part["data"]) for number, part in enumerate(script)]
        return [part["data"] for part in script if part["type"] == name]

    @staticmethod
    def plain(name: str, item: Any) -> Any:
        """An item in the form of `expected`."""
        return (item["seq"], item["method"], item["params"]["data"]) if name == "events" else item

    @staticmethod
    def channel(run: Any, name: str) -> Any:
        """What to iterate, on either lane."""
        return run if name == "events" else run.extensions[name]

    @classmethod
    def branches(cls, run: Any, name: str, count: int) -> Sequence[Any]:
        """So many cursors of the async lane over one projection; the raw log has but one."""
        channel = cls.channel(run, name)
        return [aiter(channel)] if count == 1 else channel.atee(count)

    @staticmethod
    async def pause(count: int) -> None:
        """Let the others run, `count` times."""
        for _ in range(count):
            await checkpoint()

    @staticmethod
    def pauses(plan: Sequence[int]) -> Iterator[int]:
        """The plan, over and over."""
        return itertools.cycle(plan or (0,))

    @staticmethod
    def run(program: Callable[[], Awaitable[Any]], backend: str) -> Any:
        """Run a program on an event loop. A watchdog in another task cancels it if it hangs.

        It has no deadline of its own: to a run, a task with a deadline is one that will leave by itself.
        """

        async def main() -> Any:
            result: list[Any] = []

            async def watchdog() -> None:
                await anyio.sleep(PATIENCE)
                tasks.cancel_scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watchdog)
                result.append(await program())
                tasks.cancel_scope.cancel()
            assert result, "the program hangs"
            return result[0]

        return anyio.run(main, backend=backend)


@pytest.fixture(scope="session")
def kit() -> type[Kit]:
    """What the properties share."""
    return Kit


@pytest.fixture(params=["asyncio", "trio"], scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """Each property of the async lane holds on both event loops."""
    return str(request.param)
