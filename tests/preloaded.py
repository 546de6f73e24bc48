"""Programs in processes of their own, without the second that their imports take.

Each is a fork of one process that has imported what most of them use, and nothing else: `with Preloaded() as python`,
then `python.run(program)`. What Python does at its own end is done, too: threads are joined, what is left is collected,
and what either says on standard error counts.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from pathlib import Path
from typing import Any, Final, NoReturn, Self, final

import attrs

__all__ = ["Done", "Preloaded"]

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

    def __enter__(self) -> Self:
        """Start it."""
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded"],
            cwd=ROOT,
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
        out, err = (Path(self._folder.name, name) for name in ("out", "err"))
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"program": program, "out": str(out), "err": str(err)}) + "\n")
        stdin.flush()
        return Done(int(stdout.readline()), out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


def main() -> None:
    """Fork for each line."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def become(program: str, out: str, err: str) -> NoReturn:
    """Run a program, and end this process as Python would."""
    for descriptor, path in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), descriptor)
    module: Any = types.ModuleType("__main__")
    sys.modules["__main__"], sys.argv = module, ["-c"]
    warnings.filterwarnings("error", module=r"__main__\Z")
    code: Any = 0
    try:
        exec(compile(program, "<string>", "exec"), module.__dict__)
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
    module.__dict__.clear()
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    main()
