"""What a repository has besides code, and that it agrees with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import anyiostream

ROOT = Path(__file__).resolve().parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sessions(command: str) -> set[str]:
    """The sessions that a command line of nox names."""
    found = re.search(r"--session ([\w -]+)", command)
    assert found is not None
    return set(found[1].split())


def test_the_hooks_before_a_commit_are_those_of_ci() -> None:
    """Some of CI's sessions, by their names; and all of CI before a push."""
    entries = re.findall(r"^ +entry: (.+)$", text(".pre-commit-config.yaml"), re.MULTILINE)
    in_ci = set().union(*(sessions(line) for line in text(".ci/run").splitlines() if "--session" in line))
    before_commit, before_push = entries
    assert {"lint", "types"} <= sessions(before_commit) <= in_ci
    assert before_push == "bash .ci/run"
    assert set(re.findall(r"^ +- repo: (.+)$", text(".pre-commit-config.yaml"), re.MULTILINE)) == {"local"}


def test_the_citation_is_of_this_version() -> None:
    """And of the day that the changelog names."""
    citation = dict(re.findall(r"^([\w-]+): (.+)$", text("CITATION.cff"), re.MULTILINE))
    released = re.search(r"^## \[(\d.*?)\] - (.+)$", text("CHANGELOG.md"), re.MULTILINE)
    assert released is not None
    assert (citation["version"], citation["date-released"]) == released.groups()
    assert citation["version"] == anyiostream.__version__


def test_each_dependency_has_its_reason() -> None:
    """Where contributors look; `pyproject.toml` has a comment for each."""
    project = tomllib.loads(text("pyproject.toml"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    names = {name[0] for line in lines if (name := re.match(r"[\w-]+", line))} - {project["name"]}
    table = text("CONTRIBUTING.md")
    table = table[table.index("## Dependencies") :]
    assert {name for name in names if name not in table} == set()


def test_templates_ask_for_what_is_needed() -> None:
    """A program, the lane, the versions."""
    bug = text(".github/ISSUE_TEMPLATE/bug.yml")
    assert set(re.findall(r"^    id: (\w+)$", bug, re.MULTILINE)) >= {"program", "lane", "versions"}
