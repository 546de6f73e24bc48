"""Imports of the package point one way."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import anyiostream

ROOT = Path(anyiostream.__file__).parent

LAYERS = (
    # What things are: no behaviour, no state of a run.
    ("errors.*", "statistics", "foreign", "keyboard"),
    ("events", "outcome", "inline", "state", "forms", "names", "encoding", "logged"),
    ("namespaces", "failed_subgraphs"),
    ("parts",),
    # What readers read.
    ("channels.*",),
    # The extension point, and what it is told of.
    ("subgraphs", "subgraph_tracker"),
    ("payloads.*",),
    ("transformer", "transformer_hooks"),
    # The core, and what plugs into it.
    ("projections.*",),
    ("mux.*",),
    ("source", "step", "ends"),
    ("pump",),
    # The outer world: event loops, graphs, programs.
    ("loops.*",),
    ("driver.*",),
    ("sources.*", "lanes.*"),
    # The doors.
    ("standalone", "options", "prepared_run", "run"),
    ("tooling.*",),
    # What users see of all this, and what stands around it.
    ("__init__",),
    ("wire.*",),
    ("sinks.*",),
    ("opentelemetry.*", "remote.*", "testing.*", "web.*"),
    ("page.*",),
    ("cli.*", "__main__", "demo.*"),
)
"""From the innermost to the outermost; a module imports from its own layer and from those before it."""

EVENT_LOOPS = {"asyncio", "trio", "anyio", "sniffio", "uvloop"}

OUTER = (
    "loops.*",  # the two event loops
    "lanes.async*",  # cursors are AnyIO streams
    "sources.asyncio_graph",  # tasks of frameworks that know asyncio only
    "sources.functions",  # cancel scopes round subgraphs
    "sources.hosted_in_trio",  # a task of asyncio's beside trio
    "sources.langgraph_failures",  # callbacks in asyncio's tasks
    "sources.langgraph_tools",  # a lock of asyncio's
    "sources.portal",  # asyncio in a thread of trio's
    "run",
    "page.*",  # what a server shows
    "remote.*",  # servers and clients
    "sinks.client",  # sending
    "web.*",  # responses
    "cli.*",
    "testing.*",
    "demo.*",
    "__main__",
)
"""Modules that may import an event loop, or AnyIO."""

DATA_STRUCTURES = {"channels.buffer": {"anyio"}}
"""Modules of the core that use AnyIO's memory streams, as a data structure."""


def module_name(path: Path) -> str:
    """A module's name below the package: `channels.buffer`; a subpackage's is `channels.__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(path: Path, *, for_types: bool = True) -> Iterator[str]:
    """The absolute names of all modules that a file imports, anywhere in it; without `for_types`, at run time only."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if not for_types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if own_module(submodule) else node.module
        pending += ast.iter_child_nodes(node)


def own_module(name: str) -> str | None:
    """The module of the package that `name` is, or `None` if it is none."""
    package, _, rest = name.partition(".")
    if package != ROOT.name:
        return None
    return next((known for known in (rest, f"{rest}.__init__".lstrip(".")) if known in MODULES), None)


def layer(module: str) -> int:
    """The place of a module in the order."""
    places = [place for place, patterns in enumerate(LAYERS) for each in patterns if matches(module, each)]
    assert len(places) == 1, f"{module} has {len(places)} places in LAYERS"
    return places[0]


def matches(module: str, pattern: str) -> bool:
    """Whether a module is what a pattern means; `a.*` is everything in the package `a`, and `a` itself."""
    return fnmatch(module, pattern) or (pattern.endswith(".*") and module == pattern[:-2])


@functools.cache
def own_imports(module: str) -> set[str]:
    """What a module imports of the package, for type checking only included: to read it takes them all the same."""
    return {own for name in imports(MODULES[module]) if (own := own_module(name)) is not None}


@functools.cache
def reachable(module: str) -> set[str]:
    """What a module imports, directly or by way of others."""
    found: set[str] = set()
    pending = [*own_imports(module)]
    while pending:
        if (other := pending.pop()) not in found:
            found.add(other)
            pending += own_imports(other)
    return found


def circle_of(module: str) -> set[str]:
    """The modules that import this one and are imported by it, however far apart; itself among them, or none."""
    return {other for other in reachable(module) if module in reachable(other)}


