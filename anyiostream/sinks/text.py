"""Plain text: what the models say, and nothing else.

Plain text cannot say that a run failed: before the first token the failure is an HTTP status, later the connection
breaks, so that nobody takes half an answer for the whole.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, final

from anyiostream.sinks.flat import FlatText
from anyiostream.sinks.parts import Block
from anyiostream.sinks.requests import mapping_of
from anyiostream.sinks.sink import MalformedRequest, Request, check_include
from anyiostream.sinks.turn_sink import TurnSink

__all__ = ["TextSink", "make", "parse"]

PROTOCOL: Final = "text"


@final
class TextSink(TurnSink):
    """Shows the texts of a turn as one.

    Args:
        subgraphs: Whether what inner graphs say belongs to it, too.
    """

    media_type = "text/plain"
    in_band = False
    eager = False

    def __init__(self, *, subgraphs: bool = True) -> None:
        super().__init__()
        self._text = FlatText(subgraphs=subgraphs)

    def opening(self, event_id: str) -> bytes:
        """Nothing."""
        del event_id
        return b""

    def failure(self, error: str) -> tuple[str, bytes]:
        """The error's text."""
        return self.media_type, error.encode("utf-8", "replace")

    def heartbeat(self) -> bytes:
        """Nothing."""
        return b""

    def block_delta(self, block: Block, text: str) -> None:
        """What the models say."""
        self._say(self._text.delta(block, text))

    def block_closed(self, block: Block) -> None:
        """What has waited for its end."""
        self._say(self._text.closed(block))

    def _say(self, text: str) -> None:
        if text:
            self.emit(text.encode("utf-8", "replace"))


def make(request: Request, *, run_id: str, message_id: str, include: Collection[str]) -> TextSink:
    """The sink that answers a request."""
    del request, run_id, message_id
    check_include(include)
    return TextSink()


def parse(body: Any) -> Request:
    """A question, as text or as `{"input": "..."}`; with `thread`, if it belongs to a conversation.

    Raises:
        MalformedRequest: It is neither.
    """
    if isinstance(body, str):
        return Request(input={"messages": [{"role": "user", "content": body}]})
    given = mapping_of(PROTOCOL, "the body", body)
    asked, thread = given.get("input"), given.get("thread")
    if not isinstance(asked, str) or not (thread is None or isinstance(thread, str)):
        raise MalformedRequest(PROTOCOL, "`input` must be a string, and so must `thread`, if there is one.")
    return Request(input={"messages": [{"role": "user", "content": asked}]}, thread=thread)
