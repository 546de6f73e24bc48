"""Channels, promises and cursors, and the names under which they are found."""

from __future__ import annotations

from collections.abc import Iterable

from anyiostream.errors.root import AnyioStreamError, ProgrammingError
from anyiostream.errors.spelling import suggestion

__all__ = [
    "AlreadyBound",
    "AlreadySubscribed",
    "BackpressureDeadlock",
    "ChannelClosed",
    "ChannelFull",
    "ChannelUnbound",
    "CursorBusy",
    "ItemsMissed",
    "MissingProjection",
    "NotAChannel",
    "PromiseUnresolved",
    "UnknownProjection",
]


class ChannelUnbound(ProgrammingError, TypeError):
    """A channel was read before a mux had registered it."""

    def __init__(self, channel: str) -> None:
        super().__init__(
            f"{channel} has not been bound yet. Return it from a transformer's init() and register the transformer "
            "with a run or a StreamMux first."
        )


class AlreadyBound(ProgrammingError, RuntimeError):
    """A channel or promise was registered twice."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is already bound to a run. Create it in the transformer's __init__ or init(), one per instance, "
            "and pass the transformer's class, not an instance, to open_run."
        )


class AlreadySubscribed(ProgrammingError, RuntimeError):
    """A channel was subscribed to again although it has, or had, its one reader."""

    def __init__(self, channel: str, *, left: bool, fan_out: str) -> None:
        super().__init__(
            f"{channel} already has a subscriber"
            + (", which has left: what it did not read is gone" if left else "")
            + f". Keep one cursor (`cursor = {'aiter' if fan_out == 'atee' else 'iter'}(channel)`), which may be "
            f"left and taken up again, or use .{fan_out}(n) for fan-out."
        )


class CursorBusy(ProgrammingError, RuntimeError):
    """Two tasks wait on one cursor at the same time."""

    def __init__(self, channel: str, fan_out: str) -> None:
        super().__init__(
            f"another task is waiting on this cursor of {channel}. One cursor serves one task at a time; "
            f"use .{fan_out}(n) to give each its own."
        )


class ChannelClosed(AnyioStreamError, RuntimeError):
    """An item was pushed to a channel that has ended.

    ```python
    class Ticks(StreamTransformer):
        def init(self):
            self.ticks = StreamChannel()
            return {"ticks": self.ticks}

        def process(self, event):
            return True

    with open_run([parts.values(1)], transformers=[Ticks]) as run:
        print(run.output)
    try:
        run.extensions["ticks"].push("late")
    except ChannelClosed as exc:
        print(exc)
    ```
    """

    def __init__(self, channel: str) -> None:
        super().__init__(f"Cannot push to a closed channel: {channel} has ended. Push before finalize() returns.")


class ChannelFull(AnyioStreamError, RuntimeError):
    """A push would exceed the bounds: the channel's and its producer's.

    ```python
    class Log(StreamTransformer):
        required_stream_modes = methods = ("custom",)

        def init(self):
            self.lines = StreamChannel(maxlen=1, overflow="fail")
            return {"lines": self.lines}

        def process(self, event):
            self.lines.push(event["params"]["data"])
            return True

    with open_run([parts.custom("fits"), parts.custom("does not")], transformers=[Log]) as run:
        lines = iter(run.extensions["lines"])
        try:
            print(run.output)
        except ChannelFull as exc:
            print(exc)
    ```
    """

    def __init__(self, channel: str, maxlen: float, *, waiting: int) -> None:
        super().__init__(
            f"{channel} is full: its buffer holds {maxlen:g} items, and {waiting} more of this producer are waiting. "
            "Use `await channel.send(item)`, which waits for the reader, or give the channel an overflow policy."
        )


class BackpressureDeadlock(AnyioStreamError, RuntimeError):
    """A task waits for something that only it could set free. Neither the run nor the cursor is harmed.

    ```python
    with open_run([parts.values(1), parts.values(2), parts.values(3)], buffer=1) as run:
        states = iter(run.values)
        try:
            print(run.output)
        except BackpressureDeadlock:
            assert list(states) == [1, 2, 3]  # nothing is lost: read on, and ask again
        assert run.output == 3
    ```
    """

    def __init__(self, *, full: str, maxlen: float, waits_for: str, fan_out: str) -> None:
        super().__init__(
            f"this task waits for {waits_for}, but the run is stalled because {full}, which this task reads, holds "
            f"its {maxlen:g} items. Read both in two tasks, give {full} to another reader with .{fan_out}(n), open "
            "the run with a larger `buffer`, or give the channel an `overflow` policy."
        )


class ItemsMissed(AnyioStreamError):
    """A subgraph's projection was read too late: what it had kept for its reader was more than its bound.

    ```python
    async def trip(given, writer):
        async with writer.subgraph("weather") as inner:
            for n in range(10):
                await inner.values(n)

    async with open_run(trip, buffer=4) as run:
        handles = [handle async for handle in run.subgraphs]  # too late for what is in them
        try:
            print([state async for state in handles[0].values])
        except ItemsMissed as exc:
            print(exc.count)
    ```

    Attributes:
        count: How many items were dropped so far.
    """

    def __init__(self, channel: str, count: int, maxlen: float) -> None:
        super().__init__(
            f"{channel} kept the first {maxlen:g} items for a reader that did not come in time, and has dropped "
            f"{count}. Subscribe inside the body of the loop over `subgraphs`, or open the run with a larger `buffer`; "
            "output() and the other projections are unaffected."
        )
        self.count = count


class PromiseUnresolved(ProgrammingError, RuntimeError):
    """The run ended well, but the transformer never resolved its promise."""

    def __init__(self, promise: str) -> None:
        super().__init__(f"the run has ended and {promise} was never resolved. Resolve it in finalize() at the latest.")


class UnknownProjection(ProgrammingError, KeyError):
    """`interleave()` or `extensions` was asked for a projection that no transformer registered."""

    def __init__(self, name: str, registered: Iterable[str]) -> None:
        registered = sorted(registered)
        self._text = (
            f"no projection {name!r}{suggestion(name, registered) or '.'} These are registered: "
            f"{', '.join(registered) or 'none'}. Pass the transformer that makes it to open_run."
        )
        super().__init__(name)

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which is not a sentence.
        return self._text


class MissingProjection(ProgrammingError, AttributeError):
    """A run was asked for an attribute that it does not have: a misspelt projection, or one that is not registered."""

    def __init__(self, owner: str, name: str, registered: Iterable[str], hint: str) -> None:
        super().__init__(
            f"{owner!r} object has no attribute {name!r}{hint} Its registered projections: "
            f"{', '.join(sorted(registered)) or 'none'}; look for others in `extensions`."
        )
        self.name = name


class NotAChannel(ProgrammingError, TypeError):
    """`interleave()` was asked for a projection that is not a channel."""

    def __init__(self, name: str, got: str) -> None:
        super().__init__(f"interleave() requires StreamChannel projections, but {name!r} is a {got}; read it directly.")
