"""Recording what readers of a run get, and what passes its transformers."""

from __future__ import annotations

from typing import Any, final

import attrs

from anyiostream import AsyncGraphRunStream, GraphRunStream, Namespace, ProtocolEvent, StreamChannel, StreamTransformer
from anyiostream.testing.comparing import assert_items

__all__ = ["EventRecorder", "Recording", "arecord", "record"]


@final
@attrs.define(eq=False)
class Recording:
    """What was read of a run.

    ```python
    with open_run([parts.values(1), parts.values(2)]) as run:
        recording = record(run, "values")
    recording.check(values=[1, 2])
    ```

    Attributes:
        items: Projection name -> its items, in order.
        order: (projection name, item) over all projections, in order of arrival.
        events: The raw log, where it was recorded.
        values: Projection name -> final value, of promises and of whatever else is no channel, where recorded.
        output: The run's output, where recorded.
        status: How the run ended, where recorded.
        error: The script's own error, where recorded.
    """

    items: dict[str, list[Any]] = attrs.field(factory=dict)
    order: list[tuple[str, Any]] = attrs.field(factory=list)
    events: list[ProtocolEvent] = attrs.field(factory=list)
    values: dict[str, Any] = attrs.field(factory=dict)
    output: Any = None
    status: str | None = None
    error: BaseException | None = None

    def __getitem__(self, name: str) -> list[Any]:
        """The items of one projection.

        Raises:
            KeyError: It was not recorded.
        """
        try:
            return self.items[name]
        except KeyError:
            raise KeyError(
                f"{name!r} was not recorded; recorded: {', '.join(sorted(self.items)) or 'nothing'}"
            ) from None

    @property
    def methods(self) -> list[str]:
        """The methods of the raw log's events, in order."""
        return [event["method"] for event in self.events]

    def add(self, name: str, item: Any) -> None:
        """Take note of an item."""
        self.items.setdefault(name, []).append(item)
        self.order.append((name, item))

    def check(self, **expected: list[Any]) -> None:
        """Check projections: nothing lost, doubled or reordered.

        Raises:
            AssertionError: One differs; the message shows where.
        """
        __tracebackhide__ = True
        for name, items in expected.items():
            assert_items(self[name], items, name)


def record(run: GraphRunStream, *names: str, into: Recording | None = None) -> Recording:
    """Read projections of a run to its end, on the sync lane.

    Args:
        run: The run, or the handle of a subgraph.
        names: The projections; by default every channel that it has. Messages, tool calls and handles are recorded as
            the streams that they are, and may be read afterwards.
        into: Where to record; keeps what was read before an error.

    Raises:
        BaseException: What ended the run, once all items have been recorded.
    """
    recording = Recording() if into is None else into
    names = names or channels_of(run)
    recording.items |= {name: [] for name in names if name not in recording.items}
    with run.interleave(*names) as cursor:
        for name, item in cursor:
            recording.add(name, item)
    return recording


async def arecord(run: AsyncGraphRunStream, *names: str, into: Recording | None = None) -> Recording:
    """As `record`, on the async lane. Checkpoints as a reader does; if cancelled, `into` keeps what was read."""
    recording = Recording() if into is None else into
    names = names or channels_of(run)
    recording.items |= {name: [] for name in names if name not in recording.items}
    async with run.interleave(*names) as cursor:
        async for name, item in cursor:
            recording.add(name, item)
    return recording


def channels_of(run: GraphRunStream | AsyncGraphRunStream) -> tuple[str, ...]:
    """The names of a run's projections that are channels, in order of registration."""
    return tuple(name for name, value in run.extensions.items() if isinstance(value, StreamChannel))


@final
class EventRecorder:
    """A transformer factory that records every event of a run, of its own level and of all below it.

    ```python
    recorder = EventRecorder()
    with open_run([parts.values(1), parts.custom(2)], transformers=[recorder]) as run:
        assert run.output == 1
    assert recorder.methods == ["values", "custom"]
    ```

    It needs no reader and exerts no backpressure. It sees what the transformers before it left of an event, before the
    event gets its `seq` and enters the raw log; what named channels forward enters only that, so read the log for it.

    Attributes:
        events: The events, in dispatch order.
        ended: Whether the run has ended.
        error: What it ended with: `None` for a good end, `RunAborted` for an abort.
    """

    def __init__(self) -> None:
        """Make a recorder, for one run."""
        self.events: list[ProtocolEvent] = []
        self.ended = False
        self.error: BaseException | None = None
        self._scope: Namespace | None = None

    def __call__(self, scope: Namespace) -> StreamTransformer:
        """The transformer for a scope; that of the run itself records."""
        if self._scope is None:
            self._scope = scope
        return _Recorder(scope, self) if scope == self._scope else _Deaf(scope)

    @property
    def methods(self) -> list[str]:
        """The methods of the events, in order."""
        return [event["method"] for event in self.events]

    def payloads(self, method: str) -> list[Any]:
        """The data of the events of one method, in order."""
        return [event["params"]["data"] for event in self.events if event["method"] == method]


class _Recorder(StreamTransformer):
    """Records for the run."""

    def __init__(self, scope: Namespace, recorder: EventRecorder) -> None:
        super().__init__(scope)
        self._recorder = recorder

    def init(self) -> dict[str, Any]:
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        self._recorder.events.append(event)
        return True

    def finalize(self) -> None:
        self._recorder.ended = True

    def fail(self, err: BaseException) -> None:
        self._recorder.ended = True
        self._recorder.error = err


class _Deaf(StreamTransformer):
    """What a subgraph gets: the run's recorder has seen its events."""

    methods = ()

    def init(self) -> dict[str, Any]:
        return {}

    def process(self, event: ProtocolEvent) -> bool:  # noqa: ARG002 -- never called
        return True
