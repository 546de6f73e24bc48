"""`Limits`: how much one server takes on."""

from __future__ import annotations

from typing import Any, final

import attrs

__all__ = ["Limits"]


def _positive(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:  # nor is NaN
        raise ValueError(f"{attribute.name} must be positive, got {value!r}.")


def _positive_or_none(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _positive(_, attribute, value)


@final
@attrs.frozen(kw_only=True)
class Limits:
    """Bounds of a server. What exceeds one is refused, and the client is told which.

    Attributes:
        body: Bytes of a request's body.
        frame: Bytes of a WebSocket frame that a client sends.
        bodies: Bytes of all large bodies that are being read at a time. An owner's may have a quarter of them, where an
            `authorize` hook tells owners apart.
        receive: Seconds within which a request's body has to be there.
        nodes: Values in the JSON that a client sends, at all levels together.
        depth: Nesting of JSON that a client sends, in levels.
        subscriptions: Subscriptions of one WebSocket.
        namespaces: Namespaces of one subscription, and segments of one namespace.
        channels: Channels of one subscription.
        answers: Interrupts that one command answers.
        connections: Streams open at a time, SSE and WebSocket together; likewise bodies that are being read, and
            answers of more than 64 KiB that are being sent.
        threads: Threads that are remembered. For a new one, the one that has been idle for longest is forgotten, but
            never one that waits for its user.
        runs: Runs at a time, over all threads.
        owner_connections: Of `connections`, those that one owner may have; `None` for all. This and the next two apply
            where an `authorize` hook tells owners apart.
        owner_threads: Of `threads`, those that one owner may have; `None` for all.
        owner_runs: Of `runs`, those that one owner may have; `None` for all.
        queued: Runs that wait for the one before them, per thread.
        recursion: Supersteps that a caller may ask for, if the assistant does not set a limit itself.
        concurrency: Nodes at a time that a caller may ask for, likewise.
        event: Bytes of one event. A larger one is abridged: `...` stands for what is left out, and the event says so.
            Values and questions are whole in the thread's state.
        events: Events that a thread's log keeps.
        bytes: Bytes that a thread's log keeps; the newest event is kept even if it is larger. The greater of this and
            `event`, times `threads`, is the most memory that logs take.
        kept: Bytes that all idle threads may keep, logs, values and questions together. Beyond that, those idle for
            longest are forgotten; if all of them wait for their users, new threads are refused.
        owner_kept: Of `kept`, what one owner's may keep; `None` for all, and where there is no `authorize` hook.
        lead: Events by which a run may be ahead of its slowest viewer before it waits; with `None`, the default, a run
            waits for nobody: a viewer that cannot keep up is left behind, and told so.
        repeat: Seconds for which a command that is sent again, byte for byte, is taken for the same one: it is accepted
            once, and answered again. Clients repeat what they have had no answer to.
        attempts: How often a run is begun if its server dies each time before it makes progress; then it fails.
        idle: Seconds after which a store that outlives its process forgets an idle thread.
        waiting: The same for a thread that waits for its user.
        send: Seconds that a viewer may take to accept what is sent to it, before its connection is dropped.
        drain: Seconds that runs are given to reach the end of their step when the server stops, if the store outlives
            it: from there another server goes on without repeating anything.
        shutdown: Seconds that runs are given after that to be stopped.
    """

    body: int = attrs.field(default=4 * 2**20, validator=_positive)
    frame: int = attrs.field(default=4 * 2**20, validator=_positive)
    bodies: int = attrs.field(default=64 * 2**20, validator=_positive)
    receive: float = attrs.field(default=10.0, validator=_positive)
    nodes: int = attrs.field(default=100_000, validator=_positive)
    depth: int = attrs.field(default=64, validator=_positive)
    subscriptions: int = attrs.field(default=64, validator=_positive)
    namespaces: int = attrs.field(default=64, validator=_positive)
    channels: int = attrs.field(default=64, validator=_positive)
    answers: int = attrs.field(default=64, validator=_positive)
    connections: int = attrs.field(default=1000, validator=_positive)
    threads: int = attrs.field(default=1000, validator=_positive)
    runs: int = attrs.field(default=100, validator=_positive)
    owner_connections: int | None = attrs.field(default=250, validator=_positive_or_none)
    owner_threads: int | None = attrs.field(default=250, validator=_positive_or_none)
    owner_runs: int | None = attrs.field(default=25, validator=_positive_or_none)
    queued: int = attrs.field(default=8, validator=_positive)
    recursion: int = attrs.field(default=10_000, validator=_positive)
    concurrency: int = attrs.field(default=100, validator=_positive)
    event: int = attrs.field(default=4 * 2**20, validator=_positive)
    events: int = attrs.field(default=10_000, validator=_positive)
    bytes: int = attrs.field(default=4 * 2**20, validator=_positive)
    kept: int = attrs.field(default=512 * 2**20, validator=_positive)
    owner_kept: int | None = attrs.field(default=128 * 2**20, validator=_positive_or_none)
    lead: int | None = attrs.field(default=None, validator=_positive_or_none)
    repeat: float = attrs.field(default=30.0, validator=_positive)
    attempts: int = attrs.field(default=3, validator=_positive)
    idle: float = attrs.field(default=24 * 3600.0, validator=_positive)
    waiting: float = attrs.field(default=30 * 24 * 3600.0, validator=_positive)
    send: float = attrs.field(default=60.0, validator=_positive)
    drain: float = attrs.field(default=5.0, validator=_positive)
    shutdown: float = attrs.field(default=5.0, validator=_positive)
