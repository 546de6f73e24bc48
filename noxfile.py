"""Development sessions. Each needs only Python, nox and a package index: `python -m pip install nox && nox -s tests`.

Versions are listed once, in pyproject.toml. Every session runs on the Python that runs nox.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"  # the first that reads dependency groups
nox.options.sessions = ["tests", "lint", "types"]
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True

PYPROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install the package with all of its extras, and dependency groups."""
    extras = "cli,langgraph,opentelemetry,remote"
    session.install("--editable", f".[{extras}]", *nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session
def demo(session: nox.Session) -> None:
    """Run one small agent in every lane, and compare what its readers saw."""
    install(session)
    session.run("python", "-m", "examples.demo", *session.posargs)


@nox.session
def example(session: nox.Session) -> None:
    """Run one of the examples: `nox -s example -- chat --backend trio`."""
    if not session.posargs:
        names = sorted(path.stem for path in Path("examples").glob("*.py") if path.stem != "__init__")
        session.error(f"name an example: {', '.join(names)}; as in `nox -s example -- {names[0]}`")
    install(session, "examples")
    name, *arguments = session.posargs
    session.run("python", "-m", f"examples.{name}", *arguments)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with branch coverage. Arguments go to pytest: `nox -s tests -- tests/unit -k tee`."""
    install(session, "test")
    session.run(
        "python", "-m", "pytest",
        "--random-order", "--numprocesses=auto", "--dist=loadfile",
        "--cov=anyiostream", "--cov-branch", "--cov-report=term-missing:skip-covered",
        *session.posargs,
    )  # fmt: skip


@nox.session
def faults(session: nox.Session) -> None:
    """Run the fault battery at length. Arguments go to it: `nox -s faults -- --seconds 60`."""
    install(session, "test")
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Break copies of the package on purpose: the fault battery must notice. Arguments name mutants."""
    install(session, "test")
    session.run("python", "-m", "tests.faults.mutants", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and pyright."""
    install(session, "types")
    session.run("mypy")
    session.run("pyright")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against `langgraph.stream`. Arguments go to the benchmarks."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run random programs and watch for what grows or is left. Arguments: `nox -s soak -- --minutes 60`."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks.soak", *(session.posargs or ("--minutes", "10")))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site into build/site; warnings are errors. `nox -s docs -- serve` shows it."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "docs"))  # the package is read, not imported
    session.run("python", "-m", "mkdocs", *(session.posargs or ["build"]), env={"NO_MKDOCS_2_WARNING": "1"})
