"""Packages of npm that tests use: a folder's `package.json` names them, with their versions."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["installed"]


def installed(folder: Path) -> None:
    """Have the packages of a folder. Where they cannot be had the test is skipped, but not in CI."""
    with exclusive(folder):
        install(folder)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """A block in which no other process changes what is installed in a folder: tests run in several at once."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def install(folder: Path) -> None:
    """Install what is not there yet."""
    wanted = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    if all((folder / "node_modules" / name).exists() for name in wanted):
        return
    if not (shutil.which("node") and shutil.which("npm")):
        lacking("needs Node and npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lacking(f"npm cannot install what the tests need: {done.stderr[-300:]}")


def lacking(why: str) -> None:
    """Skip, but in CI fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}; CI does not skip these tests")
    pytest.skip(why)
