"""Advancing an async iterable in a task of its own."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Protocol, final

from anyiostream.source import readable
from anyiostream.sources.inbox import Gate, Parking

__all__ = ["IteratorHost", "PartReceiver", "consists_of"]


class PartReceiver(Protocol):
    """Where the parts go."""

    def put(self, part: Any) -> None:
        """Take a part."""

    def end(self, error: BaseException | None) -> None:
        """The iterable has come to its end."""


class HostLoop(Parking, Protocol):
    """The loop that the task runs on."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether it is the loop's cancellation exception."""
        ...


@final
class IteratorHost:
    """Advances and closes one async iterable, in one task.

    So an async generator may hold cancel scopes, task groups and context variables across its yields, and a reader's
    cancellation does not reach it.

    Attributes:
        advancing: Whether the iterable is at work right now, so that stopping it means cancelling the task.
        late_error: What the iterable raised when it was stopped, other than being cancelled.
    """

    __slots__ = ("_gate", "_name", "_open", "_receiver", "advancing", "late_error")

    def __init__(
        self, open_iterable: Callable[[], AsyncIterable[Any]], name: str, gate: Gate, to: PartReceiver
    ) -> None:
        self._open = open_iterable
        self._name = name
        self._gate = gate
        self._receiver = to
        self.advancing = False
        self.late_error: BaseException | None = None

    async def run(self, loop: HostLoop) -> None:
        """Advance the iterable whenever the gate permits, until it ends or is to stop, and close it."""
        gate, put = self._gate, self._receiver.put
        iterator: AsyncIterator[Any] | None = None
        error: BaseException | None = None
        try:
            # Asking for permission costs a coroutine; most parts of a burst need not.
            if gate.open or await gate.permission(loop):
                self.advancing = True
                iterator = aiter(self._open())
                async for part in _Opened(iterator):
                    self.advancing = False
                    put(part)
                    if not (gate.open or await gate.permission(loop)):
                        break
                    self.advancing = True
        except BaseException as exc:  # noqa: BLE001 -- handed to the receiver, or kept as `late_error`
            error = exc
        self.advancing = False
        closing = await _close(iterator)
        if self._gate.stopped:
            # The run is over. Being cancelled is what was asked for; anything else is for those who leave the block.
            self.late_error = closing or (None if error is None or consists_of(error, loop.is_cancellation) else error)
            self._receiver.end(None)
        elif error is not None and consists_of(error, loop.is_cancellation):
            self._receiver.end(readable(error, self._name))
        else:
            self._receiver.end(error or closing)


@final
class _Opened:
    """Lets `async for` have an iterator as it is: one need not be an iterable, too."""

    __slots__ = ("_iterator",)

    def __init__(self, iterator: AsyncIterator[Any]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterator


async def _close(iterator: AsyncIterator[Any] | None) -> BaseException | None:
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        try:
            await aclose()
        except BaseException as exc:  # noqa: BLE001 -- reported by the caller
            # A task group that the generator holds across its yield wraps what closes it.
            return None if consists_of(exc, lambda each: isinstance(each, GeneratorExit)) else exc
    return None


def consists_of(error: BaseException, expected: Callable[[BaseException], bool]) -> bool:
    """Whether `error` is expected, or a group of errors that all are."""
    if isinstance(error, BaseExceptionGroup):
        return all(consists_of(each, expected) for each in error.exceptions)
    return expected(error)
