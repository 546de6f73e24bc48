"""Tables: what a section found, as Markdown that a terminal shows just as well, and their place in a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Section", "Table", "at_most", "rewrite", "verdicts"]


@attrs.frozen
class Table:
    """A table.

    Attributes:
        title: What stands above it.
        header: Names of the columns.
        rows: As many cells each as there are columns.
        note: What stands below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __str__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        shown = [_line(cells, widths) for cells in lines]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        return "\n".join([f"{self.title}:", "", shown[0], rule, *shown[1:], *(("", self.note) if self.note else ())])


@attrs.frozen
class Section:
    """A group of measurements.

    Attributes:
        name: What it is called, also on the command line and by a document's markers.
        tables: What it shows.
        data: The same as plain data, for a record.
    """

    name: str
    tables: tuple[Table, ...]
    data: Any

    def __str__(self) -> str:
        return "\n\n".join(str(table) for table in self.tables)


def verdicts(figures: Iterable[tuple[float, float | None]]) -> str:
    """Whether each figure is at most its target: `met`, `missed`, or both in order, such as `met / missed`."""
    said = ["met" if figure <= target else "**missed**" for figure, target in figures if target is not None]
    return said[0] if len(set(said)) == 1 else " / ".join(said)


def at_most(*targets: float | None, digits: int = 2) -> str:
    """Targets as tables show them."""
    said = [f"{target:.{digits}f}" for target in targets if target is not None]
    return f"<= {' / '.join(said)}" if said else ""


def rewrite(document: Path, sections: Mapping[str, str]) -> list[str]:
    """Replace what stands between a section's markers in a document; sections without markers are left out.

    Markers are the lines `<!-- bench: NAME -->` and `<!-- end -->`.

    Returns:
        The names of the sections that were replaced.
    """
    text = document.read_text(encoding="utf-8")
    replaced = []
    for name, content in sections.items():
        before, marker, rest = text.partition(f"<!-- bench: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if end:
            text = f"{before}{marker}\n{content}\n\n{end}{after}"
            replaced.append(name)
    document.write_text(text, encoding="utf-8")
    return replaced


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
