"""Graphs that do what a script says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from anyio.lowlevel import checkpoint

__all__ = ["Script"]


class Script:
    """A graph that produces the given parts, and counts them and how often it was closed.

    An exception among the parts is raised; a callable is called, and awaited on the async lane.
    """

    def __init__(self, *parts: Any, waits: bool = False) -> None:
        """A graph that, if it `waits`, takes a turn of the loop before each part on the async lane."""
        self.parts: Iterable[Any] = parts
        self.waits = waits
        self.produced = 0
        self.closed = 0

    async def agen(self) -> AsyncIterator[Any]:
        """As an async generator."""
        try:
            for part in self.parts:
                if self.waits:
                    await checkpoint()
                if callable(part):
                    await part()
                else:
                    yield self._produced(part)
        finally:
            self.closed += 1

    def gen(self) -> Iterator[Any]:
        """As a generator."""
        try:
            for part in self.parts:
                if callable(part):
                    part()
                else:
                    yield self._produced(part)
        finally:
            self.closed += 1

    async def function(self, given: Any, writer: Any) -> None:
        """As an async function."""
        try:
            for part in self.parts:
                if callable(part):
                    await part()
                else:
                    await writer.part(self._produced(part))
        finally:
            self.closed += 1

    def _produced(self, part: Any) -> Any:
        if isinstance(part, BaseException):
            raise part
        self.produced += 1
        return part
