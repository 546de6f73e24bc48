"""The asyncio loops of a trio program, and calls from trio tasks into them. Imported only where trio runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar, TypeVarTuple, final

import trio

from anyiostream.errors import HostClosed, HostedCallCancelled
from anyiostream.foreign import is_cancellation
from anyiostream.loops.asyncio_in_trio import SUPPORTED, AsyncioInTrio
from anyiostream.loops.interface import AsyncioHost
from anyiostream.loops.portal import Portal

__all__ = [
    "TrioHost",
    "close_asyncio",
    "current_asyncio",
    "current_portal",
    "hosted_tasks",
    "in_thread",
    "open_host",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Carrier(Protocol):
    """An asyncio loop beside trio's, and the ways between the two."""

    async def ready(self) -> None:
        """Wait until it runs."""

    def create_task(
        self, run: Callable[[], Coroutine[Any, Any, Any]], name: str, context: Context
    ) -> asyncio.Task[Any]:
        """Start a task, on asyncio's side."""
        ...

    def to_asyncio(self, call: Callable[..., object], *args: Any) -> None:
        """From trio's side, make a call on asyncio's."""

    def to_trio(self, call: Callable[..., object], *args: Any) -> None:
        """From asyncio's side, make a call on trio's."""


_asyncio: Final[trio.lowlevel.RunVar[AsyncioInTrio | None]] = trio.lowlevel.RunVar("anyiostream.asyncio", None)
_portal: Final[trio.lowlevel.RunVar[Portal | None]] = trio.lowlevel.RunVar("anyiostream.portal", None)


_wants_thread: Final[ContextVar[bool]] = ContextVar("anyiostream.wants_thread", default=False)


@asynccontextmanager
async def open_host(*, thread: bool) -> AsyncGenerator[TrioHost]:
    """The loop in a separate thread if `thread`, else the one in trio's; everything opened in the block uses it."""
    before = _wants_thread.get()
    _wants_thread.set(thread)
    try:
        carrier: Carrier = current_portal() if in_thread() else current_asyncio()
        await carrier.ready()
        yield TrioHost(carrier)
    finally:
        _wants_thread.set(before)


def in_thread() -> bool:
    """Whether what is opened here is for the loop in another thread."""
    return _wants_thread.get() or not SUPPORTED


@trio.lowlevel.enable_ki_protection
def current_asyncio() -> AsyncioInTrio:
    """The asyncio loop in the thread of the running trio.

    Raises:
        HostClosed: trio's run ends, and there has been none.
    """
    host = _asyncio.get()
    if host is None:
        host = AsyncioInTrio()
        try:
            host.start()
        except RuntimeError as exc:  # trio starts no more system tasks
            host.discard()
            raise HostClosed("asyncio") from exc
        _asyncio.set(host)
    return host


async def close_asyncio() -> None:
    """Shut the loop in trio's thread down, if there is one, as it is when trio's main task has ended."""
    host = _asyncio.get()
    if host is not None:
        await host.close()


def hosted_tasks() -> set[asyncio.Task[Any]]:
    """The tasks of the loop in trio's thread, if there is one."""
    host = _asyncio.get()
    return set() if host is None else asyncio.all_tasks(host.loop)


def current_portal() -> Portal:
    """The asyncio loop in another thread, of the running trio."""
    portal = _portal.get()
    if portal is None:
        portal = Portal()
        _portal.set(portal)
    return portal


