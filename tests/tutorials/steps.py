"""What a tutorial tells its reader to do: files to write, commands to run, and what they show."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["ROOT", "commands", "programs", "write_files"]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "tutorials"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"(?:# |// |<!-- )([\w/]+\.\w+)(?: -->)?\n")
INSIDE = r"((?:(?!```).*\n)*)```\n"
SHOWN = re.compile(rf"^```(?:python|py)\n{INSIDE}(?:(?!```(?:python|py)\n).*\n)*?```text\n{INSIDE}", re.MULTILINE)


def read(tutorial: str) -> str:
    return (FOLDER / tutorial).read_text(encoding="utf-8")


def write_files(tutorial: str, folder: Path) -> list[str]:
    """Write every file that the tutorial shows, which are the blocks that begin with a name in a comment.

    Returns:
        Their names, in order.
    """
    names = []
    for _, text in BLOCK.findall(read(tutorial)):
        named = NAME.match(text)
        if named is not None:
            path = folder / named[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            names.append(named[1])
    return names


def commands(tutorial: str) -> list[str]:
    """Every command that it shows, in order."""
    console = [text for language, text in BLOCK.findall(read(tutorial)) if language == "console"]
    return [line.removeprefix("$ ") for text in console for line in text.splitlines()]


def programs(tutorial: str) -> list[tuple[str, str]]:
    """Programs, and the text that is shown below each of them."""
    return SHOWN.findall(read(tutorial))
