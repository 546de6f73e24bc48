"""Development sessions. Each needs only Python, nox and a package index: `python -m pip install nox && nox -s tests`.

Versions are listed once, in pyproject.toml. Every session runs on the Python that runs nox.
"""

import nox

nox.needs_version = ">=2025.2.9"  # the first that reads dependency groups
nox.options.sessions = ["tests", "lint", "types"]
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True

PYPROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str) -> None:
    """Install the package with LangGraph and what remote runs need, and dependency groups."""
    session.install("--editable", ".[langgraph,remote]", *nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session
def demo(session: nox.Session) -> None:
    """Run one small agent in every lane, and compare what its readers saw."""
    install(session)
    session.run("python", "-m", "examples.demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with branch coverage. Arguments go to pytest: `nox -s tests -- tests/unit -k tee`."""
    install(session, "test")
    session.run(
        "python", "-m", "pytest",
        "--random-order", "--cov=anyiostream", "--cov-branch", "--cov-report=term-missing:skip-covered",
        *session.posargs,
    )  # fmt: skip


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
