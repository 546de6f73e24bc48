"""`JsonLines`: a run as lines of JSON, for other programs.

Each event of the raw log is a line, written when it happens. The last line is the outcome:
`{"type": "result", "status": ..., "output": ..., "interrupts": [...], "error": {"type", "message"} or null}`.

Writing to a pipe that nobody empties blocks. A reader on an event loop must not, so lines are written at once only
where the system says that they fit; else they wait for `flush`, which the lane calls where blocking is harmless.
"""

from __future__ import annotations

import errno
import os
import select
from typing import Any, Final, final

from anyiostream import ProtocolEvent, RunStatistics
from anyiostream.cli.outcome import Outcome, OutputClosed
from anyiostream.tooling import encode

__all__ = ["JsonLines"]

ATOMIC: Final = getattr(select, "PIPE_BUF", 512)
"""Bytes that a writable pipe takes without blocking."""


@final
class JsonLines:
    """Writes a run to a file descriptor, one line of JSON for each event, and one for the outcome."""

    def __init__(self, descriptor: int) -> None:
        """Lines for `descriptor`, which stays open."""
        self._descriptor = descriptor
        self._pending = bytearray()

    @property
    def backlog(self) -> bool:
        """Whether lines wait for `flush`."""
        return bool(self._pending)

    def event(self, event: ProtocolEvent) -> None:
        """Write an event if it fits, else keep it for `flush`.

        Raises:
            OutputClosed: Nobody reads them any more.
        """
        self._put(event)
        if len(self._pending) <= ATOMIC and self._is_writable():
            self.flush()

    def statistics(self, statistics: RunStatistics) -> None:
        """Statistics are not events."""

    def flush(self) -> None:
        """Write what waits. Blocks until it is written.

        Raises:
            OutputClosed: Nobody reads it any more.
        """
        try:
            while self._pending:
                written = os.write(self._descriptor, self._pending)
                del self._pending[:written]
        except OSError as exc:
            self._pending.clear()
            if isinstance(exc, BrokenPipeError) or exc.errno == errno.EINVAL:  # as Windows reports it
                raise OutputClosed from exc
            raise

    def result(self, outcome: Outcome) -> None:
        """Write how the run ended.

        Raises:
            OutputClosed: Nobody reads it any more.
        """
        line: dict[str, Any] = {
            "type": "result",
            "status": outcome.status,
            "output": outcome.output,
            "interrupts": outcome.interrupts,
            "error": outcome.error,
        }
        self._put(line)
        self.flush()

    def _put(self, line: object) -> None:
        self._pending += encode(line).encode("ascii") + b"\n"

    def _is_writable(self) -> bool:
        try:
            return bool(select.select([], [self._descriptor], [], 0)[1])
        except (OSError, ValueError):
            return False  # Windows, or more files than select() can tell apart.
