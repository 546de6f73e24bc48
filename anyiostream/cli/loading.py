"""What arguments of the command line name: graphs, transformers, JSON.

`package.module:attribute` or `path/to/file.py:attribute`; the attribute may be dotted. What is named is a graph, or a
callable that builds one: a class or plain function that takes nothing, or the configuration as its `config`. Where
graphs are served, it may also be a function that returns an asynchronous context manager, which opens one.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

from anyiostream import StreamTransformer, TransformerFactory
from anyiostream.tooling import Lookalike, called, holds_parts, is_langgraph, lookalike, wraps, wrong_call

__all__ = ["BrokenModule", "UsageError", "check_graph", "load_graph", "load_json", "load_object", "load_transformer"]


class UsageError(Exception):
    """An argument cannot be used; the message says why, and what to do."""


class BrokenModule(UsageError):
    """A module that cannot be imported, because of an error of its own; with the traceback of the user's own code.

    Or a graph that cannot be opened.
    """

    def __init__(self, place: str, error: BaseException, *, doing: str = "importing") -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
        lines = traceback.format_list(frames) + traceback.format_exception_only(error)
        hint = NO_LOOP if str(error) == "no running event loop" else ""
        super().__init__(f"{doing} {place} fails:\n{''.join(lines).rstrip()}{hint}")


NO_LOOP = (
    "\nA module is imported before there is an event loop. Open what needs one, such as an asynchronous checkpointer, "
    "in a function with @asynccontextmanager that yields the graph, and serve that: docs/stores.md shows how."
)


def _is_users(filename: str) -> bool:
    """Whether a file is neither this package's, nor Python's, nor an installed package's."""
    if filename.startswith("<"):
        return False
    path = Path(filename).resolve()
    if "site-packages" in path.parts or path.is_relative_to(Path(__file__).resolve().parents[1]):
        return False
    return not path.is_relative_to(Path(os.__file__).resolve().parent)


def load_graph(target: str, config: Mapping[str, Any] | None = None, *, may_open: bool = False) -> Any:
    """The graph that `target` names; if it names a callable that builds one, that is called.

    Args:
        target: The argument.
        config: What a callable that builds a graph is called with.
        may_open: Whether it may build an asynchronous context manager that opens the graph, which is returned then.

    Raises:
        UsageError: There is no such thing, or it neither is nor builds a graph.
        BrokenModule: Importing the module raises an exception.
        Whatever building the graph raises.
    """
    found = _find(target, "graph")
    if _is_builder(found):
        built = _build(target, found, config)
        if not (may_open and isinstance(built, AbstractAsyncContextManager)):
            check_graph(built, f"{target} builds")
        return built
    problem = _problem(found)
    if problem is not None:
        raise UsageError(f"{target} is not a graph: {problem}")
    return found


def check_graph(built: Any, whence: str) -> None:
    """Refuse what is not a graph.

    Args:
        built: What may be one.
        whence: What it comes from, as the beginning of a sentence.

    Raises:
        UsageError: It is none.
    """
    problem = _problem(built)
    if problem is not None:
        raise UsageError(f"{whence} a {type(built).__name__}, which is not a graph: {problem}")


def load_transformer(target: str) -> TransformerFactory:
    """The transformer class or factory that `target` names.

    Raises:
        UsageError: There is no such thing, or it is neither.
    """
    found = load_object(target)
    if isinstance(found, StreamTransformer) or not callable(found):
        raise UsageError(f"{target} is a {type(found).__name__}; name a transformer class or a factory")
    return cast("TransformerFactory", found)


def load_object(target: str) -> Any:
    """What `module:attribute` or `path/to/file.py:attribute` names.

    Raises:
        UsageError: It is written otherwise, or there is no such module or attribute.
        BrokenModule: Importing the module raises an exception.
    """
    return _find(target, "object")


def _find(target: str, wanted: Literal["graph", "object"]) -> Any:
    place, separator, path = target.rpartition(":")
    if not separator or not place or not path:
        raise UsageError(f"{target!r} does not name anything: write module:attribute or path/to/file.py:attribute")
    found: Any = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    name = place
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise UsageError(f"{name} has no attribute {attribute!r}{_suggestion(attribute, found, wanted)}") from None
        name = f"{name}:{attribute}" if ":" not in name else f"{name}.{attribute}"
    return found


def load_json(text: str | None, option: str) -> Any:
    """The value that an argument gives as JSON: `-` reads it from standard input, `@path` from a file.

    Args:
        text: The argument; `None` gives `None`.
        option: What the argument is called, for the error.

    Raises:
        UsageError: It is not JSON, or cannot be read.
    """
    if text is None:
        return None
    given, source = text, option
    if text == "-":
        given, source = sys.stdin.read(), "standard input"
    elif text.startswith("@"):
        source = text[1:]
        try:
            given = Path(source).read_text(encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"{option}: cannot read {source}: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise UsageError(f"{option}: {source} is not UTF-8: {exc}") from exc
    try:
        return json.loads(given)
    except ValueError as exc:
        raise UsageError(f"{source} is not JSON: {exc}. A string needs its quotes: '\"text\"'") from exc


def _load_module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not (name == exc.name or name.startswith(f"{exc.name}.")):
            # The module exists; one that it imports does not.
            raise BrokenModule(name, exc) from exc
        raise UsageError(
            f"there is no module {exc.name!r}; modules are looked for in {folder} and among the installed packages"
        ) from None
    except (ValueError, TypeError) as exc:
        if _is_module_name(name):
            raise BrokenModule(name, exc) from exc
        raise UsageError(
            f"{name!r} is not the name of a module: write package.module, or a path ending in .py"
        ) from exc
    except Exception as exc:
        raise BrokenModule(name, exc) from exc


def _is_module_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    path = path.resolve()
    # As `python path/to/file.py` would have it: its neighbours can be imported, under their own names.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"_graph_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Registered first: classes that look up their own module, as dataclasses and pickles do, find it.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as exc:
        del sys.modules[name]
        if isinstance(exc, Exception):
            raise BrokenModule(str(path), exc) from exc
        raise
    return module


def _suggestion(name: str, owner: object, wanted: str) -> str:
    there = vars(owner) if isinstance(owner, ModuleType) else dict.fromkeys(dir(owner))
    public = sorted(
        each for each, value in there.items() if not each.startswith("_") and not isinstance(value, ModuleType)
    )
    close = difflib.get_close_matches(name, public, n=3)
    listing = wanted == "graph" and isinstance(owner, ModuleType)
    graphs = [each for each in public if _is_graph(there[each])] if listing else []
    listed = ", ".join(graphs[:20])
    if close:
        meant = f"; did you mean {' or '.join(repr(each) for each in close)}?"
        return f"{meant} Its graphs: {listed}" if graphs else meant
    if graphs:
        return f"; its graphs: {listed}"
    return f"; it has {', '.join(public[:10])}" if public else ""


def _is_graph(found: object) -> bool:
    """Whether a module's attribute may be meant: what LangGraph has compiled, or a function graph."""
    if is_langgraph(found):
        return True
    is_function = inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found)
    return is_function and _problem(found) is None


def _is_builder(found: Any) -> bool:
    """Whether it is to be called for the graph, rather than being one."""
    if is_langgraph(found) or not callable(found) or wraps(found):
        return False
    if inspect.isclass(found):
        return True
    function = called(found)
    return not (
        inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
        or inspect.isgeneratorfunction(function)
    )


def _build(target: str, builder: Callable[..., Any], config: Mapping[str, Any] | None) -> Any:
    try:
        parameters = inspect.signature(builder).parameters.values()
    except (TypeError, ValueError):
        return builder()
    wanted = [each for each in parameters if each.default is each.empty and each.kind not in VARIADIC]
    if not wanted:
        return builder()
    if [each.name for each in wanted] == ["config"]:
        return builder(config=dict(config or {}))
    names = ", ".join(each.name for each in wanted)
    raise UsageError(
        f"{target} is not a graph: it takes ({names}) and is not asynchronous. A function graph is "
        "`async def graph(input, writer)`; a function that builds one takes nothing, or the configuration as `config`"
    )


VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _problem(found: object) -> str | None:
    """Why it is not a graph, or `None` if it may be one."""
    if is_langgraph(found):
        return None
    wrapping = wraps(found)
    if wrapping:
        return wrapping
    kind = lookalike(found)
    if kind in PROBLEMS:
        return PROBLEMS[kind]
    if callable(found):
        return _no_graph(found) if _is_builder(found) else _wrong_arguments(found)
    if holds_parts(found) or isinstance(found, AsyncIterable):
        return None
    return _no_graph(found)


def _no_graph(found: object) -> str:
    return NOT_ENTERED if isinstance(found, AbstractAsyncContextManager) else NO_GRAPH.format(type(found).__name__)


PROBLEMS = {
    Lookalike.UNCOMPILED: "it has not been compiled; name what its compile() returns",
    Lookalike.COROUTINE: "it is a coroutine; name the function itself",
}

NO_GRAPH = (
    "it is of type {}; a graph is a compiled LangGraph graph, an `async def graph(input, writer)`, a generator "
    "function, or an iterable of parts"
)

NOT_ENTERED = (
    "it is a context manager, and only `serve` enters one that a function returns; otherwise open what the graph needs "
    "in a program of your own"
)


def _wrong_arguments(function: Callable[..., Any]) -> str | None:
    is_async = inspect.iscoroutinefunction(called(function))
    return wrong_call(function, *(("input", "writer") if is_async else ("input",))) or None
