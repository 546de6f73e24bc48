"""`Block`: one content block of a message, as it arrives; and where it stands among the others."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, TypeAlias, final

import attrs

from anyiostream.projections.messages.output import finish_tool_call

__all__ = ["CHUNK_TYPES", "Block", "Place", "in_order", "place_of"]

CHUNK_TYPES = {"tool_call_chunk": "tool_call", "server_tool_call_chunk": "server_tool_call"}

FAMILIES = {**CHUNK_TYPES, "invalid_tool_call": "tool_call"}
"""Types of a block before its finish, or instead of it -> its type at its finish."""


Place: TypeAlias = tuple[Any, ...]
"""A block's index and its family. A number more if another block has come there since."""


@final
@attrs.define(eq=False)
class Block:
    """One content block.

    Attributes:
        kind: Its type.
        pieces: Its text or reasoning so far.
        chunk: Its tool call so far; the arguments are in `pieces`.
        final: The finished block, once it has finished.
        quiet: Whether its tool call's arguments contradicted their earlier pieces, so that no more pieces are shown.
    """

    kind: str
    pieces: list[str] = attrs.field(factory=list)
    chunk: dict[str, Any] = attrs.field(factory=dict)
    final: dict[str, Any] | None = None
    quiet: bool = False

    @property
    def joined(self) -> str:
        """The pieces together; keeps them together from then on."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def finished(self) -> dict[str, Any]:
        """The block as it is, finished if it was not."""
        if self.final is not None:
            return self.final
        if self.kind in CHUNK_TYPES:
            call = finish_tool_call({**self.chunk, "args": self.joined})
            return call if call["type"] == "invalid_tool_call" else {**call, "type": CHUNK_TYPES[self.kind]}
        return {"type": self.kind, self.kind: self.joined}


def place_of(blocks: Container[Place], index: Any, kind: str) -> Place:
    """Where a block of this kind is among others."""
    family = FAMILIES.get(kind, kind)
    if kind == "invalid_tool_call" and (index, family) not in blocks and (index, "server_tool_call") in blocks:
        return index, "server_tool_call"
    return index, family


def in_order(place: Place) -> tuple[bool, int, str]:
    """What sorts blocks by their index; those whose index is not a number come last."""
    index = place[0]
    return (False, index, "") if isinstance(index, int) else (True, 0, str(index))
