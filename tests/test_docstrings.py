"""Everything public says what it is."""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import FunctionType, ModuleType
from typing import Any

import anyio
import pytest
import trio
from langchain.agents import create_agent

import anyiostream
import anyiostream.opentelemetry
import anyiostream.testing
import anyiostream.testing.langchain
import anyiostream.tooling

ROOT = Path(anyiostream.__file__).parent
PUBLIC = (
    anyiostream,
    anyiostream.errors,
    anyiostream.parts,
    anyiostream.tooling,
    anyiostream.testing,
    anyiostream.testing.langchain,
)


@functools.cache  # a parsed package, for each module that is looked at
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


FENCE = re.compile(r"^ *```python\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def examples() -> Iterator[Any]:
    """The examples in the docstrings of classes and functions, each with the name of what it belongs to.

    Those of modules and of the client are fragments: they use what the reader has.
    """
    for path in sorted(each for each in ROOT.rglob("*.py") if "remote" not in each.parts):
        text = path.read_text(encoding="utf-8")
        if "```python" not in text:  # nor is it parsed, by every worker that collects
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                for block in FENCE.findall(ast.get_docstring(node) or ""):
                    yield pytest.param(dedent(block), id=node.name)


def names() -> dict[str, Any]:
    """What examples may use without importing it: the public names, and a small graph."""

    async def graph(city: str, writer: anyiostream.GraphWriter) -> dict[str, str]:
        await writer.values({"city": city})
        await writer.custom("on the way")
        return {"city": city, "plan": "take an umbrella"}

    modules = (*PUBLIC, anyiostream.opentelemetry)
    public = {name: getattr(module, name) for module in modules for name in module.__all__}
    libraries = {"anyio": anyio, "asyncio": asyncio, "trio": trio, "create_agent": create_agent}
    return {**public, **libraries, "graph": graph, "__name__": "__main__"}


@pytest.mark.parametrize("example", list(examples()))
def test_an_example_in_a_docstring_is_a_program(example: str) -> None:
    """It runs to its end; one that awaits runs on asyncio."""
    code = compile(example, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    namespace = names()
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, namespace)
        return

    async def main() -> None:
        await FunctionType(code, namespace)()

    anyio.run(main)


@pytest.mark.parametrize(
    "part",
    [
        "channels",
        "errors",
        "events",
        "opentelemetry",
        "loops",
        "prepared_run",
        "projections",
        "sources",
        "statistics",
        "testing",
        "transformer",
    ],
)
def test_every_public_class_shows_its_use(part: str) -> None:
    """What users read has an example in its docstring; what only a wrong program gets is in the page of mistakes."""
    modules = (anyiostream, anyiostream.opentelemetry, anyiostream.testing, anyiostream.testing.langchain)
    classes = {value for each in modules for name in each.__all__ if inspect.isclass(value := getattr(each, name))}
    home = f"{anyiostream.__name__}.{part}"
    inside = [each for each in classes if each.__module__ == home or each.__module__.startswith(f"{home}.")]
    assert inside
    assert [each.__name__ for each in inside if "```python" not in (each.__doc__ or "")] == []
