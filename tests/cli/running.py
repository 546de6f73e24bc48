"""Running the command, in a process of its own, with a pipe or a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from ..preloaded import Preloaded

ROOT = Path(__file__).resolve().parent.parent.parent
GRAPHS = str(Path(__file__).with_name("graphs.py"))

CONTROL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes standard input the controlling terminal, so that Ctrl-C means something, and becomes another program."""

# Without what a test runner says of its own terminal's size.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
ENVIRONMENT |= {"TERM": "xterm-256color", "PYTHONUNBUFFERED": ""}
# What libraries deprecate, or use although it is deprecated, differs from version to version and is not the command's.
ENVIRONMENT |= {"PYTHONWARNINGS": "default,ignore::DeprecationWarning,ignore::PendingDeprecationWarning"}

__all__ = ["ENVIRONMENT", "GRAPHS", "ROOT", "Ended", "command", "in_terminal", "resize", "run_process", "type_keys"]


@attrs.frozen
class Ended:
    """What came of a command."""

    code: int
    out: str
    err: str = ""

    @property
    def lines(self) -> list[Any]:
        """Its output, as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> Any:
        """The last line."""
        return self.lines[-1]

    def events(self, method: str) -> list[Any]:
        """The data of all events of a method."""
        return [line["params"]["data"] for line in self.lines[:-1] if line["method"] == method]


def command(graph: str, *options: str) -> list[str]:
    """The command line for one of the tests' graphs."""
    return [sys.executable, "-m", "anyiostream", "run", f"{GRAPHS}:{graph}", *options]


def run_process(graph: str, *options: str, given: str = "") -> Ended:
    """Run the command to its end, with pipes."""
    done = subprocess.run(
        command(graph, *options),
        input=given,
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def interruptible() -> None:
    """Let SIGINT interrupt a child, also where whoever runs the tests ignores it, as shells do in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_terminal(
    arguments: Sequence[str],
    steps: Sequence[tuple[str, Callable[[int], Any]]] = (),
    *,
    rows: int = 24,
    columns: int = 80,
    python: Preloaded | None = None,
) -> Ended:
    """Run a command in a pseudo-terminal.

    Args:
        arguments: The command line.
        steps: What to wait for in the output after the last step, and what is then done with the terminal.
        rows: Its height.
        columns: Its width.
        python: What is forked instead of starting Python anew.
    """
    import pty

    main, terminal = pty.openpty()
    resize(rows, columns)(main)
    keep_output(terminal)
    if python is not None:
        return forked(python, arguments, steps, main, terminal)
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROL, *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        cwd=ROOT,
        env=ENVIRONMENT,
        start_new_session=True,
        preexec_fn=interruptible,  # noqa: PLW1509 -- it takes no lock
    )
    os.close(terminal)
    try:
        seen = watch(main, steps)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(main)
    return Ended(code, seen)


def forked(
    python: Preloaded,
    arguments: Sequence[str],
    steps: Sequence[tuple[str, Callable[[int], Any]]],
    main: int,
    terminal: int,
) -> Ended:
    """Run a command in a fork, which opens the terminal by its name."""
    _, _, module, *rest = arguments
    codes: list[int] = []

    def wait() -> None:
        try:
            codes.append(python.run_module_in(os.ttyname(terminal), module, *rest))
        finally:
            os.close(terminal)  # nobody has it open any more, so that there is nothing more to read

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        seen = watch(main, steps)
        waiting.join()
    finally:
        os.close(main)
    return Ended(codes[0], seen)


def watch(main: int, steps: Sequence[tuple[str, Callable[[int], Any]]]) -> str:
    """Take the steps, and read until the other side of the terminal is closed."""
    seen, waiting, searched = b"", list(steps), 0
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # Linux says so when the other side is closed.
            break
        if not piece:
            break
        seen += piece
        while waiting and (at := seen.find(waiting[0][0].encode(), searched)) >= 0:
            searched = at + len(waiting[0][0])
            waiting.pop(0)[1](main)
    assert not waiting, f"{waiting[0][0]!r} was never shown"
    return seen.decode("utf-8", "replace")


def keep_output(terminal: int) -> None:
    """Let Ctrl-C drop nothing that was written: a test may have read half a frame when it types that."""
    import termios

    attributes = termios.tcgetattr(terminal)
    attributes[3] |= termios.NOFLSH
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def resize(rows: int, columns: int) -> Callable[[int], None]:
    """What gives a terminal another size."""

    def change(terminal: int) -> None:
        import fcntl
        import struct
        import termios

        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    return change


def type_keys(keys: str) -> Callable[[int], None]:
    """What types keys."""
    return lambda terminal: os.write(terminal, keys.encode()) and None
