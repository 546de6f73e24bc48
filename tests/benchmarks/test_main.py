"""The command line."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import SECTIONS, main, parse

ROOT = Path(__file__).resolve().parents[2]


def test_quick_has_fewer_rounds_unless_they_are_named() -> None:
    """5, 3, or what is asked for."""
    assert parse([])[0].rounds == 5
    assert parse(["--quick"])[0].rounds == 3
    assert parse(["--quick", "--rounds", "7"])[0].rounds == 7


def test_a_run_prints_and_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, as JSON, and into a document."""
    document = tmp_path / "performance.md"
    document.write_text("<!-- bench: ticker -->\n<!-- end -->\n", encoding="utf-8")
    record = tmp_path / "record.json"
    options = ["--quick", "--rounds", "1", "--only", "ticker", "--json", str(record), "--markdown", str(document)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options])
    runpy.run_path(str(ROOT / "benchmarks" / "__main__.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(record.read_text(encoding="utf-8"))
    assert set(found["sections"]) == {"hosting", "ticker"}  # each has a ticker
    assert found["sections"]["ticker"][0]["name"] == "asyncio, buffer of 64"
    assert "| asyncio, buffer of 64 " in out
    assert "| asyncio, buffer of 64 " in document.read_text(encoding="utf-8")


def test_a_section_that_is_not_whole_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's table does not lose rows."""
    document = tmp_path / "performance.md"
    document.write_text("<!-- bench: ticker -->\nfour rows\n<!-- end -->\n", encoding="utf-8")
    options = ["--quick", "--rounds", "1", "--only", "ticker: asyncio, buffer of 64", "--markdown", str(document)]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *options])
    main()
    assert "four rows" in document.read_text(encoding="utf-8")


def test_a_row_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than a run without results."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "no such row"])
    with pytest.raises(SystemExit, match=r"^nothing is called 'no such row'$"):
        main()


def test_the_documents_markers_name_sections() -> None:
    """Each section has a place in the document on performance."""
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in ("environment", *SECTIONS):
        assert text.count(f"<!-- bench: {name} -->") == 1


def test_growth_is_drawn(tmp_path: Path) -> None:
    """One drawing for each dimension."""
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    spread = {"median": 2.0, "least": 1.0, "greatest": 3.0}
    growth = {"dimension": "Depth, N levels", "us": {"asyncio": {1: spread, 8: spread}, "theirs": {1: spread}}}
    paths = list(draw({"growth": [growth]}, tmp_path / "plots"))
    assert [path.name for path in paths] == ["depth-n-levels.svg"]
    assert "<svg" in paths[0].read_text(encoding="utf-8")
