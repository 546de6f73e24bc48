"""`FlatText`: the texts of a turn as one text, for protocols that have room for only one."""

from __future__ import annotations

from typing import Final, final

from anyiostream.sinks.parts import Block

__all__ = ["FlatText"]

BETWEEN: Final = "\n\n"
"""What stands between two texts."""


@final
class FlatText:
    """Puts texts one after the other, in the order in which they begin.

    The first that has not ended is shown as it comes; the others wait for its end.

    Args:
        subgraphs: Whether what inner graphs say belongs to it, too.
    """

    def __init__(self, *, subgraphs: bool) -> None:
        self._subgraphs = subgraphs
        self._lines: dict[str, list[str]] = {}  # by block, in the order of beginning; the first one's is empty
        self._ended: set[str] = set()
        self._some = False

    def delta(self, block: Block, text: str) -> str:
        """What there is to be shown, now that `block` goes on with `text`."""
        if block.kind != "text" or (block.message.namespace and not self._subgraphs):
            return ""
        if block.id in self._lines:
            if next(iter(self._lines)) == block.id:
                return text
            self._lines[block.id].append(text)
            return ""
        self._lines[block.id] = []
        if len(self._lines) == 1:
            return self._begin() + text
        self._lines[block.id].append(text)
        return ""

    def closed(self, block: Block) -> str:
        """What there is to be shown, now that `block` has ended: what has waited for that."""
        if block.id not in self._lines:
            return ""
        self._ended.add(block.id)
        shown = ""
        while self._lines:
            first = next(iter(self._lines))
            if first not in self._ended:
                break
            self._ended.discard(first)
            del self._lines[first]
            if self._lines:
                following = next(iter(self._lines))
                shown += self._begin() + "".join(self._lines[following])
                self._lines[following] = []
        return shown

    def alone(self, text: str) -> str:
        """A text of its own, after all others."""
        return self._begin() + text

    def _begin(self) -> str:
        before, self._some = BETWEEN if self._some else "", True
        return before
