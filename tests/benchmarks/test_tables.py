"""How results are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tables import Section, Table, at_most, rewrite, verdicts

TABLE = Table("Costs", ("what", "us"), (("raw log", "1.00"), ("x", "10.00")), note="Per part.")


def test_a_table_is_aligned_markdown() -> None:
    """With its title above and its note below."""
    assert str(TABLE).split("\n") == [
        "Costs:",
        "",
        "| what    | us    |",
        "|---------|-------|",
        "| raw log | 1.00  |",
        "| x       | 10.00 |",
        "",
        "Per part.",
    ]


def test_a_row_that_is_too_short_is_refused() -> None:
    """It would shift its cells."""
    with pytest.raises(ValueError, match="shorter"):
        str(Table("Costs", ("what", "us"), (("raw log",),)))


def test_a_section_shows_its_tables() -> None:
    """One below the other."""
    assert str(Section("s", (TABLE, TABLE), [])) == f"{TABLE}\n\n{TABLE}"


def test_a_figure_meets_its_target_up_to_it() -> None:
    """A figure that is equal does; one without a target is not judged; equal verdicts are said once."""
    assert verdicts([(0.2, 0.2)]) == "met"
    assert verdicts([(0.21, 0.2)]) == "**missed**"
    assert verdicts([(0.1, 0.2), (0.3, 0.2)]) == "met / **missed**"
    assert verdicts([(0.1, 0.2), (9, None)]) == "met"
    assert verdicts([(1, None)]) == ""


def test_targets_are_shown_as_bounds() -> None:
    """Those that there are."""
    assert at_most(0.2, 0.25) == "<= 0.20 / 0.25"
    assert at_most(None, None) == ""


def test_a_documents_tables_are_replaced(tmp_path: Path) -> None:
    """Between the markers of their section; all else stays, and what has no markers is left out."""
    document = tmp_path / "performance.md"
    document.write_text(
        "before\n<!-- bench: a -->\nold\n<!-- end -->\nbetween\n<!-- bench: b -->\nstays\n<!-- end -->\n",
        encoding="utf-8",
    )
    assert rewrite(document, {"a": r"new \1", "c": "nowhere"}) == ["a"]
    assert document.read_text(encoding="utf-8") == (
        "before\n<!-- bench: a -->\n\nnew \\1\n\n<!-- end -->\nbetween\n<!-- bench: b -->\nstays\n<!-- end -->\n"
    )
    assert rewrite(document, {"a": "newer"}) == ["a"]
