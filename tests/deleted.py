"""The package without a protocol of front ends, or without `web`: all other tests pass. `python -m tests.deleted`.

Each is deleted from a copy, in which the tests of what is left run. Those that need what is deleted are skipped.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

__all__ = ["pytest_runtest_call"]

ROOT: Final = Path(__file__).parent.parent

DELETED: Final = {
    **{f"sinks/{name}.py": [] for name in ("langgraph", "ai_sdk", "ag_ui", "openai", "text")},
    "web": ["web"],
}
"""What is deleted of the package -> whose tests are deleted with it."""

FOLDERS: Final = ("sinks", "web", "wire", "remote")
"""Tests of what is there for front ends."""

APART: Final = ("remote/kills", "remote/servers", "remote/several", "web/servers")
"""What takes web servers, in processes of their own."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """A test that meets a protocol without a module is skipped."""
    try:
        return (yield)
    except (ValueError, BaseExceptionGroup) as exc:
        for module in missing(exc):
            pytest.skip(f"needs {module}")
        raise


def missing(exc: BaseException) -> Iterator[str]:
    """The modules of protocols for whose lack a test has failed."""
    if isinstance(exc, BaseExceptionGroup):
        for each in exc.exceptions:
            yield from missing(each)
    elif type(exc).__name__ == "UnknownProtocol":
        from anyiostream.sinks import PROTOCOLS  # may be deleted itself

        module = f"anyiostream.sinks.{PROTOCOLS.get(getattr(exc, 'protocol', ''), '')}"
        if not module.endswith(".") and find_spec(module) is None:
            yield module


def passes_without(name: str) -> bool:
    """Whether the tests of what is left pass."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        for each in ("anyiostream", "examples", "tests"):
            shutil.copytree(ROOT / each, copy / each, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for gone in (copy / "anyiostream" / name, *(copy / "tests" / each for each in DELETED[name])):
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        tests = [f"tests/{each}" for each in FOLDERS if each not in DELETED[name]]
        options = ["-q", "--random-order", "--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder"]
        apart = [f"--ignore=tests/{each}" for each in APART]
        command = [sys.executable, "-m", "pytest", *options, *apart, *tests]
        print(f"without {name}:", flush=True)  # noqa: T201 -- a program
        return subprocess.run(command, cwd=copy, check=False).returncode == 0


def main() -> int:
    """Delete one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.deleted", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DELETED)} (all)")
    failed = [name for name in parser.parse_args().names or DELETED if not passes_without(name)]
    print("tests fail without", *failed) if failed else print("the tests pass without each of them")  # noqa: T201
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
