"""`Promise`: a projection for one final value."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar, final

from anyiostream.channels.latch import Latch
from anyiostream.channels.port import Port, on_async_lane, on_sync_lane
from anyiostream.errors import AlreadyBound, ChannelUnbound, PromiseUnresolved, WrongLane
from anyiostream.outcome import Outcome

__all__ = ["Promise"]

T = TypeVar("T")


@final
class Promise(Generic[T]):
    """A value that a transformer learns during the run, or at its end.

    Waiting for it is demand like any other: `await promise` on the async lane, `promise.result()` on the sync one.
    Any number of tasks may wait, any number of times. The mux rejects it with the run's error; if the run ends well
    without a value, waiting raises `PromiseUnresolved`.

    Example:
        ```python
        from anyiostream import PayloadTransformer, Promise, open_run, parts

        class Count(PayloadTransformer):
            methods = ("custom",)

            def init(self):
                self.seen, self.count = 0, Promise()
                return {"count": self.count}

            def consume(self, data):
                self.seen += 1

            def finalize(self):
                self.count.resolve(self.seen)

        with open_run([parts.custom(n) for n in range(4)], transformers=[Count]) as run:
            assert run.extensions["count"].result() == 4
        ```
    """

    __slots__ = ("_label", "_latch", "_port", "_settled")

    def __init__(self) -> None:
        self._label = "the promise"
        self._latch = Latch(self._label)
        self._port: Port | None = None
        self._settled: T | Outcome | None = None

    def __repr__(self) -> str:
        return f"<{self._label}, {'settled' if self.done else 'pending'}>"

    @property
    def done(self) -> bool:
        """Whether it has a value or an error."""
        return bool(self._latch.ready)

    def resolve(self, value: T) -> None:
        """Give it its value and wake all that wait. The first settlement counts; later ones are ignored."""
        if not self._latch.ready:
            self._settled = value
            self._latch.open()

    def reject(self, error: BaseException) -> None:
        """Make waiting raise `error`. The first settlement counts; later ones are ignored."""
        if not self._latch.ready:
            self._settled = Outcome.by(error)
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
        if not on_sync_lane(port):
            raise WrongLane(self._label, "async", "use `await promise` instead.")
        if not self._latch.ready:
            port.drive(self._latch)
        return self._value()

    def bind(self, port: Port, label: str) -> None:
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
        if not on_async_lane(port):
            raise WrongLane(self._label, "sync", "use `promise.result()` instead.")
        if not self._latch.ready:
            await port.until(self._latch)
        return self._value()

    def _value(self) -> T:
        settled = self._settled
        if isinstance(settled, Outcome):
            raise self._bound_port().deliver(settled)
        if not self._latch.ready:
            raise PromiseUnresolved(self._label)
        return settled  # type: ignore[return-value]  # None only if T allows it

    def _bound_port(self) -> Port:
        if self._port is None:
            raise ChannelUnbound(self._label)
        return self._port
