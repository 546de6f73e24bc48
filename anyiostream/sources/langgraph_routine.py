"""`GraphRoutine`: a LangGraph graph's stream, with what it does not say of itself.

Nearly all parts are shown as they come. So the stream is read as it is, and what is done about a few of its parts is
called for those. With a generator or an iterator around the stream for each of these purposes, as one would write it
first, every part passes through all of them: through one, a part of a burst took 15 opcodes of 368 more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import AbstractContextManager
from typing import Any, final

from anyiostream.events import Namespace, StreamPart
from anyiostream.sources.gate import BARRIERS, Gate
from anyiostream.sources.hosted import HostLoop, Receiver
from anyiostream.sources.iterables import IteratorRoutine
from anyiostream.sources.langgraph_failures import PRECEDED, Unsaid
from anyiostream.sources.langgraph_level import Level
from anyiostream.sources.langgraph_threads import ThreadWatch

__all__ = ["GraphRoutine"]


@final
class _Every:
    """Contains everything."""

    def __contains__(self, _: object) -> bool:
        return True


@final
class GraphRoutine(IteratorRoutine):
    """A graph's stream."""

    __slots__ = ("_level", "_shown", "_threads", "_told")

    def __init__(
        self,
        open_stream: Callable[[], AsyncIterator[Any]],
        outcome: Callable[[], BaseException | None],
        *,
        scope: Namespace,
        told: AbstractContextManager[object],
        threads: ThreadWatch | None,
        shown: dict[str, Any],
    ) -> None:
        """Nothing is opened yet.

        Args:
            open_stream: Opens the graph's stream.
            outcome: The error of a graph that has come to its natural end, if it has one.
            scope: The namespace of the run.
            told: Which exceptions the stream ends with: a block that it is read in.
            threads: Is told of the nodes that start and end; `None` if none runs in a thread.
            shown: The options of `Unsaid`.
        """
        super().__init__(open_stream, outcome)
        self._level = Level(scope) if scope else None
        self._told = told
        self._threads = threads
        self._shown = shown

    async def _advance(  # noqa: C901 -- the hot path of bursts: a call costs as much as what is done here
        self, receiver: Receiver, gate: Gate, loop: HostLoop
    ) -> None:
        if not (gate.open or await gate.permission(loop)):
            return
        put, at_hand = receiver.put, receiver.at_hand
        unsaid = Unsaid(**self._shown)
        adds_to, preceding, summed = unsaid.adds_to, unsaid.preceding, unsaid.summed
        is_nested, notes_tasks = self._level is not None, self._threads is not None
        looked_at: Container[str] = _Every() if is_nested else PRECEDED | BARRIERS
        with self._told:
            async for part in self._opened():
                kind = part["type"]
                if kind not in looked_at or (
                    # As `adds_to`, without the call: 19 opcodes of 570 less for a token, of which there are most.
                    kind == "messages" and not (is_nested or preceding or isinstance(part["data"][0], summed))
                ):
                    if 0 < len(at_hand) < gate.room:
                        at_hand.append(part)  # as `put`, without the call: 18 opcodes less for a part of a burst
                    elif not (put(part) or await gate.permission(loop)):
                        return
                elif is_nested or (kind in PRECEDED and (notes_tasks or adds_to(part))):
                    for each in self._moved(unsaid.shown(part)):
                        if not (put(each) or await gate.permission(loop)):
                            return
                elif not (put(part) or await gate.permission(loop)):
                    return
        if self._threads is not None:
            self._threads.ended()
        for each in self._moved(unsaid.rest()):
            if not (put(each) or await gate.permission(loop)):
                return

    async def close(self) -> BaseException | None:
        """Close the stream, and log the threads that it leaves behind; what closing raised."""
        try:
            return await super().close()
        finally:
            if self._threads is not None:
                self._threads.closed()

    def _moved(self, parts: Iterator[StreamPart]) -> Iterator[StreamPart]:
        """The parts at the level of the run, noted."""
        return parts if self._level is None and self._threads is None else map(self._move, parts)

    def _move(self, part: StreamPart) -> StreamPart:
        if self._level is not None:
            part = self._level.moved(part)
        if self._threads is not None and part["type"] == "tasks":
            self._threads.note(part)
        return part
