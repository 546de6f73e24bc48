"""Sources that are iterables of parts."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final, final

from anyiostream.driver.hosting import Host
from anyiostream.events import Namespace
from anyiostream.foreign import consists_of
from anyiostream.projections.messages.assembling import assemble_chat_message
from anyiostream.projections.messages.record import Assembler
from anyiostream.source import END
from anyiostream.sources.drains import RequestDrain, ask
from anyiostream.sources.gate import Gate
from anyiostream.sources.hosted import HostLoop, Receiver

__all__ = ["IterableSource", "IteratorRoutine"]


def _nothing_more() -> None:
    """The outcome of an iterable that has no other."""


@final
class IterableSource:
    """An iterable, advanced by whoever needs a part. It never waits, so it serves both lanes."""

    spawns = False
    has_part = True
    never_waits = True
    read_ahead = 0

    def __init__(
        self,
        iterable: Iterable[Any],
        name: str,
        assemble: Assembler = assemble_chat_message,
        request_drain: RequestDrain | None = None,
    ) -> None:
        iterator = iter(iterable)
        self.name = name
        self._request_drain = request_drain
        self.assemble_message = assemble
        self.at_hand: Final[deque[Any]] = deque()
        self.pull: Callable[[], Any] = partial(next, iterator, END)
        self._close: Callable[[], object] | None = getattr(iterator, "close", None)
        self._closing_error: BaseException | None = None

    def start(self, host: Host) -> None:
        """Nothing runs by itself."""

    def demand(self) -> None:
        """There is always something."""

    def request_drain(self, reason: str) -> None:
        """Ask the graph to stop at the end of its step; an iterable that is no graph's stream has none."""
        ask(self._request_drain, self.name, reason)

    def abort_subgraph(self, namespace: Namespace) -> bool:  # noqa: ARG002 -- a source's method
        """Not possible: the iterable knows nothing of subgraphs."""
        return False

    def stop(self) -> None:
        """Close the iterator, if it can be closed."""
        try:
            self.close_now()
        except Exception as exc:  # noqa: BLE001 -- raised by close()
            self._closing_error = exc

    def stop_again(self) -> None:
        """It has stopped."""

    def close_now(self) -> None:
        """Close the iterator, once."""
        close, self._close = self._close, None
        if close is not None:
            close()

    async def close(self) -> None:
        """Raise what closing raised."""
        error, self._closing_error = self._closing_error, None
        if error is not None:
            raise error


class IteratorRoutine:
    """An async iterable."""

    __slots__ = ("_gate", "_iterator", "_open", "_outcome")

    def __init__(
        self,
        open_iterable: Callable[[], AsyncIterable[Any]],
        outcome: Callable[[], BaseException | None] = _nothing_more,
    ) -> None:
        self._open = open_iterable
        self._iterator: AsyncIterator[Any] | None = None
        self._outcome = outcome
        self._gate: Gate | None = None

    @property
    def advancing(self) -> bool:
        """Whether the iterable is at work right now."""
        # Asked for once a run; to keep it up to date, as a flag, took four opcodes of each part.
        return self._gate is not None and not self._gate.pausing

    def produce(self, receiver: Receiver, gate: Gate, loop: HostLoop) -> Coroutine[Any, Any, None]:
        """Advance the iterable whenever the gate permits, until it ends or has to stop."""
        self._gate = gate
        # Not awaited here: every part that is waited for would pass through one coroutine more, 3 % on uvloop.
        return self._advance(receiver, gate, loop)

    async def _advance(self, receiver: Receiver, gate: Gate, loop: HostLoop) -> None:
        if not (gate.open or await gate.permission(loop)):
            return
        put = receiver.put
        async for part in self._opened():
            # Asking for permission costs a coroutine; most parts of a burst need not ask.
            if not (put(part) or await gate.permission(loop)):
                break

    def _opened(self) -> AsyncIterable[Any]:
        self._iterator = iterator = aiter(self._open())
        return iterator if hasattr(iterator, "__aiter__") else _Opened(iterator)

    def outcome(self) -> BaseException | None:
        """The error of a graph that has come to its natural end, if it has one."""
        return self._outcome()

    async def close(self) -> BaseException | None:
        """Close the iterator, if it can be closed; what that raised."""
        self._gate = None
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            try:
                await aclose()
            except BaseException as exc:  # noqa: BLE001 -- reported by the caller
                # A task group that the generator holds across its yield wraps what closes it.
                return None if consists_of(exc, lambda each: isinstance(each, GeneratorExit)) else exc
        return None

    def abort_subgraph(self, namespace: Namespace) -> bool:  # noqa: ARG002 -- a routine's method
        """Not possible: the graph runs as a whole."""
        return False


@final
class _Opened:
    """Lets `async for` use an iterator that is not itself an iterable."""

    __slots__ = ("_iterator",)

    def __init__(self, iterator: AsyncIterator[Any]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterator
