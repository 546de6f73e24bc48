"""There is one way to install the package, and every document and message names that one."""

from __future__ import annotations

import pkgutil
import re
import shlex
import tomllib
from pathlib import Path

import pytest

import anyiostream
from anyiostream.errors import MissingExtra

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = set(PROJECT["optional-dependencies"])
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
INSTALLATION = re.compile(r"\bpip\s+install\s+([^`#\n&]+(?:\n[^`#\n&]+`)?)")
OURS = re.compile(r"anyiostream-runs(?:\[([\w,-]+)\])?$")
WARNING = "never `pip install anyiostream`"
"""What the README says of the project that has the package's name on the index."""


def installed(text: str) -> list[str]:
    """Every requirement that a text installs."""
    commands = INSTALLATION.findall(text.replace(WARNING, ""))
    return [each for command in commands for each in shlex.split(command.replace("`", " ")) if not each.startswith("-")]


def test_the_distribution_has_a_name_of_its_own() -> None:
    """The package keeps its own; the README says why they differ."""
    assert PROJECT["name"] == "anyiostream-runs"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert WARNING in " ".join(readme.split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_install_the_distribution(document: Path) -> None:
    """By its name, with extras that exist; or a checkout, which gives it that name."""
    for requirement in installed(document.read_text(encoding="utf-8")):
        assert not requirement.startswith((".[", "anyiostream[")), requirement
        assert requirement != "anyiostream", document
        if requirement.startswith("anyiostream"):
            found = OURS.match(requirement)
            assert found is not None, requirement
            assert set((found[1] or "").split(",")) - {""} <= EXTRAS, requirement


def test_the_readme_installs_it() -> None:
    """From a checkout, and then by name."""
    requirements = installed((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "." in requirements
    assert any(OURS.match(each) for each in requirements)


def test_the_readme_names_every_extra() -> None:
    """Where it says how to install."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("## Install") : readme.index("## An example")]
    missing = {extra for extra in EXTRAS if f"`{extra}`" not in section and f"[{extra}]" not in section}
    assert missing == set(), "the README's section on installing says what each extra is for"


def test_messages_install_it_in_the_same_way() -> None:
    """What a missing extra says can be copied."""
    (requirement,) = installed(str(MissingExtra("the demo", "demo")))
    assert requirement == "anyiostream-runs[demo]"


def test_the_command_exists() -> None:
    """The console script is a function of the package."""
    (target,) = PROJECT["scripts"].values()
    assert callable(pkgutil.resolve_name(target))


def test_the_changelog_begins_with_this_version() -> None:
    """Behind what is not released yet, with its day."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, newest = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", changelog, re.MULTILINE)[:2]
    assert unreleased == ("Unreleased", "")
    assert newest[0] == anyiostream.__version__
    assert newest[1]
