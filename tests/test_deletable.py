"""What stands around the core: the server, the command line, tracing and the testing kit.

Each depends on the public surface, and nothing else depends on it: a package without one of them works.
"""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import anyiostream

from .preloaded import ANEW, Preloaded

ROOT = Path(anyiostream.__file__).parent
TESTS = Path(__file__).parent

AROUND = ("cli", "opentelemetry", "page", "remote", "sinks", "testing", "web", "wire")
PUBLIC = ("anyiostream", "anyiostream.errors", "anyiostream.parts", "anyiostream.tooling")
"""Documented modules of the core, whose `__all__` is all that those around may use."""

ALLOWED = {
    "cli": {"page", "remote", "wire"},
    "page": {"remote", "sinks", "wire"},
    "remote": {"sinks", "wire"},
    "sinks": {"wire"},
    "web": {"sinks", "wire"},
}
"""Who uses whom of those around: `serve` is a way to start the server, and says what is missing without it."""

NEEDS = {"page": {"remote", "sinks", "wire"}, "remote": {"sinks", "wire"}, "sinks": {"wire"}, "web": {"sinks", "wire"}}
"""Who does not work without whom of those around."""

SMOKE = {
    "": (
        "from anyiostream import open_run, parts\n"
        "with open_run([parts.values(1)]) as run:\n"
        "    assert run.output == 1\n"
        "import anyio\n"
        "async def main():\n"
        "    async with open_run([parts.values(1)]) as run:\n"
        "        assert await run.output() == 1\n"
        "for backend in ('asyncio', 'trio'):\n"
        "    anyio.run(main, backend=backend)\n"
    ),
    "cli": (
        "from anyiostream.cli.main import main\n"
        "assert main(['run', 'examples.researchers:research', '--json', '--input', '[\"fjords\"]']) == 0\n"
    ),
    "opentelemetry": (
        "from anyiostream import open_run, parts\n"
        "from anyiostream.opentelemetry import TracingTransformer\n"
        "with open_run([parts.values(1)], transformers=[TracingTransformer]) as run:\n"
        "    assert run.output == 1\n"
    ),
    "page": (
        "from anyiostream.page import Recording, recorded\n"
        'lines = [\'{"type": "event", "method": "values", "params": '
        '{"namespace": [], "timestamp": 1, "data": 1}}\']\n'
        "assert recorded(Recording.of('numbers', lines)).routes\n"
    ),
    "remote": (
        "from anyiostream import parts\n"
        "from anyiostream.remote import app\n"
        "assert app({'numbers': [parts.values(1)]}).routes\n"
    ),
    "sinks": (
        "from anyiostream import open_run, parts\n"
        "from anyiostream.sinks import Placed, open_sink\n"
        "from anyiostream.wire import WireEncoder\n"
        "sink = open_sink('langgraph', run_id='1', include=['values'])\n"
        "with open_run([parts.values(1)]) as run:\n"
        "    drafts = [draft for event in run for draft in WireEncoder().encode(event)]\n"
        "assert sink.encode(Placed(1, '1-1', drafts[0])).startswith(b'event: values')\n"
    ),
    "testing": (
        "from anyiostream import open_run, parts\n"
        "from anyiostream.testing import ScriptedSource, record\n"
        "with open_run(ScriptedSource(parts.values(1))) as run:\n"
        "    assert record(run, 'values').items['values'] == [1]\n"
    ),
    "web": (
        "from anyiostream import open_run, parts\n"
        "from anyiostream.web import RunResponse\n"
        "assert RunResponse(open_run([parts.values(1)])).status_code == 200\n"
    ),
    "wire": (
        "from anyiostream import open_run, parts\n"
        "from anyiostream.wire import WireEncoder\n"
        "with open_run([parts.values(1)]) as run:\n"
        "    assert [draft.data for event in run for draft in WireEncoder().encode(event)] == [1]\n"
    ),
}
"""A small program for the core, and for each that stands around it."""

