"""`Promise`: a projection for one final value."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, Protocol, TypeVar, final

from anyiostream.channels.latch import Awaited, Latch
from anyiostream.channels.raising import Recorded
from anyiostream.errors import AlreadyBound, ChannelUnbound, PromiseUnresolved, WrongLane

__all__ = ["Promise", "PromisePort"]

T = TypeVar("T")


class PromisePort(Protocol):
    """What a promise needs of the mux that registered it."""

    @property
    def is_async(self) -> bool:
        """Whether it is the async lane."""
        ...

    async def until(self, target: Awaited) -> None:
        """Run the graph until `target` is ready, on the async lane."""

    def drive(self, target: Awaited) -> None:
        """Run the graph until `target` is ready, or nothing more can happen, on the sync lane."""

    def deliver(self, failure: Recorded) -> BaseException:
        """The exception to raise for a reader."""
        ...


@final
class Promise(Generic[T]):
    """A value that a transformer knows only later, at the run's end at the latest.

    Waiting for it is demand like any other: `await promise` on the async lane, `promise.result()` on the sync one.
    Any number of tasks may wait, any number of times. The mux rejects it with the run's error; if the run ends well
    without a value, waiting raises `PromiseUnresolved`.
    """

    __slots__ = ("_label", "_latch", "_outcome", "_port")

    def __init__(self) -> None:
        self._label = "the promise"
        self._latch = Latch(self._label)
        self._port: PromisePort | None = None
        self._outcome: T | Recorded | None = None

    def __repr__(self) -> str:
        return f"<{self._label}, {'settled' if self.done else 'pending'}>"

    @property
    def done(self) -> bool:
        """Whether it has a value or an error."""
        return bool(self._latch.ready)

    def resolve(self, value: T) -> None:
        """Give it its value and wake all that wait. The first settlement counts; later ones are ignored."""
        if not self._latch.ready:
            self._outcome = value
            self._latch.open()

    def reject(self, error: BaseException) -> None:
        """Make waiting raise `error`. The first settlement counts; later ones are ignored."""
        if not self._latch.ready:
            self._outcome = Recorded.of(error)
            self._latch.open()

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait on the async lane. A checkpoint only if it has to wait.

        Raises:
            ChannelUnbound, WrongLane: It belongs to no run, or to one on the sync lane.
            PromiseUnresolved: The run has ended well without a value.
            BaseException: What it was rejected with.
        """
        return self._wait().__await__()

    def result(self) -> T:
        """Run the graph on the sync lane as far as needed, and return the value.

        Raises:
            BaseException: As for `await`.
        """
        port = self._bound_port()
        if port.is_async:
            raise WrongLane(self._label, "async", "use `await promise` instead.")
        if not self._latch.ready:
            port.drive(self._latch)
        return self._settled()

    def bind(self, port: PromisePort, label: str) -> None:
        """Join a run. Called by the mux at registration.

        Raises:
            AlreadyBound: It has joined one before.
        """
        if self._port is not None:
            raise AlreadyBound(self._label)
        self._port = port
        self._label = f"promise {label!r}"
        self._latch.name = self._label

    def close(self) -> None:
        """The run has ended well. Called by the mux."""
        self.reject(PromiseUnresolved(self._label))

    def fail(self, error: BaseException) -> None:
        """The run has ended with `error`. Called by the mux."""
        self.reject(error)

    async def _wait(self) -> T:
        port = self._bound_port()
        if not port.is_async:
            raise WrongLane(self._label, "sync", "use `promise.result()` instead.")
        if not self._latch.ready:
            await port.until(self._latch)
        return self._settled()

    def _settled(self) -> T:
        outcome = self._outcome
        if isinstance(outcome, Recorded):
            raise self._bound_port().deliver(outcome)
        if not self._latch.ready:
            raise PromiseUnresolved(self._label)
        return outcome  # type: ignore[return-value]  # None only if T allows it

    def _bound_port(self) -> PromisePort:
        if self._port is None:
            raise ChannelUnbound(self._label)
        return self._port
