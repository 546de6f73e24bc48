"""`RawLog`: the events of one scope, in order, for readers of `run` itself.

The root's log numbers its events (`seq`), those that nobody reads included. A log's channel is made when it is first
needed; most subgraphs' never are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import attrs

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.producer import current_producer
from anyiostream.events import ProtocolEvent, synthetic_event
from anyiostream.mux.run_state import RunState
from anyiostream.mux.scope import Scope
from anyiostream.outcome import Outcome

__all__ = ["RawLog"]


@final
@attrs.define(eq=False, repr=False)  # what it holds leads to the whole tree
class RawLog:
    """The raw log of one scope.

    Attributes:
        made: Its channel, once something has asked for it.
    """

    _scope: Scope
    _run: RunState
    _on_watched: Callable[[], None]
    made: StreamChannel[ProtocolEvent] | None = None
    _outcome: Outcome | None = None

    @property
    def channel(self) -> StreamChannel[ProtocolEvent]:
        """Its channel, made now if it has not been."""
        made = self.made
        if made is None:
            made = self.made = StreamChannel()
            made.bind(self._run.port, "events", on_watched=self._on_watched)
            if self._outcome is not None:
                made.end(self._outcome)
        return made

    @property
    def watched(self) -> bool:
        """Whether it has a reader."""
        return self.made is not None and self.made.watched

    def forwarder(self, method: str) -> Callable[[object], None]:
        """A callable that appends each item of a named channel to the log, as an event of `method`."""
        is_root, run = self._scope.parent is None, self._run

        def forward(item: object) -> None:
            if is_root:
                run.seq += 1
            made = self.made
            if made is not None and made.watched:
                producer = current_producer.get(None)
                if producer is None:
                    namespace = self._scope.namespace
                else:
                    namespace = run.namespace if producer.scope is None else producer.scope
                event = synthetic_event(method, namespace, item)
                if is_root:
                    event["seq"] = run.seq
                made.push(event)

        return forward

    def appender(self) -> Callable[[ProtocolEvent], None]:
        """A callable that appends an event, valid until a reader of the log comes or goes."""
        put, run = self.channel.sink(), self._run
        if self._scope.parent is not None:
            return put

        def append(event: ProtocolEvent) -> None:
            event["seq"] = run.seq = run.seq + 1
            put(event)

        return append

    def end(self, outcome: Outcome) -> None:
        """End it."""
        self._outcome = outcome
        if self.made is not None:
            self.made.end(outcome)
