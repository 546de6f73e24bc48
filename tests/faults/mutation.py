"""Edits of a copy of the package, addressed by class and method rather than by file, so that they survive a move."""

from __future__ import annotations

import ast
import functools
import textwrap
from pathlib import Path
from typing import final

import attrs

__all__ = ["AnchorGone", "Edit", "body", "insert", "swap"]


class AnchorGone(Exception):
    """What a mutant changes is no longer there: adapt the mutant to the code."""


_parsed = functools.cache(ast.parse)


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

    def apply(self, package: Path) -> None:
        """Change the one function of that name in the package.

        Raises:
            AnchorGone: There is none, or several, or the text is not in it.
        """
        found = [(path, node) for path in sorted(package.rglob("*.py")) for node in self._functions(path)]
        if len(found) != 1:
            places = ", ".join(path.name for path, _ in found) or "nowhere"
            raise AnchorGone(f"{self.where} is expected once in the package; it is {places}")
        path, node = found[0]
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        first, last = self._body(node)
        text = "".join(lines[first:last])
        indent = " " * (node.col_offset + 4)
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

    def _functions(self, path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        tree = _parsed(path.read_text(encoding="utf-8"))
        owner, _, name = self.where.rpartition(".")
        places = [tree] if not owner else [
            node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == owner
        ]  # fmt: skip
        return [
            node
            for place in places
            for node in place.body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
        ]

    @staticmethod
    def _body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int]:
        """First and last line of the body, as a slice, without its docstring."""
        statements = node.body
        documented = isinstance(statements[0], ast.Expr) and isinstance(statements[0].value, ast.Constant)
        if documented and len(statements) > 1:
            statements = statements[1:]
        end = statements[-1].end_lineno
        assert end is not None
        return statements[0].lineno - 1, end


def body(where: str, new: str) -> Edit:
    """`new` in place of the function's body."""
    return Edit(where, "", new)


def swap(where: str, old: str, new: str) -> Edit:
    """`new` in place of `old`, inside a function."""
    return Edit(where, old, new)


def insert(where: str, new: str) -> Edit:
    """`new` before a function's first statement."""
    return Edit(where, "", new, before=True)
