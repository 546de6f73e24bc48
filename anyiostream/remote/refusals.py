"""`Refusal`: why the server does not do what a client asked for, in the terms of the protocol and of HTTP.

`requests.refused` makes the response.
"""

from __future__ import annotations

from typing import Any, Final, Literal, final

from anyiostream import AnyioStreamError

__all__ = ["GONE", "PLACE", "ErrorCode", "Refusal", "error_frame", "gap_text", "not_started", "stopping", "unstored"]

ErrorCode = Literal[
    "invalid_argument",
    "unknown_command",
    "unknown_error",
    "no_such_run",
    "no_such_subscription",
    "no_such_namespace",
    "no_such_interrupt",
    "no_such_checkpoint",
    "permission_denied",
    "not_supported",
]
"""The protocol's codes, as `langchain_protocol.ErrorCode` has them."""

GONE: Final = 410
"""HTTP status, and WebSocket close code less 4000, for events that are no longer kept."""


PLACE: Final = "anyiostream-place"
"""The header that tells our client, with the answer to a command, after which event the run that it starts begins."""


@final
class Refusal(AnyioStreamError):
    """A request that is answered with an error. Its text is written for the client.

    Attributes:
        code: The protocol's code.
        text: What was wrong, and what to do.
        status: The HTTP status; 200 for errors inside the protocol, which only the envelope reports.
    """

    def __init__(self, code: ErrorCode, text: str, *, status: int = 200) -> None:
        super().__init__(text)
        self.code: Final = code
        self.text: Final = text
        self.status: Final = status

    @property
    def close_code(self) -> int:
        """The code a WebSocket is closed with for it; clients do not try again after a 44xx."""
        return 4000 + max(self.status, 400)

    def envelope(self, command_id: int | None) -> dict[str, Any]:
        """The protocol's answer to command `command_id`."""
        return error_frame(self.code, self.text, command_id)


def error_frame(code: ErrorCode, text: str, command_id: int | None = None) -> dict[str, Any]:
    """An error of the protocol; without a command's id it concerns the whole stream."""
    return {"type": "error", "id": command_id, "error": code, "message": text}


def unstored() -> Refusal:
    """Why a request is refused while the store fails."""
    return Refusal("unknown_error", "the server cannot store anything at the moment.", status=503)


def gap_text(after: int, first: int) -> str:
    """What a reader is told if its next events are no longer kept."""
    return (
        f"gap: events {after + 1} to {first - 1} of this thread are no longer kept; the oldest is {first}. "
        "Read the thread's state, or subscribe without `since`."
    )


def not_started() -> Refusal:
    """The answer of a server whose lifespan does not run."""
    return Refusal("unknown_error", "the server has not been started: its lifespan is not running.", status=503)


def stopping() -> Refusal:
    """The answer of a server that is being stopped."""
    return Refusal("unknown_error", "the server is being stopped; connect again later.", status=503)
