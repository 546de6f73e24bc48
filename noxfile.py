"""Development sessions. Each needs only Python, nox and a package index: `python -m pip install nox && nox -s tests`.

Versions are listed once, in pyproject.toml. Every session runs on the Python that runs nox.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import nox
from packaging.requirements import Requirement  # nox itself requires it

nox.needs_version = ">=2025.2.9"  # the first that reads dependency groups
nox.options.sessions = ["tests", "lint", "types"]
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True

QUICK = ("unit", "conformance", "messages", "mistakes")
"""The core by itself, what it has in common with the original on every lane, messages, and what mistakes get."""

APART = (
    "benchmarks/servers", "browser", "page/servers", "remote/kills", "remote/servers", "remote/several", "tutorials",
    "web/servers",
)  # fmt: skip
"""What takes a browser, a page with packages of npm, or web servers, some of which are killed: a session of its own."""

IN_ALL_MODES = (
    "test_client.py", "test_health.py", "test_javascript_client.py", "test_official.py", "test_python_client.py",
)  # fmt: skip
"""Tests of clients, which are run over a store and with two servers, too; `tests/remote/conftest.py` has the modes."""

FRAMEWORKS = ("openai-agents", "pydantic-ai")
"""Extras of other frameworks, which have a session of their own: what they pull in is nobody else's."""

PYPROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, options: Sequence[str] = ()) -> None:
    """Install the package with all of its extras but the frameworks, and dependency groups."""
    extras = ",".join(each for each in PYPROJECT["project"]["optional-dependencies"] if each not in FRAMEWORKS)
    session.install(*options, "--editable", f".[{extras}]", *nox.project.dependency_groups(PYPROJECT, *groups))


def lowest_versions(*groups: str) -> Iterator[str]:
    """The lowest declared version of what `install` requires by name, as constraints.

    Where two of them exclude each other, the installation fails: they are not versions that work together.
    """
    project = PYPROJECT["project"]
    extras = (each for name, each in project["optional-dependencies"].items() if name not in FRAMEWORKS)
    declared = [project["dependencies"], *extras]
    declared.append(nox.project.dependency_groups(PYPROJECT, *groups))
    return lowest(chain.from_iterable(declared))


def lowest(requirements: Iterable[str]) -> Iterator[str]:
    """The lowest version that each requirement allows, pinned."""
    for requirement in map(Requirement, requirements):
        for bound in requirement.specifier:
            if bound.operator in {">=", "=="}:
                yield f"{requirement.name}=={bound.version}"


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


def run_tests(session: nox.Session, *options: str, env: Mapping[str, str] | None = None) -> None:
    """Run pytest on all cores, in random order; the session's arguments come last.

    Bytecode is kept, whatever the environment says: without it each worker and each program that the tests start would
    compile the package anew, and each worker all tests. `tests/conftest.py` orders the files: the plugin would by the
    number of their tests alone, and a worker might begin a long one when the other has nothing left.
    """
    session.run(
        "python", "-m", "pytest", "--random-order", "--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder",
        *options, *session.posargs,
        env={"PYTHONDONTWRITEBYTECODE": None, **(env or {})},
    )  # fmt: skip


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests. Arguments go to pytest: `nox -s tests -- tests/unit -k tee`."""
    install(session, "test")
    run_tests(session, *(f"--ignore=tests/{folder}" for folder in APART))  # unless an argument names what is there


@nox.session(name="tests-servers")
def tests_servers(session: nox.Session) -> None:
    """Run the tests with web servers, their clients, a browser, and tutorials' pages. Arguments go to pytest."""
    install(session, "test")
    run_tests(session, *(() if session.posargs else (f"tests/{folder}" for folder in APART)))
    if not session.posargs:
        # What clients see does not depend on where threads live, nor on which of two servers they ask.
        for mode in ({"ANYIOSTREAM_TEST_STORE": "sqlite"}, {"ANYIOSTREAM_SERVERS": "2"}):
            run_tests(session, *(f"tests/remote/servers/{name}" for name in IN_ALL_MODES), env=mode)


