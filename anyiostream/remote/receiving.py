"""The client's side of the wire: bytes into events, events into the parts that a run is made of. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn, final

from anyiostream import AnyioStreamError, PendingInterrupt, StreamPart, parts
from anyiostream.remote.totals import RESTARTED

LINE: Final = 64
"""Bytes that a line of an event counts for besides its own."""

__all__ = [
    "EventDecoder",
    "RemoteGap",
    "RemoteMalformed",
    "RemoteRefused",
    "RemoteRunFailed",
    "RemoteUnreachable",
    "begins_again",
    "checked_event",
    "decoded",
    "event_place",
    "is_id",
    "of_attempt",
    "part_of",
    "root_end",
]


class RemoteRefused(AnyioStreamError):
    """The server refuses a request.

    Attributes:
        code: The protocol's code.
        status: The HTTP status; 200 for errors inside the protocol.
        retry_after: Seconds after which the server asks to try again, or `None`.
    """

    def __init__(self, code: str, text: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"the server refuses ({code}): {text}")
        self.code: Final = code
        self.status: Final = status
        self.retry_after: Final = retry_after


@final
class RemoteMalformed(RemoteRefused):
    """The server's answer is not one of the protocol's.

    It may come from another program, from a proxy, or from another version.
    """

    def __init__(self, text: str) -> None:
        super().__init__("unknown_error", text, 200)
        self.args = (f"the server's answer is malformed: {text}.",)


@final
class RemoteGap(AnyioStreamError):
    """The server no longer has all events of the run. Its state is still there: `await thread.state()`."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text} Read the thread's state instead: `await thread.state()`.")


@final
class RemoteUnreachable(AnyioStreamError):
    """The connection was lost, and could not be made again."""

    def __init__(self, attempts: int, asked: str | None = None) -> None:
        super().__init__(
            f"the connection to the server was lost and {attempts} attempts to make it again have failed. "
            "The run goes on without this reader: attach to its thread when the server is back."
            if asked is None
            else f"the server cannot be reached, or broke off: {asked} has no whole answer. "
            "It may have been done all the same: read the thread's state, or attach to it."
        )


@final
class RemoteRunFailed(AnyioStreamError, RuntimeError):
    """The graph failed on the server, or was aborted there; the message is what the server says of it."""


