"""`Sink`: shows a run in a front end's protocol. Pure: events of the wire in, bytes out.

A sink is for one response. It may begin and end anywhere in a turn: its output is whole all the same, since it opens
what it has not seen the beginning of, and closes what it has opened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, final

import attrs

from anyiostream import AnyioStreamError
from anyiostream.wire import Placed

__all__ = [
    "DEFAULT_INCLUDE",
    "INCLUDABLE",
    "MalformedRequest",
    "Request",
    "Sink",
    "Status",
    "UnknownInclude",
    "check_include",
]

Status = Literal["completed", "failed", "aborted", "drained", "interrupted", "cut"]
"""How what a sink shows has ended: the run by itself, by its error, by being stopped, by being drained, by a question
to its user; or not at all, and the stream is cut."""

INCLUDABLE: Final = frozenset({"values", "updates", "checkpoints", "tasks"})
"""Methods of the wire that show state, which may hold secrets: they go out only on request."""

DEFAULT_INCLUDE: Final[frozenset[str]] = frozenset()


@final
@attrs.frozen(kw_only=True)
class Request:
    """What a front end asks for, in no protocol's terms.

    Attributes:
        input: What the graph is to be run with: `{"messages": [...]}`, new ones where the thread has the others; `None`
            if nothing is new.
        thread: The conversation, or `None` where the protocol has none.
        run_id: The run's id, if the front end has chosen one.
        answers: Interrupt id -> what its user says to it.
        regenerate: The id of the user's message that is to be answered anew: `input` replaces it and all after it.
        users: The ids of the user's messages that the front end shows, in order, those in `input` included; empty where
            the protocol does not say. A server drops what its thread has said besides, for its user has.
        continues: The id of the message that the run continues.
        calls: Tool calls that the front end has already: id -> name.
        results: The ids of those of them whose result it has, too.
        assistant: Which graph is asked for, or `None` where the protocol does not say.
        stream: Whether the answer is to be streamed.
        usage: Whether it is to say how many tokens were used.
        extra: What else the front end has sent along; none of it is trusted.
        once: By which the same request is known if it is sent again; `None` where it names neither run nor message.
    """

    input: Any = None
    thread: str | None = None
    run_id: str | None = None
    answers: Mapping[str, Any] = attrs.field(factory=dict)
    regenerate: str | None = None
    users: Sequence[str] = ()
    continues: str | None = None
    calls: Mapping[str, str] = attrs.field(factory=dict)
    results: Collection[str] = ()
    assistant: str | None = None
    stream: bool = True
    usage: bool = False
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    once: str | None = None


class Sink(Protocol):
    """Shows one run, or what is left of it, in one protocol.

    Attributes:
        media_type: Of the response.
        headers: Further headers of the response.
        in_band: Whether it can say that a run has failed. Otherwise only a broken connection tells.
        eager: Whether the response begins before there is something to be sent.
    """

    media_type: str
    headers: Mapping[str, str]
    in_band: bool
    eager: bool

    def opening(self, event_id: str) -> bytes:
        """What goes out first. `event_id` is the place before the first event's."""
        ...

    def encode(self, event: Placed) -> bytes:
        """What an event makes; often nothing."""
        ...

    def end(self, status: Status = "cut", error: str = "") -> bytes:
        """What is still missing, with the run's end or without; nothing if the run's end has been encoded."""
        ...

    def failure(self, error: str) -> tuple[str, bytes]:
        """Media type and body of a response with an error's status, for a run that fails before anything is sent."""
        ...

    def heartbeat(self) -> bytes:
        """A heartbeat, for when nothing else is sent; empty if the protocol has none."""
        ...


@final
class MalformedRequest(AnyioStreamError, ValueError):
    """A front end's request is not what its protocol says. The text may be sent to it, with the HTTP status 400.

    ```python
    from anyiostream.sinks import MalformedRequest, ai_sdk

    try:
        request = ai_sdk.parse({"messages": "hello"})
    except MalformedRequest as error:
        assert error.protocol == "ai-sdk"
    ```

    Attributes:
        protocol: Which protocol.
    """

    def __init__(self, protocol: str, problem: str) -> None:
        super().__init__(f"This is not a request of the protocol {protocol!r}: {problem}")
        self.protocol: Final = protocol


@final
class UnknownInclude(AnyioStreamError, ValueError):
    """`include` names what a sink does not show."""

    def __init__(self, unknown: Collection[str]) -> None:
        names = ", ".join(map(repr, sorted(unknown)))
        super().__init__(f"There is no {names} to include. Choose from {', '.join(sorted(INCLUDABLE))}.")


def check_include(include: Collection[str]) -> None:
    """Refuse what names no state, also where a protocol shows none.

    Raises:
        UnknownInclude: It does.
    """
    unknown = set(include) - INCLUDABLE
    if unknown:
        raise UnknownInclude(unknown)
