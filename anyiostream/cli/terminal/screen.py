"""`Screen`: writes frames to a terminal, each a piece of the log and the region beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO, final

from rich.console import Console
from rich.text import Text

__all__ = ["Screen"]

BEGIN: Final = "\x1b[?2026h"
"""Terminals that know synchronised updates show nothing of what follows before its end; the others ignore it."""

END: Final = "\x1b[?2026l"


@final
class Screen:
    """A terminal whose last lines are redrawn in place.

    Attributes:
        console: What text is rendered by; it knows the terminal's size and colours.
    """

    def __init__(self, stream: TextIO, console: Console | None = None) -> None:
        """A screen on `stream`, which is a terminal.

        Args:
            stream: Where frames are written.
            console: For tests: a console of a given size and colour system.
        """
        self.console: Final = console or Console(file=stream, highlight=False)
        self._stream = stream
        self._drawn: list[int] = []
        self._frame = ""

    @property
    def size(self) -> tuple[int, int]:
        """Its width and height, in cells, now."""
        width, height = self.console.size
        return max(2, width), max(2, height)

    def draw(self, log: Sequence[Text], region: Sequence[Text]) -> None:
        """Add lines to the log, and show `region` beneath it in place of the one before.

        Args:
            log: Lines of any length; they wrap.
            region: Lines that are no wider than the screen, and fewer than it has.

        Raises:
            OSError: The terminal is gone.
        """
        above = self._rendered(log)
        below = self._rendered(region).removesuffix("\n")
        if not above and below == self._frame and self._rows() == len(self._drawn):
            return
        self._stream.write(f"{BEGIN}{self._erase()}{above}{below}{END}")
        self._stream.flush()
        self._frame = below
        self._drawn = [line.cell_len for line in region]

    def finish(self, log: Sequence[Text]) -> None:
        """Add lines to the log, and remove the region."""
        self.draw(log, ())

    def _rendered(self, lines: Sequence[Text]) -> str:
        if not lines:
            return ""
        with self.console.capture() as capture:
            for line in lines:
                self.console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)
        return capture.get()

    def _erase(self) -> str:
        if not self._drawn:
            return ""
        up = self._rows() - 1
        return "\r" + (f"\x1b[{up}A" if up else "") + "\x1b[0J"

    def _rows(self) -> int:
        """Lines that the region takes up now: a terminal that has become narrower has wrapped some of them."""
        width, _ = self.size
        return sum(max(1, -(-cells // width)) for cells in self._drawn)
