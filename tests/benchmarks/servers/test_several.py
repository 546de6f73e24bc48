"""The benchmark of servers that share a store: each measurement at small sizes, and what is said of its figures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import attrs
import pytest

from benchmarks.several import __main__ as program
from benchmarks.several.__main__ import MEASUREMENTS, main, measured_on
from benchmarks.several.measurements import QUICK, Figures, Measurement, Row, Sizes, late

ROOT = Path(__file__).resolve().parents[3]

RATE = Row("delivered by {servers}", "/s", 100, least=True)
AGE = Row("age", "ms", {"asyncio": 25, "trio": 50})


@pytest.mark.parametrize(
    ("measurement", "backend"),
    [pytest.param(each, loop, id=each.name) for each, loop in zip(MEASUREMENTS, cycle(["asyncio", "trio"]))],
)
def test_a_measurement_has_a_figure_for_each_row(measurement: Measurement, backend: str) -> None:
    """At small sizes; every viewer has seen all there was."""
    found = measured_on(backend, measurement, QUICK)
    assert set(found) == {row.name for row in measurement.rows}


def test_a_figure_is_judged_by_what_it_must_be() -> None:
    """At least or at most, on each event loop, at full size; what has failed is missed."""
    assert RATE.cells({"asyncio": 100, "trio": 99.4}, Sizes()) == (
        "delivered by 4", "100 /s", "99 /s", ">= 100 /s", "met / **missed**"
    )  # fmt: skip
    assert AGE.cells({"asyncio": 26, "trio": 50}, Sizes())[-2:] == ("<= 25 / 50 ms", "**missed** / met")
    assert AGE.cells({"trio": None}, Sizes()) == ("age", "failed", "<= 50 ms", "**missed**")
    assert RATE.cells({"trio": 1}, QUICK)[-2:] == ("", "")


def test_late_is_what_99_of_100_are_at_most() -> None:
    """Of one sample, it is that."""
    assert late([3.0]) == 3
    assert late(list(map(float, range(101)))) == 99


def given(monkeypatch: pytest.MonkeyPatch, *rounds: float | Exception) -> None:
    """Measure no servers: the figures of `RATE` are these."""

    def measure(_: str, __: Sizes) -> Iterator[Figures]:
        for each in rounds:
            if isinstance(each, Exception):
                raise each
            yield {RATE.name: each}

    monkeypatch.setattr(program, "MEASUREMENTS", (Measurement("rates", (RATE,), measure),))


def test_the_median_is_shown_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, and between a document's markers."""
    given(monkeypatch, 90.0, 300.0, 200.0)
    document = tmp_path / "several.md"
    document.write_text("<!-- bench: several -->\n<!-- end -->\n", encoding="utf-8")
    assert main(["--backend", "trio", "--markdown", str(document)]) == 0
    row = "| delivered by 4 | 200 /s | >= 100 /s | met |"
    assert row in capsys.readouterr().out
    assert row in document.read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [["--quick"], ["--only", "rates"]])
def test_what_is_not_whole_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """A document keeps its table."""
    given(monkeypatch, 1.0)
    document = tmp_path / "several.md"
    document.write_text("<!-- bench: several -->\nrows\n<!-- end -->\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="left as it is"):
        main([*options, "--markdown", str(document)])
    assert "rows" in document.read_text(encoding="utf-8")


def test_what_fails_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As a row like any other, and by the exit status."""
    given(monkeypatch, 200.0, TimeoutError("late"))
    assert main(["--backend", "asyncio", "--backend", "trio"]) == 1
    out, err = capsys.readouterr()
    assert "| delivered by 4 | failed  | failed | >= 100 /s | **missed** |" in out
    assert "TimeoutError: late" in err


def test_a_row_that_does_not_exist_is_an_error() -> None:
    """Rather than a run without results."""
    with pytest.raises(SystemExit, match=r"^nothing is called 'no such row'$"):
        main(["--only", "no such row"])


def test_a_busy_machine_is_said() -> None:
    """With its load; a quiet one is not remarked on."""
    assert "load average before: 5.6. **Other programs" in program.note(Sizes(), 5.6)
    assert "Other programs" not in program.note(Sizes(), 0.5)


def test_names_have_sizes() -> None:
    """Each row's, also where they are asked for."""
    for measurement in MEASUREMENTS:
        for row in measurement.rows:
            assert "{" not in row.named(Sizes())
    idle = next(each for each in MEASUREMENTS if each.name == "idle")
    assert len(idle.wanted("idle: 10,000 idle threads", Sizes())) == 2
    assert not idle.wanted("idle: 10,000 idle threads", attrs.evolve(Sizes(), threads=1))


def test_the_document_has_the_table() -> None:
    """Between markers that the program knows."""
    text = (ROOT / "docs" / "guides" / "several-servers.md").read_text(encoding="utf-8")
    assert text.count("<!-- bench: several -->") == 1
