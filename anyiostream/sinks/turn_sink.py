"""`TurnSink`: a sink that shows a turn step by step. Most protocols subclass it and say what each step looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Final

from anyiostream.sinks.sink import DEFAULT_INCLUDE, Status, check_include
from anyiostream.sinks.teller import Teller
from anyiostream.sinks.turn import Turn
from anyiostream.wire import Placed, encode, id_frame

__all__ = ["HEARTBEAT", "JSON", "SSE", "TurnSink", "data_frame"]

SSE: Final = "text/event-stream"

JSON: Final = "application/json"

HEARTBEAT: Final = b": heartbeat\n\n"


def data_frame(value: Any) -> bytes:
    """An event of an event stream that has nothing but its data."""
    return b"data: " + encode(value) + b"\n\n"


class TurnSink(Teller):
    """Made from the steps of a turn, which `Turn` tells in an order that holds whatever happens.

    Args:
        include: Which state to show.
        calls: Tool calls that the front end has already.
        results: Those of them whose result it has, too.
        run_id: What ids begin with that the sink makes itself, until an event names the run. Then it is that one's id,
            so that each run of a turn that has several has its own, and the same ones when the turn is replayed.

    Attributes:
        turn: What the turn amounts to so far.
        timestamp: Of the event that is being shown, in ms.
    """

    media_type: str = SSE
    headers: Mapping[str, str] = {}
    in_band: bool = True
    eager: bool = True

    def __init__(
        self,
        *,
        include: Collection[str] = DEFAULT_INCLUDE,
        calls: Mapping[str, str] | None = None,
        results: Collection[str] = (),
        run_id: str = "",
    ) -> None:
        check_include(include)
        self._own_run = run_id
        self._counted: Counter[str] = Counter()
        self.turn: Final = Turn(self, include=include, calls=calls, results=results, own_id=self.own_id)
        self.timestamp = 0
        self._frames: list[bytes] = []

    def opening(self, event_id: str) -> bytes:
        """The place before the first event, for readers that send it back."""
        return id_frame(event_id)

    def encode(self, event: Placed) -> bytes:
        """What an event makes."""
        draft = event.draft
        if draft.root_event == "running" and isinstance(draft.data.get("run_id"), str):
            self._goes_on(draft.data["run_id"])
        self.timestamp = draft.timestamp
        self.turn.read(draft)
        return self._taken()

    def end(self, status: Status = "cut", error: str = "") -> bytes:
        """What is still missing. Idempotent."""
        self.turn.end(status, error)
        return self._taken()

    def failure(self, error: str) -> tuple[str, bytes]:
        """An object with the error's text."""
        return JSON, encode({"error": error})

    def heartbeat(self) -> bytes:
        """A comment, which readers pass over."""
        return HEARTBEAT

    def own_id(self, *names: str) -> str:
        """An id that the graph has not given: of this run, and of no other one that the front end shows."""
        return ":".join(filter(None, (self._own_run, *names)))

    def numbered(self, *names: str) -> str:
        """The same, and each time another one: with its place among those of these names in the run."""
        return f"{self.own_id(*names)}-{self.place(*names)}"

    def place(self, *names: str) -> int:
        """How often it has been asked for in this run."""
        name = ":".join(names)
        self._counted[name] += 1
        return self._counted[name]

    def _goes_on(self, run_id: str) -> None:
        """Events of a run follow. A server's turn goes on in another one after each answer to a question."""
        if run_id != self._own_run:
            self._own_run = run_id
            self._counted.clear()

    def emit(self, frame: bytes) -> None:
        """One frame more."""
        self._frames.append(frame)

    def _taken(self) -> bytes:
        if not self._frames:
            return b""
        taken = b"".join(self._frames)
        self._frames.clear()
        return taken
