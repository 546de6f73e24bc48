"""The lanes behind one interface: asyncio, uvloop, trio, and the sync lane, where nothing ever suspends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from anyiostream import open_run

__all__ = ["LOOPS", "AsyncLane", "SyncLane"]


class AsyncLane:
    """The async lane, on one event loop."""

    is_async = True

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    def open(self, graph: Any, given: Any = None, **options: Any) -> Any:
        """The run's block."""
        return open_run(graph, given, **options)

    def source(self, script: Iterable[Any]) -> Any:
        """A graph that produces the script's parts, and suspends before each; an exception in it is raised."""

        async def generate() -> AsyncIterator[Any]:
            for part in script:
                await anyio.lowlevel.checkpoint()
                if isinstance(part, BaseException):
                    raise part
                yield part

        return generate()

    def cursor(self, channel: Any) -> Any:
        """A new cursor."""
        return aiter(channel)

    async def next(self, cursor: Any) -> Any:
        """The cursor's next item."""
        return await anext(cursor)

    async def collect(self, channel: Any) -> list[Any]:
        """Everything from now on."""
        return [item async for item in channel]

    async def output(self, run: Any) -> Any:
        """The run's output."""
        return await run.output()

    async def interrupts(self, run: Any) -> Any:
        """The run's interrupts."""
        return await run.interrupts()

    async def interrupted(self, run: Any) -> Any:
        """Whether the run is interrupted."""
        return await run.interrupted()

    async def abort(self, run: Any) -> None:
        """Abort the run."""
        await run.abort()

    def tee(self, channel: Any, n: int) -> Any:
        """Branches of a channel, or of a raw log."""
        return channel.atee(n)

    async def text(self, message: Any) -> str:
        """The text of a message."""
        return await message.text


class SyncLane:
    """The sync lane, behind the interface of the async one."""

    is_async = False
    backend = ("asyncio", {"debug": True})

    @asynccontextmanager
    async def open(self, graph: Any, given: Any = None, **options: Any) -> AsyncIterator[Any]:
        """The run's block."""
        with open_run(graph, given, **options) as run:
            yield run

    def source(self, script: Iterable[Any]) -> Any:
        """A graph that produces the script's parts; an exception in it is raised."""

        def generate() -> Any:
            for part in script:
                if isinstance(part, BaseException):
                    raise part
                yield part

        return generate()

    def cursor(self, channel: Any) -> Any:
        """A new cursor."""
        return iter(channel)

    async def next(self, cursor: Any) -> Any:
        """The cursor's next item; `StopAsyncIteration` at its end."""
        try:
            return next(cursor)
        except StopIteration:
            raise StopAsyncIteration from None

    async def collect(self, channel: Any) -> list[Any]:
        """Everything from now on."""
        return list(channel)

    async def output(self, run: Any) -> Any:
        """The run's output."""
        return run.output

    async def interrupts(self, run: Any) -> Any:
        """The run's interrupts."""
        return run.interrupts

    async def interrupted(self, run: Any) -> Any:
        """Whether the run is interrupted."""
        return run.interrupted

    async def abort(self, run: Any) -> None:
        """Abort the run."""
        run.abort()

    def tee(self, channel: Any, n: int) -> Any:
        """Branches of a channel, or of a raw log."""
        return channel.tee(n)

    async def text(self, message: Any) -> str:
        """The text of a message."""
        return str(message.text)


LOOPS = {
    "asyncio": AsyncLane(("asyncio", {"debug": True})),
    "uvloop": AsyncLane(("asyncio", {"use_uvloop": True})),
    "trio": AsyncLane(("trio", {})),
}
"""The async lane on each event loop."""
