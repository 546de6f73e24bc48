"""`Portal`: an asyncio loop in a separate thread, beside a trio program. Imported only where trio runs.

It begins with its first use and ends with trio's run, as `AsyncioInTrio` does, so that what belongs to the loop
outlives the runs that use it. It is for systems where asyncio cannot run in trio's thread, and for nodes that block.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, final

import anyio.from_thread
import sniffio
import trio

from anyiostream.errors import HostClosed

__all__ = ["Portal"]


@final
class Portal:
    """The asyncio thread of one trio run.

    ```python
    import threading

    import trio

    from anyiostream.loops.portal import Portal


    async def main() -> None:
        portal, done, threads = Portal(), trio.Event(), []

        def call() -> None:
            threads.append(threading.get_ident())
            portal.to_trio(done.set)

        await portal.ready()
        portal.to_asyncio(call)
        await done.wait()
        assert threads != [threading.get_ident()]


    trio.run(main)
    ```
    """

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._lock = trio.Lock()
        self._manager: AbstractContextManager[anyio.from_thread.BlockingPortal] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False

    @trio.lowlevel.enable_ki_protection
    async def ready(self) -> None:
        """Ensure that the thread is running. Waits for it even if cancelled.

        Raises:
            HostClosed: trio's run ends.
        """
        with trio.CancelScope(shield=True):
            async with self._lock:
                if self._ended:
                    raise HostClosed("asyncio's thread")
                if self._loop is None:
                    trio.lowlevel.spawn_system_task(self._live, name="anyiostream asyncio portal")
                    self._loop = await trio.to_thread.run_sync(self._start)

    def create_task(
        self, run: Callable[[], Coroutine[Any, Any, Any]], name: str, context: Context
    ) -> asyncio.Task[Any]:
        """Start a task on the loop, in a copy of `context`; in its thread."""
        assert self._loop is not None
        context = context.copy()
        # AnyIO has set this to trio, if it runs the program. Unset, it does not mislead threads of the loop's, either.
        context.run(sniffio.current_async_library_cvar.set, None)
        return self._loop.create_task(run(), name=name, context=context)

    def to_asyncio(self, call: Callable[..., object], *args: Any) -> None:
        """Make a call in the loop's thread, if that has not ended."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # it has: then so has everything that runs there
            self._loop.call_soon_threadsafe(call, *args)

    def to_trio(self, call: Callable[..., object], *args: Any) -> None:
        """Make a call in trio's thread."""
        self._token.run_sync_soon(call, *args)

    @trio.lowlevel.enable_ki_protection
    async def _live(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                async with self._lock:
                    self._ended = True
                    if self._manager is not None:
                        await trio.to_thread.run_sync(self._stop)

    def _start(self) -> asyncio.AbstractEventLoop:
        self._manager = anyio.from_thread.start_blocking_portal("asyncio", name="anyiostream asyncio portal")
        portal = self._manager.__enter__()
        return portal.call(asyncio.get_running_loop)

    def _stop(self) -> None:
        assert self._manager is not None
        self._manager.__exit__(None, None, None)
