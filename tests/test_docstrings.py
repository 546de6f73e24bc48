"""Everything public says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import anyiostream
import anyiostream.testing
import anyiostream.testing.langchain

ROOT = Path(anyiostream.__file__).parent
PUBLIC = (anyiostream, anyiostream.parts, anyiostream.testing, anyiostream.testing.langchain)


def described_assignments() -> set[str]:
    """Names of the package that are assigned at the top level of a module and followed by a string that says what."""
    names: set[str] = set()
    for path in ROOT.rglob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, after in pairwise(body):
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if described and isinstance(statement, (ast.Assign, ast.AnnAssign)):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """What a class, or one of the package's that it derives from, defines under a public name."""
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] == anyiostream.__name__:
            for name, value in vars(base).items():
                wrapped = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
                if not name.startswith("_") and (inspect.isfunction(wrapped) or isinstance(value, property)):
                    yield f"{base.__qualname__}.{name}", wrapped


def undescribed(module: ModuleType) -> set[str]:
    """The public names of a module, and public methods of its classes, that say nothing about themselves."""
    assignments = described_assignments()
    missing = set() if module.__doc__ else {module.__name__}
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            # An exception's or a class's inherited docstring is about something else.
            missing |= (
                set() if vars(value).get("__doc__", value.__doc__ if inspect.isfunction(value) else None) else {name}
            )
        elif not isinstance(value, ModuleType) and name not in assignments:
            missing.add(name)
        if inspect.isclass(value):
            missing |= {method for method, function in members(value) if not function.__doc__}
    return missing


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_public_name_has_a_docstring(module: ModuleType) -> None:
    """And so has every public method and property of a public class."""
    assert undescribed(module) == set()


def test_the_search_finds_what_is_missing() -> None:
    """A class, a method, a function and an alias without a word."""
    bare = ModuleType(f"{anyiostream.__name__}.bare", "A module.")
    exec(
        "class Bare:\n"
        "    def method(self): ...\n"
        "    def described(self):\n        'Says something.'\n"
        "    @property\n    def figure(self): ...\n"
        "class Inherits(Bare): ...\n"
        "def function(): ...\n"
        "Alias = tuple[str, ...]\n"
        "__all__ = ['Alias', 'Bare', 'Inherits', 'function']\n",
        vars(bare),
    )
    assert undescribed(bare) == {"Alias", "Bare", "Inherits", "function", "Bare.method", "Bare.figure"}


def test_every_module_says_what_it_is() -> None:
    """All of the package's modules, public or not."""
    modules = [
        ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in ROOT.rglob("*.py")
        if path.stem != "__main__"
    ]
    assert [name for name in modules if not importlib.import_module(name).__doc__] == []
