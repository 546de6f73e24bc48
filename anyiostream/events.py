"""What flows through a run: the parts that a graph produces, and the events that readers see.

A part is the graph's own output, as `langgraph`'s `astream(..., version="v2")` yields it. An event wraps one part in
the envelope of the streaming protocol; it is plain data, so that a reader may as well live in another process. Both
have the shape of LangGraph's `StreamPart` and `ProtocolEvent`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

from anyiostream.errors import MalformedPart

__all__ = ["Namespace", "ProtocolEvent", "ProtocolEventParams", "StreamPart", "convert_to_protocol_event"]

Namespace = tuple[str, ...]
"""Where in the tree of nested graphs something happened: one segment `"node:task_id"` per level, `()` for the root."""


class StreamPart(TypedDict):
    """One part of a graph's output.

    Keys:
        type: The stream mode: `"values"`, `"updates"`, `"messages"`, `"custom"`, `"tasks"`, ...
        ns: The namespace of the graph that produced it.
        data: The payload; its shape depends on the type.
        interrupts: On `"values"` parts: the interrupts pending at this snapshot.

    ```python
    part = parts.values({"city": "Bergen"})
    assert part == {"type": "values", "ns": (), "data": {"city": "Bergen"}, "interrupts": ()}
    ```
    """

    type: str
    ns: Namespace
    data: Any
    interrupts: NotRequired[tuple[Any, ...]]


class ProtocolEventParams(TypedDict):
    """The parameters of an event; `timestamp` is wall-clock time in ms and may go backwards.

    ```python
    event = convert_to_protocol_event(parts.custom("hello"), clock=lambda: 1.5)
    assert event["params"] == {"namespace": [], "timestamp": 1500, "data": "hello"}
    ```
    """

    namespace: list[str]
    timestamp: int
    data: Any
    interrupts: NotRequired[tuple[Any, ...]]


class ProtocolEvent(TypedDict):
    """One event of a run's raw log.

    `seq` rises by one from 1 over the root's log, also over events that nobody read; order by it, not by
    `params["timestamp"]`. Events on their way through transformers have no `seq` yet.

    ```python
    with open_run([parts.custom("one"), parts.custom("two")], transformers=[CustomTransformer]) as run:
        assert [(event["seq"], event["method"]) for event in run] == [(1, "custom"), (2, "custom")]
    ```
    """

    type: Literal["event"]
    event_id: NotRequired[str]
    seq: NotRequired[int]
    method: str
    params: ProtocolEventParams


def convert_to_protocol_event(part: Mapping[str, Any], *, clock: Callable[[], float] = time.time) -> ProtocolEvent:
    """The event that wraps `part`, without a `seq`.

    Args:
        part: A stream part. Its data is not copied.
        clock: Returns the wall-clock time in s.

    Raises:
        MalformedPart: It is not a mapping, lacks a key, or its namespace is not a tuple or list of strings.
    """
    method, namespace = method_and_namespace(part)
    params: ProtocolEventParams = {"namespace": list(namespace), "timestamp": int(clock() * 1000), "data": part["data"]}
    if "interrupts" in part:
        params["interrupts"] = part["interrupts"]
    return {"type": "event", "method": method, "params": params}


def synthetic_event(method: str, namespace: Namespace, data: object) -> ProtocolEvent:
    """An event that was not made from a part: a named channel's push, or an emitter's."""
    return {
        "type": "event",
        "method": method,
        "params": {"namespace": list(namespace), "timestamp": int(time.time() * 1000), "data": data},
    }


def method_and_namespace(part: Any) -> tuple[str, Namespace]:
    """The part's type and namespace, after every check that tells a part from something else.

    Raises:
        MalformedPart: As for `convert_to_protocol_event`.
    """
    # Asking an abstract class takes as long as all the rest.
    if type(part) is not dict and not isinstance(part, Mapping):
        raise MalformedPart(part, f"a part is a mapping, not {type(part).__name__}")
    for key in ("type", "ns", "data"):
        if key not in part:
            raise MalformedPart(part, f"it has no {key!r}")
    method, namespace = part["type"], part["ns"]
    if not isinstance(method, str):
        raise MalformedPart(part, f"its type is a string, not {type(method).__name__}")
    return method, checked_namespace(namespace, part)


def checked_namespace(namespace: object, culprit: object) -> Namespace:
    """`namespace` as a tuple of strings; `culprit` is what the error shows.

    Raises:
        MalformedPart: It is neither a tuple nor a list, or has a segment that is not a string.
    """
    if not isinstance(namespace, (tuple, list)):
        raise MalformedPart(culprit, f"its namespace is a tuple of strings, not {type(namespace).__name__}")
    for segment in namespace:
        if not isinstance(segment, str):
            raise MalformedPart(culprit, f"a segment of its namespace is {type(segment).__name__}, not a string")
    return tuple(namespace)
