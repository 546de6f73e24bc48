"""The protocols, by name. Each is a module of its own, which is imported when it is asked for, and may be deleted."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any, Final, Literal, final

from anyiostream import AnyioStreamError
from anyiostream.sinks.sink import DEFAULT_INCLUDE, Request, Sink

__all__ = ["PROTOCOLS", "Protocol", "UnknownProtocol", "open_sink", "parse"]

Protocol = Literal["langgraph", "ai-sdk", "ag-ui", "openai", "text"]

PROTOCOLS: Final[dict[str, str]] = {
    "langgraph": "langgraph",
    "ai-sdk": "ai_sdk",
    "ag-ui": "ag_ui",
    "openai": "openai",
    "text": "text",
}
"""Name of a protocol -> name of its module."""


@final
class UnknownProtocol(AnyioStreamError, ValueError):
    """There is no such protocol.

    Attributes:
        protocol: What was asked for.
    """

    def __init__(self, protocol: object) -> None:
        super().__init__(f"There is no protocol {protocol!r}. Choose from {', '.join(map(repr, PROTOCOLS))}.")
        self.protocol: Final = protocol


def open_sink(
    protocol: str,
    *,
    run_id: str,
    message_id: str | None = None,
    request: Request | None = None,
    include: Collection[str] = DEFAULT_INCLUDE,
) -> Sink:
    """The sink for one response.

    Args:
        protocol: `langgraph`, `ai-sdk`, `ag-ui`, `openai` or `text`.
        run_id: The run's id, in protocols that tell it.
        message_id: The id of the message that the turn is, where it is one; by default the run's.
        request: What is answered.
        include: Which state to show: `values`, `updates`, `checkpoints`, `tasks`.

    Raises:
        UnknownProtocol: There is no such protocol.
        UnknownInclude: There is no such state.
    """
    made: Sink = _module(protocol).make(
        request or Request(), run_id=run_id, message_id=message_id or run_id, include=include
    )
    return made


def parse(protocol: str, body: Any) -> Request:
    """The request of a front end that speaks `protocol`; `body` is the JSON that it has sent, decoded.

    Raises:
        UnknownProtocol: There is no such protocol.
        MalformedRequest: The body is not one of its requests.
    """
    request: Request = _module(protocol).parse(body)
    return request


def _module(protocol: str) -> Any:
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise UnknownProtocol(protocol)
    try:
        return import_module(f"{__package__}.{PROTOCOLS[protocol]}")
    except ModuleNotFoundError as exc:
        if exc.name != f"{__package__}.{PROTOCOLS[protocol]}":
            raise
        raise UnknownProtocol(protocol) from exc
