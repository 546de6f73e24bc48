"""A run's raw log as events of the wire. Pure: events in, drafts out.

What differs from the raw log, each because a client would otherwise misread it:

- A named channel's `custom:<name>` is the method `custom` with `{name, payload}`; so is the bare name of a native
  transformer's channel that the protocol does not know.
- A `lifecycle` event is at the namespace of the graph it tells of. At the root's, a child's end would end the run.
- The protocol knows no `drained` and no `aborted`: they are `interrupted` and `failed`, with the word as `reason`.
- A custom payload of the graph's that looks like a named channel's is marked `written`: our client keeps it where a
  local run has it. To the official clients both are that channel's.
- What the graph waits for its user with is an `input.requested` event each, before the run's `interrupted`.
- Checkpoints are references, without the state they hold; the state is in `values`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, final

import attrs

from anyiostream import Namespace, ProtocolEvent, RunAborted
from anyiostream.tooling import loggable, name_of, text_of
from anyiostream.wire.drafts import Draft
from anyiostream.wire.jsonable import plain
from anyiostream.wire.messages import MessageEncoder, Shown
from anyiostream.wire.redaction import redacted

__all__ = ["WireEncoder", "WireInterrupt", "failure_text"]

logger = logging.getLogger(__name__)

STATUSES: Final = {"drained": "interrupted", "aborted": "failed"}

ABORTED: Final = "it was aborted."

FAILED: Final = "it failed."
"""Of an error without a text."""

DROPPED: Final = frozenset({"debug"})
"""Methods that the protocol has no channel for."""


@final
@attrs.frozen
class WireInterrupt:
    """What the graph waits for its user with.

    Attributes:
        interrupt_id: Its id.
        namespace: The graph that asked.
        value: What it asked, plain.
    """

    interrupt_id: str
    namespace: Namespace
    value: Any

    def requested(self, timestamp: int) -> Draft:
        """The event that asks the user. The protocol has `payload`, the Python client reads `value`."""
        data = {"interrupt_id": self.interrupt_id, "payload": self.value, "value": self.value}
        return Draft("input.requested", self.namespace, data, timestamp)


@final
class WireEncoder:
    """Turns the events of one run into drafts.

    Attributes:
        interrupts: What the graph waits for its user with, by id.
        ended: How the run ended, as its last `lifecycle` event of the root has it; `None` before.
    """

    def __init__(self) -> None:
        self.interrupts: Final[dict[str, WireInterrupt]] = {}
        self.ended: str | None = None
        self._messages = MessageEncoder()
        self._asked_at: dict[str, Namespace] = {}

    def encode(self, event: ProtocolEvent) -> list[Draft]:
        """The drafts that an event makes, in order; often one, sometimes none.

        What cannot be read as its method's payload is skipped, with a warning.
        """
        try:
            return list(self._drafts(event))
        except Exception as exc:
            logger.warning(
                "a part of the type %s cannot be read, and is left out", event["method"], exc_info=loggable(exc)
            )
            return []

    def _drafts(self, event: ProtocolEvent) -> Iterator[Draft]:
        method, params = event["method"], event["params"]
        namespace, timestamp, data = tuple(params["namespace"]), params["timestamp"], params["data"]
        if method == "values":
            yield self._values(namespace, timestamp, data, params.get("interrupts", ()))
        elif method == "messages":
            yield from _said(self._messages.encode(namespace, data), timestamp)
        elif method == "lifecycle" and isinstance(data, Mapping):
            yield from self._lifecycle(timestamp, data)
        elif method == "tasks":
            if isinstance(data, Mapping) and "result" in data:
                yield from _said(self._messages.task_ended(namespace, data), timestamp)
            yield self._task(namespace, timestamp, data)
        elif method == "custom":
            yield _custom(namespace, timestamp, data)
        elif method in PAYLOADS:
            yield Draft(method, namespace, PAYLOADS[method](data), timestamp)
        elif method not in DROPPED:
            name = method.removeprefix("custom:")
            yield Draft("custom", namespace, {"name": name, "payload": plain(data)}, timestamp)

    def fail(self, error: BaseException) -> Iterator[Draft]:
        """What is still missing when the run has ended with `error`, maybe before its first event."""
        if self.ended is None:
            reason = {"reason": "aborted"} if isinstance(error, RunAborted) else {}
            yield from self._end(now(), {"event": "failed", "error": failure_text(error), **reason})

    def _values(self, namespace: Namespace, timestamp: int, data: Any, interrupts: Any) -> Draft:
        extra: dict[str, Any] = {}
        for each in interrupts:
            pending = self._pending(each, namespace)
            extra.setdefault("interrupts", []).append({"id": pending.interrupt_id, "value": pending.value})
            if not namespace:
                self.interrupts[pending.interrupt_id] = pending
        return Draft("values", namespace, plain(data), timestamp, extra)

    def _pending(self, interrupt: Any, namespace: Namespace) -> WireInterrupt:
        """An interrupt, at the innermost graph that has shown it."""
        shown = plain(interrupt)
        if not isinstance(shown, dict) or "value" not in shown:
            shown = {"value": shown}
        interrupt_id = str(shown.get("id") or f"interrupt-{len(self.interrupts) + 1}")
        asked = self._asked_at.get(interrupt_id, ())
        if len(namespace) > len(asked):
            asked = self._asked_at[interrupt_id] = namespace
        return WireInterrupt(interrupt_id, asked, shown["value"])

    def _lifecycle(self, timestamp: int, data: Mapping[str, Any]) -> Iterator[Draft]:
        namespace = tuple(data.get("namespace", ()))
        shown: dict[str, Any] = {name: plain(value) for name, value in data.items() if name != "namespace"}
        status = shown.get("event")
        shown["event"] = STATUSES.get(str(status), status)
        if status in STATUSES:
            shown["reason"] = status
        if status == "aborted":
            shown["error"] = ABORTED
        elif "error" in shown:
            shown["error"] = redacted(str(shown["error"])) or FAILED
        if not namespace and shown["event"] in {"completed", "failed", "interrupted"}:
            yield from self._end(timestamp, shown)
        else:
            yield Draft("lifecycle", namespace, shown, timestamp)

    def _end(self, timestamp: int, shown: dict[str, Any]) -> Iterator[Draft]:
        yield from _said(self._messages.end(failed=shown["event"] == "failed"), timestamp)
        if shown["event"] == "interrupted":
            for pending in self.interrupts.values():
                asked = self._asked_at.get(pending.interrupt_id, ())
                yield attrs.evolve(pending, namespace=asked).requested(timestamp)
        self.ended = str(shown["event"])
        yield Draft("lifecycle", (), shown, timestamp)

    def _task(self, namespace: Namespace, timestamp: int, data: Any) -> Draft:
        shown = plain(data)
        if isinstance(shown, dict):
            if shown.get("error"):
                shown["error"] = redacted(str(shown["error"]))
            for each in shown.get("interrupts") or ():
                self._pending(each, namespace)
        return Draft("tasks", namespace, shown, timestamp)


def _said(messages: Iterator[Shown], timestamp: int) -> Iterator[Draft]:
    for namespace, event, node in messages:
        yield Draft("messages", namespace, event, timestamp, {} if node is None else {"node": node})


def failure_text(error: BaseException) -> str:
    """What viewers are told of an error that ended a run."""
    if isinstance(error, RunAborted):
        return ABORTED
    return redacted(text_of(error)) or name_of(error)


def now() -> int:
    """Wall-clock time in ms."""
    return int(time.time() * 1000)


def _custom(namespace: Namespace, timestamp: int, data: Any) -> Draft:
    """A payload; one with a `name` is left as it is, so that it is `custom:<name>`."""
    payload = plain(data)
    named = isinstance(payload, dict) and isinstance(payload.get("name"), str)
    extra = {"written": True} if named and "payload" in payload else {}
    return Draft("custom", namespace, payload if named else {"payload": payload}, timestamp, extra)


def _tool(data: Any) -> Any:
    shown = plain(data)
    if isinstance(shown, dict) and shown.get("event") == "tool-error":
        shown["message"] = redacted(str(shown.get("message", "")))
    return shown


def _checkpoint(data: Any) -> Any:
    """The reference to a checkpoint in the format of `get_state()`; anything else as it is."""
    if not isinstance(data, Mapping) or not isinstance(data.get("config"), Mapping):
        return plain(data)
    shown: dict[str, Any] = {"id": _checkpoint_id(data["config"])}
    parent = data.get("parent_config")
    if isinstance(parent, Mapping):
        shown["parent_id"] = _checkpoint_id(parent)
    metadata = data.get("metadata") or {}
    shown["step"], shown["source"] = metadata.get("step"), metadata.get("source")
    return plain(shown)


def _checkpoint_id(config: Mapping[str, Any]) -> Any:
    return (config.get("configurable") or {}).get("checkpoint_id")


PAYLOADS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "updates": plain,
    "tools": _tool,
    "checkpoints": _checkpoint,
}
"""How payloads are shown, for the methods whose events become one event each."""