BLOCKED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == GONE or name.startswith(GONE + "."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
"""Makes Python look as if a package had been deleted."""


Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a program, sooner where processes can be forked that have imported what the package needs."""

    def anew(program: str) -> Any:
        return subprocess.run(
            [sys.executable, "-W", "error:::anyiostream", "-c", program],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT.parent,
        )

    if not hasattr(os, "fork"):
        yield anew
        return
    backends = ("anyio._backends._asyncio", "anyio._backends._trio")
    with Preloaded(
        *backends, "opentelemetry.trace", "rich.text", "starlette.websockets", "httpx", alone=True
    ) as python:
        yield lambda program: python.run(ANEW + program)


def imported(path: Path, *, inside_functions: bool = True) -> Iterator[tuple[str, str | None]]:
    """The package's modules that a file imports, for type checkers too, with the names taken."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if inside_functions else tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == ROOT.name:
            assert node.module is not None
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.partition(".")[0] == ROOT.name)


def owner(module: str) -> str:
    """Which of those around the core a module belongs to; `""` for the core."""
    part = module.removeprefix(f"{ROOT.name}.").partition(".")[0]
    return part if part in AROUND else ""


def files(package: str) -> list[Path]:
    """The modules of one of those around the core."""
    return sorted((ROOT / package).rglob("*.py"))


CORE = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in AROUND]


def test_the_packages_are_found() -> None:
    """They are there, and use the core."""
    assert all(len(files(package)) > 1 for package in AROUND)
    for package in AROUND:
        assert any(owner(module) == "" for path in files(package) for module, _ in imported(path))


@pytest.mark.parametrize("package", AROUND)
def test_it_depends_on_the_public_surface(package: str) -> None:
    """Every name that it takes from the core is one of a documented module's `__all__`."""
    private = set()
    for path in files(package):
        for module, name in imported(path):
            if owner(module) in {package, *ALLOWED.get(package, ())}:
                continue
            public = module in PUBLIC and (name is None or name in importlib.import_module(module).__all__)
            if not public:
                private.add((path.name, module, name))
    assert private == set()


def test_the_core_does_not_know_them() -> None:
    """No module of it imports one of them; but `python -m anyiostream` is the command line."""
    known = {(path.name, module) for path in CORE for module, _ in imported(path) if owner(module)}
    assert known == {("__main__.py", "anyiostream.cli.main")}


@pytest.mark.parametrize("package", AROUND)
def test_its_tests_do_not_need_the_others(package: str) -> None:
    """The tests of one of them can be collected without the others; a test that uses one is skipped without it."""
    needed = {
        owner(module)
        for path in (TESTS / package).rglob("*.py")
        for module, _ in imported(path, inside_functions=False)
    }
    assert needed <= {"", package, *NEEDS.get(package, ())}


@pytest.mark.parametrize("gone", AROUND)
def test_without_one_of_them_the_rest_works(gone: str, run: Run) -> None:
    """The core, and the others that do not need it, each in the same interpreter."""
    rest = "".join(code for package, code in SMOKE.items() if gone not in {package, *NEEDS.get(package, ())})
    program = f"GONE = 'anyiostream.{gone}'\n{BLOCKED}\n{rest}"
    check = f"\ntry:\n    import anyiostream.{gone}\nexcept ModuleNotFoundError:\n    print('deleted')\n"
    done = run(program + check)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("deleted\n")


def test_serve_says_what_is_missing(run: Run) -> None:
    """Without the server the command line is whole but for one subcommand."""
    program = (
        f"GONE = 'anyiostream.remote'\n{BLOCKED}\n"
        "from anyiostream.cli.main import main\n"
        "sys.exit(main(['serve', 'examples.chat:assistant']))\n"
    )
    done = run(program)
    assert done.returncode == 2
    assert "needs the `remote` extra" in done.stderr


@pytest.mark.parametrize("gone", ["langgraph", "ai_sdk", "ag_ui", "openai", "text"])
def test_without_one_protocol_the_others_work(gone: str, run: Run) -> None:
    """Each is one module, which nothing else imports; asked for without it, it is not there."""
    program = (
        f"GONE = 'anyiostream.sinks.{gone}'\n{BLOCKED}\n"
        "from anyiostream.sinks import PROTOCOLS, UnknownProtocol, open_sink\n"
        "import anyiostream.remote\n"
        "missing = []\n"
        "for protocol in PROTOCOLS:\n"
        "    try:\n"
        "        assert open_sink(protocol, run_id='1').end()  or protocol == 'text'\n"
        "    except UnknownProtocol:\n"
        "        missing.append(PROTOCOLS[protocol])\n"
        "assert missing == [GONE.rpartition('.')[2]]\n"
    )
    done = run(program)
    assert done.returncode == 0, done.stderr
