"""What a turn consists of: messages, blocks, calls of tools, graphs, questions; each as far as it has been told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import attrs

from anyiostream import Namespace

__all__ = ["FILES", "INVALID", "Block", "Call", "Graph", "Message", "Question", "Usage", "shortened_by"]

FILES: Final = frozenset({"image", "audio", "video", "file"})
"""Types of blocks with something that is no text."""

INVALID: Final = "The arguments are no JSON object."
"""Why a call is not made."""

GROWTH: Final = 1.25
"""By how much the output of a tool has to grow before it is told again."""


LENGTH: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"})

FILTER: Final = frozenset(
    {"content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety", "prohibited_content"}
)
"""What providers call the reasons for which a message is not all that the model would have said."""


@final
@attrs.define(eq=False)
class Message:
    """A message of a model.

    Attributes:
        id: Its id, unique in the turn.
        namespace: The graph that it belongs to.
        node: The node that wrote it, if that is known.
        role: Who says it; empty if that is not known.
        provider: Whose model.
        model: Which model.
        parts: Index -> what stands there.
        named: Whether a text is known by the message's id.
    """

    id: str
    namespace: Namespace
    node: str | None = None
    role: str = ""
    provider: str = ""
    model: str = ""
    parts: dict[Any, Block | Call] = attrs.field(factory=dict)
    named: bool = False

    @property
    def open(self) -> Iterator[Block | Call]:
        """Its parts that are not closed."""
        return (part for part in self.parts.values() if not part.closed)


@final
@attrs.define(eq=False)
class Block:
    """A text or the reasoning of a message.

    Attributes:
        id: Its id, unique in the turn; that of a message's first text is the message's.
        kind: `text` or `reasoning`.
        message: Whose it is.
        whole: Whether its beginning has been seen.
        opened: Whether it has been told of.
        closed: Whether its end has been told.
    """

    id: str
    kind: str
    message: Message
    whole: bool = False
    opened: bool = False
    closed: bool = False
    _pieces: list[str] = attrs.field(factory=list)

    def add(self, text: str) -> None:
        """One more piece."""
        self._pieces.append(text)

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._pieces)


@final
@attrs.define(eq=False)
class Call:
    """A call of a tool.

    Attributes:
        id: Its id.
        name: The tool's name.
        namespace: The graph that makes it.
        message: The message that it stands in, if one has told of it.
        input: Its arguments, when it is closed.
        output: Its result so far.
        opened: Whether it has been told of.
        closed: Whether its arguments are complete.
        answered: Whether it has a result.
        silent: Whether it is told of elsewhere: another call has its id.
        was_known: Whether the reader had it before the turn.
    """

    id: str
    name: str
    namespace: Namespace
    message: Message | None
    input: Any = None
    output: Any = None
    opened: bool = False
    closed: bool = False
    answered: bool = False
    silent: bool = False
    was_known: bool = False
    _pieces: list[str] = attrs.field(factory=list)
    _outputs: list[str] = attrs.field(factory=list)
    _size: int = 0
    _told: int = 0

    @classmethod
    def known(cls, call_id: str, name: str, *, answered: bool = False) -> Call:
        """One that the reader has already."""
        return cls(call_id, name, (), None, opened=True, closed=True, answered=answered, was_known=True)

    def add(self, piece: str) -> None:
        """One more piece of its arguments."""
        self._pieces.append(piece)

    @property
    def args(self) -> str:
        """The text of its arguments so far."""
        return "".join(self._pieces)

    def parsed(self) -> Any:
        """Its arguments as far as they have come: what the text says, or the text if it breaks off."""
        text = self.args
        try:
            return json.loads(text) if text else {}
        except ValueError:
            return text

    def begin_output(self) -> None:
        """The tool begins, maybe once more."""
        self.output, self._outputs, self._size, self._told = None, [], 0, 0

    def add_output(self, delta: Any) -> bool:
        """One more piece of its result; whether the result so far is worth telling."""
        if not isinstance(delta, str):
            self.output, self._told = delta, self._size
            return True
        self._outputs.append(delta)
        self._size += len(delta)
        if self._size < GROWTH * self._told:
            return False
        return self.catch_up()

    def catch_up(self) -> bool:
        """Whether there is more of its result so far than has been told."""
        if self._told == self._size:
            return False
        self._told = self._size
        self.output = "".join(self._outputs)
        return True


@final
@attrs.frozen(eq=False)
class Graph:
    """A graph inside the run's.

    Attributes:
        id: Unique in the turn.
        name: Its name.
        namespace: Where it is.
        around: The graph around it, unless that is the run's own.
    """

    id: str
    name: str
    namespace: Namespace
    around: Graph | None


@final
@attrs.frozen
class Question:
    """What a graph waits for its user with.

    Attributes:
        id: The interrupt's.
        namespace: The graph that asks.
        value: What it asks.
    """

    id: str
    namespace: Namespace
    value: Any


@final
@attrs.define
class Usage:
    """Tokens."""

    input: int = 0
    output: int = 0
    total: int = 0

    def add(self, usage: Mapping[str, Any]) -> None:
        """Those of one more message."""
        used, made = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
        self.input += used
        self.output += made
        self.total += _count(usage.get("total_tokens")) or used + made


def shortened_by(metadata: Any) -> str:
    """Why a message is not whole, by what its provider says of its end: `length`, `content_filter`; else nothing."""
    said = metadata if isinstance(metadata, Mapping) else {}
    details = said.get("incomplete_details")
    reasons = [said.get(name) for name in ("finish_reason", "stop_reason", "done_reason", "stopReason")]
    reasons.append(details.get("reason") if isinstance(details, Mapping) else None)
    told = {each.lower() for each in reasons if isinstance(each, str)}
    return "length" if told & LENGTH else "content_filter" if told & FILTER else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
