"""The contributors' map names files that are there, and every folder of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_/]+(?:\.py|\.js|\.md|/))`", PAGE)))


def test_files_are_named() -> None:
    """The page has paths in it, and this test finds them."""
    assert {"mux/dispatch.py", "driver/turn.py", "channels/"} <= set(NAMED)


@pytest.mark.parametrize("named", NAMED)
def test_a_file_that_the_map_names_exists(named: str) -> None:
    """Below the package, beside the messages' modules, or in the project."""
    folders = (ROOT / "anyiostream", ROOT / "anyiostream" / "projections" / "messages", ROOT)
    assert any((folder / named).exists() for folder in folders)


def test_each_folder_is_on_the_map() -> None:
    """A newcomer finds every folder of the package on it."""
    folders = {path.parent.name for path in (ROOT / "anyiostream").glob("*/__init__.py")}
    assert {folder for folder in folders if f"`{folder}/" not in PAGE} == set()