def test_the_package_is_found() -> None:
    """The modules that these tests look at are there, and import each other."""
    assert {"errors.__init__", "events", "pump", "run", "mux.mux", "channels.channel"} <= set(MODULES)
    assert "channels.buffer" in own_imports("channels.channel")
    assert "parts" in own_imports("sources.writer")


def test_imports_for_type_checking_count(tmp_path: Path) -> None:
    """Those at run time can be told from them."""
    module = tmp_path / "module.py"
    module.write_text("import json\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trio\n")
    assert set(imports(module)) == {"json", "typing", "trio"}
    assert set(imports(module, for_types=False)) == {"json", "typing"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_inwards(module: str) -> None:
    """A module has one place in the order, and imports nothing from a layer further out."""
    outwards = {other for other in own_imports(module) if layer(other) > layer(module)}
    assert outwards == set()


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_itself_by_way_of_others(module: str) -> None:
    """Within a layer, too, imports make no circle of any length."""
    assert circle_of(module) == set()


@pytest.mark.parametrize("module", [each for each in MODULES if not any(matches(each, outer) for outer in OUTER)])
def test_the_core_imports_no_event_loop(module: str) -> None:
    """Neither asyncio nor trio nor AnyIO, anywhere in the file; AnyIO's memory streams are a data structure."""
    used = {name.partition(".")[0] for name in imports(MODULES[module], for_types=False)} & EVENT_LOOPS
    assert used <= DATA_STRUCTURES.get(module, set())


@pytest.mark.parametrize("module", [each for each in MODULES if layer(each) < layer("__init__")])
def test_no_module_imports_the_package_as_a_whole(module: str) -> None:
    """What a module of the core needs it imports from where it is defined, not from `anyiostream` itself."""
    assert "__init__" not in own_imports(module)


def imported_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has imported after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    return set(json.loads(done.stdout))


def test_importing_the_package_imports_no_other_side() -> None:
    """`import anyiostream` loads neither trio nor an event loop's, LangGraph's or a terminal's machinery."""
    loaded = imported_by("import anyiostream")
    assert "anyiostream" in loaded
    assert loaded & {"trio", "asyncio", "uvloop", "langgraph", "langchain", "langchain_core", "rich", "pytest"} == set()


def test_the_testing_kit_imports_no_other_side() -> None:
    """Neither does `anyiostream.testing`; its LangChain model is a module of its own."""
    loaded = imported_by("import anyiostream.testing")
    assert loaded & {"trio", "uvloop", "langgraph", "langchain", "langchain_core", "rich", "pytest"} == set()


def test_the_sync_lane_runs_without_an_event_loop() -> None:
    """A run on the sync lane loads neither trio nor asyncio."""
    statement = (
        "from anyiostream import open_run, parts\nwith open_run([parts.values(1)]) as run:\n    assert run.output == 1"
    )
    assert imported_by(statement) & {"trio", "asyncio", "langgraph"} == set()


def test_a_run_on_asyncio_does_not_import_trio() -> None:
    """trio is imported only where it runs."""
    statement = (
        "import asyncio\n"
        "from anyiostream import open_run, parts\n"
        "async def main():\n"
        "    async with open_run([parts.values(1)]) as run:\n"
        "        assert await run.output() == 1\n"
        "asyncio.run(main())"
    )
    assert imported_by(statement) & {"trio", "langgraph"} == set()


def test_everything_public_is_named() -> None:
    """`anyiostream.__all__` is sorted, without repetition, and every name in it is there."""
    assert list(anyiostream.__all__) == sorted(set(anyiostream.__all__))
    assert [name for name in anyiostream.__all__ if not hasattr(anyiostream, name)] == []


@pytest.mark.parametrize("module", [each for each in MODULES if not each.endswith("__init__") and each != "__main__"])
def test_every_module_names_what_it_exports(module: str) -> None:
    """A module's `__all__` has only names that the module defines at its top level."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    defined: set[str] = set()
    exported: list[str] | None = None
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            defined.update(names)
            if "__all__" in names and node.value is not None:
                exported = ast.literal_eval(node.value)
    assert exported is not None
    assert set(exported) <= defined
