"""Edits of a copy of the package, addressed by class and method rather than by file, so that they survive a move."""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import final

import attrs

__all__ = ["AnchorGone", "Edit", "body", "insert", "swap"]


class AnchorGone(Exception):
    """What a mutant changes is no longer there: adapt the mutant to the code."""


@final
@attrs.frozen
class Place:
    """Where a function's body is.

    Attributes:
        first: Its first line after the docstring, counted from 0.
        last: The one after its last.
        indent: Spaces before each.
    """

    first: int
    last: int
    indent: int


@functools.cache
def functions(text: str) -> Mapping[str, list[Place]]:
    """A module's functions and its classes' methods, by name. Not the tree, which takes a hundred times the memory."""
    found: dict[str, list[Place]] = {}
    tree = ast.parse(text)
    owners: list[tuple[str, ast.Module | ast.ClassDef]] = [("", tree)]
    owners += [(f"{node.name}.", node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for prefix, owner in owners:
        for node in owner.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.setdefault(prefix + node.name, []).append(place(node))
    return found


def place(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Place:
    """Where its body is."""
    statements = node.body
    documented = isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant)
    if documented and len(statements) > 1:
        statements = statements[1:]
    end = statements[-1].end_lineno
    assert end is not None
    return Place(statements[0].lineno - 1, end, node.col_offset + 4)


@final
@attrs.frozen
class Edit:
    """One change of one function.

    Attributes:
        where: `Class.method`, or the name of a function of a module.
        old: Text inside it, which must be there exactly once; empty for the whole body.
        new: What stands there instead.
        before: Whether `new` goes before the body's first statement instead.
    """

    where: str
    old: str
    new: str
    before: bool = False

    def apply(self, package: Path) -> Path:
        """Change the one function of that name in the package.

        Returns:
            The file that was changed.

        Raises:
            AnchorGone: There is none, or several, or the text is not in it.
        """
        found = [(path, each) for path in sorted(package.rglob("*.py")) for each in self._places(path)]
        if len(found) != 1:
            places = ", ".join(path.name for path, _ in found) or "nowhere"
            raise AnchorGone(f"{self.where} is expected once in the package; it is {places}")
        path, there = found[0]
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        first, last = there.first, there.last
        text = "".join(lines[first:last])
        indent = " " * there.indent
        fresh = textwrap.indent(textwrap.dedent(self.new).strip("\n") + "\n", indent)
        if self.before:
            text = fresh + text
        elif not self.old:
            text = fresh
        elif text.count(self.old) != 1:
            raise AnchorGone(f"{self.where} has {self.old!r} {text.count(self.old)} times; once is expected")
        else:
            text = text.replace(self.old, self.new)
        changed = "".join(lines[:first]) + text + "".join(lines[last:])
        try:
            ast.parse(changed)
        except SyntaxError as error:
            raise AnchorGone(f"{self.where} is no Python after the edit: {error}") from None
        path.write_text(changed, encoding="utf-8")
        return path

    def _places(self, path: Path) -> list[Place]:
        text = path.read_text(encoding="utf-8")
        # Most modules need not be parsed to see that it is not there.
        if f"def {self.where.rpartition('.')[2]}(" not in text:
            return []
        return functions(text).get(self.where, [])


def body(where: str, new: str) -> Edit:
    """`new` in place of the function's body."""
    return Edit(where, "", new)


def swap(where: str, old: str, new: str) -> Edit:
    """`new` in place of `old`, inside a function."""
    return Edit(where, old, new)


def insert(where: str, new: str) -> Edit:
    """`new` before a function's first statement."""
    return Edit(where, "", new, before=True)
