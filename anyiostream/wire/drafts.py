"""Events of the wire: `Draft` before it has a place in a log, `Entry` with one, and `Placed` as either."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, final

import attrs

from anyiostream import Namespace
from anyiostream.wire.jsonable import encode

__all__ = ["RUN_ENDS", "Draft", "Entry", "Placed", "channel_of"]

RUN_ENDS: Final = frozenset({"completed", "failed"})
"""`lifecycle` events of the root after which clients expect nothing more of a run."""


def channel_of(method: str, data: Any) -> str:
    """The channel of an event of the wire: `custom:<name>` if its data names one, else by its method."""
    if method == "input.requested":
        return "input"
    if method == "custom" and isinstance(data, Mapping) and isinstance(data.get("name"), str) and data["name"]:
        return f"custom:{data['name']}"
    return method


@final
@attrs.frozen
class Draft:
    """An event that has no place in a log yet.

    Attributes:
        method: The wire's name for what it is.
        namespace: Where it happened.
        data: Its payload, plain.
        timestamp: Wall-clock time in ms.
        extra: Further parameters, plain: `node`, `interrupts`.
    """

    method: str
    namespace: Namespace
    data: Any
    timestamp: int
    extra: dict[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, body: bytes) -> Draft:
        """What an event was made of, given its body."""
        event = json.loads(body)
        params = dict(event["params"])
        namespace, timestamp, data = params.pop("namespace"), params.pop("timestamp"), params.pop("data")
        return cls(event["method"], tuple(namespace), data, timestamp, params)

    @property
    def channel(self) -> str:
        """The channel by which viewers ask for it."""
        return channel_of(self.method, self.data)

    @property
    def root_event(self) -> str | None:
        """What it says of the run itself, if it is a `lifecycle` event of the root."""
        if self.method == "lifecycle" and not self.namespace and isinstance(self.data, dict):
            event = self.data.get("event")
            return event if isinstance(event, str) else None
        return None


@final
@attrs.frozen
class Entry:
    """An event in a log.

    Attributes:
        seq: Its place.
        event_id: Unique in its thread, over restarts of the server too.
        method: The wire's name for what it is.
        channel: The channel by which viewers ask for it.
        namespace: Where it happened.
        root_event: What it says of the run itself, if it is a `lifecycle` event of the root.
        body: The whole event as JSON on one line, made once for all its viewers.
    """

    seq: int
    event_id: str
    method: str
    channel: str
    namespace: Namespace
    root_event: str | None
    body: bytes

    @classmethod
    def of(cls, draft: Draft, seq: int, event_id: str) -> Entry:
        """`draft` at its place."""
        event = {
            "type": "event",
            "event_id": event_id,
            "seq": seq,
            "method": draft.method,
            "params": {
                "namespace": list(draft.namespace),
                "timestamp": draft.timestamp,
                **draft.extra,
                "data": draft.data,
            },
        }
        return cls(seq, event_id, draft.method, draft.channel, draft.namespace, draft.root_event, encode(event))


@final
class Placed:
    """An event of the wire at its place in a log: as JSON, as a draft, whichever it was made from or is asked for.

    Attributes:
        seq: Its place.
        event_id: Unique in its log.
    """

    __slots__ = ("_body", "_draft", "event_id", "seq")

    def __init__(self, seq: int, event_id: str, draft: Draft | None = None, body: bytes | None = None) -> None:
        assert draft is not None or body is not None
        self.seq: Final = seq
        self.event_id: Final = event_id
        self._draft = draft
        self._body = body

    @classmethod
    def of(cls, entry: Entry) -> Placed:
        """An event of a log."""
        return cls(entry.seq, entry.event_id, body=entry.body)

    @property
    def draft(self) -> Draft:
        """What it says."""
        if self._draft is None:
            assert self._body is not None
            self._draft = Draft.of(self._body)
        return self._draft

    @property
    def body(self) -> bytes:
        """All of it as JSON on one line."""
        if self._body is None:
            assert self._draft is not None
            self._body = Entry.of(self._draft, self.seq, self.event_id).body
        return self._body
