"""`LiveView`: shows a run on a terminal, from a thread of its own."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from io import TextIOBase
from types import TracebackType
from typing import Final, Self, TextIO, final

from rich.text import Text

from anyiostream import ProtocolEvent, RunStatistics
from anyiostream.cli.outcome import Outcome
from anyiostream.cli.terminal.entries import entry_lines, result_lines
from anyiostream.cli.terminal.model import RunModel
from anyiostream.cli.terminal.render import region_lines
from anyiostream.cli.terminal.screen import Screen
from anyiostream.cli.terminal.text import printable

__all__ = ["LiveView"]

FRAME: Final = 1 / 12
"""s between frames."""

SPARE: Final = 2
"""Lines of the screen that the region leaves to the log."""

UNSHOWN: Final = 1000
"""Lines that the program itself has printed and that wait to be shown."""


@final
class LiveView:
    """Shows a run while it happens, and its outcome.

    The run's reader tells it of events and statistics, which costs a lock and the model's step; a thread draws the
    frames. While it is entered, what the program prints goes to the log, line by line.
    """

    def __init__(self, screen: Screen, name: str, clock: Callable[[], float]) -> None:
        """A view of a run that begins.

        Args:
            screen: Where it is shown.
            name: What the graph is called.
            clock: Returns the time in s; only differences count.
        """
        self._screen = screen
        self._clock = clock
        self._lock = threading.Lock()
        self._model = RunModel(name, clock())
        self._statistics: RunStatistics | None = None
        self._printed: deque[str] = deque(maxlen=UNSHOWN)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._gone = False
        self._printing = PrintedLines(self._printed)
        self._streams: tuple[TextIO, TextIO] | None = None

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = self._printing
        # A daemon: if the terminal is stopped, the program may still be ended by a second Ctrl-C.
        self._thread = threading.Thread(target=self._draw_on, name="anyiostream view", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Draw no more; the region is removed, the log stays."""
        assert self._thread is not None
        assert self._streams is not None
        self._stop.set()
        try:
            self._thread.join()
            self._printing.finish()
            self._write(lambda: self._screen.finish(self._take_lines()))
        finally:
            sys.stdout, sys.stderr = self._streams

    @property
    def backlog(self) -> bool:
        """It never wants its reader to wait."""
        return False

    def event(self, event: ProtocolEvent) -> None:
        """The run has an event."""
        with self._lock:
            self._model.apply(event, self._clock())

    def statistics(self, statistics: RunStatistics) -> None:
        """The run has statistics."""
        self._statistics = statistics

    def flush(self) -> None:
        """Nothing waits here."""

    def result(self, outcome: Outcome) -> None:
        """Show how the run ended. Called after the block."""
        now = self._clock()
        self._model.conclude(outcome.status, now, None)
        lines = result_lines(
            self._model,
            now,
            self._screen.size[0],
            output=outcome.output,
            interrupts=outcome.interrupts,
            error=outcome.error_text,
        )
        self._write(lambda: self._screen.finish([*self._take_lines(), *lines]))

    def _draw_on(self) -> None:
        while not self._stop.wait(FRAME):
            self._write(self._frame)

    def _frame(self) -> None:
        width, height = self._screen.size
        log = self._take_lines()
        with self._lock:
            region = region_lines(
                self._model, self._statistics, self._clock(), width=width - 1, height=max(1, height - SPARE)
            )
        self._screen.draw(log, region)

    def _take_lines(self) -> list[Text]:
        lines = []
        width = self._screen.size[0]
        while self._printed:
            lines.append(Text(printable(self._printed.popleft())))
        with self._lock:
            entries, missed = self._model.take_log(), self._model.missed
            self._model.missed = 0
        if missed:
            lines.append(Text(f"… {missed} entries went by too fast to be shown; --json shows all", style="dim"))
        for entry in entries:
            lines += entry_lines(entry, width)
        return lines

    def _write(self, draw: Callable[[], None]) -> None:
        """Draw, unless the terminal is gone: the run goes on without it."""
        if not self._gone:
            try:
                draw()
            except OSError:
                self._gone = True


@final
class PrintedLines(TextIOBase):
    """Takes the place of standard output and error while a terminal is drawn on: whole lines go to `lines`."""

    def __init__(self, lines: deque[str]) -> None:
        self._lines = lines
        self._begun = ""
        self._lock = threading.Lock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property serves as well
        """Text is not encoded here."""
        return "utf-8"

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Take text; whole lines are handed on."""
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
            self._lines.extend(whole)
        return len(text)

    def flush(self) -> None:
        """An incomplete line is kept until it is complete, or the view ends."""

    def finish(self) -> None:
        """Hand on an incomplete line."""
        with self._lock:
            if self._begun:
                self._lines.append(self._begun)
                self._begun = ""
