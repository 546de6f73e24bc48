"""`Limits`: how much one server takes on."""

from __future__ import annotations

from typing import Any, final

import attrs

__all__ = ["Limits"]


def _positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ValueError(f"{attribute.name} must be positive, got {value!r}.")


@final
@attrs.frozen(kw_only=True)
class Limits:
    """Bounds of a server. What goes beyond one is refused, and the client is told which.

    Attributes:
        body: Bytes of a request's body.
        frame: Bytes of a WebSocket frame that a client sends.
        depth: Nesting of JSON that a client sends, in levels.
        subscriptions: Subscriptions of one WebSocket.
        namespaces: Namespaces of one subscription, and segments of one namespace.
        channels: Channels of one subscription.
        answers: Interrupts that one command answers.
        connections: Streams open at a time, SSE and WebSocket together.
        threads: Threads that are remembered. The one idle for longest is forgotten for a new one.
        runs: Runs at a time, over all threads.
        queued: Runs that wait for the one before them, per thread.
        events: Events that a thread's log keeps.
        bytes: Bytes that a thread's log keeps; the newest event is kept whatever its size. Times `threads`, what logs
            may take of the memory.
        lead: Events by which a run may be ahead of its slowest viewer before it waits; `None`, the default, for a run
            that waits for nobody: a viewer that cannot keep up is left behind, and told so.
        send: Seconds that a viewer may take to accept what is sent to it, before its connection is dropped.
        shutdown: Seconds that runs are given to end when the server stops.
    """

    body: int = attrs.field(default=4 * 2**20, validator=_positive)
    frame: int = attrs.field(default=4 * 2**20, validator=_positive)
    depth: int = attrs.field(default=64, validator=_positive)
    subscriptions: int = attrs.field(default=64, validator=_positive)
    namespaces: int = attrs.field(default=64, validator=_positive)
    channels: int = attrs.field(default=64, validator=_positive)
    answers: int = attrs.field(default=64, validator=_positive)
    connections: int = attrs.field(default=1000, validator=_positive)
    threads: int = attrs.field(default=1000, validator=_positive)
    runs: int = attrs.field(default=100, validator=_positive)
    queued: int = attrs.field(default=8, validator=_positive)
    events: int = attrs.field(default=10_000, validator=_positive)
    bytes: int = attrs.field(default=4 * 2**20, validator=_positive)
    lead: int | None = attrs.field(default=None, validator=attrs.validators.optional(_positive))
    send: float = attrs.field(default=60.0, validator=_positive)
    shutdown: float = attrs.field(default=5.0, validator=_positive)
