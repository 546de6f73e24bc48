"""The wire itself, as server-sent events: LangGraph's protocol, which `EventSource` reads unaided.

The `event:` of each is its method, the `id:` its place. `EventSource` does not know that a run has ended: it connects
again, with `Last-Event-ID`, and is told by the status 204 that there is nothing more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, final

from anyiostream.sinks.requests import mapping_of, text_of
from anyiostream.sinks.sink import DEFAULT_INCLUDE, INCLUDABLE, Request, Status, check_include
from anyiostream.sinks.turn_sink import HEARTBEAT, JSON, SSE
from anyiostream.wire import Draft, Placed, encode, frame, id_frame, now

__all__ = ["LangGraphSink", "make", "parse"]

PROTOCOL: Final = "langgraph"

ENDS: Final[Mapping[str, Status]] = {"completed": "completed", "failed": "failed", "interrupted": "interrupted"}


@final
class LangGraphSink:
    """Shows every event as it is.

    Args:
        include: Which state to show.
    """

    media_type = SSE
    headers: Mapping[str, str] = {}
    in_band = True
    eager = True

    def __init__(self, *, include: Collection[str] = DEFAULT_INCLUDE) -> None:
        check_include(include)
        self._left_out = INCLUDABLE - set(include)
        self._over = False

    def opening(self, event_id: str) -> bytes:
        """The place before the first event: a reader that loses the connection now says so when it comes back."""
        return id_frame(event_id)

    def encode(self, event: Placed) -> bytes:
        """The event."""
        draft = event.draft
        if self._over or draft.method in self._left_out:
            return b""
        self._over = draft.root_event in ENDS
        return frame(draft.method, event.body, event.event_id)

    def end(self, status: Status = "cut", error: str = "") -> bytes:
        """If the log does not say how the run has ended, an event without a place does."""
        if self._over:
            return b""
        self._over = True
        if status == "cut":
            told = {"type": "error", "id": None, "error": "unknown_error", "message": error or "the stream is cut."}
            return frame("error", encode(told))
        event = status if status in ENDS else "failed" if status == "aborted" else "interrupted"
        data: dict[str, Any] = {"event": event, **({"error": error} if error else {})}
        if event != status:
            data["reason"] = status
        draft = Draft("lifecycle", (), data, now())
        shown = {"namespace": [], "timestamp": draft.timestamp, "data": draft.data}
        return frame("lifecycle", encode({"type": "event", "method": "lifecycle", "params": shown}))

    def failure(self, error: str) -> tuple[str, bytes]:
        """An object with the error's text."""
        return JSON, encode({"error": error})

    def heartbeat(self) -> bytes:
        """A comment."""
        return HEARTBEAT


def make(request: Request, *, run_id: str, message_id: str, include: Collection[str]) -> LangGraphSink:
    """The sink that answers a request."""
    del request, run_id, message_id
    return LangGraphSink(include=include)


def parse(body: Any) -> Request:
    """`{"input": ..., "thread_id"?: ..., "assistant_id"?: ..., "answers"?: {interrupt id: answer}}`.

    Raises:
        MalformedRequest: It is not one.
    """
    given = mapping_of(PROTOCOL, "the body", body)
    return Request(
        input=given.get("input"),
        thread=text_of(PROTOCOL, "`thread_id`", given.get("thread_id") or None, needed=False),
        assistant=text_of(PROTOCOL, "`assistant_id`", given.get("assistant_id") or None, needed=False),
        answers=dict(mapping_of(PROTOCOL, "`answers`", given.get("answers"), needed=False)),
    )