@nox.session(name="tests-deleted")
def tests_deleted(session: nox.Session) -> None:
    """Delete each protocol, and `web`, from a copy, and run the tests of the others: `nox -s tests-deleted -- web`."""
    install(session, "test")
    session.run("python", "-m", "tests.deleted", *session.posargs, env={"PYTHONDONTWRITEBYTECODE": None})


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests with branch coverage, which takes half as long again. Arguments go to pytest."""
    install(session, "test")
    run_tests(session, "--cov=anyiostream", "--cov-branch", "--cov-report=term-missing:skip-covered")


@nox.session
def quick(session: nox.Session) -> None:
    """Run a good third of the tests, for a verdict in less than a minute. Arguments go to pytest."""
    install(session, "test")
    run_tests(session, *(f"tests/{folder}" for folder in QUICK))


@nox.session(name="tests-oldest")
def tests_oldest(session: nox.Session) -> None:
    """Run the tests on the lowest versions that pyproject.toml declares. Arguments go to pytest."""
    constraints = Path(session.create_tmp()) / "oldest.txt"
    constraints.write_text("\n".join(lowest_versions("test")), encoding="utf-8")
    install(session, "test", options=["--constraint", str(constraints)])
    run_tests(session)


@nox.session(name="tests-newest", reuse_venv=False)
def tests_newest(session: nox.Session) -> None:
    """Run the tests in a fresh environment on the newest releases. Arguments go to pytest."""
    install(session, "test", options=["--upgrade", "--upgrade-strategy=eager"])
    run_tests(session)


@nox.session(name="tests-libraries")
def tests_libraries(session: nox.Session) -> None:
    """Run agents of real libraries, against a local server of models, through this package and through the original.

    Arguments go to pytest: `nox -s tests-libraries -- -k deep`.
    """
    install(session, "libraries")
    run_tests(session, "tests/libraries", env={"ANYIOSTREAM_LIBRARIES": "1"})


@nox.session(name="tests-sources")
@nox.parametrize("versions", ["newest", "oldest"])
def tests_sources(session: nox.Session, versions: str) -> None:
    """Run agents of other frameworks, the newest and the oldest that the extras allow. Arguments go to pytest."""
    install(session, "test")
    extras = PYPROJECT["project"]["optional-dependencies"]
    wanted = [line for name in FRAMEWORKS for line in extras[name]]
    if versions == "oldest":
        session.install(*lowest(wanted))
    else:
        session.install("--upgrade", *wanted)
    session.run("python", "-m", "pytest", "tests/sources", *session.posargs, env={"ANYIOSTREAM_SOURCES": "1"})


@nox.session
def faults(session: nox.Session) -> None:
    """Run the fault battery at length. Arguments go to it: `nox -s faults -- --seconds 60`.

    `nox -s faults -- distributed` runs the faults of servers that share a store, `distributed mutants` breaks copies of
    the package, which they must find out.
    """
    install(session, "test")
    extras = PYPROJECT["project"]["optional-dependencies"]
    session.install(*(line for name in FRAMEWORKS for line in extras[name]))
    if session.posargs[:2] == ["distributed", "mutants"]:
        session.run("python", "-m", "tests.distributed.mutants", *session.posargs[2:])
    elif session.posargs[:1] == ["distributed"]:
        session.run("python", "-m", "tests.distributed", *session.posargs[1:])
    else:
        session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """Take pictures of each screen of the page, at two widths, light and dark, for the documents. Needs Chromium."""
    install(session, "test")
    session.run("python", "-m", "tests.browser.screenshots", *(session.posargs or ("docs/images",)))


@nox.session
def budgets(session: nox.Session) -> None:
    """Measure what the page costs, on a machine that does nothing else: `-- --hour` for long. Needs Chromium."""
    install(session, "test")
    chosen = [each for each in session.posargs if each != "--hour"]
    telling = ("-rP", "--log-level=info", "-ofaulthandler_timeout=0")
    session.run(
        *("python", "-m", "pytest", *telling, "tests/browser/test_budgets.py", *chosen),
        env={"ANYIOSTREAM_BUDGETS": "hour" if "--hour" in session.posargs else "1"},
    )
    if not chosen:
        session.run("python", "-m", "benchmarks.index")


@nox.session
def kills(session: nox.Session) -> None:
    """Kill a server over a file at random moments, with clients reading. Arguments: `nox -s kills -- --kills 1000`."""
    install(session, "test")
    session.run("python", "-m", "tests.remote.kills", *session.posargs)


@nox.session
def hostile(session: nox.Session) -> None:
    """Send servers on both event loops random bodies, frames and cursors for a quarter of an hour."""
    install(session, "test")
    names = ("servers/test_hostile", "servers/test_hostile_servers", "test_batches", "test_viewer")
    arguments = session.posargs or (f"tests/remote/{name}.py" for name in names)
    session.run("python", "-m", "pytest", "--timeout=0", *arguments, env={"ANYIOSTREAM_THOROUGH": "40"})


@nox.session
def sinks(session: nox.Session) -> None:
    """Have the official readers of the protocols read many random logs. Arguments: `nox -s sinks -- --logs 100000`."""
    install(session, "test")
    session.run("python", "-m", "tests.sinks", *session.posargs)


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
def package(session: nox.Session) -> None:
    """Build wheel and sdist, and install the wheel with each extra in an environment that has nothing else."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "package"))
    folder = Path(session.create_tmp()).resolve()
    built = folder / "dist"
    shutil.rmtree(built, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(built))
    session.run("twine", "check", "--strict", *map(str, sorted(built.iterdir())))
    name = PYPROJECT["project"]["name"]
    for extra in ("", *(session.posargs or PYPROJECT["project"]["optional-dependencies"])):
        environment = folder / (extra or "bare")
        python = str(environment / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        session.run("python", "-m", "venv", "--clear", str(environment))
        pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        session.run(*pip, str(next(built.glob("*.whl"))), external=True)
        if extra:
            session.run(*pip, f"{name}[{extra}]", external=True)  # as messages and documents have it
        session.run(python, "-I", "tests/installed.py", extra, "README.md", external=True)


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


@nox.session(name="bench-official")
def bench_official(session: nox.Session) -> None:
    """Measure the server beside LangGraph's development server. Arguments: `nox -s bench-official -- --rounds 5`."""
    install(session, "bench")
    theirs = Path(session.create_tmp()) / "theirs"  # its dependencies are nobody else's
    programs = theirs / ("Scripts" if sys.platform == "win32" else "bin")
    session.run("python", "-m", "venv", str(theirs))
    session.run(str(programs / "python"), "-m", "pip", "install", "-q", "langgraph-cli[inmem]", external=True)
    session.run("python", "-m", "benchmarks.official", "--langgraph", str(programs / "langgraph"), *session.posargs)


@nox.session(name="bench-several")
def bench_several(session: nox.Session) -> None:
    """Measure servers that share a store, with Valkey and clients on this machine. Arguments go to the benchmark."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks.several", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Run random programs and watch for what grows or is left. Arguments: `nox -s soak -- --minutes 60`."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks.soak", *(session.posargs or ("--minutes", "10")))


@nox.session
def picture(session: nox.Session) -> None:
    """Record the run that README and home page show, in a terminal, as docs/images/terminal.svg."""
    install(session, "picture")
    session.run("python", "-m", "tools.record_terminal", "docs/images/terminal.svg")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site into build/site; warnings are errors. `nox -s docs -- serve` shows it."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "docs"))  # the package is read, not imported
    if session.posargs:
        session.run("zensical", *session.posargs)
        return
    session.run("zensical", "build", "--clean", "--strict")
    session.run("python", "tests/site.py", "build/site")
