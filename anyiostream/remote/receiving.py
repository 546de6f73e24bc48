"""The client's side of the wire: bytes into events, events into the parts that a run is made of. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

from anyiostream import parts
from anyiostream.errors import AnyioStreamError
from anyiostream.events import StreamPart
from anyiostream.sources.writer import Interrupt

__all__ = [
    "EventDecoder",
    "RemoteGap",
    "RemoteRefused",
    "RemoteRunFailed",
    "RemoteUnreachable",
    "event_place",
    "part_of",
    "root_end",
]


class RemoteRefused(AnyioStreamError):
    """The server does not do what it was asked for.

    Attributes:
        code: The protocol's code.
        status: The HTTP status; 200 for errors inside the protocol.
    """

    def __init__(self, code: str, text: str, status: int) -> None:
        super().__init__(f"the server refuses ({code}): {text}")
        self.code: Final = code
        self.status: Final = status


@final
class RemoteGap(AnyioStreamError):
    """The server no longer has all events of the run. Its state is still there: `await thread.state()`."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text} Read the thread's state instead: `await thread.state()`.")


@final
class RemoteUnreachable(AnyioStreamError):
    """The connection was lost, and could not be made again."""

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"the connection to the server was lost and {attempts} attempts to make it again have failed. "
            "The run goes on without this reader: attach to its thread when the server is back."
        )


@final
class RemoteRunFailed(AnyioStreamError, RuntimeError):
    """The graph failed on the server, or was aborted there; the message is what the server says of it."""


@final
class EventDecoder:
    """Server-sent events, fed in whatever pieces they arrive.

    Args:
        most: Bytes that one event may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[Any]:
        """The events that are complete with `piece`.

        Raises:
            RemoteRefused: An event is too large, or is no JSON.
        """
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._size += len(line)
            elif not line and self._data:
                data, self._data, self._size = b"\n".join(self._data), [], 0
                yield self._decoded(data)
        if self._size + len(self._buffer) > self._most:
            raise RemoteRefused("unknown_error", f"an event has more than {self._most} bytes", 200)

    def _decoded(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            raise RemoteRefused("unknown_error", "an event is no JSON", 200) from None


def event_place(event: Mapping[str, Any]) -> tuple[str, int]:
    """The log that an event is from, and its place in it."""
    name, _, _ = str(event.get("event_id", "")).rpartition("-")
    return name, int(event["seq"])


def root_end(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an event says of the run itself, if it is a `lifecycle` event of the root."""
    params = event["params"]
    return params["data"] if event["method"] == "lifecycle" and not params["namespace"] else None


def part_of(event: Mapping[str, Any]) -> StreamPart | None:
    """The part that stands behind an event; `None` for those that tell nothing that other events do not.

    Subgraphs are told by `tasks`, interrupts by `values`. What a named channel has pushed is a part of the type
    `custom:<name>`, as in the raw log of a local run.
    """
    method, params = event["method"], event["params"]
    namespace, data = tuple(params["namespace"]), params["data"]
    if method == "values":
        asked = [Interrupt(each["value"], each["id"]) for each in params.get("interrupts", ())]
        return parts.values(data, interrupts=asked, ns=namespace)
    if method == "messages":
        metadata = {"run_id": data.get("run_id"), "langgraph_node": params.get("node")}
        return parts.messages(data, metadata, ns=namespace)
    if method == "custom":
        if not isinstance(data, dict) or "payload" not in data:
            return parts.custom(data, ns=namespace)
        name = data.get("name")
        kind = "custom" if name is None else f"custom:{name}"
        return {"type": kind, "ns": namespace, "data": data["payload"]}
    if method in {"updates", "tools", "tasks", "checkpoints"}:
        return {"type": method, "ns": namespace, "data": data}
    return None
