"""One face for both lanes: what tests do to a run is written once, and done on the sync lane and on each event loop.

On the sync lane no method suspends, so a test can run there with no event loop at all (`drive`).
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Final, Literal, TypeVar

import attrs

from anyiostream import open_run

from .scripts import Script

__all__ = ["ASYNC_LANE", "BACKENDS", "LOOPS", "SYNC_LANE", "Lane", "drive"]

T = TypeVar("T")

BACKENDS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "asyncio": ("asyncio", {"debug": True}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


@attrs.frozen
class Lane:
    """A lane.

    Attributes:
        lane: `"sync"`, an event loop, or `"async"`: the loop that the test runs on.
    """

    lane: Literal["sync", "async", "asyncio", "uvloop", "trio"]

    def __str__(self) -> str:
        return self.lane

    @property
    def is_async(self) -> bool:
        """Whether it is the async lane."""
        return self.lane != "sync"

    @property
    def backend(self) -> tuple[str, dict[str, Any]]:
        """The event loop by name. The sync lane is tried inside asyncio, which it must not notice."""
        return BACKENDS[self.lane if self.is_async else "asyncio"]

    @property
    def fan_out(self) -> str:
        """The method of channels that makes branches."""
        return "atee" if self.is_async else "tee"

    # --- runs ---

    def open(self, graph: Any, *given: Any, **options: Any) -> Any:
        """A run of this package."""
        return self.block(open_run(graph, *given, **options))

    def source(self, script: Script | Iterable[Any]) -> Any:
        """A graph that does what the script says; one that is given as a list of parts waits before each."""
        script = script if isinstance(script, Script) else Script(*script, waits=True)
        return script.agen() if self.is_async else script.gen()

    def block(self, manager: Any) -> Any:
        """A context manager of this lane, to be entered by `async with`."""
        return manager if self.is_async else Entered(manager)

    async def output(self, run: Any) -> Any:
        """The final state of a run, or of a subgraph."""
        return await run.output() if self.is_async else run.output

    async def interrupts(self, run: Any) -> Any:
        """The interrupts that a run waits at."""
        return await run.interrupts() if self.is_async else run.interrupts

    async def interrupted(self, run: Any) -> bool:
        """Whether a run waits for its user."""
        return await run.interrupted() if self.is_async else run.interrupted

    async def abort(self, run: Any) -> None:
        """Stop a run, or a subgraph."""
        if self.is_async:
            await run.abort()
        else:
            run.abort()

    # --- readers ---

    def cursor(self, iterable: Any) -> Any:
        """A new cursor."""
        return aiter(iterable) if self.is_async else iter(iterable)

    def tee(self, channel: Any, n: int, **options: Any) -> Sequence[Any]:
        """Branches of a channel, or of a raw log."""
        branches: Sequence[Any] = getattr(channel, self.fan_out)(n, **options)
        return branches

    async def next(self, cursor: Any) -> Any:
        """The next item; raises `StopAsyncIteration` at the end, on either lane."""
        if self.is_async:
            return await anext(cursor)
        try:
            return next(cursor)
        except StopIteration:
            raise StopAsyncIteration from None

    async def take(self, cursor: Any, count: int) -> list[Any]:
        """The next `count` items."""
        return [await self.next(cursor) for _ in range(count)]

    async def collect(self, iterable: Any) -> list[Any]:
        """Subscribe and read to the end."""
        return [item async for item in iterable] if self.is_async else list(iterable)

    async def leave(self, cursor: Any) -> None:
        """End a subscription early."""
        if self.is_async:
            await cursor.aclose()
        else:
            cursor.close()

    # --- values ---

    async def settle(self, promise: Any) -> Any:
        """The value of a promise, or of a tool call."""
        return await promise if self.is_async else promise.result()

    async def whole(self, projection: Any) -> Any:
        """The final value of a message's text, reasoning or tool calls."""
        return await projection if self.is_async else projection.get()

    async def final(self, message: Any, name: str) -> Any:
        """What a message has at its end: its `"output"` or `"usage"`."""
        value = getattr(message, name)
        return await value if self.is_async else value


class Entered(AbstractAsyncContextManager[T]):
    """A `with` block as an `async with` block that never suspends."""

    def __init__(self, manager: AbstractContextManager[T]) -> None:
        self._manager = manager

    async def __aenter__(self) -> T:
        return self._manager.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self._manager.__exit__(exc_type, exc, traceback)


def drive(program: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that does not suspend, without an event loop."""
    try:
        program.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    program.close()
    raise AssertionError("a program on the sync lane has suspended")


LOOPS: Final = {loop: Lane(loop) for loop in BACKENDS}  # type: ignore[arg-type] -- the keys are the loops' names
"""The async lane on each event loop."""

ASYNC_LANE: Final = Lane("async")
SYNC_LANE: Final = Lane("sync")
