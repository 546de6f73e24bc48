"""`asyncio_host`: the asyncio loop of a program, for what needs one: on asyncio the loop itself, on trio one beside it.

Rules:

- A trio program has at most one asyncio loop in its own thread, and one in another thread. Each begins with its first
  use and ends with trio's run, so that whatever belongs to a loop outlives the runs that use it.
- Which of the two is used depends on the context: that of the innermost `asyncio_host` block, or else the one in trio's
  thread, where the operating system allows that.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar, TypeVarTuple, final

from anyiostream.loops import on_trio
from anyiostream.loops.interface import AsyncioHost

__all__ = ["asyncio_host"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@final
class OwnLoop(AsyncioHost):
    """The program runs on asyncio."""

    async def run(self, async_fn: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> T:
        """Await it."""
        return await async_fn(*args)

    def open(self, manager: AbstractAsyncContextManager[T]) -> AbstractAsyncContextManager[T]:
        """`manager` itself."""
        return manager


@asynccontextmanager
async def asyncio_host(*, thread: bool = False) -> AsyncGenerator[AsyncioHost]:
    """The asyncio loop of the program, for what is opened in the block: an asynchronous context manager.

    `async with asyncio_host() as host:`. LangGraph graphs find their loop without it, the same one. The block is for
    what the program itself does there, with `host.run` and `host.open`, and for `thread`. On asyncio it does nothing,
    and `host` is the loop that runs.

    The loop does not end with the block, but with the program.

    ```python
    import asyncio

    import trio

    from anyiostream import asyncio_host


    async def main() -> None:
        async with asyncio_host() as host:
            assert await host.run(asyncio.sleep, 0, "slept on asyncio") == "slept on asyncio"


    trio.run(main)
    ```

    Args:
        thread: On trio, use a loop in a separate thread, also for graphs whose runs are opened in the block: for nodes
            that block without awaiting anything, which would hold trio up as they would asyncio. It costs a change of
            threads for each batch of parts.
    """
    if not on_trio():
        yield OwnLoop()
        return
    from anyiostream.loops.trio_host import open_host  # noqa: PLC0415 -- trio only where it runs

    async with open_host(thread=thread) as host:
        yield host