@final
class EventDecoder:
    """Server-sent events, fed in whatever pieces they arrive. Takes time in proportion to their size.

    Args:
        most: Bytes that one event may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[Any]:
        """The events that are complete with `piece`.

        Raises:
            RemoteMalformed: An event is too large, or is not JSON.
        """
        first, *rest = piece.split(b"\n")
        self._line.append(first)
        self._count(len(first))
        for begun in rest:
            line = b"".join(self._line).removesuffix(b"\r")
            self._line = [begun]
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._count(LINE)
            elif line:
                self._size -= len(line)
            else:
                data, self._data, self._size = self._data, [], 0
                if data:
                    yield decoded(b"\n".join(data))
            self._count(len(begun))

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._most:
            raise RemoteMalformed(f"an event has more than {self._most} bytes")


def decoded(data: bytes) -> Any:
    """The value that is encoded as `data`.

    Raises:
        RemoteMalformed: It is not JSON, or not what a reader could use.
    """
    try:
        return json.loads(data, parse_constant=_refuse)
    except RecursionError:
        raise RemoteMalformed("it is nested too deeply") from None
    except ValueError:
        raise RemoteMalformed("it is not JSON") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def checked_event(event: Any) -> Mapping[str, Any]:
    """`event`, which has the form of one.

    Raises:
        RemoteMalformed: It does not.
    """
    if not isinstance(event, dict):
        raise RemoteMalformed("an event is not an object")
    if event.get("type") == "error":
        return event
    method, params, seq = event.get("method"), event.get("params"), event.get("seq")
    if not isinstance(method, str) or not isinstance(params, dict) or type(seq) is not int or seq < 1:
        raise RemoteMalformed("an event has no `method`, `params`, or place")
    if not is_id(event.get("event_id")):
        raise RemoteMalformed("an event has no id")
    namespace, data = params.get("namespace"), params.get("data")
    if not isinstance(namespace, list) or not all(isinstance(each, str) for each in namespace):
        raise RemoteMalformed("a namespace is not a list of strings")
    if "data" not in params:
        raise RemoteMalformed("an event has no `data`")
    if not all(is_valid(params, data) for name, is_valid in FORMS if name == method):
        raise RemoteMalformed(f"an event of the method {method!r} is malformed")
    return event


def is_id(given: Any) -> bool:
    """Whether it is the id of something, as it is sent back to the server: in a header, or as part of a path."""
    return isinstance(given, str) and given.isascii() and given.isprintable()


def _are_interrupts(params: Mapping[str, Any], data: Any) -> bool:  # noqa: ARG001 -- one of several
    asked = params.get("interrupts", [])
    return isinstance(asked, list) and all(
        isinstance(each, dict) and "value" in each and isinstance(each.get("id"), str) for each in asked
    )


def _is_task(params: Mapping[str, Any], data: Any) -> bool:  # noqa: ARG001 -- likewise
    if not isinstance(data, dict) or not all(isinstance(data.get(name), str) for name in ("id", "name")):
        return False
    return isinstance(data.get("interrupts") or [], list) and isinstance(data.get("error"), (str, type(None)))


def _is_lifecycle(params: Mapping[str, Any], data: Any) -> bool:  # noqa: ARG001 -- likewise
    return isinstance(data, dict) and isinstance(data.get("event"), str)


def _is_message(params: Mapping[str, Any], data: Any) -> bool:
    return (
        isinstance(data, dict)
        and isinstance(data.get("run_id"), (str, type(None)))
        and isinstance(params.get("node"), (str, type(None)))
    )


FORMS: Final[tuple[tuple[str, Callable[[Mapping[str, Any], Any], bool]], ...]] = (
    ("values", _are_interrupts),
    ("tasks", _is_task),
    ("lifecycle", _is_lifecycle),
    ("messages", _is_message),
)
"""What the events of a method have to be like besides."""


def event_place(event: Mapping[str, Any]) -> tuple[str, int]:
    """The log that an event is from, and its place in it."""
    name, _, _ = str(event.get("event_id", "")).rpartition("-")
    return name, int(event["seq"])


def begins_again(event: Mapping[str, Any]) -> bool:
    """Whether a run is begun again, because the server that ran it has died."""
    return event["method"] == "custom" and _channel(event["params"]) == RESTARTED


def of_attempt(event: Mapping[str, Any], attempt: int) -> Mapping[str, Any]:
    """The event, which says the attempt if it starts a message of a later one than the first."""
    params = event["params"]
    data = params["data"]
    if attempt == 1 or event["method"] != "messages" or data.get("event") != "message-start":
        return event
    said = data.get("metadata")
    metadata = {**(said if isinstance(said, dict) else {}), "attempt": attempt}
    return {**event, "params": {**params, "data": {**data, "metadata": metadata}}}


def root_end(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an event says of the run itself, if it is a `lifecycle` event of the root."""
    params = event["params"]
    return params["data"] if event["method"] == "lifecycle" and not params["namespace"] else None


def part_of(event: Mapping[str, Any]) -> StreamPart | None:
    """The part behind an event; `None` for an event that other events make redundant.

    Subgraphs are told by `tasks`, interrupts by `values`. What a named channel has pushed is a part of the type
    `custom:<name>`, as in the raw log of a local run. What the graph has written itself is `custom`, whatever it looks
    like.
    """
    method, params = event["method"], event["params"]
    namespace, data = tuple(params["namespace"]), params["data"]
    if method == "values":
        asked = [PendingInterrupt(each["value"], each["id"]) for each in params.get("interrupts", ())]
        return parts.values(data, interrupts=asked, ns=namespace)
    if method == "messages":
        metadata = {"run_id": data.get("run_id"), "langgraph_node": params.get("node")}
        return parts.messages(data, metadata, ns=namespace)
    if method == "custom":
        name = _channel(params)
        if name is None:
            return parts.custom(data, ns=namespace)
        return {"type": f"custom:{name}" if name else "custom", "ns": namespace, "data": data["payload"]}
    if method in {"updates", "tools", "tasks", "checkpoints"}:
        return {"type": method, "ns": namespace, "data": data}
    return None


def _channel(params: Mapping[str, Any]) -> str | None:
    """The named channel that has pushed what a `custom` event holds; `None` if the graph has written it itself."""
    data = params["data"]
    if not isinstance(data, dict) or "payload" not in data or params.get("written"):
        return None
    name = data.get("name")
    return name if isinstance(name, str) else ""
