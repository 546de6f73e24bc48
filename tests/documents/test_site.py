"""The site: every page can be found, and says what the code says. `nox -s docs` builds it and checks the rest."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
PAGES = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
PAGE = re.compile(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", re.MULTILINE)


def test_every_page_is_in_the_navigation() -> None:
    """Once, and no other."""
    named = PAGE.findall(CONFIGURATION[CONFIGURATION.index("nav:") :])
    assert sorted(named) == sorted(PAGES)


def overloads() -> list[tuple[str, str]]:
    """What type checkers see of each kind of graph: its type, and what `open_run` returns for it."""
    module = ast.parse((ROOT / "anyiostream" / "run.py").read_text(encoding="utf-8"))
    found = []
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(each) == "overload" for each in node.decorator_list):
            first = ast.unparse(node.args.args[0].annotation)
            found.append((first, ast.unparse(node.returns)))
    return found


def test_the_reference_shows_the_types_of_each_kind_of_graph() -> None:
    """Folded; the first argument and the result are those of the overloads."""
    page = (DOCS / "reference" / "open-run.md").read_text(encoding="utf-8")
    block = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert block is not None
    shown = re.findall(r"graph: ([^\n]*),\n(?:(?!->).)*-> ([^\n]*)", block[1], re.DOTALL)
    assert shown == overloads()


@pytest.mark.parametrize(
    "name", ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "RELEASING.md"]
)
def test_the_projects_own_pages_are_on_the_site(name: str) -> None:
    """As they are, not as copies."""
    assert (ROOT / name).exists()
    included = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "project").glob("*.md"))
    assert f'--8<-- "{name}' in included


TESTED_ELSEWHERE = {
    "cookbook.md": "test_cookbook.py",
    "remote.md": "test_document.py",
    "stores.md": "test_stores_page.py",
    "guides/frameworks.md": "test_guides.py",
    "guides/interrupts.md": "test_guides.py",
    "guides/migrating.md": "test_migrating.py",
    "guides/mistakes.md": "programs.py",
    "tutorials/agent-to-browser.md": "test_agent_to_browser.py",
    "tutorials/trio.md": "test_trio_tutorial.py",
}
"""Documents with blocks that are not programs by themselves (`py`), and what runs these."""

SHOWN_ONLY = {
    "guides/web.md": 1,  # the way that the text advises against
}
"""Documents with blocks that show what not to do, and how many."""


def test_every_block_of_python_is_run() -> None:
    """Here, or by the test that is named; except for those that show what not to do."""
    found = {}
    for page in sorted(PAGES):
        blocks = re.findall(r"^```py$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
        if blocks and page not in TESTED_ELSEWHERE:
            found[page] = len(blocks)
    assert found == SHOWN_ONLY
    names = {path.name for path in (ROOT / "tests").rglob("*.py")}
    assert names >= set(TESTED_ELSEWHERE.values())
