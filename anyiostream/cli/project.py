"""`langgraph.json`: the file that names the graphs of LangGraph's own server, as far as it concerns this one."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from anyiostream.cli.loading import UsageError

__all__ = ["PROJECT", "graphs_of_project"]

PROJECT: Final = "langgraph.json"

VARIABLE: Final = re.compile(r"(?:export\s+)?([^\W\d][\w.-]*)\s*=\s*(.*)")
"""A line of a `.env` file that sets a variable."""

QUOTED: Final = re.compile(r"""(["'])((?:\\.|(?!\1).)*)\1\s*(?:#.*)?""")
"""A value in quotes, and a comment."""

ESCAPES: Final = {
    '"': {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"},
    "'": {"'": "'", "\\": "\\"},
}
"""The quotes round a value -> what a character after a backslash stands for in it."""


def graphs_of_project(path: Path) -> dict[str, str]:
    """The graphs that a project's file names: name -> `module:attribute` or `path:attribute`.

    Its environment is added to the process's, which wins, and its own folders are put on the module search path.

    Raises:
        UsageError: It does not exist, or does not have LangGraph's form.
    """
    project = _read(path)
    graphs = project.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise UsageError(f'{path} names no graphs; write "graphs": {{"name": "./file.py:graph"}}')
    folder = path.resolve().parent
    _set_environment(project.get("env"), folder, path)
    dependencies = project.get("dependencies") or ["."]
    for each in dependencies:
        if isinstance(each, str) and (each.startswith(".") or Path(each).is_absolute()):
            place = str((folder / each).resolve())
            if place not in sys.path:
                sys.path.insert(0, place)
    return {name: _target(name, given, folder, path) for name, given in graphs.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        project = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"{path} is not JSON: {exc}") from exc
    if not isinstance(project, dict):
        raise UsageError(f"{path} is not an object")
    return project


def _target(name: str, given: Any, folder: Path, path: Path) -> str:
    target = given.get("path") if isinstance(given, dict) else given
    if not isinstance(target, str) or ":" not in target:
        raise UsageError(f"{path}: write the graph {name!r} as file.py:attribute or module:attribute")
    place, _, attribute = target.rpartition(":")
    return f"{folder / place}:{attribute}" if place.endswith(".py") else target


def _set_environment(given: Any, folder: Path, path: Path) -> None:
    if given is None:
        return
    if isinstance(given, str):
        try:
            lines = (folder / given).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as exc:
            raise UsageError(f"{path}: its `env`, {given}, is not text in UTF-8") from exc
        except OSError as exc:
            raise UsageError(f"{path}: cannot read its `env`, {given}: {exc.strerror}") from exc
        given = dict(filter(None, map(_variable, lines)))
    if not isinstance(given, dict):
        raise UsageError(f"{path}: `env` must be the name of a file, or an object")
    for name, value in given.items():
        try:
            os.environ.setdefault(name, str(value))
        except (OSError, ValueError) as exc:
            raise UsageError(f"{path}: `env` cannot set {name!r}: {exc}") from exc


def _variable(line: str) -> tuple[str, str] | None:
    """The variable that a line of a `.env` file sets, if it does."""
    found = VARIABLE.fullmatch(line.strip())
    if found is None:
        return None
    name, value = found.groups()
    quoted = QUOTED.fullmatch(value)
    if quoted is None:
        return name, re.sub(r"\s+#.*", "", value)
    escapes = ESCAPES[quoted[1]]
    return name, re.sub(r"\\(.)", lambda escape: escapes.get(escape[1], escape[0]), quoted[2])
