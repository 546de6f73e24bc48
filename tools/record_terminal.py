"""Record a run in the terminal as an animated picture: `python -m tools.record_terminal docs/images/terminal.svg`.

The command runs in a pseudo-terminal; what it writes goes through a terminal emulator, and what that shows, ten times a
second, becomes a strip of frames that a style sheet moves. Nothing is drawn by hand.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

COLUMNS, ROWS = 84, 14
COMMAND = ("-m", "anyiostream", "run", "travel.py:travel", "--input", '"Bergen"')
PROMPT = f"$ python {shlex.join(COMMAND)}"
FOLDER = Path(__file__).parent
INTERVAL = 0.1
"""How often the terminal is looked at, in s."""
REST = 4.0
"""How long the last frame stays, in s."""

CELL, LINE, MARGIN = 8.4, 18, 14
COLOURS = {
    "default": "#d7dae0", "black": "#5c6370", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b",
    "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d7dae0",
}  # fmt: skip
FONT = "font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"

Frame = tuple[str, ...]


def recorded() -> Iterator[tuple[float, Frame]]:
    """What the terminal shows: since when, in s, and its lines as SVG."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(PROMPT.encode() + b"\r\n")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    with subprocess.Popen(
        [sys.executable, *COMMAND], cwd=FOLDER, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ):
        os.close(theirs)
        began = None
        while True:
            try:
                written = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not written:
                break
            began = began or time.monotonic()  # starting Python is not part of the film
            stream.feed(written)
            yield time.monotonic() - began, shown(screen)
    os.close(ours)


def shown(screen: pyte.Screen) -> Frame:
    """The lines of a screen, as SVG; the cursor is not drawn."""
    return tuple("".join(spans(screen.buffer[row])) for row in range(ROWS))


def spans(row: dict[int, pyte.screens.Char]) -> Iterator[str]:
    """Runs of characters that look the same."""
    cells = [row[column] for column in range(COLUMNS)]
    for (colour, bold), run in groupby(enumerate(cells), lambda cell: (cell[1].fg, cell[1].bold)):
        column, characters = next(((n, c) for n, c in [next(run)]), (0, None))
        assert characters is not None
        text = (characters.data + "".join(cell.data for _, cell in run)).rstrip()
        if text:
            style = f' fill="{COLOURS.get(colour, f"#{colour}")}"' if colour != "default" else ""
            weight = ' font-weight="bold"' if bold else ""
            yield f'<tspan x="{MARGIN + column * CELL:.1f}"{style}{weight}>{escape(text)}</tspan>'


def thinned(frames: Sequence[tuple[float, Frame]]) -> list[tuple[float, Frame]]:
    """At most one frame for each interval, the last one of it, and none like the one before."""
    kept: list[tuple[float, Frame]] = []
    for _, group in groupby(frames, lambda frame: int(frame[0] / INTERVAL)):
        moment, frame = list(group)[-1]
        if not kept or kept[-1][1] != frame:
            kept.append((moment, frame))
    return kept


def drawn(frames: Sequence[tuple[float, Frame]]) -> str:
    """The picture. Lines that occur in several frames are in it once."""
    width, height = round(2 * MARGIN + COLUMNS * CELL), 2 * MARGIN + ROWS * LINE
    whole = frames[-1][0] + REST
    lines = {
        line: f"l{n}" for n, line in enumerate(dict.fromkeys(line for _, frame in frames for line in frame if line))
    }
    steps = [
        f"{100 * moment / whole:.2f}%{{transform:translateY({-n * height}px)}}" for n, (moment, _) in enumerate(frames)
    ]
    last = f"translateY({-(len(frames) - 1) * height}px)"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<title>A run, live in the terminal</title>",
        "<style>",
        f"text{{{FONT};white-space:pre;fill:{COLOURS['default']}}}",
        f"@keyframes film{{0%{{transform:translateY(0)}}{''.join(steps)}100%{{transform:{last}}}}}",
        f"#film{{animation:film {whole:.1f}s step-end infinite}}",
        f"@media (prefers-reduced-motion:reduce){{#film{{animation:none;transform:{last}}}}}",
        "</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#1e2127"/>',
        "<defs>",
        *(f'<text id="{name}" xml:space="preserve">{line}</text>' for line, name in lines.items()),
        "</defs>",
        '<g id="film">',
    ]
    for n, (_, frame) in enumerate(frames):
        out.extend(
            f'<use href="#{lines[line]}" y="{n * height + MARGIN + (row + 0.75) * LINE:.0f}"/>'
            for row, line in enumerate(frame)
            if line
        )
    return "\n".join([*out, "</g>", "</svg>", ""])


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description="Record a run in the terminal.")
    parser.add_argument("target", type=Path, help="the picture to write")
    target: Path = parser.parse_args().target
    frames = thinned(list(recorded()))
    target.write_text(drawn(frames), encoding="utf-8")
    print(f"{target}: {len(frames)} frames, {frames[-1][0]:.1f} s, {target.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
