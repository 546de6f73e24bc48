"""Packages of npm that tests use: a folder's `package.json` names them, with their versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["installed"]


def installed(folder: Path) -> None:
    """Have the packages of a folder. Where they cannot be had the test is skipped, but not in CI."""
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
