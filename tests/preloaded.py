"""Programs in processes of their own, without the second that their imports take.

Each is a fork of one process that has imported what most of them use, and nothing else: `with Preloaded() as python`,
then `python.run(program)`, or `python.run_module(name)` for `python -m name`. What Python does at its own end is done,
too: threads are joined, what is left is collected, and what either says on standard error counts.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, Self, final

import attrs

__all__ = ["ANEW", "Done", "Preloaded"]

ROOT: Final = Path(__file__).resolve().parent.parent

IMPORTED: Final = ("anyiostream", "anyio._backends._asyncio", "langchain.agents", "langgraph.checkpoint.memory")
"""What is imported before. Not trio: programs show that they run without it."""


@final
@attrs.frozen
class Done:
    """A program that has ended, as `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


@final
class Preloaded:
    """A process to fork, as long as the block lasts. One caller at a time."""

    def __init__(self, *modules: str, alone: bool = False, environment: Mapping[str, str] | None = None) -> None:
        """One that imports `modules`, too, or those alone; with the environment of this process if none is given."""
        self._modules = modules if alone else (*IMPORTED, *modules)
        self._environment = environment

    def __enter__(self) -> Self:
        """Start it."""
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", *self._modules],
            cwd=ROOT,
            env=self._environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.communicate()
        self._folder.cleanup()

    def run(self, program: str) -> Done:
        """What comes of a program, with warnings as errors in its main module."""
        return self._fork(program=program)

    def run_module(self, name: str, *arguments: str, given: str = "") -> Done:
        """What comes of `python -m name`, likewise, with its arguments and its standard input."""
        return self._fork(module=name, arguments=arguments, given=given)

    def run_module_in(self, terminal: str, name: str, *arguments: str) -> int:
        """The exit code of `python -m name` in a terminal, which is its own: Ctrl-C there interrupts it."""
        return self._ask(files=[], terminal=terminal, module=name, arguments=arguments)

    def _fork(self, *, given: str = "", **what: Any) -> Done:
        into, out, err = (Path(self._folder.name, name) for name in ("in", "out", "err"))
        into.write_text(given, encoding="utf-8")
        code = self._ask(files=[str(into), str(out), str(err)], **what)
        return Done(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def _ask(self, **what: Any) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(what) + "\n")
        stdin.flush()
        return int(stdout.readline())


ANEW: Final = """
import sys
for name in [each for each in sys.modules if each.partition(".")[0] == "anyiostream"]:
    del sys.modules[name]
"""
"""The beginning of a program that imports the package itself, and finds only what that needs imported before."""


def main() -> None:
    """Fork for each line."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def become(
    files: list[str], program: str = "", module: str = "", arguments: tuple[str, ...] = (), terminal: str = ""
) -> NoReturn:
    """Run a program or a module, and end this process as Python would."""
    if terminal:
        enter(terminal)
    for descriptor, path in enumerate(files):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if descriptor else os.O_RDONLY
        os.dup2(os.open(path, flags), descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 -- the other has read lines that are not for it
    main: Any = types.ModuleType("__main__")
    sys.modules["__main__"], sys.argv = main, ["-c"]
    warnings.filterwarnings("error", module=r"__main__\Z")
    code: Any = 0
    try:
        if module:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            exec(compile(program, "<string>", "exec"), main.__dict__)
    except SystemExit as exc:
        code = exc.code
        if isinstance(code, str):
            sys.stderr.write(f"{code}\n")
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 -- as Python would
    atexit._run_exitfuncs()  # noqa: SLF001 -- likewise
    main.__dict__.clear()
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def enter(terminal: str) -> None:
    """Make a terminal this process's own, as a shell would before the program begins."""
    import fcntl  # not on every system
    import termios

    os.setsid()
    opened = os.open(terminal, os.O_RDWR)
    fcntl.ioctl(opened, termios.TIOCSCTTY, 0)
    for descriptor in range(3):
        os.dup2(opened, descriptor)
    os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 -- stays
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 -- stays


if __name__ == "__main__":
    main()
