"""Plots of how costs grow, as SVG. Needs matplotlib."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["draw"]

LABELS: Final = {"theirs": "langgraph.stream", "asyncio": "anyiostream, asyncio", "trio": "anyiostream, trio"}


def draw(sections: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Draw each dimension of the section `growth`; yields the files."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "anyiostream"  # the same drawing is the same file
    for growth in sections.get("growth", []):
        path = folder / f"{re.sub('[^a-z0-9]+', '-', growth['dimension'].lower()).strip('-')}.svg"
        draw_growth(growth, path)
        yield path


def draw_growth(growth: Mapping[str, Any], path: Path) -> None:
    """Draw the cost of one against the size, with the least and the greatest of the rounds."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    greatest = 0
    for contender, us in growth["us"].items():
        sizes = sorted(us)
        medians = [us[size]["median"] for size in sizes]
        below = [us[size]["median"] - us[size]["least"] for size in sizes]
        above = [us[size]["greatest"] - us[size]["median"] for size in sizes]
        axes.errorbar(sizes, medians, yerr=[below, above], marker="o", capsize=3, label=LABELS[contender])
        greatest = max(greatest, *sizes)
    if greatest > 100:
        axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(growth["dimension"])
    axes.set_xlabel("N")
    axes.set_ylabel("us each")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
