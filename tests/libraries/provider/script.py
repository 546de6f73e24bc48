"""What a scripted model answers, whichever provider's format it is asked in.

A script maps the name of a model to its replies, one after the other: its first call gets the first, its second call
the second. Agents that run side by side are told apart by the names of their models, so that nothing depends on which
of them is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

__all__ = [
    "Answer",
    "Block",
    "Call",
    "Cut",
    "Gate",
    "HttpError",
    "Native",
    "Reply",
    "Script",
    "Text",
    "Thinking",
    "call",
    "say",
]


@attrs.frozen
class Text:
    """A block of text, in the pieces that it is streamed in."""

    pieces: tuple[str, ...]

    def whole(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@attrs.frozen
class Thinking:
    """A block of reasoning, in the pieces that it is streamed in."""

    pieces: tuple[str, ...]

    def whole(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@attrs.frozen
class Call:
    """A tool call, whose arguments are JSON in the pieces that they are streamed in."""

    id: str
    name: str
    pieces: tuple[str, ...]

    def whole(self) -> str:
        """All of the arguments, as JSON."""
        return "".join(self.pieces)


@attrs.frozen
class Native:
    """A block that only one provider has, as that provider sends it."""

    content: Mapping[str, Any]


@attrs.frozen
class Cut:
    """The connection ends here, in the middle of the reply."""


@attrs.frozen
class Gate:
    """The reply waits here until the test opens the gate of that name, or the client has gone."""

    name: str


Block: TypeAlias = Text | Thinking | Call | Native | Cut | Gate


@attrs.frozen
class Reply:
    """A model's reply.

    Attributes:
        blocks: What it consists of, in order.
        finish: Why it ends: `"stop"`, `"length"`, or `"tools"`; by default as its blocks say.
        input_tokens: Tokens of the prompt, of which `cached_tokens` were cached.
        output_tokens: Tokens of the reply, of which `reasoning_tokens` are reasoning.
        interleaved: Whether pieces of the tool calls take turns, in chat completions; other formats have no such thing.
    """

    blocks: tuple[Block, ...]
    finish: str | None = None
    input_tokens: int = 11
    output_tokens: int = 5
    cached_tokens: int = 3
    reasoning_tokens: int = 2
    interleaved: bool = False

    def reason(self) -> str:
        """Why it ends."""
        if self.finish is not None:
            return self.finish
        return "tools" if self.of(Call) else "stop"

    def of(self, kind: type[Any]) -> list[Any]:
        """Its blocks of one kind."""
        return [block for block in self.blocks if isinstance(block, kind)]

    def text(self) -> str:
        """All of its text."""
        return "".join(block.whole() for block in self.of(Text))


@attrs.frozen
class HttpError:
    """The provider refuses with this status; a client that may try again is to do so after a millisecond."""

    status: int
    message: str = "refused by the script"


Answer: TypeAlias = Reply | HttpError
Script: TypeAlias = Mapping[str, Sequence[Answer]]


def say(text: str, *more: Block | str, think: str = "", **options: Any) -> Reply:
    """A reply of text in words, after thoughts and before other blocks."""
    blocks: list[Block] = [Thinking(_words(think))] if think else []
    blocks += [Text(_words(each)) if isinstance(each, str) else each for each in (text, *more) if each != ""]
    return Reply(tuple(blocks), **options)


def call(call_id: str, name: str, arguments: str, *, size: int = 6) -> Call:
    """A tool call in pieces of `size` characters of its JSON arguments."""
    return Call(call_id, name, tuple(arguments[start : start + size] for start in range(0, len(arguments), size)))


def _words(text: str) -> tuple[str, ...]:
    """`text` in pieces that each begin at a word."""
    first, *others = text.split(" ")
    return (first, *(f" {word}" for word in others))