@final
class TrioHost(AsyncioHost):
    """The program runs on trio."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    @trio.lowlevel.enable_ki_protection
    async def run(self, async_fn: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> T:
        """Run it as a task there."""
        await trio.lowlevel.checkpoint_if_cancelled()

        async def call() -> T:
            return await async_fn(*args)

        await self._carrier.ready()
        hosted = HostedCall(self._carrier, call, getattr(async_fn, "__qualname__", repr(async_fn)))
        hosted.begin()
        return await hosted.outcome()

    @asynccontextmanager
    async def open(self, manager: AbstractAsyncContextManager[T]) -> AsyncGenerator[T]:
        """Hold it open in a task there."""
        await self._carrier.ready()
        entered: list[tuple[T, asyncio.Future[Exception | None]]] = []
        is_entered = trio.Event()

        def enter(value: T, leaving: asyncio.Future[Exception | None]) -> None:
            entered.append((value, leaving))
            is_entered.set()

        async def hold() -> None:
            async with manager as value:
                leaving: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
                self._carrier.to_trio(enter, value, leaving)
                error = await leaving
                if error is not None:
                    raise error

        name = type(manager).__qualname__
        call = HostedCall(self._carrier, hold, name)
        error: Exception | None = None
        # Cancelled if `manager` ends before its body.
        with trio.CancelScope() as body:
            call.begin(body.cancel)
            try:
                await is_entered.wait()
                yield entered[0][0]
            except Exception as exc:  # noqa: BLE001 -- raised inside `manager`, which may suppress it
                error = exc
            except BaseException:
                by_itself = call.ended
                call.cancel()
                with trio.CancelScope(shield=True):
                    try:
                        await call.outcome()
                    except HostedCallCancelled:
                        if by_itself:
                            raise
                raise
            with trio.CancelScope(shield=True):
                self._carrier.to_asyncio(_leave, entered[0][1], error)
                await call.outcome()
        if body.cancelled_caught:
            raise HostedCallCancelled(name)


@final
class HostedCall(Generic[T]):
    """One call of an async function on asyncio, for one trio task. Methods are for trio's side, unless they say so.

    Attributes:
        ended: Whether its task has ended.
    """

    def __init__(self, carrier: Carrier, run: Callable[[], Coroutine[Any, Any, T]], name: str) -> None:
        self.ended = False
        self._carrier = carrier
        self._run = run
        self._name = name
        self._context = copy_context()
        self._task: asyncio.Task[T] | None = None
        self._refusal: HostClosed | None = None
        self._on_end: Callable[[], object] | None = None
        self._waiting: trio.lowlevel.Task | None = None
        self._raise_cancel: Callable[[], NoReturn] | None = None

    @trio.lowlevel.enable_ki_protection
    def begin(self, on_end: Callable[[], object] | None = None) -> None:
        """Start the task; call `on_end` when it has ended."""
        self._on_end = on_end
        self._carrier.to_asyncio(self._begin)

    @trio.lowlevel.enable_ki_protection
    def cancel(self) -> None:
        """Cancel the task, once."""
        self._carrier.to_asyncio(self._cancel)

    @trio.lowlevel.enable_ki_protection
    async def outcome(self) -> T:
        """Wait until the task has ended, whatever happens, and cancel it if the caller is cancelled.

        Returns:
            What it returned.

        Raises:
            HostedCallCancelled: It was cancelled, and the caller was not.
            BaseException: What it raised.
        """
        if not self.ended:
            self._waiting = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        if self._refusal is not None:
            raise self._refusal
        assert self._task is not None
        try:
            return self._task.result()
        except BaseException as exc:
            if not is_cancellation(exc):
                raise
            if self._raise_cancel is not None:
                self._raise_cancel()
            raise HostedCallCancelled(self._name) from exc

    def _abort(self, raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        self.cancel()
        return trio.lowlevel.Abort.FAILED

    def _end(self) -> None:
        self.ended = True
        if self._on_end is not None:
            self._on_end()
        if self._waiting is not None:
            trio.lowlevel.reschedule(self._waiting)

    # --- on asyncio's side ---

    def _begin(self) -> None:
        try:
            self._task = self._carrier.create_task(self._run, self._name, self._context)
        except HostClosed as exc:
            self._refusal = exc
            self._carrier.to_trio(self._end)
        else:
            self._task.add_done_callback(lambda _: self._carrier.to_trio(self._end))

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _leave(leaving: asyncio.Future[Exception | None], error: Exception | None) -> None:
    if not leaving.done():
        leaving.set_result(error)
