"""Run by a Python that has nothing but the built distribution and one extra: what is installed works.

`python -I tests/installed.py EXTRA README`, as `nox -s package` does. Standard library only.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

DISTRIBUTION = "anyiostream-runs"

FEATURE = re.compile(r"MissingExtra\([\"'].+?[\"'], [\"'](.+?)[\"']\)")
"""Where a module says which extra it needs."""

EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A program of a document, and what it prints."""


def modules() -> Iterator[tuple[str, str]]:
    """Name and text of every module that is installed."""
    for file in distribution(DISTRIBUTION).files or ():
        if file.suffix == ".py":
            parts = file.with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file.read_text(encoding="utf-8")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command, which must succeed without a word on standard error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (command, done)
    return done


def check_imports(extra: str) -> None:
    """Modules that need an extra are imported with it, and name it without it."""
    installed = {(name, needed) for name, text in modules() for needed in FEATURE.findall(text)}
    assert extra in {"", "all", *(needed for _, needed in installed)}, f"no module says that it needs [{extra}]"
    for name, needed in sorted(installed):
        if needed == extra:
            importlib.import_module(name)
        elif not extra:
            try:
                importlib.import_module(name)
            except ImportError as exc:
                # A package is imported before what is in it.
                first = min(
                    (each for each in installed if name == each[0] or name.startswith(f"{each[0]}.")),
                    key=lambda each: len(each[0]),
                )
                assert f"python -m pip install '{DISTRIBUTION}[{first[1]}]'" in str(exc), exc  # noqa: PT017


def check_readme(readme: Path) -> None:
    """Its example prints what stands below it, on either loop."""
    found = EXAMPLE.search(readme.read_text(encoding="utf-8"))
    assert found is not None
    program, shown = found.groups()
    for each in (program, program.replace("anyio.run(main)", 'anyio.run(main, backend="trio")')):
        assert run(sys.executable, "-I", "-c", each).stdout == shown


def check_commands() -> None:
    """The console script and the module are the same command line, each under its own name."""
    script = str(Path(sysconfig.get_path("scripts")) / "anyiostream")
    for command in ([script], [sys.executable, "-I", "-m", "anyiostream"]):
        assert run(*command, "--help").stdout.startswith(f"usage: {'anyiostream' if command == [script] else 'python'}")


def check_types() -> None:
    """Type checkers find the package's annotations."""
    assert any(file.name == "py.typed" for file in distribution(DISTRIBUTION).files or ())


if __name__ == "__main__":
    check_imports(sys.argv[1])
    check_readme(Path(sys.argv[2]))
    check_commands()
    check_types()
